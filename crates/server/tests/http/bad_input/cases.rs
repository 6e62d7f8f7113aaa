//! The mistakes, and what has to be there for them to be mistakes.

use collective_core::limits::{MAX_BATCH, MAX_BODY_LEN, MAX_PROMPT_LEN, MAX_RESULT_LEN};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, TestServer};

/// What is sent.
enum Body {
    None,
    Json(Value),
    /// A content type and bytes.
    Raw(&'static str, Vec<u8>),
}

/// One mistake.
pub(super) struct Case {
    pub(super) what: &'static str,
    pub(super) method: Method,
    pub(super) path: String,
    body: Body,
    headers: Vec<(&'static str, String)>,
    /// The token, if not the administrator's; an empty one isn't sent.
    token: Option<String>,
}

fn case(what: &'static str, method: Method, path: impl Into<String>, body: Body) -> Case {
    Case {
        what,
        method,
        path: path.into(),
        body,
        headers: Vec::new(),
        token: None,
    }
}

fn get(what: &'static str, path: impl Into<String>) -> Case {
    case(what, Method::GET, path, Body::None)
}

fn post(what: &'static str, path: impl Into<String>, body: Value) -> Case {
    case(what, Method::POST, path, Body::Json(body))
}

fn task(what: &'static str, spec: Value) -> Case {
    post(what, "/v1/tasks", spec)
}

fn raw(what: &'static str, kind: &'static str, bytes: impl Into<Vec<u8>>) -> Case {
    case(
        what,
        Method::POST,
        "/v1/tasks",
        Body::Raw(kind, bytes.into()),
    )
}

impl Case {
    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    pub(super) async fn send(&self, server: &TestServer) -> Answer {
        let mut request = match self.token.as_deref() {
            None => server.request(self.method.clone(), &self.path),
            Some("") => server.plain(self.method.clone(), &self.path),
            Some(token) => server
                .plain(self.method.clone(), &self.path)
                .bearer_auth(token),
        };
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let request = match &self.body {
            Body::None => request,
            Body::Json(value) => request.json(value),
            Body::Raw("", bytes) => request.body(bytes.clone()),
            Body::Raw(kind, bytes) => request.header("content-type", *kind).body(bytes.clone()),
        };
        server.send(request).await
    }
}

/// What the cases are about.
pub(super) struct Scene {
    /// A task that ada held; its lease has ended.
    pub(super) done: (String, String),
    /// A task that ada holds and that carries a check.
    pub(super) held: (String, String),
    /// A queued task.
    pub(super) queued: String,
    /// An answered question.
    pub(super) question: String,
    worker: String,
    monitor: String,
    ada: String,
}

impl Scene {
    pub(super) async fn set(server: &TestServer) -> Self {
        server.register("ada").await;
        server.register("bob").await;
        server.put("/v1/queues/review", &json!({})).await.ok(200);
        let done = server.held_task("ada", &json!({"title": "done"})).await;
        let completion = json!({"completions": [{"task": done.0, "token": done.1}]});
        server
            .post("/v1/leases/complete", &completion)
            .await
            .ok(200);
        let asks = server.held_task("ada", &json!({"title": "asks"})).await;
        let asked = server
            .post(
                &format!("/v1/tasks/{}/ask", asks.0),
                &json!({"token": asks.1, "text": "which?"}),
            )
            .await
            .ok(201);
        let question = asked["id"].as_str().expect("an id").to_owned();
        server
            .post(
                &format!("/v1/questions/{question}/answer"),
                &json!({"text": "this"}),
            )
            .await
            .ok(200);
        let checks = json!([{"kind": "file", "path": "out.txt"}]);
        let held = server
            .held_task("ada", &json!({"title": "checked", "checks": checks}))
            .await;
        let queued = server
            .create(&json!({"title": "waits", "queue": "review"}))
            .await;
        server
            .post(
                "/v1/reservations",
                &json!({"agent": "bob", "paths": ["src"], "ttl": "1h"}),
            )
            .await
            .ok(201);
        server
            .post(
                "/v1/schedules",
                &json!({"name": "nightly", "cron": "0 3 * * *", "task": {"title": "sweep"}}),
            )
            .await
            .ok(201);
        server
            .send(
                server
                    .request(Method::POST, "/v1/tasks")
                    .header("idempotency-key", "used")
                    .json(&json!({"title": "first", "queue": "review"})),
            )
            .await
            .ok(201);
        Self {
            done,
            held,
            queued,
            question,
            worker: server.key("worker", None).await,
            monitor: server.key("monitor", None).await,
            ada: server.key("worker", Some("ada")).await,
        }
    }

    pub(super) fn cases(&self) -> Vec<Case> {
        let mut cases = form();
        cases.extend(specs());
        cases.extend(batches());
        cases.extend(self.reports());
        cases.extend(self.other_nouns());
        cases.extend(self.access());
        cases
    }

