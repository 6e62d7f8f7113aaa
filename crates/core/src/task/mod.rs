//! Tasks: one unit of work, its life, and everything that it carries.
//!
//! [`spec`] is what was asked and never changes; [`Task`] is where it stands.
//! [`transition`] holds every rule that moves it, [`order`] who is next,
//! [`retry`] what follows a failure, [`check`] when it counts as done.

pub mod check;
mod evolve;
mod follow;
pub mod graph;
pub mod lease;
pub mod order;
pub mod outcome;
pub mod retry;
pub mod spec;
pub mod transition;

use serde::{Deserialize, Serialize};

pub use check::{Check, Evidence};
pub use lease::{Epoch, Lease, LeaseToken};
pub use order::Priority;
pub use outcome::{
    Artifact, ArtifactKind, Attempt, AttemptOutcome, Failure, FailureClass, TaskResult, Usage,
};
pub use retry::RetryPolicy;
pub use spec::{Dependency, DependencyCondition, Lane, TaskRef, TaskSpec};
pub use transition::{Queued, Transition};

use crate::{QuestionId, TaskId, Timestamp};

/// Where a task stands. `DESIGN` calls the whole picture the task's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for other tasks.
    Blocked,
    /// Waits for its `run_at`.
    Scheduled,
    /// Waits for an agent.
    Queued,
    /// An agent works on it under a lease.
    Running,
    /// Its agent asked something; the lease is held open.
    NeedsInput,
    /// Failed; waits for its next attempt.
    Retrying,
    /// The provider's limit was hit; waits for its reset.
    QuotaWait,
    /// Done, with every check passed.
    Succeeded,
    /// Attempts used up, or no rule lets it run: a dead letter.
    Dead,
    /// Called off.
    Cancelled,
    /// A dead letter that was put away.
    Discarded,
}

impl TaskState {
    /// Every state.
    pub const ALL: [TaskState; 11] = [
        TaskState::Blocked,
        TaskState::Scheduled,
        TaskState::Queued,
        TaskState::Running,
        TaskState::NeedsInput,
        TaskState::Retrying,
        TaskState::QuotaWait,
        TaskState::Succeeded,
        TaskState::Dead,
        TaskState::Cancelled,
        TaskState::Discarded,
    ];

    /// The state's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            TaskState::Blocked => "blocked",
            TaskState::Scheduled => "scheduled",
            TaskState::Queued => "queued",
            TaskState::Running => "running",
            TaskState::NeedsInput => "needs_input",
            TaskState::Retrying => "retrying",
            TaskState::QuotaWait => "quota_wait",
            TaskState::Succeeded => "succeeded",
            TaskState::Dead => "dead",
            TaskState::Cancelled => "cancelled",
            TaskState::Discarded => "discarded",
        }
    }

    /// The state with this word.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether nothing moves it any more but a person's retry.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            TaskState::Succeeded | TaskState::Dead | TaskState::Cancelled | TaskState::Discarded
        )
    }

    /// Whether an agent holds a lease on it.
    pub const fn is_leased(self) -> bool {
        matches!(self, TaskState::Running | TaskState::NeedsInput)
    }
}

impl std::fmt::Display for TaskState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A task as it stands. Everything but `spec` moves only through [`transition`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its number: the sequence number of its first event, short enough to type.
    pub number: u64,
    /// What was asked.
    pub spec: TaskSpec,
    /// Who asked.
    pub created_by: String,
    /// Where it stands.
    pub state: TaskState,
    /// Dependencies that it still waits for.
    pub waiting_on: u32,
    /// Since when it has been ready for an agent; orders its lane.
    pub ready_at: Timestamp,
    /// When the next attempt may start (scheduled, retrying, quota_wait).
    pub wake_at: Option<Timestamp>,
    /// How many times it was claimed; also the number of its newest attempt.
    pub epoch: Epoch,
    /// Attempts that count against its policy.
    pub attempts_used: u32,
    /// Attempts that ended as poison.
    pub poisonings: u32,
    /// The lease, while an agent holds one.
    pub lease: Option<Lease>,
    /// The open question, while it needs input.
    pub question: Option<QuestionId>,
    /// Why it is to be called off, once someone asked for that while an agent holds it.
    pub cancel_reason: Option<String>,
    /// The last failure: what a retry waits for, or why it is dead or cancelled.
    pub failure: Option<Failure>,
    /// The result, once it succeeded.
    pub result: Option<TaskResult>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its newest attempt started.
    pub started_at: Option<Timestamp>,
    /// When it reached its outcome.
    pub finished_at: Option<Timestamp>,
}

impl Task {
    /// The lane that it waits in.
    pub fn lane(&self) -> Lane {
        self.spec.lane()
    }
}
