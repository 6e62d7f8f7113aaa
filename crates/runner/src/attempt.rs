//! One attempt at a task: a command, given all that it needs, run under guard,
//! read, stopped in time, and judged by how it ended.
//!
//! A command is given, in its environment:
//!
//! | variable | value |
//! |---|---|
//! | `COLLECTIVE_URL`, `COLLECTIVE_TOKEN` | the server, and the agent's key for it |
//! | `COLLECTIVE_TEAM`, `COLLECTIVE_AGENT` | who it is |
//! | `COLLECTIVE_TASK`, `COLLECTIVE_TASK_NUMBER` | the task's id and number |
//! | `COLLECTIVE_ATTEMPT`, `COLLECTIVE_EPOCH` | the attempt's number, which is the epoch of its lease |
//! | `COLLECTIVE_LEASE` | the lease's token |
//! | `COLLECTIVE_PROMPT` | path of the prompt |
//! | `COLLECTIVE_INPUT` | path of the task's input, JSON |
//! | `COLLECTIVE_DEPENDENCIES` | path of what the tasks before it gave, a JSON array |
//! | `COLLECTIVE_DEPENDENCIES_DIR` | folder with the text of each of those results, one file `KEY.txt` each |
//! | `COLLECTIVE_FEEDBACK` | path of why the last attempt failed; only if one did |
//! | `COLLECTIVE_ANSWERS` | path of what it asked before and was answered, JSON; only if it did |
//! | `COLLECTIVE_RESULT` | path where it may write its result, JSON or text |
//! | `COLLECTIVE_ARTIFACTS` | folder where it may put files to keep |
//! | `COLLECTIVE_BRANCH`, `COLLECTIVE_BASE` | the branch of its worktree and the commit that it starts from; only in a worktree |
//! | `COLLECTIVE_GUARD` | the mark by which leftovers of a killed runner are found |
//! | `TRACEPARENT` | the trace that it belongs to (W3C Trace Context), if there is one |
//!
//! No other variable that starts with `COLLECTIVE_` reaches it. Secrets are
//! never among its arguments.
//!
//! Its result is the result file if it wrote one, else its standard output as
//! its preset reads it. How it ended decides whether it claims to be done; the
//! table is in [`crate::preset::failure`]. Whether it is done, the checks say.

mod desk;
mod prompt;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use collective_core::limits::{MAX_ARTIFACTS, MAX_FEEDBACK_LEN, MAX_REASON_LEN};
use collective_core::task::{ArtifactKind, Epoch, Failure, FailureClass, LeaseToken, Usage};
use collective_core::{AgentName, TaskId, TeamName, Timestamp};
use serde_json::Value;

use crate::git::GitError;
use crate::output::Captured;
use crate::preset::failure::Rules;
use crate::preset::reading::Reading;
use crate::process::CommandSpec;
use crate::runs::Run;
use crate::supervise;
use crate::worktree::{Finished, Kept, Repository, Worktree};

pub use crate::supervise::{Control, Exit};
use desk::Desk;

/// How the prompt reaches the command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// As its standard input.
    #[default]
    Stdin,
    /// As an argument: in the place of `{prompt}`, or as the last. One that is
    /// larger than a system allows is replaced by a sentence that names its file.
    Argument,
    /// As a file: its path in the place of `{prompt_file}`, or as the last argument.
    File,
}

/// Who works on what.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The server's address.
    pub url: String,
    /// The agent's key.
    pub token: String,
    /// The team.
    pub team: TeamName,
    /// The agent.
    pub agent: AgentName,
    /// The task.
    pub task: TaskId,
    /// The task's number.
    pub number: u64,
    /// The claim.
    pub epoch: Epoch,
    /// What the claim is proven by.
    pub lease: LeaseToken,
    /// The trace that the task belongs to.
    pub traceparent: Option<String>,
}

impl Identity {
    /// The attempt in a word: `12-1`.
    pub fn label(&self) -> String {
        format!("{}-{}", self.number, self.epoch)
    }

