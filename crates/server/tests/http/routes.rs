//! Every route once, on its happy path, in one story.

use collective_core::Code;
use reqwest::Method;
use serde_json::{Value, json};

use crate::contract::all_routes;
use crate::harness::TestServer;

fn id(value: &Value) -> &str {
    value["id"].as_str().expect("an id")
}

#[tokio::test]
async fn every_route_answers_as_it_is_documented() {
    let server = TestServer::start().await;
    the_server_itself(&server).await;
    teams_keys_and_agents(&server).await;
    tasks_and_leases(&server).await;
    what_a_running_task_asks(&server).await;
    how_tasks_end_otherwise(&server).await;
    messages(&server).await;
    reservations_and_schedules(&server).await;
    agents_leave(&server).await;

    let called = server.contract.called();
    let missing: Vec<_> = all_routes().difference(&called).cloned().collect();
    assert!(missing.is_empty(), "never called: {missing:?}");
}

async fn the_server_itself(server: &TestServer) {
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/docs/style.css",
    ] {
        let answer = server.send(server.plain(Method::GET, path)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    let ready = server.get("/readyz").await.ok(200);
    let parts: Vec<&Value> = ready["parts"]
        .as_array()
        .expect("parts")
        .iter()
        .map(|part| &part["part"])
        .collect();
    assert_eq!(parts, ["store", "bus", "cache"]);

    let docs = server.get("/docs").await;
    assert!(docs.text.contains("/v1/leases/claim"));
    assert!(
        docs.header("content-security-policy")
            .contains("default-src 'none'")
    );
    let errors = server.get("/docs/errors").await;
    for code in Code::ALL {
        let row = format!("id=\"{}\"", code.as_str());
        assert!(errors.text.contains(&row), "{row}");
    }
}

async fn teams_keys_and_agents(server: &TestServer) {
    server.put("/v1/teams/red", &json!({})).await.ok(201);
    server.put("/v1/teams/red", &json!({})).await.ok(200);
    let teams = server.get("/v1/teams").await.ok(200);
    assert_eq!(teams["items"], json!(["default", "red"]));

    let made = server
        .post("/v1/keys", &json!({"label": "ci", "role": "leader"}))
        .await
        .ok(201);
    let token = made["token"].as_str().expect("a token");
    let keys = server.get("/v1/keys").await;
    let secret = token.rsplit('_').next().expect("a secret");
    assert!(!keys.text.contains(secret), "a secret is shown once");
    let leads = server
        .send(server.plain(Method::GET, "/v1/status").bearer_auth(token))
        .await;
    assert_eq!(leads.status, 200);
    server
        .delete(&format!("/v1/keys/{}", id(&made["key"])))
        .await
        .ok(204);
    server
        .send(server.plain(Method::GET, "/v1/status").bearer_auth(token))
        .await
        .refused(401, "unauthenticated");

    let spec = json!({"role": "worker", "queues": ["default", "rust"], "slots": 8});
    let ada = server.put("/v1/agents/ada", &spec).await.ok(200);
    assert_eq!((&ada["present"], &ada["held"]), (&json!(true), &json!(0)));
    server.get("/v1/agents").await.ok(200);
    server.get("/v1/agents/ada").await.ok(200);

    server.put("/v1/queues/review", &json!({})).await.ok(200);
    let paused = server
        .post("/v1/queues/review/pause", &json!({}))
        .await
        .ok(200);
    assert_eq!(paused["paused"], true);
    server
        .post("/v1/queues/review/resume", &json!({}))
        .await
        .ok(200);
    let queues = server.get("/v1/queues").await.ok(200);
    assert_eq!(queues["items"].as_array().expect("queues").len(), 3);
}

async fn tasks_and_leases(server: &TestServer) {
    let build = server
        .create(&json!({"title": "build", "queue": "rust"}))
        .await;
    let batch = server
        .post(
            "/v1/tasks/batch",
            &json!({"tasks": [
                {"title": "test", "key": "test", "depends_on": [{"task": build}]},
                {"title": "report", "depends_on": [{"task": "test", "when": "ended"}]},
            ]}),
        )
        .await
        .ok(201);
    assert_eq!(batch["tasks"][0]["state"], "blocked");
    let listed = server.get("/v1/tasks?state=blocked&limit=1").await.ok(200);
    let next = listed["next"].as_str().expect("a second page");
    let rest = server
        .get(&format!("/v1/tasks?state=blocked&limit=1&cursor={next}"))
        .await
        .ok(200);
    assert_eq!(
        (
            &listed["items"][0]["spec"]["title"],
            &rest["items"][0]["spec"]["title"]
        ),
        (&json!("report"), &json!("test"))
    );

    let claim = server.claim("ada").await;
    let token = claim["token"].as_str().expect("a token");
    let number = claim["task"]["number"].as_u64().expect("a number");
    server
        .post(
            "/v1/leases/heartbeat",
            &json!({"agent": "ada", "beats": [
                {"task": build, "token": token, "progress": {"percent": 50.0, "note": "half"}}]}),
        )
        .await
        .ok(200);
    let log = format!("/v1/tasks/{number}/log");
    server
        .post(
            &log,
            &json!({"token": token, "position": 1, "content": "aGVsbG8="}),
        )
        .await
        .ok(204);
    let read = server.get(&log).await.ok(200);
    assert_eq!(read["pieces"][0]["text"], "hello");

    let shown = server.get(&format!("/v1/tasks/{build}")).await.ok(200);
    assert_eq!(shown["progress"]["note"], "half");
    server
        .get(&format!("/v1/tasks/{number}/explain"))
        .await
        .ok(200);
    server
        .get(&format!("/v1/tasks/{build}/result?wait=10ms"))
        .await
        .ok(202);
    let done = server
        .post(
            "/v1/leases/complete",
            &json!({"completions": [{
                "task": build, "token": token, "text": "built", "json": {"warnings": 0},
                "artifacts": [{"name": "a.patch", "kind": "patch", "content": "cGF0Y2g="}],
                "usage": {"seconds": 1.5}}]}),
        )
        .await
        .ok(200);
    assert_eq!(done["items"][0]["ok"]["state"], "succeeded");
    let result = server
        .get(&format!("/v1/tasks/{build}/result"))
        .await
        .ok(200);
    assert_eq!(result["result"]["text"], "built");
    let artifact = server
        .get(&format!("/v1/tasks/{build}/artifacts/a.patch"))
        .await;
    assert_eq!(artifact.text, "patch");
    assert_eq!(
        artifact.header("content-disposition"),
        "attachment; filename=\"a.patch\""
    );
    let history = server
        .get(&format!("/v1/tasks/{build}/events"))
        .await
        .ok(200);
    let kinds: Vec<&Value> = history["items"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| &event["type"])
        .collect();
    assert_eq!(kinds, ["task.created", "task.claimed", "task.succeeded"]);
    let log = server.get("/v1/events?after=0&limit=500").await.ok(200);
    assert_eq!(log["items"][0]["seq"], 1);
    server
        .get(&format!("/v1/events?task={number}"))
        .await
        .ok(200);
    let status = server.get("/v1/status").await.ok(200);
    assert_eq!(status["tasks"]["succeeded"], 1);
}

async fn what_a_running_task_asks(server: &TestServer) {
    let claim = server.claim("ada").await;
    assert_eq!(claim["dependencies"][0]["text"], "built");
    let task = id(&claim["task"]);
    let asked = server
        .post(
            &format!("/v1/tasks/{task}/ask"),
            &json!({"token": claim["token"], "text": "which?", "options": ["a", "b"]}),
        )
        .await
        .ok(201);
    let question = format!("/v1/questions/{}", id(&asked));
    server.get("/v1/questions?state=open").await.ok(200);
    let open = server.get(&question).await.ok(200);
    assert_eq!(open["state"], "open");
    server
        .post(&format!("{question}/answer"), &json!({"text": "a"}))
        .await
        .ok(200);
    let answered = server.get(&format!("{question}?wait=5s")).await.ok(200);
    assert_eq!(answered["answer"], "a");
    let failed = server
        .post(
            "/v1/leases/fail",
            &json!({"failures": [{"task": task, "token": claim["token"],
                "failure": {"class": "permanent", "reason": "can't be done"}}]}),
        )
        .await
        .ok(200);
    assert_eq!(failed["items"][0]["ok"]["state"], "dead");
}

async fn how_tasks_end_otherwise(server: &TestServer) {
    // The task that waited for the dead one to end, however.
    let claim = server.claim("ada").await;
    let given_back = server
        .post(
            "/v1/leases/release",
            &json!({"leases": [{"task": id(&claim["task"]), "token": claim["token"]}]}),
        )
        .await
        .ok(200);
    assert_eq!(given_back["items"][0]["ok"]["outcome"], "released");
    let path = format!("/v1/tasks/{}", id(&claim["task"]));
    let cancelled = server
        .send(server.request(Method::POST, &format!("{path}/cancel")))
        .await
        .ok(200);
    assert_eq!(cancelled["state"], "cancelled");

    let dead = server.get("/v1/tasks?state=dead").await.ok(200);
    let path = format!("/v1/tasks/{}", id(&dead["items"][0]));
    let revived = server
        .post(&format!("{path}/retry"), &json!({}))
        .await
        .ok(200);
    assert_eq!(revived["tasks"][0]["state"], "queued");
    let claim = server.claim("ada").await;
    let failure = json!({"class": "permanent", "reason": "again"});
    server
        .post(
            "/v1/leases/fail",
            &json!({"failures": [{"task": id(&claim["task"]), "token": claim["token"], "failure": failure}]}),
        )
        .await
        .ok(200);
    let put_away = server
        .post(
            &format!("{path}/discard"),
            &json!({"reason": "not worth it"}),
        )
        .await
        .ok(200);
    assert_eq!(put_away["state"], "discarded");
}

async fn messages(server: &TestServer) {
    server.register("bob").await;
    let sent = server
        .post(
            "/v1/messages",
            &json!({"to": {"agent": "bob"}, "from": "ada", "body": "hello"}),
        )
        .await
        .ok(201);
    let bob = server.key("worker", Some("bob")).await;
    let inbox = server
        .send(
            server
                .plain(Method::GET, "/v1/agents/bob/inbox?wait=5s&limit=10")
                .bearer_auth(&bob),
        )
        .await
        .ok(200);
    assert_eq!(inbox["messages"][0]["receipt"], "handed_over");
    server
        .send(
            server
                .plain(Method::POST, "/v1/agents/bob/receipts")
                .bearer_auth(&bob)
                .json(&json!({"messages": [id(&sent)], "receipt": "acknowledged"})),
        )
        .await
        .ok(204);
    let shown = server
        .get(&format!("/v1/messages/{}", id(&sent)))
        .await
        .ok(200);
    assert_eq!(shown["deliveries"][0]["receipt"], "acknowledged");
}

async fn reservations_and_schedules(server: &TestServer) {
    let held = server
        .post(
            "/v1/reservations",
            &json!({"agent": "ada", "paths": ["src/**"], "ttl": "5m"}),
        )
        .await
        .ok(201);
    server.get("/v1/reservations").await.ok(200);
    server
        .delete(&format!("/v1/reservations/{}", id(&held)))
        .await
        .ok(204);

    let made = server
        .post(
            "/v1/schedules",
            &json!({"name": "nightly", "cron": "0 3 * * *", "task": {"title": "sweep"}}),
        )
        .await
        .ok(201);
    let path = format!("/v1/schedules/{}", id(&made));
    let paused = server
        .post(&format!("{path}/pause"), &json!({}))
        .await
        .ok(200);
    assert_eq!(paused["paused"], true);
    server
        .post(&format!("{path}/resume"), &json!({}))
        .await
        .ok(200);
    server.get("/v1/schedules").await.ok(200);
    server.delete(&path).await.ok(204);
}

async fn agents_leave(server: &TestServer) {
    let drained = server
        .post("/v1/agents/bob/drain", &json!({"draining": true}))
        .await
        .ok(200);
    assert_eq!(drained["draining"], true);
    server.delete("/v1/agents/bob").await.ok(204);
    server.get("/v1/agents/bob").await.refused(404, "not_found");
}
