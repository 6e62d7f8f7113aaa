//! Real servers, and replicas of the real binary on them. Each part can be
//! broken and mended while the others go on.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use collective_api::operations::Readiness;
use collective_client::retry::RetryLimits;
use collective_client::{Client, ClientOptions, Token};
use collective_testkit::process::{Process, free_port};
use collective_testkit::servers::{Engine, Postgres, SlowProxy};
use rustix::process::Signal;
use tempfile::TempDir;

/// Longest that one condition may take to come true, on a machine under load:
/// a broker's pause between two tries to connect is within it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_millis(20);
/// How many replicas there are.
pub(crate) const REPLICAS: usize = 2;
/// The database that they share, and the user who owns it: no superuser, so
/// that the server's bounds are bounds for it too.
pub(crate) const DATABASE: &str = "collective";
/// The password of that user; no message may hold it.
pub(crate) const PASSWORD: &str = "pg-open-sesame";

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(GLANCE).await;
    }
}

/// The three servers, without any of ours.
pub(crate) struct Parts(Engine);

impl Deref for Parts {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.0
    }
}

impl DerefMut for Parts {
    fn deref_mut(&mut self) -> &mut Engine {
        &mut self.0
    }
}

impl Parts {
    pub(crate) fn start() -> Self {
        let engine = Engine::start().unwrap();
        for statement in [
            format!("CREATE ROLE {DATABASE} LOGIN PASSWORD '{PASSWORD}'"),
            format!("CREATE DATABASE {DATABASE} OWNER {DATABASE}"),
        ] {
            engine.postgres.sql("postgres", &statement).unwrap();
        }
        Self(engine)
    }

    /// The settings of a server on them, as a plain user who owns the database.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        self.0.settings(DATABASE, DATABASE, PASSWORD)
    }
}

/// The binary, without what the environment of the test says.
pub(crate) fn collective(settings: &[(&'static str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_collective"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let ours = ["COLLECTIVE_", "POSTGRES_", "RABBITMQ_", "REDIS_"];
        if ours.iter().any(|start| name.starts_with(start)) {
            command.env_remove(name);
        }
    }
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null());
    command
}

