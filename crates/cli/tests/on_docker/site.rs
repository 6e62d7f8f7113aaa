//! A copy of the project with a stack of its own, and the binary to drive it.

use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Images that the services under test need, beside our own.
const IMAGES: [&str; 4] = [
    "postgres:15-alpine",
    "redis:7-alpine",
    "rabbitmq:3.12-management-alpine",
    "debian:bookworm-slim",
];
/// What is started: what carries a task. The pages for people aren't.
pub(crate) const SERVICES: [&str; 6] = [
    "postgres",
    "redis",
    "rabbitmq",
    "server",
    "worker-keys",
    "worker",
];

/// Longest that a condition may take to come true, on a machine under load.
const DEADLINE: Duration = Duration::from_secs(120);
/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_millis(100);

/// A stack takes all that a small machine has: one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
/// So that each has names of its own.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// What a command did.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn text(&self) -> String {
        format!(
            "{}\n--- stderr\n{}\n--- {:?}",
            self.stdout, self.stderr, self.code
        )
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// A stack; it is removed with its data when it is dropped.
pub(crate) struct Site {
    temp: TempDir,
    prefix: String,
    _alone: MutexGuard<'static, ()>,
}

impl Site {
    /// One for an environment, or `None` where it can't be.
    pub(crate) fn new(environment: &str) -> Option<Self> {
        if let Err(why) = docker_is_ready() {
            let needed = std::env::var_os("COLLECTIVE_NEEDS_DOCKER").is_some();
            assert!(!needed, "{why}");
            println!("left out: {why}");
            return None;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let site = Self {
            _alone: ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner),
            temp: tempfile::tempdir().unwrap(),
            prefix: format!(
                "od{}x{}-",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            ),
        };
        let copied = Command::new("cp")
            .args(["-a", "--"])
            .arg(root.join("infrastructure"))
            .arg(root.join(".env.example"))
            .arg(site.temp.path())
            .status();
        assert!(copied.unwrap().success());
        site.build(&root);
        let init = site.run(&site.init(environment));
        assert_eq!(init.code, Some(0), "{}", init.text());
        Some(site)
    }

    /// Our own image, from the binary under test.
    fn build(&self, root: &Path) {
        let built = Command::new("bash")
            .arg(root.join("infrastructure/docker/server/build.sh"))
            .arg(env!("CARGO_BIN_EXE_collective"))
            .arg(format!("collective:{}", self.version()))
            .env("DOCKER", "docker")
            .status();
        assert!(built.unwrap().success());
    }

    fn version(&self) -> String {
        format!("{}test", self.prefix)
    }

