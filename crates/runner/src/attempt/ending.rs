//! Watches a command from its start to its end: timeout, cancellation, output.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{AttemptSpec, Control};
use crate::guard::{End, Guard};
use crate::output::{self, Captured};
use crate::process::{CommandSpec, Gone, Guarded, Happened, StartError};

/// How an attempt's command ended.
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

/// Runs a command to its end, within its limits.
pub(super) async fn watch(
    guard: &Guard,
    command: &CommandSpec,
    spec: &AttemptSpec,
    control: Control,
) -> Result<(Exit, Captured, Vec<String>), StartError> {
    let mut guarded = Guarded::start(guard, command).await?;
    let (Some(stdout), Some(stderr)) = (guarded.stdout.take(), guarded.stderr.take()) else {
        return Err(StartError::GuardKilled);
    };
    let gone = CancellationToken::new();
    let supervised = async {
        let outcome = supervise(&mut guarded, spec, &control.cancel).await;
        gone.cancel();
        outcome
    };
    let followed = output::follow(stdout, stderr, control.listeners, gone.clone());
    let ((exit, how), captured) = tokio::join!(supervised, followed);
    let warnings = match how {
        Gone::Left(count) => vec![format!("{count} processes withstood SIGKILL")],
        Gone::Orderly | Gone::GuardKilled => Vec::new(),
    };
    Ok((exit, captured, warnings))
}

/// Waits until nothing of the command is left.
async fn supervise(
    guarded: &mut Guarded,
    spec: &AttemptSpec,
    cancel: &CancellationToken,
) -> (Exit, Gone) {
    let timeout_at = Instant::now() + spec.timeout;
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
                guarded.stop(spec.grace).await;
            }
            () = tokio::time::sleep_until(timeout_at), if running => {
                told = Some(Told::Timeout);
                guarded.stop(spec.grace).await;
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
