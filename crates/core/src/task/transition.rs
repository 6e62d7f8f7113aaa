//! The commands that move a task, as `(state, command, now) -> (state, facts)`.
//!
//! Commands are methods that check, then build facts, then apply them by
//! [`Task::evolve`]; replaying the facts therefore gives the same state
//! (invariant 3). What a fact never holds (the lease's secret and its exact
//! expiry, feedback, the result) is set beside it.
//!
//! A lease that has run out but was not yet ended by [`Task::tick`] still
//! counts: nobody else has the task, so its work isn't thrown away. Fencing
//! is by epoch and secret, never by time alone.

use serde::{Deserialize, Serialize};

use super::check::{Verdict, judge};
use super::lease::{Lease, LeaseToken};
use super::outcome::{Attempt, AttemptOutcome, Failure, FailureClass, TaskResult};
use super::spec::DependencyCondition;
use super::{Task, TaskState};
use crate::event::Fact;
use crate::limits::{MAX_LEASE, MAX_REASON_LEN, MIN_LEASE};
use crate::question::QuestionState;
use crate::rejection::{Code, Rejection};
use crate::{AgentName, QuestionId, Span, Timestamp};

/// Why a task became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Queued {
    /// The last task that it waited for ended.
    Dependencies,
    /// Its time came: `run_at`, a backoff, a reset.
    Due,
    /// Its agent gave it back.
    Released,
    /// A person gave it a new start.
    Revived,
}

/// What a command did besides changing the task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transition {
    /// What happened, in order.
    pub facts: Vec<Fact>,
    /// The attempt that ended with it.
    pub attempt: Option<Attempt>,
    /// The open question that ended with it, and how.
    pub question: Option<(QuestionId, QuestionState)>,
}

/// What a heartbeat tells the holder of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Until when the lease now lasts.
    pub expires_at: Timestamp,
    /// The reason, if the task is to be called off.
    pub cancel: Option<String>,
}
impl Task {
    /// An agent takes it.
    pub fn claim(
        &mut self,
        agent: &AgentName,
        secret: u128,
        ttl: Span,
        now: Timestamp,
    ) -> Result<(LeaseToken, Transition), Rejection> {
        if self.state != TaskState::Queued {
            return Err(self.wrong_state("claimed"));
        }
        let ttl = ttl.clamp(MIN_LEASE, MAX_LEASE);
        let token = LeaseToken {
            epoch: self.epoch.next(),
            secret,
        };
        let mut transition = Transition::default();
        let fact = Fact::TaskClaimed {
            task: self.id,
            agent: agent.clone(),
            epoch: token.epoch,
            ttl,
        };
        self.record(&mut transition, fact, now);
        if let Some(lease) = &mut self.lease {
            lease.token = Some(token);
        }
        Ok((token, transition))
    }

    /// Refuses a token that isn't the newest of a live lease.
    pub fn check_lease(&self, token: LeaseToken) -> Result<&Lease, Rejection> {
        match &self.lease {
            Some(lease) if lease.token == Some(token) => Ok(lease),
            _ => Err(Rejection::new(
                Code::LeaseLost,
                format!(
                    "the lease of epoch {} on task {} has ended; the task is {}",
                    token.epoch, self.number, self.state
                ),
            )
            .hint("stop working on it; whatever was done is not recorded")),
        }
    }

    /// The holder says that it is alive.
    pub fn heartbeat(&mut self, token: LeaseToken, now: Timestamp) -> Result<Heartbeat, Rejection> {
        self.check_lease(token)?;
        let held_open = self.state == TaskState::NeedsInput;
        let cancel = self.cancel_reason.clone();
        let Some(lease) = &mut self.lease else {
            return Err(self.wrong_state("kept alive"));
        };
        if !held_open {
            lease.expires_at = lease.expires_at.max(now + lease.ttl);
        }
        Ok(Heartbeat {
            expires_at: lease.expires_at,
            cancel,
        })
    }

    /// Gives a live lease its full length again after the server was away,
    /// since its holder could not send heartbeats meanwhile. Says whether it changed.
    pub fn grant_grace(&mut self, now: Timestamp) -> bool {
        let running = self.state == TaskState::Running;
        match &mut self.lease {
            Some(lease) if running && lease.expires_at < now + lease.ttl => {
                lease.expires_at = now + lease.ttl;
                true
            }
            _ => false,
        }
    }

