//! A creating call that is sent again under its key is answered, not carried out again.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, TestServer};

async fn keyed(server: &TestServer, path: &str, key: &str, body: &Value) -> Answer {
    let request = server
        .request(Method::POST, path)
        .header("idempotency-key", key);
    server.send(request.json(body)).await
}

#[tokio::test]
async fn the_same_key_gives_the_same_answer_on_every_creating_route() {
    let server = TestServer::start().await;
    server.register("ada").await;
    for (path, body) in [
        ("/v1/tasks", json!({"title": "once"})),
        (
            "/v1/tasks/batch",
            json!({"tasks": [{"title": "a"}, {"title": "b"}]}),
        ),
        (
            "/v1/messages",
            json!({"to": {"agent": "ada"}, "body": "once"}),
        ),
        (
            "/v1/schedules",
            json!({"name": "once", "cron": "0 3 * * *", "task": {"title": "x"}}),
        ),
    ] {
        let first = keyed(&server, path, path, &body).await.ok(201);
        let again = keyed(&server, path, path, &body).await.ok(201);
        assert_eq!(first, again, "{path}");
    }
    let tasks = server.get("/v1/tasks").await.ok(200);
    assert_eq!(tasks["items"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn a_key_belongs_to_its_request_and_to_who_sent_it() {
    let server = TestServer::start().await;
    let body = json!({"title": "mine"});
    let mine = keyed(&server, "/v1/tasks", "k", &body).await.ok(201);
    keyed(&server, "/v1/tasks", "k", &json!({"title": "other"}))
        .await
        .refused(422, "idempotency_mismatch");
    let leader = server.key("leader", None).await;
    let theirs = server
        .send(
            server
                .plain(Method::POST, "/v1/tasks")
                .bearer_auth(leader)
                .header("idempotency-key", "k")
                .json(&body),
        )
        .await
        .ok(201);
    assert_ne!(mine["id"], theirs["id"]);
}

#[tokio::test]
async fn a_refused_request_leaves_its_key_free() {
    let server = TestServer::start().await;
    keyed(
        &server,
        "/v1/tasks",
        "k",
        &json!({"title": "x", "queue": "later"}),
    )
    .await
    .refused(422, "unknown_queue");
    server.put("/v1/queues/later", &json!({})).await.ok(200);
    keyed(
        &server,
        "/v1/tasks",
        "k",
        &json!({"title": "x", "queue": "later"}),
    )
    .await
    .ok(201);
}

#[tokio::test]
async fn a_completion_that_is_repeated_gets_the_same_answer() {
    let server = TestServer::start().await;
    server.register("ada").await;
    let (task, token) = server.held_task("ada", &json!({"title": "x"})).await;
    let body = json!({"completions": [{"task": task, "token": token, "text": "done"}]});
    let first = server.post("/v1/leases/complete", &body).await.ok(200);
    let again = server.post("/v1/leases/complete", &body).await.ok(200);
    assert_eq!(first, again);
    let history = server
        .get(&format!("/v1/tasks/{task}/events"))
        .await
        .ok(200);
    let succeeded = history["items"]
        .as_array()
        .expect("events")
        .iter()
        .filter(|event| event["type"] == "task.succeeded")
        .count();
    assert_eq!(succeeded, 1);
}

#[tokio::test]
async fn a_batch_answers_for_each_item_and_a_batch_of_one_with_its_own_status() {
    let server = TestServer::start().await;
    server.register("ada").await;
    let (task, _) = server.held_task("ada", &json!({"title": "x"})).await;
    let (other, token) = server.held_task("ada", &json!({"title": "y"})).await;
    let stale = json!({"task": task, "token": "7-00000000000000000000000000000000"});
    server
        .post("/v1/leases/complete", &json!({"completions": [stale]}))
        .await
        .refused(409, "lease_lost");
    let both = server
        .post(
            "/v1/leases/complete",
            &json!({"completions": [stale, {"task": other, "token": token}]}),
        )
        .await
        .ok(200);
    assert_eq!(both["items"][0]["error"]["code"], "lease_lost");
    assert_eq!(both["items"][1]["ok"]["state"], "succeeded");
    let beat = json!({"agent": "ada", "beats": [{"task": other, "token": token}]});
    let beats = server.post("/v1/leases/heartbeat", &beat).await.ok(200);
    assert_eq!(
        beats["items"][0]["error"]["code"], "lease_lost",
        "a heartbeat always answers with its items"
    );
}
