//! Runs a task's checks after its agent has stopped: what was claimed is looked
//! at, at the claimed commit in a clean working tree, and what is seen is the
//! evidence that the server judges.
//!
//! A check gets no key and no lease, and its tree is thrown away. JSON schemas
//! are the server's to check; they get no evidence here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use collective_core::limits::MAX_FEEDBACK_LEN;
use collective_core::task::{Check, Evidence, FailureClass};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::git::GitError;
use crate::process::CommandSpec;
use crate::runs::Run;
use crate::supervise::{self, Control, Exit};
use crate::worktree::Repository;

/// How long a check may take to end once it was asked to.
const GRACE: Duration = Duration::from_secs(5);

/// Where the checks look.
#[derive(Clone, Debug)]
pub enum Scene {
    /// At a commit, in a clean working tree of their own.
    Commit {
        /// The repository.
        repository: Repository,
        /// The claimed commit.
        commit: String,
    },
    /// In the folder where the agent worked.
    Folder(PathBuf),
}

/// Why there is no evidence at all. None of it is the agent's fault.
#[derive(Debug, thiserror::Error)]
pub enum ChecksError {
    /// The clean working tree can't be made.
    #[error("the checks have no working tree: {0}")]
    Tree(#[from] GitError),
    /// The attempt was called off.
    #[error("the checks were called off")]
    Cancelled,
}

impl ChecksError {
    /// Whether trying again can help.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Tree(error) => error.class(),
            Self::Cancelled => FailureClass::Transient,
        }
    }
}

/// Runs the checks one after the other; gives a piece of evidence for each but
/// JSON schemas.
pub async fn run(
    run: &Run,
    label: &str,
    checks: &[Check],
    scene: &Scene,
    cancel: &CancellationToken,
) -> Result<Vec<Evidence>, ChecksError> {
    let needed = |check: &&Check| !matches!(check, Check::Schema { .. });
    if checks.iter().filter(needed).count() == 0 {
        return Ok(Vec::new());
    }
    match scene {
        Scene::Folder(folder) => look(run, label, checks, folder, None, cancel).await,
        Scene::Commit { repository, commit } => {
            let checkout = repository.checkout(&run.worktrees(), commit).await?;
            let folder = checkout.workdir();
            let seen = look(run, label, checks, &folder, Some(commit), cancel).await;
            if let Err(error) = checkout.remove().await {
                tracing::warn!(%error, "the working tree of checks can't be removed");
            }
            seen
        }
    }
}

async fn look(
    run: &Run,
    label: &str,
    checks: &[Check],
    folder: &Path,
    commit: Option<&str>,
    cancel: &CancellationToken,
) -> Result<Vec<Evidence>, ChecksError> {
    let mut evidence = Vec::new();
    for (place, check) in (0u32..).zip(checks) {
        let started_at = Instant::now();
        let mut piece = match check {
            Check::Schema { .. } => continue,
            Check::File { path } => file(folder, path),
            Check::Command {
                command,
                exit_code,
                timeout,
            } => {
                let label = format!("check-{place}-of-{label}");
                let spec = command_spec(label, command, folder);
                let seen = execute(run, &spec, *exit_code, timeout.as_duration(), cancel).await;
                seen.ok_or(ChecksError::Cancelled)?
            }
        };
        piece.check = place;
        piece.commit = commit.map(str::to_owned);
        piece.seconds = started_at.elapsed().as_secs_f64();
        evidence.push(piece);
    }
    Ok(evidence)
}

fn nothing_seen(passed: bool, output: String) -> Evidence {
    Evidence {
        check: 0,
        passed,
        exit_code: None,
        log_sha256: None,
        commit: None,
        seconds: 0.0,
        output,
    }
}

fn file(folder: &Path, path: &str) -> Evidence {
    match std::fs::metadata(folder.join(path)) {
        Ok(_) => nothing_seen(true, String::new()),
        Err(error) => nothing_seen(false, format!("`{path}`: {error}")),
    }
}

fn command_spec(label: String, command: &[String], folder: &Path) -> CommandSpec {
    CommandSpec {
        label,
        argv: command.to_vec(),
        env: Vec::new(),
        drop_env: Vec::new(),
        workdir: folder.to_owned(),
        stdin: None,
        grace: GRACE,
    }
}

/// Runs one command; nothing if it was called off.
async fn execute(
    run: &Run,
    spec: &CommandSpec,
    wanted: i32,
    timeout: Duration,
    cancel: &CancellationToken,
) -> Option<Evidence> {
    let control = Control {
        cancel: cancel.clone(),
        ..Control::default()
    };
    let ran = match supervise::run(&run.guard(), spec, timeout, control).await {
        Ok(ran) => ran,
        Err(error) => return Some(nothing_seen(false, error.to_string())),
    };
    let mut evidence = Evidence {
        log_sha256: Some(ran.output.sha256_hex()),
        ..nothing_seen(false, String::new())
    };
    let note = match &ran.exit {
        Exit::Cancelled => return None,
        Exit::Code(code) => {
            evidence.exit_code = Some(*code);
            evidence.passed = *code == wanted;
            String::new()
        }
        Exit::TimedOut => format!(
            "it ran longer than {} s and was ended",
            timeout.as_secs_f64()
        ),
        Exit::Signal(_) | Exit::GuardKilled | Exit::NotStarted(_) => {
            format!("it ended by {}", ran.exit)
        }
    };
    let room = MAX_FEEDBACK_LEN - note.len() - 1;
    evidence.output = ran.output.tail_text(room);
    if !note.is_empty() {
        if !evidence.output.is_empty() && !evidence.output.ends_with('\n') {
            evidence.output.push('\n');
        }
        evidence.output.push_str(&note);
    }
    Some(evidence)
}
