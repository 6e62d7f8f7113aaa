//! A server on a free port with a store in a temporary folder, and a client that trusts no answer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use collective_bus::LocalBus;
use collective_cache::LocalCache;
use collective_core::Timestamp;
use collective_core::ports::Clock;
use collective_server::{Server, ServerOptions};
use collective_service::access::hash_secret;
use collective_service::{Hub, Ports, reaper};
use collective_store::{SqliteOptions, SqliteStore};
use collective_testkit::world::SeededEntropy;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::contract::Contract;

/// The administrator's token of every test server.
pub(crate) const ADMIN: &str = "ca_test";
/// How long a test waits for what must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("the clock is set");
        Timestamp::from_micros(i64::try_from(since.as_micros()).expect("it is this century"))
    }
}

/// A running server.
pub(crate) struct TestServer {
    pub(crate) url: String,
    pub(crate) hub: Hub,
    pub(crate) contract: Arc<Contract>,
    http: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
    reaping: JoinHandle<()>,
    _folder: TempDir,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(ServerOptions::default()).await
    }

    pub(crate) async fn start_with(options: ServerOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = SqliteStore::open(folder.path(), SqliteOptions::default()).expect("a store");
        let ports = Ports {
            store: Arc::new(store),
            bus: Arc::new(LocalBus::new()),
            cache: Arc::new(LocalCache::new()),
            clock: Arc::new(WallClock),
            entropy: Arc::new(SeededEntropy::new(7)),
            shared: None,
        };
        let hub = Hub::new(ports, Some(hash_secret(ADMIN)));
        hub.recover().await.expect("the default team is there");
        let server = Server::bind(options, hub.clone())
            .await
            .expect("a free port");
        let url = format!("http://{}", server.local_addr());
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(async move {
            // A dropped sender stops it too.
            let _ = stopped.await;
        }));
        let reaping = tokio::spawn(reaper::run(hub.clone(), std::future::pending()));
        Self {
            url,
            hub,
            contract: Arc::default(),
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client"),
            stop: Some(stop),
            serving: Some(serving),
            reaping,
            _folder: folder,
        }
    }

    /// Asks the server to stop; the handle ends when it has.
    pub(crate) fn stop(&mut self) -> JoinHandle<()> {
        drop(self.stop.take());
        self.serving.take().expect("it is stopped once")
    }

    /// A request without a key.
    pub(crate) fn plain(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// A request with the administrator's token.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.plain(method, path).bearer_auth(ADMIN)
    }

    /// Sends a request and holds the answer against the document.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let request = request.build().expect("a request");
        let method = request.method().to_string();
        let path = request.url().path().to_owned();
        let response = tokio::time::timeout(
            Duration::from_secs(60) + DEADLINE,
            self.http.execute(request),
        )
        .await
        .expect("an answer in time")
        .expect("an answer");
        let answer = Answer::read(response).await;
        answer.check_headers();
        self.contract.check(
            &method,
            &path,
            answer.status,
            answer.header("content-type"),
            &answer.body,
        );
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// A key of a role, or of an agent with that role; gives its token.
    pub(crate) async fn key(&self, role: &str, agent: Option<&str>) -> String {
        let mut body = json!({"label": "test", "role": role});
        if let Some(agent) = agent {
            body["agent"] = json!(agent);
        }
        let made = self.post("/v1/keys", &body).await.ok(201);
        made["token"].as_str().expect("a token").to_owned()
    }

    /// Registers an agent that serves `default` with many slots.
    pub(crate) async fn register(&self, agent: &str) {
        self.put(&format!("/v1/agents/{agent}"), &json!({"slots": 64}))
            .await
            .ok(200);
    }

    /// Creates a task; gives its id.
    pub(crate) async fn create(&self, spec: &Value) -> String {
        let created = self.post("/v1/tasks", spec).await.ok(201);
        created["id"].as_str().expect("an id").to_owned()
    }

    /// Claims one task; gives it with its token.
    pub(crate) async fn claim(&self, agent: &str) -> Value {
        let answer = self
            .post("/v1/leases/claim", &json!({"agent": agent, "wait": "10s"}))
            .await
            .ok(200);
        answer["claims"][0].clone()
    }

    /// Creates a task and claims it; gives its id and the token.
    pub(crate) async fn held_task(&self, agent: &str, spec: &Value) -> (String, String) {
        let id = self.create(spec).await;
        let claim = self.claim(agent).await;
        assert_eq!(claim["task"]["id"], *id, "{claim}");
        (id, claim["token"].as_str().expect("a token").to_owned())
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.reaping.abort();
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
    /// The body if it is JSON.
    pub(crate) body: Value,
}

impl Answer {
    async fn read(response: Response) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.expect("a body");
        Self {
            status,
            headers,
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }

    /// What every answer has, and what every refusal has.
    fn check_headers(&self) {
        let id = self.header("x-request-id");
        assert!(!id.is_empty(), "{self:?}");
        assert_eq!(self.header("x-content-type-options"), "nosniff");
        assert_eq!(self.header("access-control-allow-origin"), "");
        let is_probe = self.body["parts"].is_array();
        if self.status >= 400 && !is_probe {
            assert_eq!(self.header("content-type"), "application/problem+json");
            assert_eq!(self.body["request_id"], id, "{self:?}");
            assert_eq!(self.body["status"], self.status, "{self:?}");
        }
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }

    /// The body of a refusal.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!(
            (self.status, self.body["code"].as_str()),
            (status, Some(code)),
            "{}",
            self.text
        );
        self.body
    }
}
