//! What must hold after every step: cheap rules, written here a second time.

use std::collections::{BTreeMap, BTreeSet};

use collective_core::event::{Event, Fact};
use collective_core::task::{AttemptOutcome, Epoch, FailureClass, Queued, TaskState};
use collective_core::{AgentName, TaskId};
use collective_testkit::history::History;

use crate::life::{Life, Sound, at_once, must};

/// Events looked at in one go; a step makes far fewer.
const PAGE: usize = 10_000;
/// How often, in percent of steps, the whole history is checked before the end too.
const WHOLE_HISTORY: u32 = 1;

/// What was seen of the log so far.
#[derive(Default)]
pub(crate) struct Watch {
    seen: u64,
    /// Who holds which task, by its events.
    leases: BTreeMap<TaskId, (AgentName, Epoch)>,
}

impl Life {
    pub(crate) fn check_step(&mut self) -> Sound {
        let fresh = at_once(self.look().events(&self.team, self.watch.seen, PAGE))
            .expect("the store is open");
        let mut touched = BTreeSet::new();
        for event in &fresh {
            must!(
                event.seq == self.watch.seen + 1,
                "event {} follows event {}",
                event.seq,
                self.watch.seen
            );
            self.watch.seen = event.seq;
            self.note(|| format!("    #{} {} {:?}", event.seq, event.actor, event.fact));
            self.follow_lease(event)?;
            self.meet(event);
            touched.extend(event.fact.task());
        }
        for id in touched {
            self.check_task(id)?;
        }
        if self.chance.percent(10) {
            self.check_held()?;
        }
        if self.chance.percent(WHOLE_HISTORY) {
            self.check_history()?;
        }
        self.try_an_old_token()
    }

