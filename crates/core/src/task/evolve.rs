//! How facts change a task: the one place where its state is written.
//!
//! Commands build facts and apply them here; replaying a task's facts
//! therefore gives the same state (invariant 3).

use super::lease::{Epoch, Lease};
use super::outcome::{Failure, FailureClass};
use super::spec::TaskSpec;
use super::transition::Transition;
use super::{Task, TaskState};
use crate::event::Fact;
use crate::{TaskId, Timestamp};

impl Task {
    /// A new task. `waiting_on` counts the dependencies that haven't ended as
    /// they must. Its number is set when its first event is committed.
    pub fn create(
        id: TaskId,
        spec: TaskSpec,
        created_by: String,
        waiting_on: u32,
        now: Timestamp,
    ) -> (Task, Fact) {
        let wake_at = spec.run_at.filter(|at| *at > now);
        let state = match (waiting_on, wake_at) {
            (0, None) => TaskState::Queued,
            (0, Some(_)) => TaskState::Scheduled,
            _ => TaskState::Blocked,
        };
        let wake_at = wake_at.filter(|_| state == TaskState::Scheduled);
        let fact = Fact::TaskCreated {
            task: id,
            title: spec.title.clone(),
            key: spec.key.clone(),
            lane: spec.lane(),
            priority: spec.priority,
            state,
            waiting_on,
            wake_at,
        };
        let task = Task {
            id,
            number: 0,
            spec,
            created_by,
            state,
            waiting_on,
            ready_at: now,
            wake_at,
            epoch: Epoch::default(),
            attempts_used: 0,
            poisonings: 0,
            lease: None,
            question: None,
            cancel_reason: None,
            failure: None,
            result: None,
            created_at: now,
            started_at: None,
            finished_at: None,
        };
        (task, fact)
    }

    /// Applies a fact about this task. The one place where state changes.
    pub fn evolve(&mut self, fact: &Fact, at: Timestamp) {
        match fact {
            Fact::TaskCreated {
                state,
                waiting_on,
                wake_at,
                ..
            } => {
                self.state = *state;
                self.waiting_on = *waiting_on;
                self.wake_at = *wake_at;
            }
            Fact::TaskDependencyMet { waiting_on, .. } => self.waiting_on = *waiting_on,
            Fact::TaskScheduled { wake_at, .. } => self.wait(TaskState::Scheduled, *wake_at),
            Fact::TaskQueued { ready_at, .. } => {
                self.state = TaskState::Queued;
                self.ready_at = *ready_at;
                self.wake_at = None;
            }
            Fact::TaskClaimed {
                agent, epoch, ttl, ..
            } => {
                self.state = TaskState::Running;
                self.epoch = *epoch;
                self.started_at = Some(at);
                self.lease = Some(Lease {
                    agent: agent.clone(),
                    token: None,
                    ttl: *ttl,
                    expires_at: at + *ttl,
                });
            }
            Fact::TaskAsked { question, .. } => {
                self.state = TaskState::NeedsInput;
                self.question = Some(*question);
            }
            Fact::TaskAnswered { .. } => {
                self.state = TaskState::Running;
                self.question = None;
            }
            Fact::TaskAttemptFailed {
                class,
                reason,
                counted,
                ..
            } => {
                self.lease = None;
                self.question = None;
                self.attempts_used += u32::from(*counted);
                self.poisonings += u32::from(*class == FailureClass::Poison);
                self.failure = Some(Failure::new(*class, reason.clone()));
            }
            Fact::TaskRetrying { wake_at, .. } => self.wait(TaskState::Retrying, *wake_at),
            Fact::TaskQuotaWait { wake_at, .. } => self.wait(TaskState::QuotaWait, *wake_at),
            Fact::TaskSucceeded { .. } => {
                self.lease = None;
                self.question = None;
                self.attempts_used += 1;
                self.failure = None;
                self.cancel_reason = None;
                self.end(TaskState::Succeeded, at);
            }
            Fact::TaskDead { class, reason, .. } => {
                self.failure = Some(Failure::new(*class, reason.clone()));
                self.end(TaskState::Dead, at);
            }
            Fact::TaskCancelRequested { reason, .. } => self.cancel_reason = Some(reason.clone()),
            Fact::TaskCancelled { class, reason, .. } => {
                self.failure = Some(Failure::new(*class, reason.clone()));
                self.cancel_reason = None;
                self.end(TaskState::Cancelled, at);
            }
            Fact::TaskDiscarded { .. } => self.end(TaskState::Discarded, at),
            Fact::TaskRevived { waiting_on, .. } => {
                self.state = TaskState::Blocked;
                self.waiting_on = *waiting_on;
                self.attempts_used = 0;
                self.poisonings = 0;
                self.cancel_reason = None;
                self.finished_at = None;
            }
            _ => debug_assert!(false, "a fact that isn't a task's: {fact:?}"),
        }
    }

    fn wait(&mut self, state: TaskState, wake_at: Timestamp) {
        self.state = state;
        self.wake_at = Some(wake_at);
    }

    fn end(&mut self, state: TaskState, at: Timestamp) {
        self.state = state;
        self.wake_at = None;
        self.finished_at = Some(at);
    }

    pub(super) fn record(&mut self, transition: &mut Transition, fact: Fact, now: Timestamp) {
        self.evolve(&fact, now);
        transition.facts.push(fact);
    }
}
