//! What follows: when something is due, when an attempt ends, what comes next.

use super::outcome::{Attempt, AttemptOutcome, Failure, FailureClass};
use super::transition::{Queued, Transition};
use super::{Task, TaskState};
use crate::event::Fact;
use crate::limits::{
    DEFAULT_QUOTA_WAIT, MAX_CLAIMS, MAX_DELAY, MAX_QUOTA_JITTER, POISON_LIMIT, TIMEOUT_GRACE,
};
use crate::question::QuestionState;
use crate::{Span, Timestamp};

impl Task {
    /// When [`Task::tick`] has something to do, if ever.
    pub fn due_at(&self) -> Option<Timestamp> {
        let next = match self.state {
            TaskState::Scheduled | TaskState::Retrying | TaskState::QuotaWait => self.wake_at,
            TaskState::Running => {
                let expiry = self.lease.as_ref().map(|lease| lease.expires_at);
                let limit = self
                    .started_at
                    .map(|start| start + self.spec.timeout + TIMEOUT_GRACE);
                expiry.into_iter().chain(limit).min()
            }
            TaskState::NeedsInput => self.lease.as_ref().map(|lease| lease.expires_at),
            TaskState::Queued | TaskState::Blocked => None,
            _ => return None,
        };
        next.into_iter().chain(self.spec.deadline).min()
    }
    /// Does what is due by `now`: wakes it, ends a lease that ran out, a
    /// question that nobody answered, an attempt past its timeout, a task past its deadline.
    pub fn tick(&mut self, now: Timestamp, chance: f64) -> Transition {
        let mut transition = Transition::default();
        if self.due_at().is_none_or(|due| due > now) {
            return transition;
        }
        if self.spec.deadline.is_some_and(|deadline| deadline <= now) {
            return self.pass_deadline(now);
        }
        match self.state {
            TaskState::Scheduled | TaskState::Retrying | TaskState::QuotaWait => {
                self.make_ready(&mut transition, Queued::Due, now);
                transition
            }
            TaskState::NeedsInput => {
                let id = self.question;
                let failure = Failure::new(
                    FailureClass::Transient,
                    "nobody answered its question in time",
                );
                let mut transition = self.end_attempt(AttemptOutcome::Failed, failure, now, chance);
                transition.question = id.map(|id| (id, QuestionState::Expired));
                transition
            }
            TaskState::Running => {
                let lost = self
                    .lease
                    .as_ref()
                    .is_none_or(|lease| lease.expires_at <= now);
                let (outcome, reason) = if lost {
                    (
                        AttemptOutcome::Lost,
                        "its agent stopped sending heartbeats".to_owned(),
                    )
                } else {
                    (
                        AttemptOutcome::TimedOut,
                        format!("it ran longer than its timeout of {}", self.spec.timeout),
                    )
                };
                self.end_attempt(
                    outcome,
                    Failure::new(FailureClass::Transient, reason),
                    now,
                    chance,
                )
            }
            _ => transition,
        }
    }

    fn pass_deadline(&mut self, now: Timestamp) -> Transition {
        let failure = Failure::new(FailureClass::Permanent, "its deadline passed");
        if self.state.is_leased() {
            return self.end_attempt(AttemptOutcome::TimedOut, failure, now, 0.0);
        }
        let mut transition = Transition::default();
        let fact = Fact::TaskDead {
            task: self.id,
            class: failure.class,
            reason: failure.reason,
            lane: self.lane(),
        };
        self.record(&mut transition, fact, now);
        transition
    }

    /// How long the running attempt has run.
    pub(super) fn ran(&self, now: Timestamp) -> Span {
        now.since(self.started_at.unwrap_or(now))
    }

    pub(super) fn make_ready(
        &mut self,
        transition: &mut Transition,
        cause: Queued,
        now: Timestamp,
    ) {
        if let Some(wake_at) = self.spec.run_at.filter(|at| *at > now) {
            self.record(
                transition,
                Fact::TaskScheduled {
                    task: self.id,
                    wake_at,
                },
                now,
            );
            return;
        }
        // What was given back untouched keeps its place in the lane.
        let ready_at = if cause == Queued::Released {
            self.ready_at
        } else {
            now
        };
        let fact = Fact::TaskQueued {
            task: self.id,
            lane: self.lane(),
            priority: self.spec.priority,
            ready_at,
            cause,
        };
        self.record(transition, fact, now);
    }

