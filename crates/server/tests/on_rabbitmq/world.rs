//! A server on a real broker, and people who talk to it over HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use collective_bus::rabbitmq::{RabbitBus, RabbitOptions};
use collective_cache::LocalCache;
use collective_core::Timestamp;
use collective_core::ports::Clock;
use collective_server::{Server, ServerOptions};
use collective_service::access::hash_secret;
use collective_service::{Hub, Ports, Shared, reaper, relay};
use collective_store::{PgOptions, PgStore};
use collective_testkit::servers::{Postgres, RabbitMq};
use collective_testkit::world::SeededEntropy;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The administrator's token.
pub(crate) const ADMIN: &str = "ca_test";
/// The broker's user of all agents, with the permissions that docs/amqp.md names.
const AGENTS: &str = "agents";
/// The broker's user of all servers, as the definitions of the Docker stack have it.
const SERVERS: &str = "collective";
const DEFINITIONS: &str =
    include_str!("../../../../infrastructure/docker/rabbitmq/definitions.template.json");
/// How long a test waits for what must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("the clock is set");
        Timestamp::from_micros(i64::try_from(since.as_micros()).expect("it is this century"))
    }
}

/// A broker, a store and a server on both.
pub(crate) struct World {
    pub(crate) rabbit: RabbitMq,
    pub(crate) postgres: Postgres,
    ports: Ports,
    running: Option<Running>,
    pub(crate) http: reqwest::Client,
    pub(crate) scratch: TempDir,
}

struct Running {
    url: String,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    duties: Vec<JoinHandle<()>>,
}

impl World {
    pub(crate) async fn start() -> Self {
        let rabbit = RabbitMq::start().expect("a broker");
        for command in [
            &["add_user", AGENTS, AGENTS][..],
            &[
                "set_permissions",
                AGENTS,
                "^$",
                r"^agent\.results$",
                r"^agent\.tasks\.",
            ],
        ] {
            rabbit.control(command).expect("a user for agents");
        }
        add_servers_user(&rabbit);
        let url = rabbit.url_for(SERVERS, SERVERS, "%2F");
        let options = RabbitOptions::from_url(&url).expect("a url");
        let bus = RabbitBus::connect(options);
        bus.connected(DEADLINE).await.expect("it connects");
        let postgres = Postgres::start().expect("a database server");
        let url = postgres.create_database("team").expect("a database");
        let options = PgOptions::from_url(&url).expect("a url");
        let store = Arc::new(PgStore::open(&options).await.expect("a store"));
        let shared = Shared {
            outbox: store.clone(),
            broker: Arc::new(bus.clone()),
        };
        let ports = Ports {
            store,
            bus: Arc::new(bus),
            cache: Arc::new(LocalCache::new()),
            clock: Arc::new(WallClock),
            entropy: Arc::new(SeededEntropy::new(7)),
            shared: Some(shared),
        };
        let http = reqwest::Client::builder().no_proxy().build();
        let mut world = Self {
            rabbit,
            postgres,
            ports,
            running: None,
            http: http.expect("a client"),
            scratch: tempfile::tempdir().expect("a temporary folder"),
        };
        world.serve().await;
        world
    }

    /// Starts a server, as after a restart.
    pub(crate) async fn serve(&mut self) {
        let hub = Hub::new(self.ports.clone(), Some(hash_secret(ADMIN)));
        hub.recover().await.expect("the default team is there");
        let server = Server::bind(ServerOptions::default(), hub.clone())
            .await
            .expect("a free port");
        let url = format!("http://{}", server.local_addr());
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(async move {
            // A dropped sender stops it too.
            let _ = stopped.await;
        }));
        let duties = vec![
            tokio::spawn(reaper::run(hub.clone(), std::future::pending())),
            tokio::spawn(relay::run(hub, std::future::pending())),
        ];
        self.running = Some(Running {
            url,
            stop,
            serving,
            duties,
        });
    }

    /// Stops the server in order.
    pub(crate) async fn stop(&mut self) {
        let running = self.running.take().expect("it runs");
        drop(running.stop);
        running.serving.await.expect("it ends in order");
        for duty in running.duties {
            duty.abort();
        }
    }

    /// The broker as agents reach it.
    pub(crate) fn agents_url(&self) -> String {
        self.rabbit.url_for(AGENTS, AGENTS, "%2F")
    }

    fn url(&self) -> &str {
        &self.running.as_ref().expect("it runs").url
    }

    /// A team of its own.
    pub(crate) async fn team(&self, name: &'static str) -> Team<'_> {
        let team = Team { world: self, name };
        team.ask(Method::PUT, &format!("/v1/teams/{name}"), None)
            .await;
        team
    }

    /// The metrics' sample whose line starts like this; 0 if there is none.
    pub(crate) async fn sample(&self, start: &str) -> f64 {
        let asked = self
            .http
            .get(format!("{}/metrics", self.url()))
            .send()
            .await;
        let text = asked.expect("an answer").text().await.expect("text");
        text.lines()
            .filter(|line| line.starts_with(start))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

/// Makes the servers' user, with the permissions of the definitions and no others.
fn add_servers_user(rabbit: &RabbitMq) {
    let definitions: Value = serde_json::from_str(DEFINITIONS).expect("JSON");
    let all = definitions["permissions"].as_array().expect("permissions");
    let own = all.iter().find(|entry| entry["user"] == SERVERS);
    let own = own.expect("permissions of the servers' user");
    let may = |what: &str| own[what].as_str().expect("a pattern").to_owned();
    let (configure, write, read) = (may("configure"), may("write"), may("read"));
    for command in [
        &["add_user", SERVERS, SERVERS][..],
        &["set_permissions", SERVERS, &configure, &write, &read],
    ] {
        rabbit.control(command).expect("a user for servers");
    }
}

/// A team, as its administrator sees it over HTTP.
#[derive(Clone, Copy)]
pub(crate) struct Team<'w> {
    pub(crate) world: &'w World,
    pub(crate) name: &'static str,
}

impl Team<'_> {
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}{path}", self.world.url());
        let mut request = self.world.http.request(method, url).bearer_auth(ADMIN);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let request = request.header("collective-team", self.name);
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// A worker's key that is bound to this agent.
    pub(crate) async fn key(&self, agent: &str) -> String {
        let body = json!({"label": "test", "role": "worker", "agent": agent});
        let made = self.post("/v1/keys", body).await;
        made["token"].as_str().expect("a token").to_owned()
    }

    /// Creates a task; gives its id.
    pub(crate) async fn create(&self, spec: Value) -> String {
        let created = self.post("/v1/tasks", spec).await;
        created["id"].as_str().expect("an id").to_owned()
    }

    pub(crate) async fn task(&self, id: &str) -> Value {
        self.get(&format!("/v1/tasks/{id}")).await
    }

    /// Waits until the task is in this state; gives it.
    pub(crate) async fn reaches(&self, id: &str, state: &str) -> Value {
        until(&format!("task {id} is {state}"), || async {
            let task = self.task(id).await;
            (task["state"] == state).then_some(task)
        })
        .await
    }

    /// The events of this kind, oldest first.
    pub(crate) async fn events(&self, kind: &str) -> Vec<Value> {
        let page = self.get("/v1/events?limit=500").await;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        items
            .into_iter()
            .filter(|event| event["type"] == kind)
            .collect()
    }
}

/// Waits for what must come, looking again and again.
pub(crate) async fn until<T, F, Fut>(what: &str, mut look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(POLL).await;
    }
}
