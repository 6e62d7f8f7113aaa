//! A folder of a test's own, the binary in it, and its output made comparable.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;
use tempfile::TempDir;

/// Longest that a condition may take to come true, on a machine under load.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_millis(10);

/// A folder of a test's own.
pub(crate) struct Home {
    temp: TempDir,
}

/// What a command did.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A process that doesn't outlive its test.
pub(crate) struct Running(Child);

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            temp: tempfile::tempdir().unwrap(),
        }
    }

    /// One with a server on it.
    pub(crate) fn with_server() -> (Self, Running) {
        let home = Self::new();
        let server = home.start(&["up", "--listen", "127.0.0.1:0", "--log", "warn"]);
        until("the server answers", || {
            home.run(&["status", "--json"]).code == Some(0)
        });
        (home, server)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_collective"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            let is_ours = name.starts_with("COLLECTIVE_") || name.starts_with("OTEL_");
            if is_ours || name == "TRACEPARENT" {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .current_dir(self.temp.path())
            .env("COLLECTIVE_DATA", self.path("data"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("TZ", "UTC")
            .env_remove("COLUMNS")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().unwrap())
    }

    /// The same, with a variable set.
    pub(crate) fn run_with(&self, env: &[(&str, &str)], arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        command.envs(env.iter().copied());
        Ran::from(command.output().unwrap())
    }

    /// The same, with something on standard input.
    pub(crate) fn run_given(&self, input: &str, arguments: &[&str]) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        Ran::from(child.wait_with_output().unwrap())
    }

    /// Starts a command that goes on.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        self.start_into("log", arguments)
    }

    /// The same, with its output in a file of its own.
    pub(crate) fn start_into(&self, file: &str, arguments: &[&str]) -> Running {
        self.spawn_into(file, &mut self.command(arguments))
    }

    fn spawn_into(&self, file: &str, command: &mut Command) -> Running {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path(file))
            .unwrap();
        let child = command
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Running(child)
    }

    /// Starts a command that goes on, with variables set.
    pub(crate) fn start_with(&self, env: &[(&str, &str)], arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        command.envs(env.iter().copied());
        self.spawn_into("log", &mut command)
    }

    /// What commands that go on have said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Runs commands one after the other: what each said, and its exit code.
    pub(crate) fn session(&self, commands: &[&[&str]]) -> String {
        let mut text = String::new();
        for arguments in commands {
            let shown: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
            text.push_str(&format!("$ collective {}\n", shown.join(" ")));
            text.push_str(&self.tidy(&self.run(arguments).text()));
            text.push('\n');
        }
        text
    }

    /// Names in the place of what differs from run to run.
    pub(crate) fn tidy(&self, text: &str) -> String {
        let mut text = text.replace(&self.temp.path().display().to_string(), "[HOME]");
        for (pattern, name) in [
            (
                r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
                "[ID]",
            ),
            (r#""request_id":"[0-9a-f]{32}""#, "\"request_id\":\"[ID]\""),
            (r"c[ak]_[A-Za-z0-9_-]{40,}", "[KEY]"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[TIME]"),
            (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "[TIME]"),
            (r"\b\d\d:\d\d:\d\d\.\d{3}\b", "[CLOCK]"),
            (r"127\.0\.0\.1:\d+", "[SERVER]"),
            (r"process \d+", "process [PID]"),
            (r"\d+ MiB free", "[N] MiB free"),
            (r"(git +)[0-9][0-9.]*", "$1[VERSION]"),
            (r"\d+\.\d+s\b", "[N]s"),
            (r"(up for |in |away for )\d+[smhd]\b", "$1[N]"),
            (r"\b\d+[sm] ago", "[N] ago"),
            (r"([ (])\d+s( |$|\))", "$1[N]s$2"),
            (r#""(uptime_seconds|seconds)": [0-9.e-]+"#, "\"$1\": [N]"),
        ] {
            let pattern = Regex::new(&format!("(?m){pattern}")).unwrap();
            text = pattern.replace_all(&text, name).into_owned();
        }
        text
    }
}

impl Ran {
    /// Both outputs and the exit code.
    pub(crate) fn text(&self) -> String {
        let mut text = self.stdout.clone();
        if !self.stderr.is_empty() {
            text.push_str("--- stderr\n");
            text.push_str(&self.stderr);
        }
        match self.code {
            Some(0) => {}
            Some(code) => text.push_str(&format!("--- exit {code}\n")),
            None => text.push_str("--- killed\n"),
        }
        text
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Running {
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Its exit code, once it has ended.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let mut code = None;
        until("the command ends", || match self.0.try_wait().unwrap() {
            Some(status) => {
                code = status.code();
                true
            }
            None => false,
        });
        code
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has ended and been waited for already.
        drop(self.0.kill());
        drop(self.0.wait());
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

/// A git repository with one commit.
pub(crate) fn repository(at: &Path) {
    std::fs::create_dir_all(at).unwrap();
    std::fs::write(at.join("README"), "a repository\n").unwrap();
    for arguments in [
        &["init", "--quiet", "--initial-branch", "main"][..],
        &["add", "."],
        &[
            "-c",
            "user.name=test",
            "-c",
            "user.email=test@localhost",
            "commit",
            "--quiet",
            "--message",
            "first",
        ],
    ] {
        let status = Command::new("git")
            .current_dir(at)
            .args(arguments)
            .status()
            .unwrap();
        assert!(status.success(), "git {arguments:?}");
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,#".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{word}'")
    }
}
