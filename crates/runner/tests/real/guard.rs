//! Whoever dies, nothing of a command outlives it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use collective_runner::guard::End;
use collective_runner::process::{CommandSpec, Gone, Guarded};
use collective_runner::runs::DeadRun;
use libtest_mimic::Trial;
use rustix::process::Signal;

use super::support::{gone, kill, parent, part, pid_in, run, runs, trial, until};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for clean in ["marked", "clean"] {
        trials.extend([
            trial(
                &format!("descendants_die_after_the_runner_is_killed::{clean}"),
                move || after_the_runner_is_killed(clean),
            ),
            trial(
                &format!("descendants_die_after_the_outer_guard_is_killed::{clean}"),
                move || after_guards_are_killed(clean, Blow::Watch),
            ),
            trial(
                &format!("descendants_die_after_the_inner_guard_is_killed::{clean}"),
                move || after_guards_are_killed(clean, Blow::Keep),
            ),
            trial(
                &format!("descendants_die_after_a_stop::{clean}"),
                move || after_a_stop(clean),
            ),
            trial(
                &format!("descendants_die_after_the_command_ended::{clean}"),
                move || after_the_command_ended(clean),
            ),
            trial(
                &format!("descendants_die_after_the_handle_is_dropped::{clean}"),
                move || after_the_handle_is_dropped(clean),
            ),
        ]);
    }
    trials.extend([
        trial("descendants_die_after_both_guards_are_killed", || {
            after_guards_are_killed("marked", Blow::Both)
        }),
        trial(
            "what_survives_a_blow_to_all_is_found_by_the_next_run",
            a_blow_to_all,
        ),
        trial("a_guard_that_is_stopped_is_given_up", a_stopped_guard),
        trial(
            "a_guard_that_is_asked_to_end_ends_its_command",
            an_asked_guard,
        ),
        trial("processes_that_replace_themselves_are_caught", a_relay),
        trial("an_end_is_reported_as_it_was", ends),
        trial("a_guard_holds_the_lock_of_its_run", the_lock),
    ]);
    trials
}

#[derive(Clone, Copy, PartialEq)]
enum Blow {
    Watch,
    Keep,
    Both,
}

fn breeder(folder: &Path, clean: &str, then: &str, grace: Duration) -> CommandSpec {
    CommandSpec {
        label: "test".to_owned(),
        argv: part(&["breeder", folder.to_str().unwrap(), clean, then]),
        env: Vec::new(),
        drop_env: Vec::new(),
        workdir: folder.to_owned(),
        stdin: None,
        grace,
    }
}

/// Starts a command and waits for its descendants; gives the handle and their ids.
async fn started(folder: &Path, clean: &str, grace: Duration) -> (Guarded, [i32; 3]) {
    let spec = breeder(folder, clean, "stay", grace);
    let mut guarded = Guarded::start(&run().guard(), &spec).await.unwrap();
    drop((guarded.stdout.take(), guarded.stderr.take()));
    let pids = [
        pid_in(&folder.join("command")).await,
        pid_in(&folder.join("daemon")).await,
        pid_in(&folder.join("stubborn")).await,
    ];
    assert_eq!(pids[0], guarded.pid());
    assert!(pids.iter().all(|pid| runs(*pid)));
    (guarded, pids)
}

async fn after_the_runner_is_killed(clean: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    let root = tempfile::tempdir().unwrap();
    let argv = part(&[
        "runner",
        root.path().to_str().unwrap(),
        folder.path().to_str().unwrap(),
        clean,
    ]);
    let mut runner = Command::new(&argv[0]).args(&argv[1..]).spawn().unwrap();
    let pids = [
        pid_in(&folder.path().join("command")).await,
        pid_in(&folder.path().join("daemon")).await,
        pid_in(&folder.path().join("stubborn")).await,
    ];
    let keep = parent(pids[0]);
    let watch = parent(keep);
    assert!(DeadRun::find(root.path()).is_empty());
    runner.kill().unwrap();
    runner.wait().unwrap();
    gone(&pids).await;
    gone(&[keep, watch]).await;
    for run in dead_runs(root.path()).await {
        run.bury().unwrap();
    }
}