    /// One live lease, and only its holder reports.
    fn follow_lease(&mut self, event: &Event) -> Sound {
        let leases = &mut self.watch.leases;
        match &event.fact {
            Fact::TaskClaimed {
                task, agent, epoch, ..
            } => {
                let before = leases.insert(*task, (agent.clone(), *epoch));
                must!(
                    before.is_none(),
                    "{agent} claimed {task} while {before:?} held it"
                );
            }
            Fact::TaskSucceeded {
                task, agent, epoch, ..
            }
            | Fact::TaskAttemptFailed {
                task, agent, epoch, ..
            } => {
                let held = leases.remove(task);
                must!(
                    held == Some((agent.clone(), *epoch)),
                    "{agent} ended epoch {epoch} of {task}, held was {held:?}"
                );
                if let Fact::TaskAttemptFailed {
                    outcome,
                    class,
                    counted,
                    ..
                } = &event.fact
                {
                    let free =
                        *outcome == AttemptOutcome::Released || *class == FailureClass::Quota;
                    must!(
                        *counted != free,
                        "an attempt that ended {outcome:?} by {class:?} counts: {counted}"
                    );
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn check_task(&self, id: TaskId) -> Sound {
        let task = self
            .stored(id)
            .ok_or_else(|| format!("{id} has events and isn't stored"))?;
        let state = task.state;
        must!(
            task.lease.is_some() == state.is_leased(),
            "{id} is {state} with the lease {:?}",
            task.lease
        );
        must!(
            task.attempts_used <= task.spec.retry.max_attempts,
            "{id} used {} attempts of {}",
            task.attempts_used,
            task.spec.retry.max_attempts
        );
        must!(
            state != TaskState::Blocked || task.waiting_on > 0,
            "{id} is blocked by nothing"
        );
        must!(
            (state == TaskState::NeedsInput) == task.question.is_some(),
            "{id} is {state} with the question {:?}",
            task.question
        );
        let waits = matches!(
            state,
            TaskState::Scheduled | TaskState::Retrying | TaskState::QuotaWait
        );
        must!(
            waits == task.wake_at.is_some(),
            "{id} is {state} and wakes at {:?}",
            task.wake_at
        );
        Ok(())
    }

    /// The store's count of leases is the count of leased tasks.
    fn check_held(&self) -> Sound {
        let mut counted: BTreeMap<AgentName, u32> = BTreeMap::new();
        for task in self.stored_in(&[TaskState::Running, TaskState::NeedsInput]) {
            if let Some(lease) = task.lease {
                *counted.entry(lease.agent).or_default() += 1;
            }
        }
        let held = at_once(self.look().held(&self.team)).expect("the store is open");
        must!(
            held == counted,
            "held are {counted:?}, the store says {held:?}"
        );
        Ok(())
    }

    pub(crate) fn log(&self) -> Vec<Event> {
        at_once(self.look().events(&self.team, 0, usize::MAX)).expect("the store is open")
    }

    pub(crate) fn check_history(&self) -> Sound {
        let (events, tasks) = (self.log(), self.stored_in(&[]));
        History::of(&events)
            .with_tasks(&tasks)
            .with_acknowledged(&self.told)
            .check()
            .map(drop)
            .map_err(|violations| {
                let told: Vec<String> =
                    violations.iter().take(5).map(ToString::to_string).collect();
                format!("{} violations: {}", violations.len(), told.join("; "))
            })
    }

    /// Counts what the log shows, and remembers what later steps need.
    fn meet(&mut self, event: &Event) {
        let tally = &mut self.tally;
        match &event.fact {
            Fact::TaskCreated { task, .. } => {
                tally.count("created");
                self.tasks.push(*task);
            }
            Fact::TaskDependencyMet { .. } => tally.count("dependency met"),
            Fact::TaskScheduled { .. } => tally.count("task scheduled"),
            Fact::TaskQueued { cause, .. } if *cause != Queued::Dependencies => {
                tally.count("task queued again");
            }
            Fact::TaskClaimed { .. } => tally.count("claimed"),
            Fact::TaskAsked { question, .. } => {
                tally.count("question asked");
                self.questions.push(*question);
            }
            Fact::TaskAnswered { .. } => tally.count("question answered"),
            Fact::TaskAttemptFailed {
                outcome, reason, ..
            } => {
                tally.count(match outcome {
                    AttemptOutcome::Lost => "attempt lost",
                    AttemptOutcome::TimedOut => "attempt timed out",
                    AttemptOutcome::Cancelled => "attempt cancelled",
                    AttemptOutcome::Released => "attempt released",
                    AttemptOutcome::Failed | AttemptOutcome::Succeeded => "attempt failed",
                });
                if reason.starts_with("check failed") {
                    tally.count("check failed");
                }
                if reason.starts_with("nobody answered") {
                    tally.count("question expired");
                }
            }
            Fact::TaskRetrying { .. } => tally.count("task retrying"),
            Fact::TaskQuotaWait { .. } => tally.count("task quota wait"),
            Fact::TaskSucceeded { .. } => tally.count("task succeeded"),
            Fact::TaskDead { class, .. } => {
                tally.count("task dead");
                match class {
                    FailureClass::Dependency => tally.count("dead by dependency"),
                    FailureClass::Poison => tally.count("poisoned to death"),
                    _ => {}
                }
            }
            Fact::TaskCancelled { .. } => tally.count("task cancelled"),
            Fact::TaskDiscarded { .. } => tally.count("task discarded"),
            Fact::TaskRevived { .. } => tally.count("task revived"),
            Fact::AgentDraining { draining: true, .. } => tally.count("agent drained"),
            Fact::AgentRemoved { .. } => tally.count("agent removed"),
            Fact::QueuePaused { paused, .. } => tally.count(if *paused {
                "queue paused"
            } else {
                "queue resumed"
            }),
            Fact::MessageSent { .. } => tally.count("message sent"),
            Fact::ReservationMade { reservation, .. } => {
                tally.count("reserved");
                self.reservations.push(*reservation);
            }
            Fact::ReservationEnded { reason, .. } => tally.count(match reason.as_str() {
                "released" => "reservation released",
                "its time ran out" => "reservation ran out",
                _ => "reservation ended with its attempt",
            }),
            Fact::ScheduleSet { schedule, .. } if !self.schedules.contains(schedule) => {
                self.schedules.push(*schedule);
            }
            Fact::ScheduleFired { task, .. } => tally.count(if task.is_some() {
                "schedule fired"
            } else {
                "schedule fired without a task"
            }),
            _ => {}
        }
    }
}