    /// The holder says that it is done. Passing evidence for every check makes
    /// the task succeeded; a failed check makes the attempt failed.
    /// A completion that arrives after a request to cancel still counts: the work is there.
    pub fn complete(
        &mut self,
        token: LeaseToken,
        result: TaskResult,
        now: Timestamp,
        chance: f64,
    ) -> Result<Transition, Rejection> {
        let agent = self.check_lease(token)?.agent.clone();
        result.validate().map_err(|r| r.at("result"))?;
        match judge(&self.spec.checks, &result.evidence).map_err(|r| r.at("result"))? {
            Verdict::Failed { reason, feedback } => {
                let failure = Failure {
                    feedback,
                    ..Failure::new(
                        FailureClass::Transient,
                        crate::text::head(&reason, MAX_REASON_LEN),
                    )
                };
                let mut transition = self.end_attempt(AttemptOutcome::Failed, failure, now, chance);
                if let Some(attempt) = &mut transition.attempt {
                    attempt.evidence = result.evidence;
                }
                Ok(transition)
            }
            Verdict::Done => {
                let mut transition = Transition {
                    attempt: self.attempt(AttemptOutcome::Succeeded, None, now),
                    question: self.question.map(|id| (id, QuestionState::Withdrawn)),
                    facts: Vec::with_capacity(1),
                };
                let fact = Fact::TaskSucceeded {
                    task: self.id,
                    epoch: token.epoch,
                    agent,
                    lane: self.lane(),
                    ran: self.ran(now),
                };
                self.record(&mut transition, fact, now);
                if let Some(attempt) = &mut transition.attempt {
                    attempt.evidence.clone_from(&result.evidence);
                }
                self.result = Some(result);
                Ok(transition)
            }
        }
    }

    /// The holder says that it failed. `outcome` is `Failed`, `TimedOut` or `Cancelled`.
    pub fn fail(
        &mut self,
        token: LeaseToken,
        outcome: AttemptOutcome,
        failure: Failure,
        now: Timestamp,
        chance: f64,
    ) -> Result<Transition, Rejection> {
        self.check_lease(token)?;
        failure.validate()?;
        if !matches!(
            outcome,
            AttemptOutcome::Failed | AttemptOutcome::TimedOut | AttemptOutcome::Cancelled
        ) {
            return Err(Rejection::new(
                Code::InvalidField,
                "an agent reports failed, timed_out or cancelled",
            )
            .at("outcome"));
        }
        Ok(self.end_attempt(outcome, failure, now, chance))
    }

    /// The holder gives it back untouched; the attempt doesn't count and the task keeps its place.
    pub fn release(
        &mut self,
        token: LeaseToken,
        reason: &str,
        now: Timestamp,
    ) -> Result<Transition, Rejection> {
        self.check_lease(token)?;
        let failure = Failure::new(
            FailureClass::Transient,
            crate::text::head(reason, MAX_REASON_LEN),
        );
        Ok(self.end_attempt(AttemptOutcome::Released, failure, now, 0.0))
    }