/// The one dead run below a folder, once nothing holds its lock any more.
async fn dead_runs(root: &Path) -> Vec<DeadRun> {
    let mut dead = Vec::new();
    until("a dead run", || {
        dead = DeadRun::find(root);
        !dead.is_empty()
    })
    .await;
    assert_eq!(dead.len(), 1);
    dead
}

async fn after_guards_are_killed(clean: &'static str, blow: Blow) {
    let folder = tempfile::tempdir().unwrap();
    let (mut guarded, pids) = started(folder.path(), clean, Duration::from_millis(300)).await;
    let keep = parent(pids[0]);
    let watch = guarded.guard_pid().unwrap() as i32;
    assert_eq!(parent(keep), watch);
    let struck: &[i32] = match blow {
        Blow::Watch => &[watch],
        Blow::Keep => &[keep],
        Blow::Both => &[watch, keep],
    };
    for pid in struck {
        kill(*pid, Signal::KILL);
    }
    let (end, how) = guarded.wait().await;
    match blow {
        // The inner guard still says how the command ended.
        Blow::Watch => assert_eq!((end, how), (Some(End::Signal(15)), Gone::Orderly)),
        Blow::Keep | Blow::Both => assert_eq!((end, how), (None, Gone::GuardKilled)),
    }
    assert_eq!(
        pids.map(runs),
        [false; 3],
        "alive when it was said to be gone"
    );
    gone(&[keep, watch]).await;
}

async fn after_a_stop(clean: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    let (mut guarded, pids) = started(folder.path(), clean, Duration::from_secs(60)).await;
    let keep = parent(pids[0]);
    let asked = std::time::Instant::now();
    guarded.stop(Duration::from_millis(300)).await;
    let (end, how) = guarded.wait().await;
    assert_eq!((end, how), (Some(End::Signal(15)), Gone::Orderly));
    assert!(asked.elapsed() >= Duration::from_millis(300), "no grace");
    assert_eq!(pids.map(runs), [false; 3]);
    assert!(!runs(keep));
}

async fn after_the_command_ended(clean: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    let spec = breeder(folder.path(), clean, "3", Duration::from_secs(60));
    let mut guarded = Guarded::start(&run().guard(), &spec).await.unwrap();
    drop((guarded.stdout.take(), guarded.stderr.take()));
    let (end, how) = guarded.wait().await;
    assert_eq!((end, how), (Some(End::Code(3)), Gone::Orderly));
    // They may be gone before they could write down who they are.
    for name in ["daemon", "stubborn"] {
        if let Ok(pid) = std::fs::read_to_string(folder.path().join(name)) {
            assert!(!pid.trim().parse().is_ok_and(runs), "{name} lives");
        }
    }
}

async fn after_the_handle_is_dropped(clean: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    let (guarded, pids) = started(folder.path(), clean, Duration::from_millis(100)).await;
    let keep = parent(pids[0]);
    drop(guarded);
    gone(&pids).await;
    gone(&[keep]).await;
}

/// Everything of ours dies at the same time: the command dies with it, and what
/// the command had started is found by the next run.
async fn a_blow_to_all() {
    let folder = tempfile::tempdir().unwrap();
    let root = tempfile::tempdir().unwrap();
    let argv = part(&[
        "runner",
        root.path().to_str().unwrap(),
        folder.path().to_str().unwrap(),
        "marked",
    ]);
    let mut runner = Command::new(&argv[0])
        .args(&argv[1..])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let command = pid_in(&folder.path().join("command")).await;
    let left = [
        pid_in(&folder.path().join("daemon")).await,
        pid_in(&folder.path().join("stubborn")).await,
    ];
    let keep = parent(command);
    let watch = parent(keep);
    // Stopped first, so that none can act on the death of another.
    let ours = [runner.id() as i32, watch, keep];
    for signal in [Signal::STOP, Signal::KILL] {
        for pid in ours {
            kill(pid, signal);
        }
    }
    runner.wait().unwrap();
    gone(&[watch, keep, command]).await;
    assert!(
        left.iter().all(|pid| runs(*pid)),
        "nothing was left to find"
    );
    let dead = dead_runs(root.path()).await;
    let found = collective_runner::orphans::kill_run(dead[0].id);
    assert!(found >= 2, "{found}");
    gone(&left).await;
}

