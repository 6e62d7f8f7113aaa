//! What the tests share: trials, deadlines, processes seen from outside.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use collective_core::task::{Epoch, LeaseToken};
use collective_core::{AgentName, TaskId, TeamName};
use collective_runner::attempt::{AttemptSpec, Delivery, Identity, Place};
use collective_runner::runs::Run;
use libtest_mimic::Trial;
use rustix::process::{Pid, Signal};

/// Longest that anything in these tests may take; a machine under load included.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A test with a runtime of its own. It fails by panicking.
pub(crate) fn trial<F>(name: &str, test: impl FnOnce() -> F + Send + 'static) -> Trial
where
    F: Future<Output = ()>,
{
    Trial::test(name, move || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
            .block_on(async { tokio::time::timeout(3 * DEADLINE, test()).await })
            .map_err(|_| "it hangs".into())
    })
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for a file that holds a process id.
pub(crate) async fn pid_in(file: &Path) -> i32 {
    let read = || std::fs::read_to_string(file).ok()?.trim().parse().ok();
    until(&format!("a process id in {}", file.display()), || {
        read().is_some()
    })
    .await;
    read().unwrap()
}

/// Whether a process runs (a zombie doesn't).
pub(crate) fn runs(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| Some(stat.rsplit_once(')')?.1.trim().starts_with(['Z', 'X'])))
        .is_some_and(|dead| !dead)
}

/// The parent of a process.
pub(crate) fn parent(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().nth(1).unwrap().parse().unwrap()
}

pub(crate) fn kill(pid: i32, signal: Signal) {
    let _ = rustix::process::kill_process(Pid::from_raw(pid).unwrap(), signal);
}

/// Waits until none of these processes runs.
pub(crate) async fn gone(pids: &[i32]) {
    until(&format!("the end of {pids:?}"), || {
        !pids.iter().any(|pid| runs(*pid))
    })
    .await;
}

/// One run for all tests of this process.
pub(crate) fn run() -> &'static Run {
    static RUN: OnceLock<(tempfile::TempDir, Run)> = OnceLock::new();
    let (_, run) = RUN.get_or_init(|| {
        let root = tempfile::tempdir().unwrap();
        let run = Run::begin(root.path()).unwrap();
        (root, run)
    });
    run
}

/// This binary in another part.
pub(crate) fn part(arguments: &[&str]) -> Vec<String> {
    let mut argv = vec![
        std::env::current_exe()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned(),
        super::parts::SUBCOMMAND.to_owned(),
    ];
    argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    argv
}

pub(crate) fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

pub(crate) fn identity() -> Identity {
    Identity {
        url: "http://127.0.0.1:1".to_owned(),
        token: "secret-of-the-agent".to_owned(),
        team: TeamName::default_team(),
        agent: AgentName::new("ada").unwrap(),
        task: TaskId(uuid::Uuid::from_u128(7)),
        number: 12,
        epoch: Epoch(1),
        lease: LeaseToken {
            epoch: Epoch(1),
            secret: 42,
        },
        traceparent: None,
    }
}

/// An attempt at a command in a folder.
pub(crate) fn spec(command: Vec<String>, workdir: &Path) -> AttemptSpec {
    AttemptSpec {
        command,
        delivery: Delivery::Stdin,
        prompt: "do it".to_owned(),
        identity: identity(),
        input: serde_json::Value::Null,
        dependencies: serde_json::json!([]),
        feedback: None,
        answers: None,
        env: Vec::new(),
        drop_env: Vec::new(),
        place: Place::Folder(workdir.to_owned()),
        timeout: DEADLINE,
        grace: Duration::from_secs(5),
        reading: Default::default(),
        rules: Default::default(),
    }
}