    /// The holder asks something; the lease is held open until `expires_at`.
    pub fn ask(
        &mut self,
        token: LeaseToken,
        question: QuestionId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Transition, Rejection> {
        let agent = self.check_lease(token)?.agent.clone();
        if self.state != TaskState::Running {
            return Err(self.wrong_state("asked about: a question is open already"));
        }
        let mut transition = Transition::default();
        let fact = Fact::TaskAsked {
            task: self.id,
            epoch: self.epoch,
            agent,
            question,
            expires_at,
        };
        self.record(&mut transition, fact, now);
        if let Some(lease) = &mut self.lease {
            lease.expires_at = expires_at;
        }
        Ok(transition)
    }

    /// Someone answered the open question; its agent has a full lease from now on.
    pub fn answered(
        &mut self,
        question: QuestionId,
        by: &str,
        now: Timestamp,
    ) -> Result<Transition, Rejection> {
        if self.question != Some(question) {
            return Err(self.wrong_state("answered: it doesn't wait for this question"));
        }
        let mut transition = Transition::default();
        self.record(
            &mut transition,
            Fact::TaskAnswered {
                task: self.id,
                question,
                by: by.to_owned(),
            },
            now,
        );
        if let Some(lease) = &mut self.lease {
            lease.expires_at = now + lease.ttl;
        }
        Ok(transition)
    }

    /// Someone calls it off. A task that an agent holds is only marked: its
    /// agent hears of it with the next heartbeat. Asking twice is fine.
    pub fn cancel(&mut self, reason: &str, now: Timestamp) -> Result<Transition, Rejection> {
        let mut transition = Transition::default();
        let reason = crate::text::head(reason, MAX_REASON_LEN).to_owned();
        match self.state {
            TaskState::Cancelled => {}
            state if state.is_terminal() => return Err(self.wrong_state("cancelled")),
            state if state.is_leased() => {
                if self.cancel_reason.is_none() {
                    self.record(
                        &mut transition,
                        Fact::TaskCancelRequested {
                            task: self.id,
                            reason,
                        },
                        now,
                    );
                }
            }
            _ => {
                let fact = Fact::TaskCancelled {
                    task: self.id,
                    class: FailureClass::Permanent,
                    reason,
                    lane: self.lane(),
                };
                self.record(&mut transition, fact, now);
            }
        }
        Ok(transition)
    }

    /// A person puts a dead letter away.
    pub fn discard(&mut self, reason: &str, now: Timestamp) -> Result<Transition, Rejection> {
        let mut transition = Transition::default();
        match self.state {
            TaskState::Discarded => {}
            TaskState::Dead => {
                let reason = crate::text::head(reason, MAX_REASON_LEN).to_owned();
                self.record(
                    &mut transition,
                    Fact::TaskDiscarded {
                        task: self.id,
                        reason,
                    },
                    now,
                );
            }
            _ => return Err(self.wrong_state("discarded: only dead letters are")),
        }
        Ok(transition)
    }

    /// A person gives a dead or cancelled task a new start, with fresh attempts.
    /// `waiting_on` counts its dependencies that are still open.
    pub fn revive(&mut self, waiting_on: u32, now: Timestamp) -> Result<Transition, Rejection> {
        if !matches!(self.state, TaskState::Dead | TaskState::Cancelled) {
            return Err(self.wrong_state("retried: only dead and cancelled tasks are"));
        }
        if self.spec.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Rejection::new(
                Code::WrongState,
                format!("the deadline of task {} has passed", self.number),
            )
            .hint("create it anew with a later deadline"));
        }
        let mut transition = Transition::default();
        self.record(
            &mut transition,
            Fact::TaskRevived {
                task: self.id,
                waiting_on,
            },
            now,
        );
        if waiting_on == 0 {
            self.make_ready(&mut transition, Queued::Revived, now);
        }
        Ok(transition)
    }

    /// A task that it depends on ended. Does nothing unless it is blocked.
    pub fn dependency_ended(
        &mut self,
        dependency: &Task,
        when: DependencyCondition,
        now: Timestamp,
    ) -> Transition {
        let mut transition = Transition::default();
        if self.state != TaskState::Blocked || !dependency.state.is_terminal() {
            return transition;
        }
        if when == DependencyCondition::Ended || dependency.state == TaskState::Succeeded {
            let waiting_on = self.waiting_on.saturating_sub(1);
            let fact = Fact::TaskDependencyMet {
                task: self.id,
                dependency: dependency.id,
                waiting_on,
            };
            self.record(&mut transition, fact, now);
            if waiting_on == 0 {
                self.make_ready(&mut transition, Queued::Dependencies, now);
            }
            return transition;
        }
        let class = FailureClass::Dependency;
        let title = crate::text::shown(&dependency.spec.title);
        let reason = format!(
            "task {} `{title}`, which it depends on, is {}",
            dependency.number, dependency.state
        );
        let fact = match dependency.state {
            TaskState::Cancelled => Fact::TaskCancelled {
                task: self.id,
                class,
                reason,
                lane: self.lane(),
            },
            _ => Fact::TaskDead {
                task: self.id,
                class,
                reason,
                lane: self.lane(),
            },
        };
        self.record(&mut transition, fact, now);
        transition
    }
    fn wrong_state(&self, what: &str) -> Rejection {
        Rejection::new(
            Code::WrongState,
            format!("task {} is {} and can't be {what}", self.number, self.state),
        )
    }
}
