//! The one checker of invariants: simulation, tests and fault drills hand it a team's event log.
//!
//! It knows the log, the stored tasks if there are any, and what callers were
//! told; never how these came about. What it checks is `DESIGN` section 9 as
//! far as a log shows it: an acknowledged command is there (1), a task has one
//! live lease (2), one outcome, and its events replay to its state (3), no
//! stale lease was accepted (4), nothing waits for what has ended (6).

mod life;
mod violation;

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use collective_core::TaskId;
use collective_core::event::{Event, Fact};
use collective_core::task::{AttemptOutcome, Epoch, Task, TaskState};

use life::{Life, compare, waits_in_vain};
pub use violation::{Broken, Rule, Violation};

/// Most violations that one check reports: a broken log mostly repeats itself.
pub const MAX_VIOLATIONS: usize = 1_000;

/// What callers were told had happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// Tasks that were created.
    pub created: Vec<TaskId>,
    /// Claims that were granted.
    pub claimed: Vec<(TaskId, Epoch)>,
    /// Completions that were taken.
    pub succeeded: Vec<(TaskId, Epoch)>,
    /// Attempts whose failure or return was taken.
    pub failed: Vec<(TaskId, Epoch)>,
}

/// What a sound history holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events.
    pub events: u64,
    /// Claims.
    pub claims: u64,
    /// Attempts that ended without success, lost ones included.
    pub failed_attempts: u64,
    /// Attempts whose lease ran out.
    pub lost_attempts: u64,
    /// New starts of ended tasks.
    pub revivals: u64,
    /// How many tasks stand in each state at the end.
    pub states: BTreeMap<TaskState, u64>,
}

impl Summary {
    /// How many tasks there are.
    pub fn tasks(&self) -> u64 {
        self.states.values().sum()
    }

    /// How many tasks have reached an outcome.
    pub fn ended(&self) -> u64 {
        let ended = self.states.iter().filter(|(state, _)| state.is_terminal());
        ended.map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events, {} tasks, {} claims, {} failed attempts ({} lost), {} revivals",
            self.events,
            self.tasks(),
            self.claims,
            self.failed_attempts,
            self.lost_attempts,
            self.revivals
        )?;
        for (state, count) in &self.states {
            write!(f, ", {count} {state}")?;
        }
        Ok(())
    }
}

/// A team's complete log, and what else is known of it.
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    events: &'a [Event],
    tasks: Option<&'a [Task]>,
    acknowledged: Option<&'a Acknowledged>,
}

impl<'a> History<'a> {
    /// All events of one team, from the first.
    pub fn of(events: &'a [Event]) -> Self {
        Self {
            events,
            tasks: None,
            acknowledged: None,
        }
    }

    /// Also compares with all tasks of the team, as stored right after the last event.
    #[must_use]
    pub fn with_tasks(self, tasks: &'a [Task]) -> Self {
        Self {
            tasks: Some(tasks),
            ..self
        }
    }

    /// Also looks for what callers were told.
    #[must_use]
    pub fn with_acknowledged(self, acknowledged: &'a Acknowledged) -> Self {
        Self {
            acknowledged: Some(acknowledged),
            ..self
        }
    }

    /// Checks every rule.
    pub fn check(&self) -> Result<Summary, Vec<Violation>> {
        let mut check = Check::default();
        for task in self.tasks.unwrap_or_default() {
            check.stored.insert(task.id, task);
        }
        self.events
            .iter()
            .zip(1..)
            .for_each(|(event, seq)| check.read(event, seq));
        check.end(self.tasks.is_some());
        if let Some(acknowledged) = self.acknowledged {
            check.look_for(acknowledged);
        }
        if check.violations.is_empty() {
            Ok(check.summary)
        } else {
            Err(check.violations)
        }
    }
}

#[derive(Default)]
struct Check<'a> {
    stored: BTreeMap<TaskId, &'a Task>,
    lives: BTreeMap<TaskId, Life>,
    claims: HashSet<(TaskId, Epoch)>,
    successes: HashSet<(TaskId, Epoch)>,
    failures: HashSet<(TaskId, Epoch)>,
    first: Option<&'a Event>,
    summary: Summary,
    violations: Vec<Violation>,
}