    fn init(&self, environment: &str) -> Vec<String> {
        let subnet = std::process::id() % 200 + 20;
        let mut words: Vec<String> = ["init", "--env", environment, "--prefix", &self.prefix]
            .map(str::to_owned)
            .to_vec();
        let mut set = |name: &str, value: String| {
            words.push("--set".to_owned());
            words.push(format!("{name}={value}"));
        };
        set("AGENT_SUBNET", format!("10.201.{subnet}.0/24"));
        set("MONITORING_SUBNET", format!("10.202.{subnet}.0/24"));
        set("MONITORING_GATEWAY", format!("10.202.{subnet}.1"));
        set("COLLECTIVE_VERSION", self.version());
        for name in [
            "POSTGRES",
            "REDIS",
            "RABBITMQ",
            "RABBITMQ_MANAGEMENT",
            "SERVER",
        ] {
            set(&format!("{name}_PORT"), free_port().to_string());
        }
        // What a machine for tests has.
        set("NOFILE_LIMIT", "4096".to_owned());
        for name in ["POSTGRES", "REDIS", "RABBITMQ", "SERVER", "WORKER"] {
            set(&format!("{name}_CPUS"), "1".to_owned());
        }
        words
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn command<S: AsRef<str>>(&self, words: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_collective"));
        command.arg("stack").args(words.iter().map(AsRef::as_ref));
        command.current_dir(self.temp.path()).stdin(Stdio::null());
        command
    }

    /// Starts `collective stack …`, and leaves it to be killed.
    pub(crate) fn start(&self, words: &[&str]) -> Child {
        self.command(words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The same as `must`, and says how long it took.
    pub(crate) fn timed(&self, what: &str, words: &[&str]) -> Ran {
        let start = Instant::now();
        let ran = self.must(words);
        println!("measured: {what}: {:.1} s", start.elapsed().as_secs_f64());
        ran
    }

    /// `collective stack …` in the project.
    pub(crate) fn run<S: AsRef<str>>(&self, words: &[S]) -> Ran {
        let mut command = self.command(words);
        let output = command.output().unwrap();
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The same, where only success helps.
    pub(crate) fn must(&self, words: &[&str]) -> Ran {
        let ran = self.run(words);
        assert_eq!(ran.code, Some(0), "{words:?}: {}", ran.text());
        ran
    }

    /// Starts what carries a task.
    pub(crate) fn up(&self) {
        self.up_only(&SERVICES);
    }

    /// Starts some services, and what they need.
    pub(crate) fn up_only(&self, services: &[&str]) {
        let mut words = vec!["up", "--no-check", "--wait", "5m"];
        words.extend(services);
        let start = Instant::now();
        self.must(&words);
        println!(
            "measured: up {}: {:.1} s",
            services.join(" "),
            start.elapsed().as_secs_f64()
        );
    }

    /// The project as Compose knows it.
    pub(crate) fn project(&self) -> String {
        format!("{}collective", self.prefix)
    }

    /// A value of the file of variables.
    pub(crate) fn variable(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.path(".env")).unwrap();
        let start = format!("{name}=");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_default().to_owned()
    }

    /// What PostgreSQL answers its administrator.
    pub(crate) fn sql(&self, statement: &str) -> String {
        let user = self.variable("POSTGRES_USER");
        let user = if user.is_empty() { "admin" } else { &user };
        let words = [
            "psql",
            "-X",
            "-A",
            "-t",
            "-U",
            user,
            "-d",
            "agent_orchestrator",
            "-c",
        ];
        let words: Vec<&str> = words.into_iter().chain([statement]).collect();
        let ran = self.exec("postgres", &words);
        assert_eq!(ran.code, Some(0), "{statement}: {}", ran.text());
        ran.stdout.trim().to_owned()
    }

    /// The volumes whose names begin with this stack's prefix.
    pub(crate) fn volumes(&self) -> Vec<String> {
        let all = docker(&["volume", "ls", "--format", "{{.Name}}"]);
        let mine = all
            .stdout
            .lines()
            .filter(|name| name.starts_with(&self.prefix));
        mine.map(str::to_owned).collect()
    }

    /// A command inside of a container of the stack.
    pub(crate) fn exec(&self, service: &str, words: &[&str]) -> Ran {
        let project = format!("label=com.docker.compose.project={}", self.project());
        let service = format!("label=com.docker.compose.service={service}");
        let ids = docker(&["ps", "--quiet", "--filter", &project, "--filter", &service]);
        let Some(id) = ids.stdout.lines().next() else {
            return Ran {
                code: None,
                stdout: String::new(),
                stderr: format!("no container of {service} runs"),
            };
        };
        let mut all = vec!["exec", id];
        all.extend(words);
        docker(&all)
    }

    /// The address of a service's container, where this machine reaches it.
    pub(crate) fn address(&self, service: &str) -> IpAddr {
        let project = format!("label=com.docker.compose.project={}", self.project());
        let service = format!("label=com.docker.compose.service={service}");
        let ids = docker(&["ps", "--quiet", "--filter", &project, "--filter", &service]);
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
        let told = docker(&["inspect", "--format", format, ids.stdout.trim()]);
        told.stdout
            .split_whitespace()
            .next()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Kills every container of a service.
    pub(crate) fn kill(&self, service: &str) {
        let project = format!("label=com.docker.compose.project={}", self.project());
        let service = format!("label=com.docker.compose.service={service}");
        let ids = docker(&["ps", "--quiet", "--filter", &project, "--filter", &service]);
        for id in ids.stdout.lines() {
            docker(&["kill", id]);
        }
    }
}

/// Waits for a condition.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(GLANCE);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let gone = self.run(&["down", "--volumes", "--yes"]);
        if gone.code != Some(0) {
            println!("{}", gone.text());
        }
        // What restores set aside, and what one that was killed left.
        for volume in self.volumes() {
            docker(&["volume", "rm", "--force", &volume]);
        }
        docker(&["rmi", &format!("collective:{}", self.version())]);
    }
}

pub(crate) fn docker(words: &[&str]) -> Ran {
    let output = Command::new("docker")
        .args(words)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn docker_is_ready() -> Result<(), String> {
    let asked = Command::new("docker")
        .arg("info")
        .stdin(Stdio::null())
        .output();
    match asked {
        Ok(output) if output.status.success() => {}
        _ => return Err("no Docker engine answers here".to_owned()),
    }
    let missing: Vec<&str> = IMAGES
        .into_iter()
        .filter(|image| docker(&["image", "inspect", image]).code != Some(0))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("these images are not here: {}", missing.join(", ")))
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
