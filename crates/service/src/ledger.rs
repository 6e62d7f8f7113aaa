//! The ledger of one transaction: what moved, written once at its end.
//!
//! Ended tasks free or fail what depends on them here, in the same commit
//! (invariant 6), however long the chain is.

use std::collections::BTreeMap;

use collective_core::event::Fact;
use collective_core::ports::StoreError;
use collective_core::ports::store::{Failed, Tx};
use collective_core::question::{self, QuestionState};
use collective_core::task::{Attempt, Task, TaskState, Transition};
use collective_core::{QuestionId, TaskId, TeamName, Timestamp};

/// Who acts when the server does by itself.
pub(crate) const SERVER: &str = "server";

pub(crate) struct Ledger {
    team: TeamName,
    actor: String,
    now: Timestamp,
    facts: Vec<Fact>,
    moved: Vec<Task>,
    attempts: Vec<(TaskId, Attempt)>,
    questions: Vec<(QuestionId, QuestionState)>,
}

impl Ledger {
    pub(crate) fn new(team: TeamName, actor: String, now: Timestamp) -> Self {
        Self {
            team,
            actor,
            now,
            facts: Vec::new(),
            moved: Vec::new(),
            attempts: Vec::new(),
            questions: Vec::new(),
        }
    }

    /// Notes a fact that moves no task.
    pub(crate) fn fact(&mut self, fact: Fact) {
        self.facts.push(fact);
    }

    /// Notes what a command did to a task.
    pub(crate) fn moved(&mut self, task: Task, transition: Transition) {
        self.facts.extend(transition.facts);
        self.attempts
            .extend(transition.attempt.map(|attempt| (task.id, attempt)));
        self.questions.extend(transition.question);
        self.moved.push(task);
    }

    /// Notes a change that is no fact (a heartbeat).
    pub(crate) fn touched(&mut self, task: Task) {
        self.moved.push(task);
    }

    /// Writes everything, and what follows from ended tasks.
    pub(crate) async fn commit(mut self, tx: &mut dyn Tx) -> Result<(), Failed> {
        if !self.moved.is_empty() {
            tx.update_tasks(&self.team, &self.moved).await?;
        }
        if !self.attempts.is_empty() {
            tx.insert_attempts(&self.team, &self.attempts).await?;
            self.end_reservations(tx).await?;
        }
        for (id, state) in std::mem::take(&mut self.questions) {
            if let Some(mut open) = tx.question(&self.team, id).await? {
                question::close(&mut open, state, self.now);
                tx.put_question(&self.team, &open).await?;
            }
        }
        self.propagate(tx).await?;
        if !self.facts.is_empty() {
            tx.append(&self.team, &self.actor, self.now, self.facts)
                .await?;
        }
        Ok(())
    }

    async fn propagate(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let mut ended = std::mem::take(&mut self.moved);
        // Each task ends at most once per transaction, so the rounds run dry.
        loop {
            let ended_now: BTreeMap<TaskId, Task> = ended
                .drain(..)
                .filter(|task| task.state.is_terminal() && task.state != TaskState::Discarded)
                .map(|task| (task.id, task))
                .collect();
            if ended_now.is_empty() {
                return Ok(());
            }
            let ids: Vec<TaskId> = ended_now.keys().copied().collect();
            for edge in tx.dependents(&self.team, &ids).await? {
                let Some(dependency) = ended_now.get(&edge.on).filter(|_| !edge.met) else {
                    continue;
                };
                let Some(mut task) = tx.lock_tasks(&self.team, &[edge.task]).await?.pop() else {
                    continue;
                };
                let transition = task.dependency_ended(dependency, edge.when, self.now);
                if transition.facts.is_empty() {
                    continue;
                }
                if transition
                    .facts
                    .iter()
                    .any(|fact| matches!(fact, Fact::TaskDependencyMet { .. }))
                {
                    tx.set_edge_met(&self.team, edge.task, edge.on, true)
                        .await?;
                }
                self.facts.extend(transition.facts);
                tx.update_tasks(&self.team, std::slice::from_ref(&task))
                    .await?;
                ended.push(task);
            }
        }
    }

    /// Reservations that were made for an attempt end with it.
    async fn end_reservations(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        for held in tx.reservations(&self.team).await? {
            let Some(task) = held.task else { continue };
            if self.attempts.iter().any(|(id, _)| *id == task) {
                tx.remove_reservation(&self.team, held.id).await?;
                self.facts.push(Fact::ReservationEnded {
                    reservation: held.id,
                    agent: held.agent,
                    reason: "its attempt ended".to_owned(),
                });
            }
        }
        Ok(())
    }
}