    fn env(&self) -> Vec<(OsString, OsString)> {
        let mut env = vec![
            ("COLLECTIVE_URL", self.url.clone()),
            ("COLLECTIVE_TOKEN", self.token.clone()),
            ("COLLECTIVE_TEAM", self.team.to_string()),
            ("COLLECTIVE_AGENT", self.agent.to_string()),
            ("COLLECTIVE_TASK", self.task.to_string()),
            ("COLLECTIVE_TASK_NUMBER", self.number.to_string()),
            ("COLLECTIVE_ATTEMPT", self.epoch.to_string()),
            ("COLLECTIVE_EPOCH", self.epoch.to_string()),
            ("COLLECTIVE_LEASE", self.lease.to_string()),
        ];
        if let Some(traceparent) = &self.traceparent {
            env.push(("TRACEPARENT", traceparent.clone()));
        }
        env.into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }
}

/// Where a command runs.
#[derive(Clone, Debug)]
pub enum Place {
    /// In this folder, as it is.
    Folder(PathBuf),
    /// In a new worktree of this repository, on a branch of its own, which is
    /// named after the task (`collective/<name>-<attempt>`).
    Worktree {
        /// The repository.
        repository: Repository,
        /// The task's key or number.
        name: String,
        /// The commit to start from; `HEAD` if nothing is said.
        base: Option<String>,
    },
}

/// One attempt, with everything that it needs.
#[derive(Clone, Debug)]
pub struct AttemptSpec {
    /// The program and its arguments; nothing passes through a shell.
    pub command: Vec<String>,
    /// How the prompt reaches it.
    pub delivery: Delivery,
    /// What it is told.
    pub prompt: String,
    /// Who works on what.
    pub identity: Identity,
    /// What it is given, as JSON.
    pub input: Value,
    /// What the tasks that it depended on gave, a JSON array.
    pub dependencies: Value,
    /// Why the last attempt failed.
    pub feedback: Option<String>,
    /// What earlier attempts asked and were answered.
    pub answers: Option<Value>,
    /// Variables to set beside those of the table.
    pub env: Vec<(String, String)>,
    /// Variables of the runner to leave out.
    pub drop_env: Vec<String>,
    /// Where it runs.
    pub place: Place,
    /// How long it may run.
    pub timeout: Duration,
    /// How long it may take to end once it was asked to.
    pub grace: Duration,
    /// How its standard output is read.
    pub reading: Arc<Reading>,
    /// How its failures are recognised.
    pub rules: Arc<Rules>,
}

/// Something that the attempt made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its name, a plain file name.
    pub name: String,
    /// What it is.
    pub kind: ArtifactKind,
    /// Where else it is to be found.
    pub reference: Option<String>,
    /// Its bytes, if they are to be kept.
    pub content: Option<Vec<u8>>,
}

/// How an attempt went.
#[derive(Debug)]
pub struct AttemptReport {
    /// How the command ended.
    pub exit: Exit,
    /// Why it isn't done. Nothing: it claims to be done, and the checks decide.
    pub failure: Option<Failure>,
    /// The result's text.
    pub text: String,
    /// The result's JSON.
    pub json: Option<Value>,
    /// What it cost.
    pub usage: Usage,
    /// The agent's own session, for a preset that can resume it.
    pub session: Option<String>,
    /// What it made: the branch and the patch of its worktree first.
    pub artifacts: Vec<Made>,
    /// The commit that its work ends with, if it had a worktree.
    pub commit: Option<String>,
    /// Its worktree, if that couldn't be removed without losing something.
    pub kept: Option<Kept>,
    /// What a person should know: files left out, processes that withstood SIGKILL.
    pub warnings: Vec<String>,
}

impl AttemptReport {
    fn not_started(failure: Failure) -> Self {
        Self {
            exit: Exit::NotStarted(failure.reason.clone()),
            failure: Some(failure),
            text: String::new(),
            json: None,
            usage: Usage::default(),
            session: None,
            artifacts: Vec::new(),
            commit: None,
            kept: None,
            warnings: Vec::new(),
        }
    }

