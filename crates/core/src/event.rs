//! Events: immutable facts with a sequence number per team; the audit log and the live feed.
//!
//! A fact holds what is needed to replay a task's state (invariant 3), never a
//! secret and never a prompt, an input or a result: those are immutable or
//! kept once, beside the task.

use serde::{Deserialize, Serialize};

use crate::agent::AgentSpec;
use crate::message::{Receipt, Recipient};
use crate::role::Role;
use crate::task::{AttemptOutcome, Epoch, FailureClass, Lane, Priority, Queued, TaskState};
use crate::{
    AgentName, KeyId, MessageId, QuestionId, QueueName, ReservationId, ScheduleId, Span, TaskId,
    TeamName, Timestamp,
};

/// A fact as it is committed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// The team that it belongs to.
    pub team: TeamName,
    /// Its place in the team's log: 1, 2, 3, without gaps.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// Who caused it: `admin`, `agent:NAME`, `key:ROLE`, or `server`.
    pub actor: String,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type")]
#[expect(
    missing_docs,
    reason = "field names are the words of the design; each variant says what it means"
)]
pub enum Fact {
    /// A task was accepted.
    #[serde(rename = "task.created")]
    TaskCreated {
        task: TaskId,
        title: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        lane: Lane,
        priority: Priority,
        state: TaskState,
        waiting_on: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wake_at: Option<Timestamp>,
    },
    /// A dependency of a blocked task ended as it had to.
    #[serde(rename = "task.dependency_met")]
    TaskDependencyMet {
        task: TaskId,
        dependency: TaskId,
        waiting_on: u32,
    },
    /// A task that waited for other tasks now waits for its `run_at`.
    #[serde(rename = "task.scheduled")]
    TaskScheduled { task: TaskId, wake_at: Timestamp },
    /// A task became ready for an agent.
    #[serde(rename = "task.queued")]
    TaskQueued {
        task: TaskId,
        lane: Lane,
        priority: Priority,
        ready_at: Timestamp,
        cause: Queued,
    },
    /// An agent took it under a lease.
    #[serde(rename = "task.claimed")]
    TaskClaimed {
        task: TaskId,
        agent: AgentName,
        epoch: Epoch,
        ttl: Span,
    },
    /// Its agent asked something.
    #[serde(rename = "task.asked")]
    TaskAsked {
        task: TaskId,
        epoch: Epoch,
        agent: AgentName,
        question: QuestionId,
        expires_at: Timestamp,
    },
    /// Someone answered.
    #[serde(rename = "task.answered")]
    TaskAnswered {
        task: TaskId,
        question: QuestionId,
        by: String,
    },
    /// An attempt ended without success. What follows is the next fact of the task.
    #[serde(rename = "task.attempt_failed")]
    TaskAttemptFailed {
        task: TaskId,
        epoch: Epoch,
        agent: AgentName,
        outcome: AttemptOutcome,
        class: FailureClass,
        reason: String,
        counted: bool,
        lane: Lane,
        ran: Span,
    },
    /// It waits for its next attempt.
    #[serde(rename = "task.retrying")]
    TaskRetrying { task: TaskId, wake_at: Timestamp },
    /// It waits for the provider's reset.
    #[serde(rename = "task.quota_wait")]
    TaskQuotaWait { task: TaskId, wake_at: Timestamp },
    /// Done, with every check passed.
    #[serde(rename = "task.succeeded")]
    TaskSucceeded {
        task: TaskId,
        epoch: Epoch,
        agent: AgentName,
        lane: Lane,
        ran: Span,
    },
    /// It became a dead letter.
    #[serde(rename = "task.dead")]
    TaskDead {
        task: TaskId,
        class: FailureClass,
        reason: String,
        lane: Lane,
    },
    /// Someone asked to call it off while an agent holds it.
    #[serde(rename = "task.cancel_requested")]
    TaskCancelRequested { task: TaskId, reason: String },
    /// It was called off.
    #[serde(rename = "task.cancelled")]
    TaskCancelled {
        task: TaskId,
        class: FailureClass,
        reason: String,
        lane: Lane,
    },
    /// A dead letter was put away.
    #[serde(rename = "task.discarded")]
    TaskDiscarded { task: TaskId, reason: String },
    /// A person gave a dead or cancelled task a new start.
    #[serde(rename = "task.revived")]
    TaskRevived { task: TaskId, waiting_on: u32 },

    /// A team was created.
    #[serde(rename = "team.created")]
    TeamCreated { name: TeamName },
    /// An agent registered, or registered anew.
    #[serde(rename = "agent.registered")]
    AgentRegistered { agent: AgentName, spec: AgentSpec },
    /// An agent gets no new tasks, or gets them again.
    #[serde(rename = "agent.draining")]
    AgentDraining { agent: AgentName, draining: bool },
    /// An agent was removed.
    #[serde(rename = "agent.removed")]
    AgentRemoved { agent: AgentName },
    /// A queue was declared.
    #[serde(rename = "queue.declared")]
    QueueDeclared { queue: QueueName },
    /// A queue hands out nothing, or hands out again.
    #[serde(rename = "queue.paused")]
    QueuePaused { queue: QueueName, paused: bool },

    /// A message is durable; `recipients` are those whose inboxes it is in.
    #[serde(rename = "message.sent")]
    MessageSent {
        message: MessageId,
        from: String,
        to: Recipient,
        recipients: Vec<AgentName>,
    },
    /// A message got further with one recipient.
    #[serde(rename = "message.receipt")]
    MessageReceipt {
        message: MessageId,
        agent: AgentName,
        receipt: Receipt,
    },

