//! What the tests share: a folder, a server on it, processes that don't outlive
//! their test, and the check of what is left.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use collective_api::agents::CreateKey;
use collective_api::operations::ReadEvents;
use collective_api::tasks::ListTasks;
use collective_client::{Client, ClientOptions, Token};
use collective_core::agent::AgentSpec;
use collective_core::event::Event;
use collective_core::limits::MAX_PAGE;
use collective_core::role::Role;
use collective_core::task::Task;
use collective_core::{AgentName, Code};
use collective_testkit::history::{Acknowledged, History, Summary};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

/// Longest that one condition may take to come true, on a machine under load.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_millis(5);
/// Ports that the tests' servers listen on: below those that the system gives
/// to outgoing connections, so that a restarted server finds its own port free.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(GLANCE).await;
    }
}

/// A process that is killed when its test ends.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// SIGKILL, and gone when this returns.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the process ends", async || {
            status = self.has_ended();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended and been waited for already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A folder of a test's own: data, logs, and room for what its commands write.
pub(crate) struct Place {
    temp: TempDir,
    port: u16,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            temp: tempfile::tempdir().unwrap(),
            port: free_port(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.data().join("collective.db")
    }

    /// The binary, on this folder, without what the environment says of another one.
    pub(crate) fn collective(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_collective"));
        command.args(arguments);
        self.at_home(&mut command);
        command
    }

    /// Sets a command's environment and output: nothing of it reaches the test's own.
    pub(crate) fn at_home(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("COLLECTIVE_") {
                command.env_remove(name);
            }
        }
        let log = || {
            let path = self.path("log");
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .unwrap()
        };
        command
            .env("COLLECTIVE_DATA", self.data())
            .current_dir(self.temp.path())
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log());
    }

    /// `collective up` with this place's own port.
    pub(crate) fn up(&self, more: &[&str]) -> Command {
        let listen = format!("127.0.0.1:{}", self.port);
        let mut command = self.collective(&["up", "--listen", &listen, "--log", "warn"]);
        command.args(more);
        command
    }

    /// A server that answers.
    pub(crate) async fn server(&self) -> Server {
        self.server_with(&[]).await
    }

    pub(crate) async fn server_with(&self, more: &[&str]) -> Server {
        let process = Process::start(&mut self.up(more));
        self.answering(process, self.data()).await
    }

    /// Waits until a server that was started answers. `data` is its folder, as seen from here.
    pub(crate) async fn answering(&self, mut process: Process, data: PathBuf) -> Server {
        let pid = process.pid();
        let note = data.join("server.json");
        until("the server says where it listens", async || {
            let ended = process.has_ended();
            assert!(ended.is_none(), "no server: {ended:?}\n{}", self.log());
            let text = std::fs::read_to_string(&note).unwrap_or_default();
            let note: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            note["pid"] == pid
        })
        .await;
        let server = Server {
            process,
            data,
            url: format!("http://127.0.0.1:{}", self.port),
        };
        let client = server.client();
        until("the server answers", async || client.health().await.is_ok()).await;
        server
    }

    /// Runs a command to its end: its exit code and what it said.
    pub(crate) async fn outcome(&self, command: &mut Command) -> (Option<i32>, String) {
        let said = self.path("said");
        let file = File::create(&said).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let status = Process::start(command).ended().await;
        (status.code(), std::fs::read_to_string(said).unwrap())
    }

    /// Everything that servers and agents of this place have logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

/// A port that nobody listens on. Tests run as processes and as threads side by side.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let many = PORTS.end - PORTS.start;
    // Neighbouring processes start far apart.
    let start = u16::try_from(u64::from(std::process::id()) * 61 % u64::from(many)).unwrap();
    for _ in 0..many {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % many;
        let port = PORTS.start + (start + step) % many;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port in {PORTS:?}");
}

/// A server that runs.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) url: String,
    data: PathBuf,
}

impl Server {
    pub(crate) fn token(&self) -> Token {
        Token::new(std::fs::read_to_string(self.data.join("token")).unwrap())
    }

    /// A client with the administrator's token and the usual patience.
    pub(crate) fn client(&self) -> Client {
        Client::new(ClientOptions::new(self.url.clone(), self.token())).unwrap()
    }

    /// SIGKILL in the middle of whatever it does.
    pub(crate) fn kill(mut self) {
        self.process.kill();
    }

    /// SIGTERM; its exit code once it has drained.
    pub(crate) async fn stop(mut self) -> Option<i32> {
        self.process.signal(Signal::TERM);
        self.process.ended().await.code()
    }
}

pub(crate) fn name(text: &str) -> AgentName {
    AgentName::new(text).unwrap()
}

/// Registers an agent and gives a client that has its key and no more.
pub(crate) async fn agent(admin: &Client, agent: &str, slots: u32) -> Client {
    let request = CreateKey {
        label: agent.to_owned(),
        role: Some(Role::Worker),
        agent: Some(name(agent)),
        admin: false,
    };
    let key = admin.create_key(&request).await.unwrap();
    let client = admin.with_token(Token::new(key.token));
    let spec = AgentSpec {
        slots,
        ..AgentSpec::default()
    };
    client.register_agent(&name(agent), &spec).await.unwrap();
    client
}

/// The whole log, page after page.
pub(crate) async fn events(client: &Client) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let query = ReadEvents {
            after: events.last().map(|event| event.seq),
            task: None,
            limit: Some(MAX_PAGE),
        };
        let page = client.list_events(&query).await.unwrap();
        if page.items.is_empty() {
            return events;
        }
        events.extend(page.items);
    }
}

pub(crate) async fn tasks(client: &Client) -> Vec<Task> {
    let query = ListTasks::default();
    let all = client.list_tasks_up_to(&query, usize::MAX).await;
    all.unwrap().items
}

/// Checks the log against the tasks and against what callers were told.
/// Nothing may happen meanwhile.
pub(crate) async fn assert_sound(client: &Client, told: &Acknowledged) -> Summary {
    let events = events(client).await;
    let tasks = tasks(client).await;
    let history = History::of(&events)
        .with_tasks(&tasks)
        .with_acknowledged(told);
    match history.check() {
        Ok(summary) => summary,
        Err(violations) => {
            let said: Vec<String> = violations.iter().map(ToString::to_string).collect();
            panic!("the history is broken:\n{}", said.join("\n"));
        }
    }
}

/// The code that a call was refused with.
pub(crate) fn refusal<T: std::fmt::Debug>(
    answer: Result<T, collective_client::ClientError>,
) -> Code {
    let error = answer.unwrap_err();
    error
        .code()
        .unwrap_or_else(|| panic!("not a refusal of the server: {error}"))
}

/// Whether a file is there.
pub(crate) async fn appears(path: &Path) {
    until(&format!("{} appears", path.display()), async || {
        path.exists()
    })
    .await;
}