    fn reports(&self) -> Vec<Case> {
        let (done, stale) = &self.done;
        let (held, token) = &self.held;
        let claim = |what, body| post(what, "/v1/leases/claim", body);
        let complete = |what, completion: Value| {
            post(
                what,
                "/v1/leases/complete",
                json!({"completions": [completion]}),
            )
        };
        vec![
            claim(
                "claim as an agent that isn't registered",
                json!({"agent": "carol"}),
            ),
            claim("claim nothing", json!({"agent": "ada", "max": 0})),
            claim("lease too short", json!({"agent": "ada", "lease": "1s"})),
            claim("wait too long", json!({"agent": "ada", "wait": "2m"})),
            post(
                "question after the lease has ended",
                format!("/v1/tasks/{done}/ask"),
                json!({"token": stale, "text": "which?"}),
            ),
            post(
                "failure of a class that only the server gives",
                "/v1/leases/fail",
                json!({"failures": [{"task": held, "token": token,
                    "failure": {"class": "dependency", "reason": "no"}}]}),
            ),
            complete(
                "complete with a token of another time",
                json!({"task": held, "token": "9-00000000000000000000000000000000"}),
            ),
            complete("token that is none", json!({"task": held, "token": "mine"})),
            complete(
                "complete without the evidence of a check",
                json!({"task": held, "token": token}),
            ),
            complete(
                "result too large",
                json!({"task": held, "token": token, "text": "x".repeat(MAX_RESULT_LEN + 1)}),
            ),
            complete(
                "artifact named like a path",
                json!({"task": held, "token": token, "artifacts": [{"name": "../x", "kind": "file"}]}),
            ),
            complete(
                "artifact that isn't base64",
                json!({"task": held, "token": token,
                    "artifacts": [{"name": "x", "kind": "file", "content": "%"}]}),
            ),
            post(
                "output without a place",
                format!("/v1/tasks/{held}/log"),
                json!({"token": token, "position": 0, "content": "aGk="}),
            ),
            post(
                "question without a text",
                format!("/v1/tasks/{held}/ask"),
                json!({"token": token, "text": ""}),
            ),
        ]
    }

    fn other_nouns(&self) -> Vec<Case> {
        let queued = &self.queued;
        vec![
            get("neither a number nor an id", "/v1/tasks/first"),
            get("task that doesn't exist", "/v1/tasks/99999"),
            get("unknown query parameter", "/v1/tasks?stat=dead"),
            get("unknown state", "/v1/tasks?state=done"),
            get("lane that is none", "/v1/tasks?lane=rust"),
            get("page too large", "/v1/tasks?limit=1000"),
            get("page that is no number", "/v1/tasks?limit=all"),
            get(
                "cursor that the server didn't give",
                "/v1/tasks?cursor=next",
            ),
            get(
                "wait without a unit",
                format!("/v1/tasks/{queued}/result?wait=5"),
            ),
            get("query that isn't UTF-8", "/v1/tasks?label=%ff"),
            get("path that isn't UTF-8", "/v1/tasks/%ff"),
            get("agent's name that is none", "/v1/agents/Ada"),
            get("agent that isn't registered", "/v1/agents/carol"),
            get("message's id that is none", "/v1/messages/7"),
            get("Last-Event-ID that is no number", "/v1/events").header("last-event-id", "last"),
            post(
                "discard a task that isn't dead",
                format!("/v1/tasks/{queued}/discard"),
                json!({}),
            ),
            post(
                "retry a task that waits",
                format!("/v1/tasks/{queued}/retry"),
                json!({}),
            ),
            post(
                "answer a question again, differently",
                format!("/v1/questions/{}/answer", self.question),
                json!({"text": "that"}),
            ),
            post(
                "message to an agent that isn't there",
                "/v1/messages",
                json!({"to": {"agent": "bop"}, "body": "hi"}),
            ),
            post(
                "message without a text",
                "/v1/messages",
                json!({"to": "team", "body": ""}),
            ),
            post(
                "paths that another agent holds",
                "/v1/reservations",
                json!({"agent": "ada", "paths": ["src/api"], "ttl": "5m"}),
            ),
            post(
                "path that leaves the repository",
                "/v1/reservations",
                json!({"agent": "ada", "paths": ["../other"], "ttl": "5m"}),
            ),
            post(
                "cron expression that is none",
                "/v1/schedules",
                json!({"name": "x", "cron": "every day", "task": {"title": "x"}}),
            ),
            post(
                "time zone that doesn't exist",
                "/v1/schedules",
                json!({"name": "x", "cron": "0 3 * * *", "time_zone": "Mars/Base", "task": {"title": "x"}}),
            ),
            post(
                "name of a schedule that is taken",
                "/v1/schedules",
                json!({"name": "nightly", "cron": "0 3 * * *", "task": {"title": "x"}}),
            ),
            post(
                "pause a queue that isn't declared",
                "/v1/queues/reveiw/pause",
                json!({}),
            ),
            case(
                "agent with no slots",
                Method::PUT,
                "/v1/agents/ada",
                Body::Json(json!({"slots": 0})),
            ),
            post("key without a role", "/v1/keys", json!({"label": "ci"})),
            get("team that doesn't exist", "/v1/tasks").header("collective-team", "blue"),
        ]
    }

