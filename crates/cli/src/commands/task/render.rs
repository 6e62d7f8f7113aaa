//! Words and tones for tasks, shared by the commands that show them.

use collective_core::task::{AttemptOutcome, Task, TaskResult, TaskState};

use crate::output::Tone;

/// The tone of a state.
pub(crate) fn state_tone(state: TaskState) -> Tone {
    match state {
        TaskState::Succeeded => Tone::Good,
        TaskState::Dead => Tone::Bad,
        TaskState::Running => Tone::Busy,
        TaskState::NeedsInput | TaskState::Retrying | TaskState::QuotaWait => Tone::Warn,
        TaskState::Cancelled | TaskState::Discarded => Tone::Faint,
        TaskState::Blocked | TaskState::Scheduled | TaskState::Queued => Tone::Plain,
    }
}

/// The tone of an attempt's outcome.
pub(super) fn outcome_tone(outcome: AttemptOutcome) -> Tone {
    match outcome {
        AttemptOutcome::Succeeded => Tone::Good,
        AttemptOutcome::Failed | AttemptOutcome::Lost | AttemptOutcome::TimedOut => Tone::Bad,
        AttemptOutcome::Cancelled | AttemptOutcome::Released => Tone::Faint,
    }
}

/// Counted attempts of those allowed: `1/3`. The one that runs counts.
pub(super) fn attempts(task: &Task) -> String {
    let used = task.attempts_used + u32::from(task.state.is_leased());
    format!("{used}/{}", task.spec.retry.max_attempts)
}

/// What a result says: its text, or its JSON.
pub(crate) fn result_text(result: &TaskResult) -> String {
    match (&result.json, result.text.is_empty()) {
        (Some(json), true) => {
            serde_json::to_string_pretty(json).unwrap_or_else(|_| json.to_string())
        }
        _ => result.text.clone(),
    }
}
