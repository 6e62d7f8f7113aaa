//! Every rule that moves a task, as `(state, command, now) -> (state, facts)`.
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
use super::lease::{Epoch, Lease, LeaseToken};
use super::outcome::{Attempt, AttemptOutcome, Failure, FailureClass, TaskResult};
use super::spec::{DependencyCondition, TaskSpec};
use super::{Task, TaskState};
use crate::event::Fact;
use crate::limits::{
    DEFAULT_QUOTA_WAIT, MAX_CLAIMS, MAX_DELAY, MAX_LEASE, MAX_QUOTA_JITTER, MAX_REASON_LEN,
    MIN_LEASE, POISON_LIMIT, TIMEOUT_GRACE,
};
use crate::question::QuestionState;
use crate::rejection::{Code, Rejection};
use crate::{AgentName, QuestionId, Span, TaskId, Timestamp};

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

    fn record(&mut self, transition: &mut Transition, fact: Fact, now: Timestamp) {
        self.evolve(&fact, now);
        transition.facts.push(fact);
    }

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
    fn ran(&self, now: Timestamp) -> Span {
        now.since(self.started_at.unwrap_or(now))
    }

    fn make_ready(&mut self, transition: &mut Transition, cause: Queued, now: Timestamp) {
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

    fn attempt(
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
    fn end_attempt(
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

    fn wrong_state(&self, what: &str) -> Rejection {
        Rejection::new(
            Code::WrongState,
            format!("task {} is {} and can't be {what}", self.number, self.state),
        )
    }
}