    fn access(&self) -> Vec<Case> {
        let create = |what| task(what, json!({"title": "x"}));
        vec![
            create("no key").token(""),
            create("wrong token").token("ca_wrong"),
            create("key that doesn't exist").token("ck_00000000000000000000000000000000_secret"),
            create("role that may not").token(&*self.monitor),
            create("another team than the key's")
                .token(&*self.worker)
                .header("collective-team", "red"),
            post(
                "act as another agent",
                "/v1/leases/claim",
                json!({"agent": "bob"}),
            )
            .token(&*self.ada),
            get("administrator's route with another key", "/v1/keys").token(&*self.worker),
            create("host name that isn't the server's").header("host", "evil.example"),
            get("no such route", "/v2/tasks"),
            case(
                "method that the route doesn't have",
                Method::PATCH,
                "/v1/tasks",
                Body::None,
            ),
            create("idempotency key of another request").header("idempotency-key", "used"),
            create("idempotency key too long").header("idempotency-key", "k".repeat(200)),
        ]
    }
}

/// Mistakes in the form of a body.
fn form() -> Vec<Case> {
    let json = "application/json";
    vec![
        raw("no body", json, ""),
        raw("body that isn't JSON", json, "{\n  \"title\": build\n}"),
        raw("body that ends too early", json, "{\"title\": \"bui"),
        raw("two bodies", json, "{\"title\": \"a\"} {\"title\": \"b\"}"),
        raw(
            "body that isn't UTF-8",
            json,
            b"{\"title\": \"\xff\"}".as_slice(),
        ),
        raw("array instead of an object", json, "[{\"title\": \"a\"}]"),
        raw("body of another type", "text/plain", "{\"title\": \"a\"}"),
        raw("body without a type", "", "{\"title\": \"a\"}"),
        raw("body too large", json, vec![b' '; MAX_BODY_LEN + 1]),
        task("unknown field", json!({"titel": "build"})),
        task("field of the wrong type", json!({"title": 7})),
        task(
            "nested field of the wrong type",
            json!({"title": "a", "retry": {"max_attempts": "many"}}),
        ),
        task("field missing", json!({"prompt": "build it"})),
        raw("field twice", json, "{\"title\": \"a\", \"title\": \"b\"}"),
    ]
}

/// Mistakes in what is asked of a task.
fn specs() -> Vec<Case> {
    let with = |what, field: &str, value: Value| {
        let mut spec = json!({"title": "x"});
        spec[field] = value;
        task(what, spec)
    };
    vec![
        task("empty title", json!({"title": ""})),
        task("title of several lines", json!({"title": "a\nb"})),
        with(
            "prompt too large",
            "prompt",
            json!("x".repeat(MAX_PROMPT_LEN + 1)),
        ),
        with("unknown priority", "priority", json!("urgent")),
        with("duration without a unit", "timeout", json!("5")),
        with("timeout of nothing", "timeout", json!("0s")),
        with("time that is none", "run_at", json!("tomorrow")),
        with(
            "deadline that has passed",
            "deadline",
            json!("2020-01-01T00:00:00Z"),
        ),
        with("queue's name that is none", "queue", json!("Rust!")),
        with("queue that isn't declared", "queue", json!("reviw")),
        with("agent that isn't registered", "agent", json!("carol")),
        task(
            "addressed twice",
            json!({"title": "x", "queue": "review", "role": "worker"}),
        ),
        with("too many attempts", "retry", json!({"max_attempts": 1000})),
        with(
            "check without a command",
            "checks",
            json!([{"kind": "command", "command": []}]),
        ),
        with(
            "check of an unknown kind",
            "checks",
            json!([{"kind": "magic"}]),
        ),
        with(
            "schema that is none",
            "checks",
            json!([{"kind": "schema", "schema": {"type": 7}}]),
        ),
        with(
            "dependency that doesn't exist",
            "depends_on",
            json!([{"task": "00000000-0000-7000-8000-000000000000"}]),
        ),
        with(
            "dependency by a key outside a batch",
            "depends_on",
            json!([{"task": "build"}]),
        ),
    ]
}

/// Mistakes in a batch of tasks.
fn batches() -> Vec<Case> {
    let batch = |what, tasks: Value| post(what, "/v1/tasks/batch", json!({"tasks": tasks}));
    let many: Vec<Value> = (0..=MAX_BATCH).map(|_| json!({"title": "x"})).collect();
    vec![
        batch("batch of nothing", json!([])),
        batch("batch too large", json!(many)),
        batch(
            "mistake inside a batch",
            json!([{"title": "a"}, {"title": "b", "timeout": "soon"}]),
        ),
        batch(
            "dependencies in a cycle",
            json!([
                {"title": "a", "key": "a", "depends_on": [{"task": "b"}]},
                {"title": "b", "key": "b", "depends_on": [{"task": "a"}]},
            ]),
        ),
        batch(
            "two tasks with one key",
            json!([{"title": "a", "key": "k"}, {"title": "b", "key": "k"}]),
        ),
    ]
}
