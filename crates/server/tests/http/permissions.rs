//! Who may do what: every role on every route.

use std::collections::BTreeSet;

use collective_core::role::{Permission, Role};
use reqwest::Method;
use serde_json::{Value, json};

use crate::contract::all_routes;
use crate::harness::TestServer;

/// What a route asks of a key.
#[derive(Clone, Copy)]
enum Needs {
    /// This permission.
    May(Permission),
    /// This permission, and to be the agent `ada` or to manage agents.
    MayAsAda(Permission),
    /// Any valid key.
    AnyKey,
}

use Needs::{AnyKey, May, MayAsAda};
use Permission::{
    Administer, AnswerQuestions, ClaimTasks, ControlTasks, CreateTasks, ManageQueues,
    ManageSchedules, Read, Reserve, SendMessages,
};

/// Every route below `/v1`, with a request that is well formed.
fn table() -> Vec<(&'static str, &'static str, Value, Needs)> {
    let none = json!(null);
    let token = "1-00000000000000000000000000000000";
    let id = "00000000-0000-7000-8000-000000000000";
    vec![
        ("POST", "/v1/tasks", json!({"title": "x"}), May(CreateTasks)),
        (
            "POST",
            "/v1/tasks/batch",
            json!({"tasks": [{"title": "x"}]}),
            May(CreateTasks),
        ),
        ("GET", "/v1/tasks", none.clone(), May(Read)),
        ("GET", "/v1/tasks/{task}", none.clone(), May(Read)),
        ("GET", "/v1/tasks/{task}/result", none.clone(), May(Read)),
        ("GET", "/v1/tasks/{task}/explain", none.clone(), May(Read)),
        ("GET", "/v1/tasks/{task}/events", none.clone(), May(Read)),
        ("GET", "/v1/tasks/{task}/log", none.clone(), May(Read)),
        (
            "POST",
            "/v1/tasks/{task}/log",
            json!({"token": token, "position": 1, "content": ""}),
            May(ClaimTasks),
        ),
        (
            "GET",
            "/v1/tasks/{task}/artifacts/{name}",
            none.clone(),
            May(Read),
        ),
        (
            "POST",
            "/v1/tasks/{task}/ask",
            json!({"token": token, "text": "?"}),
            May(ClaimTasks),
        ),
        (
            "POST",
            "/v1/tasks/{task}/cancel",
            none.clone(),
            May(ControlTasks),
        ),
        (
            "POST",
            "/v1/tasks/{task}/discard",
            none.clone(),
            May(ControlTasks),
        ),
        (
            "POST",
            "/v1/tasks/{task}/retry",
            none.clone(),
            May(ControlTasks),
        ),
        (
            "POST",
            "/v1/leases/claim",
            json!({"agent": "ada"}),
            MayAsAda(ClaimTasks),
        ),
        (
            "POST",
            "/v1/leases/heartbeat",
            json!({"agent": "ada"}),
            MayAsAda(ClaimTasks),
        ),
        (
            "POST",
            "/v1/leases/complete",
            json!({"completions": [{"task": id, "token": token}]}),
            May(ClaimTasks),
        ),
        (
            "POST",
            "/v1/leases/fail",
            json!({"failures": [{"task": id, "token": token, "failure": {"class": "transient", "reason": "x"}}]}),
            May(ClaimTasks),
        ),
        (
            "POST",
            "/v1/leases/release",
            json!({"leases": [{"task": id, "token": token}]}),
            May(ClaimTasks),
        ),
        (
            "PUT",
            "/v1/agents/{agent}",
            json!({"role": "ROLE"}),
            MayAsAda(ClaimTasks),
        ),
        ("GET", "/v1/agents", none.clone(), May(Read)),
        ("GET", "/v1/agents/{agent}", none.clone(), May(Read)),
        (
            "POST",
            "/v1/agents/{agent}/drain",
            json!({"draining": false}),
            MayAsAda(Read),
        ),
        (
            "GET",
            "/v1/agents/{agent}/inbox",
            none.clone(),
            MayAsAda(Read),
        ),
        (
            "POST",
            "/v1/agents/{agent}/receipts",
            json!({"messages": [], "receipt": "presented"}),
            MayAsAda(SendMessages),
        ),
        ("GET", "/v1/queues", none.clone(), May(Read)),
        ("PUT", "/v1/queues/{queue}", none.clone(), May(ManageQueues)),
        (
            "POST",
            "/v1/queues/{queue}/pause",
            none.clone(),
            May(ManageQueues),
        ),
        (
            "POST",
            "/v1/queues/{queue}/resume",
            none.clone(),
            May(ManageQueues),
        ),
        (
            "POST",
            "/v1/messages",
            json!({"to": {"agent": "ada"}, "body": "hi"}),
            May(SendMessages),
        ),
        ("GET", "/v1/messages/{message}", none.clone(), May(Read)),
        ("GET", "/v1/questions", none.clone(), May(Read)),
        ("GET", "/v1/questions/{question}", none.clone(), May(Read)),
        (
            "POST",
            "/v1/questions/{question}/answer",
            json!({"text": "x"}),
            May(AnswerQuestions),
        ),
        (
            "POST",
            "/v1/reservations",
            json!({"agent": "ada", "paths": ["src"], "ttl": "1m"}),
            MayAsAda(Reserve),
        ),
        ("GET", "/v1/reservations", none.clone(), May(Read)),
        (
            "DELETE",
            "/v1/reservations/{reservation}",
            none.clone(),
            May(Reserve),
        ),
        (
            "POST",
            "/v1/schedules",
            json!({"name": "x", "cron": "0 3 * * *", "task": {"title": "x"}}),
            May(ManageSchedules),
        ),
        ("GET", "/v1/schedules", none.clone(), May(Read)),
        (
            "DELETE",
            "/v1/schedules/{schedule}",
            none.clone(),
            May(ManageSchedules),
        ),
        (
            "POST",
            "/v1/schedules/{schedule}/pause",
            none.clone(),
            May(ManageSchedules),
        ),
        (
            "POST",
            "/v1/schedules/{schedule}/resume",
            none.clone(),
            May(ManageSchedules),
        ),
        (
            "POST",
            "/v1/keys",
            json!({"label": "x", "role": "monitor"}),
            May(Administer),
        ),
        ("GET", "/v1/keys", none.clone(), May(Administer)),
        ("DELETE", "/v1/keys/{key}", none.clone(), May(Administer)),
        ("PUT", "/v1/teams/{team}", none.clone(), May(Administer)),
        ("GET", "/v1/teams", none.clone(), AnyKey),
        ("GET", "/v1/events", none.clone(), May(Read)),
        ("GET", "/v1/status", none.clone(), May(Read)),
        // Last, since it takes the agent away.
        ("DELETE", "/v1/agents/{agent}", none, MayAsAda(Read)),
    ]
}

