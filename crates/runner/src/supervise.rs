//! Runs a command from its start to its end, within its limits: timeout,
//! cancellation, output.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::guard::{End, Guard};
use crate::output::{self, Captured, Listeners};
use crate::process::{CommandSpec, Gone, Guarded, Happened, StartError};

/// The hand on a running command.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// Cancel it to call the command off: it gets SIGTERM at once, SIGKILL
    /// after its grace period.
    pub cancel: CancellationToken,
    /// Who is told of output and progress.
    pub listeners: Listeners,
}

/// What is known of a command that ran.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub exit: Exit,
    /// What it printed.
    pub output: Captured,
    /// How many processes withstood SIGKILL.
    pub left: u64,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this exit code.
    Code(i32),
    /// Killed by this signal.
    Signal(i32),
    /// It ran too long and was ended.
    TimedOut,
    /// It was called off and ended.
    Cancelled,
    /// It never started; why.
    NotStarted(String),
    /// Its guard was killed.
    GuardKilled,
}

impl Exit {
    /// The end of the command itself, where it came to one by itself.
    pub fn end(&self) -> Option<End> {
        match self {
            Exit::Code(code) => Some(End::Code(*code)),
            Exit::Signal(number) => Some(End::Signal(*number)),
            Exit::TimedOut | Exit::Cancelled | Exit::NotStarted(_) | Exit::GuardKilled => None,
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exit::Code(code) => End::Code(*code).fmt(f),
            Exit::Signal(number) => End::Signal(*number).fmt(f),
            Exit::TimedOut => f.write_str("timeout"),
            Exit::Cancelled => f.write_str("cancellation"),
            Exit::NotStarted(reason) => write!(f, "no start: {reason}"),
            Exit::GuardKilled => f.write_str("the death of its guard"),
        }
    }
}

/// Why a command was told to end.
#[derive(Clone, Copy)]
enum Told {
    Timeout,
    Cancel,
}

/// Runs a command until nothing of it is left. Dropping the future ends it too.
pub async fn run(
    guard: &Guard,
    command: &CommandSpec,
    timeout: Duration,
    control: Control,
) -> Result<Ran, StartError> {
    let mut guarded = Guarded::start(guard, command).await?;
    let (Some(stdout), Some(stderr)) = (guarded.stdout.take(), guarded.stderr.take()) else {
        return Err(StartError::GuardKilled);
    };
    let gone = CancellationToken::new();
    let supervised = async {
        let outcome = supervise(&mut guarded, command.grace, timeout, &control.cancel).await;
        gone.cancel();
        outcome
    };
    let followed = output::follow(stdout, stderr, control.listeners, gone.clone());
    let ((exit, how), output) = tokio::join!(supervised, followed);
    let left = match how {
        Gone::Left(count) => count,
        Gone::Orderly | Gone::GuardKilled => 0,
    };
    Ok(Ran { exit, output, left })
}

async fn supervise(
    guarded: &mut Guarded,
    grace: Duration,
    timeout: Duration,
    cancel: &CancellationToken,
) -> (Exit, Gone) {
    let timeout_at = Instant::now() + timeout;
    let mut told = None;
    let mut end = None;
    loop {
        let running = told.is_none() && end.is_none();
        tokio::select! {
            happened = guarded.happened() => match happened {
                Happened::Ended(seen) => end = Some(seen),
                Happened::Gone(how) => return (exit(told, end), how),
            },
            () = cancel.cancelled(), if running => {
                told = Some(Told::Cancel);
                guarded.stop(grace).await;
            }
            () = tokio::time::sleep_until(timeout_at), if running => {
                told = Some(Told::Timeout);
                guarded.stop(grace).await;
            }
        }
    }
}

/// A command that was told to end counts as ended by that, whatever it then
/// says; one that ended before it could be told counts by its own end.
fn exit(told: Option<Told>, end: Option<End>) -> Exit {
    match (told, end) {
        (Some(Told::Timeout), _) => Exit::TimedOut,
        (Some(Told::Cancel), _) => Exit::Cancelled,
        (None, Some(End::Code(code))) => Exit::Code(code),
        (None, Some(End::Signal(number))) => Exit::Signal(number),
        (None, None) => Exit::GuardKilled,
    }
}