impl<'a> Check<'a> {
    fn report(&mut self, task: Option<TaskId>, events: Vec<u64>, broken: Broken) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation {
                task,
                events,
                broken,
            });
        }
    }

    fn read(&mut self, event: &'a Event, expected: u64) {
        self.summary.events += 1;
        if event.seq != expected {
            let found = event.seq;
            self.report(None, vec![found], Broken::Gap { expected, found });
        }
        let first = *self.first.get_or_insert(event);
        if event.team != first.team {
            let team = event.team.clone();
            self.report(None, vec![event.seq], Broken::OtherTeam { team });
        }
        self.count(&event.fact);
        let Some(id) = event.fact.task() else { return };
        let Some(mut life) = self.lives.remove(&id) else {
            match Life::begin(event, self.stored.get(&id).copied(), &self.lives) {
                Ok((life, wrong)) => {
                    self.report_all(id, event.seq, wrong);
                    self.lives.insert(id, life);
                }
                Err(broken) => self.report(Some(id), vec![event.seq], broken),
            }
            return;
        };
        // Taken out for a moment, so that it can look at the tasks it depends on.
        let wrong = life.read(event, &self.lives);
        for (events, broken) in wrong {
            self.report(Some(id), events, broken);
        }
        self.lives.insert(id, life);
    }

    fn report_all(&mut self, task: TaskId, seq: u64, wrong: Vec<Broken>) {
        for broken in wrong {
            self.report(Some(task), vec![seq], broken);
        }
    }

    fn count(&mut self, fact: &Fact) {
        match fact {
            Fact::TaskClaimed { task, epoch, .. } => {
                self.summary.claims += 1;
                self.claims.insert((*task, *epoch));
            }
            Fact::TaskSucceeded { task, epoch, .. } => {
                self.successes.insert((*task, *epoch));
            }
            Fact::TaskAttemptFailed {
                task,
                epoch,
                outcome,
                ..
            } => {
                self.summary.failed_attempts += 1;
                self.summary.lost_attempts += u64::from(*outcome == AttemptOutcome::Lost);
                self.failures.insert((*task, *epoch));
            }
            Fact::TaskRevived { .. } => self.summary.revivals += 1,
            _ => {}
        }
    }

    /// What must hold once the log has ended.
    fn end(&mut self, complete: bool) {
        let lives = std::mem::take(&mut self.lives);
        for (id, life) in &lives {
            *self.summary.states.entry(life.task.state).or_default() += 1;
            if let Some((seq, broken)) = life.unfinished() {
                self.report(Some(*id), vec![seq], broken);
            }
            let events = vec![life.created, life.last];
            match self.stored.get(id).copied() {
                Some(stored) => {
                    for broken in compare(&life.task, stored) {
                        self.report(Some(*id), events.clone(), broken);
                    }
                    for broken in waits_in_vain(life, stored, &lives) {
                        self.report(Some(*id), events.clone(), broken);
                    }
                }
                None if complete => self.report(Some(*id), events, Broken::NotStored),
                None => {}
            }
        }
        let stored = std::mem::take(&mut self.stored);
        for id in stored.keys().filter(|id| !lives.contains_key(id)) {
            self.report(Some(*id), Vec::new(), Broken::WithoutHistory);
        }
        self.lives = lives;
    }

    fn look_for(&mut self, acknowledged: &Acknowledged) {
        for id in &acknowledged.created {
            if !self.lives.contains_key(id) {
                self.report(Some(*id), Vec::new(), Broken::CreationLost);
            }
        }
        let lost = |told: &[(TaskId, Epoch)], there: &HashSet<(TaskId, Epoch)>| {
            let lost = told.iter().filter(|one| !there.contains(one));
            lost.copied().collect::<Vec<_>>()
        };
        for (id, epoch) in lost(&acknowledged.claimed, &self.claims) {
            self.report(Some(id), Vec::new(), Broken::ClaimLost { epoch });
        }
        for (id, epoch) in lost(&acknowledged.succeeded, &self.successes) {
            self.report(Some(id), Vec::new(), Broken::SuccessLost { epoch });
        }
        for (id, epoch) in lost(&acknowledged.failed, &self.failures) {
            self.report(Some(id), Vec::new(), Broken::FailureLost { epoch });
        }
    }
}

#[cfg(test)]
mod story;
#[cfg(test)]
mod tests;