    pub(super) fn attempt(
        &self,
        outcome: AttemptOutcome,
        failure: Option<Failure>,
        now: Timestamp,
    ) -> Option<Attempt> {
        self.lease.as_ref().map(|lease| Attempt {
            epoch: self.epoch,
            agent: lease.agent.clone(),
            token: lease.token,
            started_at: self.started_at.unwrap_or(now),
            ended_at: now,
            outcome,
            failure,
            evidence: Vec::new(),
        })
    }

    /// Ends the running attempt and decides what follows, by the failure's class.
    pub(super) fn end_attempt(
        &mut self,
        outcome: AttemptOutcome,
        failure: Failure,
        now: Timestamp,
        chance: f64,
    ) -> Transition {
        debug_assert!(self.state.is_leased());
        let counted = outcome != AttemptOutcome::Released && failure.class != FailureClass::Quota;
        let mut transition = Transition {
            attempt: self.attempt(outcome, Some(failure.clone()), now),
            question: self.question.map(|id| (id, QuestionState::Withdrawn)),
            facts: Vec::with_capacity(2),
        };
        let agent = transition
            .attempt
            .as_ref()
            .map(|attempt| attempt.agent.clone());
        let Some(agent) = agent else {
            return transition;
        };
        let fact = Fact::TaskAttemptFailed {
            task: self.id,
            epoch: self.epoch,
            agent,
            outcome,
            class: failure.class,
            reason: failure.reason.clone(),
            counted,
            lane: self.lane(),
            ran: self.ran(now),
        };
        self.record(&mut transition, fact, now);
        self.follow(&mut transition, outcome, &failure, now, chance);
        if let Some(kept) = &mut self.failure {
            kept.feedback = failure.feedback;
            kept.retry_at = failure.retry_at;
        }
        transition
    }

    fn follow(
        &mut self,
        transition: &mut Transition,
        outcome: AttemptOutcome,
        failure: &Failure,
        now: Timestamp,
        chance: f64,
    ) {
        let task = self.id;
        let lane = self.lane();
        if let Some(reason) = self.cancel_reason.clone() {
            let fact = Fact::TaskCancelled {
                task,
                class: FailureClass::Permanent,
                reason,
                lane,
            };
            return self.record(transition, fact, now);
        }
        let dead = |reason: String| Fact::TaskDead {
            task,
            class: failure.class,
            reason,
            lane: lane.clone(),
        };
        if self.epoch.0 >= MAX_CLAIMS {
            return self.record(
                transition,
                dead(format!(
                    "claimed {MAX_CLAIMS} times; last: {}",
                    failure.reason
                )),
                now,
            );
        }
        if outcome == AttemptOutcome::Released {
            return self.make_ready(transition, Queued::Released, now);
        }
        let used_up = self.attempts_used >= self.spec.retry.max_attempts;
        match failure.class {
            FailureClass::Permanent | FailureClass::Dependency => {
                self.record(transition, dead(failure.reason.clone()), now);
            }
            FailureClass::Quota => {
                let reset = failure
                    .retry_at
                    .unwrap_or(now + DEFAULT_QUOTA_WAIT)
                    .clamp(now, now + MAX_DELAY);
                let jitter = Span::from_micros((MAX_QUOTA_JITTER.micros() as f64 * chance) as u64)
                    .min(Span::from_micros(
                        reset.since(now).micros() / 10 + 1_000_000,
                    ));
                self.record(
                    transition,
                    Fact::TaskQuotaWait {
                        task,
                        wake_at: reset + jitter,
                    },
                    now,
                );
            }
            FailureClass::Poison if self.poisonings >= POISON_LIMIT => {
                self.record(
                    transition,
                    dead(format!(
                        "poison, {} times: {}",
                        self.poisonings, failure.reason
                    )),
                    now,
                );
            }
            FailureClass::Poison | FailureClass::Transient if used_up => {
                let attempts = self.attempts_used;
                self.record(
                    transition,
                    dead(format!("attempts used up ({attempts}): {}", failure.reason)),
                    now,
                );
            }
            FailureClass::Poison | FailureClass::Transient => {
                let wake_at = now + self.spec.retry.delay(self.attempts_used, chance);
                if wake_at <= now {
                    return self.make_ready(transition, Queued::Due, now);
                }
                self.record(transition, Fact::TaskRetrying { task, wake_at }, now);
            }
        }
    }
}
