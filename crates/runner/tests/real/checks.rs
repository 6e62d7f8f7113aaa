//! Checks look at what was claimed, where it was claimed, and say what they saw.

use std::path::Path;

use collective_core::Span;
use collective_core::limits::MAX_FEEDBACK_LEN;
use collective_core::task::check::{Verdict, judge};
use collective_core::task::{Check, Evidence};
use collective_runner::checks::{self, ChecksError, Scene};
use collective_runner::worktree::Repository;
use libtest_mimic::Trial;
use tokio_util::sync::CancellationToken;

use super::support::{pid_in, run, runs, shell, trial};
use super::worktree::{git, repository};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_check_sees_the_commit_and_not_the_working_folder",
            at_a_commit,
        ),
        trial("a_check_without_a_commit_sees_the_folder", in_a_folder),
        trial("evidence_says_what_was_seen", evidence),
        trial("a_check_that_can_t_end_is_ended", endless),
        trial("a_check_is_called_off_with_its_attempt", called_off),
    ]
}

fn command(script: &str) -> Check {
    Check::Command {
        command: shell(script),
        exit_code: 0,
        timeout: Span::from_secs(60),
    }
}

fn file(path: &str) -> Check {
    Check::File {
        path: path.to_owned(),
    }
}

async fn look(checks: &[Check], scene: &Scene) -> Vec<Evidence> {
    checks::run(run(), "12-1", checks, scene, &CancellationToken::new())
        .await
        .unwrap()
}

fn folder(path: &Path) -> Scene {
    Scene::Folder(path.to_owned())
}

async fn at_a_commit() {
    let repository = repository();
    let commit = git(repository.path(), &["rev-parse", "main"]);
    std::fs::write(repository.path().join("uncommitted"), "").unwrap();
    std::fs::write(repository.path().join("README"), "changed").unwrap();
    let scene = Scene::Commit {
        repository: Repository::discover(repository.path()).await.unwrap(),
        commit: commit.clone(),
    };
    let checks = [
        file("README"),
        file("uncommitted"),
        command("cat README; git rev-parse HEAD; echo changed > README; ls"),
        Check::Schema {
            schema: serde_json::json!({}),
        },
        command("env | grep -e COLLECTIVE_TOKEN -e COLLECTIVE_LEASE; true"),
    ];
    let seen = look(&checks, &scene).await;
    let passed: Vec<_> = seen
        .iter()
        .map(|piece| (piece.check, piece.passed))
        .collect();
    assert_eq!(passed, [(0, true), (1, false), (2, true), (4, true)]);
    assert_eq!(seen[2].output, format!("one\n{commit}\nREADME\n"));
    assert_eq!(seen[3].output, "");
    assert!(
        seen.iter()
            .all(|piece| piece.commit.as_ref() == Some(&commit))
    );
    let list = git(repository.path(), &["worktree", "list", "--porcelain"]);
    assert_eq!(list.matches("worktree ").count(), 1, "{list}");
    match judge(&checks, &seen) {
        // The schema is the server's.
        Err(rejection) => assert!(rejection.message().contains("JSON schema")),
        Ok(verdict) => panic!("{verdict:?}"),
    }

    let nowhere = Scene::Commit {
        repository: Repository::discover(repository.path()).await.unwrap(),
        commit: "0123456789".to_owned(),
    };
    let error = checks::run(run(), "x", &checks, &nowhere, &CancellationToken::new()).await;
    assert!(matches!(error, Err(ChecksError::Tree(_))), "{error:?}");
}

async fn in_a_folder() {
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("made"), "").unwrap();
    let checks = [file("made"), command("ls")];
    let seen = look(&checks, &folder(here.path())).await;
    assert!(
        seen.iter()
            .all(|piece| piece.passed && piece.commit.is_none())
    );
    assert_eq!(judge(&checks, &seen).unwrap(), Verdict::Done);
    assert!(look(&[], &folder(here.path())).await.is_empty());
}

async fn evidence() {
    let here = tempfile::tempdir().unwrap();
    let wanted_three = Check::Command {
        command: shell("exit 3"),
        exit_code: 3,
        timeout: Span::from_secs(60),
    };
    let missing = Check::Command {
        command: vec!["no-such-program-anywhere".to_owned()],
        exit_code: 0,
        timeout: Span::from_secs(60),
    };
    let checks = [
        command("echo out; exit 1"),
        wanted_three,
        missing,
        command("kill -SEGV $$"),
        command("seq 1 100000; false"),
    ];
    let seen = look(&checks, &folder(here.path())).await;
    let short: Vec<_> = seen
        .iter()
        .map(|piece| {
            (
                piece.passed,
                piece.exit_code,
                piece.output.lines().last().unwrap_or(""),
            )
        })
        .collect();
    assert_eq!(
        short,
        [
            (false, Some(1), "out"),
            (true, Some(3), ""),
            (
                false,
                None,
                "program `no-such-program-anywhere` doesn't exist in the PATH"
            ),
            (false, None, "it ended by signal SIGSEGV"),
            (false, Some(1), "100000"),
        ]
    );
    // The hash is of all of it, the output only the end.
    assert_eq!(
        seen[0].log_sha256.as_deref(),
        Some("54034ac5c6e9ea95734ec2b729fd6d62abf64af34a9f9ce5d466cb788191a73d")
    );
    assert!(seen[4].output.len() <= MAX_FEEDBACK_LEN);
    let hash = std::process::Command::new("sh")
        .args(["-c", "seq 1 100000 | sha256sum | cut -d' ' -f1"])
        .output()
        .unwrap();
    let hash = String::from_utf8(hash.stdout).unwrap();
    assert_eq!(seen[4].log_sha256.as_deref(), Some(hash.trim()));
    assert!(seen.iter().all(|piece| piece.seconds >= 0.0));
}

async fn endless() {
    let here = tempfile::tempdir().unwrap();
    let check = Check::Command {
        command: shell("echo waiting; exec sleep 600"),
        exit_code: 0,
        timeout: Span::from_millis(300),
    };
    let seen = look(&[check], &folder(here.path())).await;
    assert_eq!((seen[0].passed, seen[0].exit_code), (false, None));
    assert_eq!(
        seen[0].output,
        "waiting\nit ran longer than 0.3 s and was ended"
    );
}

async fn called_off() {
    let here = tempfile::tempdir().unwrap();
    let scene = folder(here.path());
    let cancel = CancellationToken::new();
    let checks = [command("echo $$ > pid; exec sleep 600")];
    let running = checks::run(run(), "x", &checks, &scene, &cancel);
    let stop = async {
        let pid = pid_in(&here.path().join("pid")).await;
        cancel.cancel();
        pid
    };
    let (ended, pid) = tokio::join!(running, stop);
    assert!(matches!(ended, Err(ChecksError::Cancelled)), "{ended:?}");
    assert!(!runs(pid));
}