    /// Adds what became of the worktree.
    fn take_in(&mut self, finished: Finished) {
        self.commit = finished.commit;
        self.warnings.extend(finished.warnings);
        let mut made = Vec::new();
        if let Some(branch) = finished.branch {
            // The next attempt starts anew, so it is told where to look.
            if let Some(failure) = &mut self.failure {
                let place = format!("\n\nThe work of this attempt is on the branch {branch}.");
                let room = MAX_FEEDBACK_LEN - place.len();
                let feedback = collective_core::text::tail(&failure.feedback, room);
                failure.feedback = format!("{}{place}", feedback.trim_end());
            }
            made.push(Made {
                name: "branch".to_owned(),
                kind: ArtifactKind::Branch,
                reference: Some(branch),
                content: None,
            });
        }
        if let Some(patch) = finished.patch {
            made.push(Made {
                name: "changes.patch".to_owned(),
                kind: ArtifactKind::Patch,
                reference: None,
                content: Some(patch),
            });
        }
        let taken = |name: &str| made.iter().any(|made| made.name == name);
        self.artifacts.retain(|artifact| !taken(&artifact.name));
        made.append(&mut self.artifacts);
        self.artifacts = made;
        if let Some(kept) = &finished.kept {
            self.warnings.push(format!(
                "the worktree `{}` is kept: {}",
                kept.path.display(),
                kept.reason
            ));
        }
        self.kept = finished.kept;
    }
}

/// Runs an attempt to its end. Dropping the future ends the command too, but
/// leaves its worktree to [`crate::worktree::recover`].
///
/// Returns when the command and all that it started are gone, the log is taken
/// (or nobody takes it), its work is saved and everything is read.
pub async fn run(run: &Run, spec: &AttemptSpec, control: Control) -> AttemptReport {
    let desk = match Desk::lay(run, spec) {
        Ok(desk) => desk,
        Err(error) => {
            let reason = format!("the attempt's folder can't be written: {error}");
            return AttemptReport::not_started(Failure::new(FailureClass::Transient, reason));
        }
    };
    let started_at = tokio::time::Instant::now();
    let mut report = match &spec.place {
        Place::Folder(folder) => {
            let command = command(spec, &desk, folder.clone(), &[]);
            execute(run, spec, &desk, command, control).await
        }
        Place::Worktree {
            repository,
            name,
            base,
        } => {
            let name = format!("{name}-{}", spec.identity.epoch);
            let folder = run.worktrees();
            let worktree = repository.worktree(&folder, &name, base.as_deref());
            match worktree.await {
                Ok(worktree) => in_worktree(run, spec, &desk, control, worktree).await,
                Err(error) => AttemptReport::not_started(no_worktree(&error)),
            }
        }
    };
    report.usage.seconds = started_at.elapsed().as_secs_f64();
    if let Err(error) = desk.clear() {
        report
            .warnings
            .push(format!("the attempt's folder can't be removed: {error}"));
    }
    report
}

fn no_worktree(error: &GitError) -> Failure {
    let mut failure = Failure::new(error.class(), format!("no worktree: {error}"));
    failure.feedback = error.hint().unwrap_or_default();
    failure
}

async fn in_worktree(
    run: &Run,
    spec: &AttemptSpec,
    desk: &Desk,
    control: Control,
    worktree: Worktree,
) -> AttemptReport {
    let mut env = worktree.env().await;
    env.push(("COLLECTIVE_BRANCH".to_owned(), worktree.branch().to_owned()));
    env.push(("COLLECTIVE_BASE".to_owned(), worktree.base().to_owned()));
    let command = command(spec, desk, worktree.workdir(), &env);
    let mut report = execute(run, spec, desk, command, control).await;
    let message = format!(
        "Work of task {}, attempt {}, that was not committed",
        spec.identity.number, spec.identity.epoch
    );
    report.take_in(worktree.finish(&message).await);
    report
}

async fn execute(
    run: &Run,
    spec: &AttemptSpec,
    desk: &Desk,
    command: CommandSpec,
    control: Control,
) -> AttemptReport {
    match supervise::run(&run.guard(), &command, spec.timeout, control).await {
        Ok(ran) => {
            let mut report = read(spec, desk, ran.exit, &ran.output);
            if ran.left > 0 {
                report
                    .warnings
                    .push(format!("{} processes withstood SIGKILL", ran.left));
            }
            report
        }
        Err(error) => AttemptReport::not_started(Failure::new(error.class(), error.to_string())),
    }
}