fn filled(path: &str) -> String {
    let id = "00000000-0000-7000-8000-000000000000";
    path.replace("{agent}", "ada")
        .replace("{queue}", "default")
        .replace("{team}", "default")
        .replace("{name}", "x")
        .split('/')
        .map(|segment| {
            if segment.starts_with('{') {
                id
            } else {
                segment
            }
        })
        .collect::<Vec<_>>()
        .join("/")
}

#[test]
fn the_table_has_every_route_below_v1() {
    let table: BTreeSet<_> = table()
        .into_iter()
        .map(|(method, path, ..)| (method.to_owned(), path.to_owned()))
        .collect();
    let documented: BTreeSet<_> = all_routes()
        .into_iter()
        .filter(|(_, path)| path.starts_with("/v1/"))
        .collect();
    assert_eq!(table, documented);
}

/// Sends the whole table with a key and compares what is forbidden.
async fn check(server: &TestServer, role: Role, is_ada: bool) {
    let agent = is_ada.then_some("ada");
    let key = server.key(role.as_str(), agent).await;
    let may = |permission: Permission| role.permissions().contains(&permission);
    for (method, path, mut body, needs) in table() {
        if body["role"] == "ROLE" {
            body["role"] = json!(role);
        }
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = server
            .plain(method.clone(), &filled(path))
            .bearer_auth(&key);
        let answer = server
            .send(if body.is_null() {
                request
            } else {
                request.json(&body)
            })
            .await;
        let allowed = match needs {
            AnyKey => true,
            May(permission) => may(permission),
            MayAsAda(permission) => may(permission) && (is_ada || may(Permission::ManageAgents)),
        };
        assert_ne!(answer.status, 401, "{}", answer.text);
        assert_eq!(
            answer.status != 403,
            allowed,
            "{role}, as ada: {is_ada}: {method} {path}: {}",
            answer.text
        );
    }
}

#[tokio::test]
async fn a_role_may_do_what_its_row_says_and_nothing_else() {
    let server = TestServer::start().await;
    for role in Role::ALL {
        server.register("ada").await;
        check(&server, role, false).await;
    }
}

#[tokio::test]
async fn an_agent_may_do_what_its_role_says_as_itself() {
    let server = TestServer::start().await;
    for role in Role::ALL {
        server
            .put("/v1/agents/ada", &json!({"role": role}))
            .await
            .ok(200);
        check(&server, role, true).await;
    }
}

#[tokio::test]
async fn without_a_key_nothing_below_v1_answers() {
    let server = TestServer::start().await;
    for (method, path, body, _) in table() {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = server.plain(method, &filled(path)).json(&body);
        let answer = server.send(request).await;
        assert!(
            matches!(answer.status, 401 | 429),
            "{path}: {}",
            answer.text
        );
    }
}

#[tokio::test]
async fn a_key_sees_its_own_team_only() {
    let server = TestServer::start().await;
    server.put("/v1/teams/red", &json!({})).await.ok(201);
    let task = server.create(&json!({"title": "default's"})).await;
    let made = server
        .send(
            server
                .request(Method::POST, "/v1/keys")
                .header("collective-team", "red")
                .json(&json!({"label": "red", "role": "leader"})),
        )
        .await
        .ok(201);
    let red = made["token"].as_str().expect("a token");
    let show = server
        .plain(Method::GET, &format!("/v1/tasks/{task}"))
        .bearer_auth(red);
    server.send(show).await.refused(404, "not_found");
    let list = server.plain(Method::GET, "/v1/tasks").bearer_auth(red);
    assert_eq!(server.send(list).await.ok(200)["items"], json!([]));
    let asked = server
        .plain(Method::GET, "/v1/tasks")
        .bearer_auth(red)
        .header("collective-team", "default");
    server.send(asked).await.refused(403, "forbidden");
    let teams = server.plain(Method::GET, "/v1/teams").bearer_auth(red);
    assert_eq!(server.send(teams).await.ok(200)["items"], json!(["red"]));
}