/// Says something else of one variable.
fn set(settings: &mut [(&'static str, String)], name: &str, value: String) {
    let found = settings.iter_mut().find(|(known, _)| *known == name);
    found.unwrap().1 = value;
}

/// The servers with the replicas on them.
pub(crate) struct Cluster {
    // Ours end before what they stand on.
    replicas: Vec<Replica>,
    pub(crate) parts: Parts,
    pub(crate) standby: Option<Postgres>,
    pub(crate) proxies: Option<Proxies>,
    scratch: TempDir,
}

/// One before each part, of those that the replicas go through.
pub(crate) struct Proxies {
    pub(crate) postgres: SlowProxy,
    pub(crate) rabbitmq: SlowProxy,
    pub(crate) redis: SlowProxy,
}

impl Proxies {
    fn before(parts: &Parts) -> Self {
        let before = |port| SlowProxy::before(port).unwrap();
        Self {
            postgres: before(parts.postgres.port()),
            rabbitmq: before(parts.rabbitmq.port()),
            redis: before(parts.redis.port()),
        }
    }

    /// Their ports, by the variables that name the ports of the parts.
    fn ports(&self) -> [(&'static str, u16); 3] {
        [
            ("POSTGRES_PORT", self.postgres.port()),
            ("RABBITMQ_PORT", self.rabbitmq.port()),
            ("REDIS_PORT", self.redis.port()),
        ]
    }
}

struct Replica {
    process: Option<Process>,
    data: PathBuf,
    port: u16,
    settings: Vec<(&'static str, String)>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let parts = Parts::start();
        let settings = parts.settings();
        Self::on(parts, settings).await
    }

    /// One whose parts can be slowed down.
    pub(crate) async fn behind_proxies() -> Self {
        let parts = Parts::start();
        let proxies = Proxies::before(&parts);
        let mut settings = parts.settings();
        for (name, port) in proxies.ports() {
            set(&mut settings, name, port.to_string());
        }
        let mut cluster = Self::on(parts, settings).await;
        cluster.proxies = Some(proxies);
        cluster
    }

    /// One whose PostgreSQL has a standby that has every acknowledged commit.
    pub(crate) async fn with_standby() -> Self {
        let parts = Parts::start();
        let standby = parts.postgres.standby().unwrap();
        for statement in [
            "ALTER SYSTEM SET synchronous_standby_names = '*'",
            "SELECT pg_reload_conf()",
        ] {
            parts.postgres.sql("postgres", statement).unwrap();
        }
        let hosts = format!(
            "127.0.0.1:{},127.0.0.1:{}",
            parts.postgres.port(),
            standby.port()
        );
        let mut settings = parts.settings();
        settings.retain(|(name, _)| *name != "POSTGRES_PORT");
        set(&mut settings, "POSTGRES_HOST", hosts);
        let mut cluster = Self::on(parts, settings).await;
        cluster.standby = Some(standby);
        cluster
    }

    async fn on(parts: Parts, settings: Vec<(&'static str, String)>) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let replicas = (0..REPLICAS)
            .map(|number| {
                let data = scratch.path().join(format!("replica-{number}"));
                fs::create_dir(&data).unwrap();
                Replica {
                    process: None,
                    data,
                    port: free_port().unwrap(),
                    settings: settings.clone(),
                }
            })
            .collect();
        let mut cluster = Self {
            replicas,
            parts,
            standby: None,
            proxies: None,
            scratch,
        };
        cluster.start_replica(0).await;
        // Both let the same administrator in.
        let token = cluster.replicas[0].data.join("token");
        for replica in &cluster.replicas[1..] {
            fs::copy(&token, replica.data.join("token")).unwrap();
        }
        for number in 1..REPLICAS {
            cluster.start_replica(number).await;
        }
        cluster.converges().await;
        cluster
    }

    /// Starts a replica, and waits until it serves.
    pub(crate) async fn start_replica(&mut self, number: usize) {
        let replica = &mut self.replicas[number];
        let mut command = collective(&replica.settings);
        command.arg("up").arg("--data").arg(&replica.data);
        command.args(["--listen", &format!("127.0.0.1:{}", replica.port)]);
        let started = Process::start("server", command, &replica.data, Signal::TERM);
        replica.process = Some(started.unwrap());
        let url = format!("http://127.0.0.1:{}", replica.port);
        let client = Client::new(ClientOptions::anonymous(url)).unwrap();
        until("the replica is ready", async || {
            client.readiness().await.is_ok_and(|it| it.readiness.ready)
        })
        .await;
    }

    /// SIGKILL in the middle of whatever it does.
    pub(crate) fn kill_replica(&mut self, number: usize) {
        if let Some(process) = self.replicas[number].process.take() {
            process.kill();
        }
    }

    /// A client of a replica with the administrator's key, which tries once.
    pub(crate) fn client(&self, number: usize) -> Client {
        let token = fs::read_to_string(self.replicas[0].data.join("token")).unwrap();
        let url = format!("http://127.0.0.1:{}", self.replicas[number].port);
        Client::new(ClientOptions {
            retry: RetryLimits::NONE,
            ..ClientOptions::new(url, Token::new(token))
        })
        .unwrap()
    }

    pub(crate) fn clients(&self) -> Vec<Client> {
        (0..REPLICAS).map(|number| self.client(number)).collect()
    }

    pub(crate) async fn readiness(&self, number: usize) -> Readiness {
        self.client(number).readiness().await.unwrap().readiness
    }

    /// Waits until every replica says of a part why it doesn't serve, and says
    /// whether they are ready all the same.
    pub(crate) async fn names(&self, part: &str, words: &str) -> bool {
        let mut ready = true;
        for number in 0..REPLICAS {
            until(&format!("/readyz says `{words}` of {part}"), async || {
                self.says_of(number, part, words).await
            })
            .await;
            ready &= self.readiness(number).await.ready;
            self.counts_as_down(number, part).await;
        }
        self.doctor_finds(0, part, words);
        ready
    }

    /// The same for a part that only some replica can know of.
    pub(crate) async fn one_names(&self, part: &str, words: &str) -> bool {
        let mut found = 0;
        until(&format!("/readyz says `{words}` of {part}"), async || {
            found = (found + 1) % REPLICAS;
            self.says_of(found, part, words).await
        })
        .await;
        self.counts_as_down(found, part).await;
        self.doctor_finds(found, part, words);
        self.readiness(found).await.ready
    }

    async fn says_of(&self, number: usize, part: &str, words: &str) -> bool {
        let parts = self.readiness(number).await.parts;
        parts.iter().any(|it| {
            let reason = it.reason.as_deref().unwrap_or_default();
            it.part == part && !it.ok && reason.contains(words)
        })
    }

    async fn counts_as_down(&self, number: usize, part: &str) {
        until(&format!("/metrics says that {part} is down"), async || {
            self.metric(number, &up(part)).await == Some(0.0)
        })
        .await;
    }

    fn doctor_finds(&self, number: usize, part: &str, words: &str) {
        let (exit, said) = doctor(&self.replicas[number].data);
        assert_eq!(exit, Some(1), "{said}");
        let finding = said
            .lines()
            .find(|line| line.contains(&format!("{part}: ")));
        assert!(finding.is_some_and(|line| line.contains(words)), "{said}");
        assert_secretless(&said);
    }

    /// Waits until every replica says that all its parts serve, and the broker
    /// knows all that was committed.
    pub(crate) async fn converges(&self) {
        for number in 0..REPLICAS {
            until("all parts serve", async || {
                let said = self.readiness(number).await;
                said.ready && said.parts.iter().all(|part| part.ok)
            })
            .await;
            until(
                "the metrics say so, and nothing is left to tell",
                async || {
                    let mut well = self.metric(number, BACKLOG).await == Some(0.0);
                    for part in ["store", "bus", "cache", "clock"] {
                        well &= self.metric(number, &up(part)).await == Some(1.0);
                    }
                    well
                },
            )
            .await;
        }
    }

    /// The value of a metric with exactly this name and these labels.
    pub(crate) async fn metric(&self, number: usize, name: &str) -> Option<f64> {
        let text = self.client(number).metrics().await.ok()?;
        text.lines().find_map(|line| {
            let value = line.strip_prefix(name)?.strip_prefix(' ')?;
            value.trim().parse().ok()
        })
    }

    /// What `collective doctor` says on the first replica's folder.
    pub(crate) fn doctor(&self) -> (Option<i32>, String) {
        doctor(&self.replicas[0].data)
    }

    /// Something typed to PostgreSQL by its administrator.
    pub(crate) fn sql(&self, statement: &str) -> String {
        self.parts.postgres.sql(DATABASE, statement).unwrap()
    }
}

/// What `collective doctor` says on a folder, and its exit code.
pub(crate) fn doctor(data: &Path) -> (Option<i32>, String) {
    let mut command = collective(&[]);
    command.arg("doctor").arg("--data").arg(data);
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// How many committed events the broker wasn't told of.
pub(crate) const BACKLOG: &str = "orchestrator_relay_backlog_events";

fn up(part: &str) -> String {
    format!("orchestrator_part_up{{part=\"{part}\"}}")
}

/// No password of any part is in the text.
pub(crate) fn assert_secretless(said: &str) {
    for secret in [PASSWORD, "not-the-password"] {
        assert!(!said.contains(secret), "a password is shown: {said}");
    }
}

impl Drop for Cluster {
    /// A test that failed shows what the replicas had to say.
    fn drop(&mut self) {
        /// The last of it tells mostly why.
        const TAIL: usize = 6_000;
        if !std::thread::panicking() {
            return;
        }
        for replica in &self.replicas {
            let log = fs::read_to_string(replica.data.join("server.log")).unwrap_or_default();
            let from = log.len().saturating_sub(TAIL);
            let tail = log.get(from..).unwrap_or(&log);
            eprintln!("--- {}\n{tail}", replica.data.display());
        }
        eprintln!("--- (in {})", self.scratch.path().display());
    }
}