fn command(
    spec: &AttemptSpec,
    desk: &Desk,
    workdir: PathBuf,
    of_place: &[(String, String)],
) -> CommandSpec {
    let mut env = spec.identity.env();
    env.extend(desk.env().iter().cloned());
    env.extend(
        of_place
            .iter()
            .chain(&spec.env)
            .map(|(name, value)| (name.into(), value.into())),
    );
    CommandSpec {
        label: spec.identity.label(),
        argv: prompt::deliver(&spec.command, spec.delivery, &spec.prompt, &desk.prompt),
        env,
        drop_env: spec.drop_env.clone(),
        workdir,
        stdin: (spec.delivery == Delivery::Stdin).then(|| desk.prompt.clone()),
        grace: spec.grace,
    }
}

/// Reads what the command left, and judges how it ended.
fn read(spec: &AttemptSpec, desk: &Desk, exit: Exit, captured: &Captured) -> AttemptReport {
    let mut warnings = Vec::new();
    let stdout = String::from_utf8_lossy(&captured.stdout);
    let tail = captured.tail_text(crate::output::TAIL_LEN);
    let mut read = spec.reading.read(&stdout, &tail);
    if captured.stdout_cut {
        warnings.push("standard output is larger than a result may be; its end is kept".to_owned());
    }
    let told = read.text.clone();
    match desk.result(&mut warnings) {
        desk::Written::Nothing => {}
        desk::Written::Text(text) => {
            read.text = text;
            read.json = None;
        }
        desk::Written::Json(json) => {
            if let Some(text) = json.get("text").and_then(Value::as_str) {
                read.text = text.to_owned();
            }
            read.json = Some(json);
        }
    }
    AttemptReport {
        failure: judge(spec, &exit, read.error.as_deref(), &told, &tail),
        exit,
        text: bounded(read.text),
        json: read.json,
        usage: read.usage,
        session: read.session,
        artifacts: desk.artifacts(MAX_ARTIFACTS - RESERVED_ARTIFACTS, &mut warnings),
        commit: None,
        kept: None,
        warnings,
    }
}

/// A branch and its patch come with every worktree.
const RESERVED_ARTIFACTS: usize = 2;

/// Lossy reading can make a text longer than the bytes it came from.
fn bounded(text: String) -> String {
    let max = collective_core::limits::MAX_RESULT_LEN;
    if text.len() <= max {
        return text;
    }
    collective_core::text::tail(&text, max).to_owned()
}

fn judge(
    spec: &AttemptSpec,
    exit: &Exit,
    error: Option<&str>,
    told: &str,
    tail: &str,
) -> Option<Failure> {
    if matches!(exit, Exit::Code(0)) && error.is_none() {
        return None;
    }
    let mut failure = match exit {
        Exit::TimedOut => Failure::new(
            FailureClass::Transient,
            format!(
                "it ran longer than its timeout of {}",
                collective_core::Span::from_micros(
                    u64::try_from(spec.timeout.as_micros()).unwrap_or(u64::MAX)
                )
            ),
        ),
        Exit::Cancelled => Failure::new(FailureClass::Transient, "it was called off"),
        Exit::GuardKilled => Failure::new(
            FailureClass::Transient,
            "the guard of its command was killed, and the command with it",
        ),
        Exit::NotStarted(reason) => Failure::new(FailureClass::Permanent, reason.clone()),
        Exit::Code(_) | Exit::Signal(_) => {
            // What the agent printed in its work may speak of limits and errors too.
            let recognised = spec
                .rules
                .classify(exit.end(), error.unwrap_or(tail), now());
            let mut reason = format!("the command ended with {exit}");
            if let Some(said) = error.or(recognised.line.as_deref()) {
                reason = format!(
                    "{reason}: {}",
                    collective_core::text::head(said.trim(), 500)
                );
            }
            let mut failure = Failure::new(recognised.class, reason);
            failure.retry_at = recognised.retry_at;
            failure
        }
    };
    failure.reason = collective_core::text::head(&failure.reason, MAX_REASON_LEN).to_owned();
    let feedback = if error.is_some() { told } else { tail };
    failure.feedback = collective_core::text::tail(feedback, MAX_FEEDBACK_LEN).to_owned();
    Some(failure)
}

fn now() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}