    /// Paths were reserved.
    #[serde(rename = "reservation.made")]
    ReservationMade {
        reservation: ReservationId,
        agent: AgentName,
        repository: String,
        paths: Vec<String>,
        expires_at: Timestamp,
    },
    /// A reservation ended: released, expired, or with its attempt.
    #[serde(rename = "reservation.ended")]
    ReservationEnded {
        reservation: ReservationId,
        agent: AgentName,
        reason: String,
    },

    /// A schedule was created or changed.
    #[serde(rename = "schedule.set")]
    ScheduleSet {
        schedule: ScheduleId,
        name: String,
        cron: String,
        paused: bool,
    },
    /// A schedule came due.
    #[serde(rename = "schedule.fired")]
    ScheduleFired {
        schedule: ScheduleId,
        name: String,
        task: Option<TaskId>,
    },
    /// A schedule was removed.
    #[serde(rename = "schedule.removed")]
    ScheduleRemoved { schedule: ScheduleId, name: String },

    /// A key was made.
    #[serde(rename = "key.created")]
    KeyCreated {
        key: KeyId,
        label: String,
        role: Option<Role>,
        agent: Option<AgentName>,
    },
    /// A key was revoked.
    #[serde(rename = "key.revoked")]
    KeyRevoked { key: KeyId },
    /// A command was refused for lack of permission.
    #[serde(rename = "access.denied")]
    AccessDenied { what: String },
}

impl Fact {
    /// The word of its kind, as in `type`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Fact::TaskCreated { .. } => "task.created",
            Fact::TaskDependencyMet { .. } => "task.dependency_met",
            Fact::TaskScheduled { .. } => "task.scheduled",
            Fact::TaskQueued { .. } => "task.queued",
            Fact::TaskClaimed { .. } => "task.claimed",
            Fact::TaskAsked { .. } => "task.asked",
            Fact::TaskAnswered { .. } => "task.answered",
            Fact::TaskAttemptFailed { .. } => "task.attempt_failed",
            Fact::TaskRetrying { .. } => "task.retrying",
            Fact::TaskQuotaWait { .. } => "task.quota_wait",
            Fact::TaskSucceeded { .. } => "task.succeeded",
            Fact::TaskDead { .. } => "task.dead",
            Fact::TaskCancelRequested { .. } => "task.cancel_requested",
            Fact::TaskCancelled { .. } => "task.cancelled",
            Fact::TaskDiscarded { .. } => "task.discarded",
            Fact::TaskRevived { .. } => "task.revived",
            Fact::TeamCreated { .. } => "team.created",
            Fact::AgentRegistered { .. } => "agent.registered",
            Fact::AgentDraining { .. } => "agent.draining",
            Fact::AgentRemoved { .. } => "agent.removed",
            Fact::QueueDeclared { .. } => "queue.declared",
            Fact::QueuePaused { .. } => "queue.paused",
            Fact::MessageSent { .. } => "message.sent",
            Fact::MessageReceipt { .. } => "message.receipt",
            Fact::ReservationMade { .. } => "reservation.made",
            Fact::ReservationEnded { .. } => "reservation.ended",
            Fact::ScheduleSet { .. } => "schedule.set",
            Fact::ScheduleFired { .. } => "schedule.fired",
            Fact::ScheduleRemoved { .. } => "schedule.removed",
            Fact::KeyCreated { .. } => "key.created",
            Fact::KeyRevoked { .. } => "key.revoked",
            Fact::AccessDenied { .. } => "access.denied",
        }
    }

    /// The task that it is about.
    pub fn task(&self) -> Option<TaskId> {
        match self {
            Fact::TaskCreated { task, .. }
            | Fact::TaskDependencyMet { task, .. }
            | Fact::TaskScheduled { task, .. }
            | Fact::TaskQueued { task, .. }
            | Fact::TaskClaimed { task, .. }
            | Fact::TaskAsked { task, .. }
            | Fact::TaskAnswered { task, .. }
            | Fact::TaskAttemptFailed { task, .. }
            | Fact::TaskRetrying { task, .. }
            | Fact::TaskQuotaWait { task, .. }
            | Fact::TaskSucceeded { task, .. }
            | Fact::TaskDead { task, .. }
            | Fact::TaskCancelRequested { task, .. }
            | Fact::TaskCancelled { task, .. }
            | Fact::TaskDiscarded { task, .. }
            | Fact::TaskRevived { task, .. } => Some(*task),
            _ => None,
        }
    }

    /// Whether the task reached its outcome with it.
    pub fn ends_task(&self) -> bool {
        matches!(
            self,
            Fact::TaskSucceeded { .. }
                | Fact::TaskDead { .. }
                | Fact::TaskCancelled { .. }
                | Fact::TaskDiscarded { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_a_fact_is_the_type_that_travels() {
        let task = TaskId(uuid::Uuid::nil());
        for fact in [
            Fact::TaskDependencyMet {
                task,
                dependency: task,
                waiting_on: 1,
            },
            Fact::TaskDiscarded {
                task,
                reason: String::new(),
            },
            Fact::TeamCreated {
                name: TeamName::default_team(),
            },
            Fact::QueuePaused {
                queue: QueueName::default_queue(),
                paused: true,
            },
            Fact::AccessDenied {
                what: String::new(),
            },
        ] {
            let json = serde_json::to_value(&fact).expect("a fact is JSON");
            assert_eq!(json["type"], fact.kind());
        }
    }
}