async fn a_stopped_guard() {
    let folder = tempfile::tempdir().unwrap();
    let (mut guarded, pids) = started(folder.path(), "marked", Duration::from_secs(5)).await;
    let keep = parent(pids[0]);
    kill(keep, Signal::STOP);
    guarded.stop(Duration::ZERO).await;
    let (end, how) = guarded.wait().await;
    assert_eq!((end, how), (None, Gone::GuardKilled));
    gone(&pids).await;
    gone(&[keep]).await;
}

/// Whoever stops a whole service asks each of its processes.
async fn an_asked_guard() {
    let folder = tempfile::tempdir().unwrap();
    let (mut guarded, pids) = started(folder.path(), "clean", Duration::from_millis(300)).await;
    let keep = parent(pids[0]);
    let watch = parent(keep);
    kill(watch, Signal::TERM);
    kill(watch, Signal::INT);
    kill(keep, Signal::TERM);
    let (end, how) = guarded.wait().await;
    assert_eq!((end, how), (Some(End::Signal(15)), Gone::Orderly));
    assert_eq!(pids.map(runs), [false; 3]);
}

/// Each process starts the next, in a session of its own, and ends: none lives
/// long enough to be waited for, and none heeds SIGTERM.
async fn a_relay() {
    let folder = tempfile::tempdir().unwrap();
    let runner = folder.path().join("relay");
    let script = "#!/bin/sh\ntrap '' TERM\necho $$ >> all\nsetsid \"$0\" &\n";
    std::fs::write(&runner, script).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&runner, std::fs::Permissions::from_mode(0o755)).unwrap();
    let spec = CommandSpec {
        argv: vec![runner.to_str().unwrap().to_owned()],
        ..breeder(folder.path(), "", "", Duration::from_secs(5))
    };
    let mut guarded = Guarded::start(&run().guard(), &spec).await.unwrap();
    drop((guarded.stdout.take(), guarded.stderr.take()));
    let (end, how) = guarded.wait().await;
    assert_eq!((end, how), (Some(End::Code(0)), Gone::Orderly));
    let all = std::fs::read_to_string(folder.path().join("all")).unwrap();
    let all: Vec<i32> = all.lines().map(|line| line.parse().unwrap()).collect();
    assert!(all.len() > 10, "{all:?}");
    assert!(!all.iter().any(|pid| runs(*pid)), "{all:?}");
}

async fn ends() {
    let folder = tempfile::tempdir().unwrap();
    for (script, expected) in [
        ("exit 0", End::Code(0)),
        ("exit 75", End::Code(75)),
        ("exit 255", End::Code(255)),
        ("kill -SEGV $$", End::Signal(11)),
        ("kill -KILL $$", End::Signal(9)),
        // A signal that the guard handles reaches the command as it is by default.
        ("kill -TERM $$", End::Signal(15)),
        ("kill -HUP $$", End::Signal(1)),
        ("kill -PIPE $$", End::Signal(13)),
    ] {
        let spec = CommandSpec {
            argv: super::support::shell(script),
            ..breeder(folder.path(), "", "", Duration::from_secs(5))
        };
        let mut guarded = Guarded::start(&run().guard(), &spec).await.unwrap();
        drop((guarded.stdout.take(), guarded.stderr.take()));
        assert_eq!(
            guarded.wait().await,
            (Some(expected), Gone::Orderly),
            "{script}"
        );
    }
}

async fn the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let root = tempfile::tempdir().unwrap();
    let run = collective_runner::runs::Run::begin(root.path()).unwrap();
    let spec = breeder(folder.path(), "marked", "stay", Duration::from_millis(100));
    let mut guarded = Guarded::start(&run.guard(), &spec).await.unwrap();
    drop((guarded.stdout.take(), guarded.stderr.take()));
    pid_in(&folder.path().join("command")).await;
    drop(run);
    assert!(
        DeadRun::find(root.path()).is_empty(),
        "the guard doesn't hold it"
    );
    guarded.stop(Duration::ZERO).await;
    guarded.wait().await;
    until("a dead run", || DeadRun::find(root.path()).len() == 1).await;
}
