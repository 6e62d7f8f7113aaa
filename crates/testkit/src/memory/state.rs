//! What the memory store holds, and the indexes over tasks that it keeps true.

use std::collections::BTreeMap;

use collective_core::agent::Agent;
use collective_core::event::{Event, Fact};
use collective_core::key::ApiKey;
use collective_core::message::{Delivery, Message};
use collective_core::ports::StoreError;
use collective_core::ports::store::{Edge, LogChunk, Remembered};
use collective_core::question::Question;
use collective_core::queue::Queue;
use collective_core::reservation::Reservation;
use collective_core::schedule::Schedule;
use collective_core::task::{Attempt, Epoch, Lane, Priority, Task, TaskState};
use collective_core::{
    AgentName, KeyId, MessageId, QuestionId, QueueName, ReservationId, ScheduleId, TaskId,
    TeamName, Timestamp,
};

use super::table::{Journal, Table};

/// Everything, committed and of the one work in progress.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) closed: bool,
    pub(super) teams: BTreeMap<TeamName, Team>,
    pub(super) keys: Table<KeyId, ApiKey>,
    /// Teams that the work in progress created.
    founded: Vec<TeamName>,
    /// Events that the work in progress appended, in their order.
    appended: Vec<Event>,
}

/// A queued task's place: its lane's order is the order of the keys.
pub(super) type Place = (Lane, Priority, Timestamp, u64);

#[derive(Debug, Default)]
pub(super) struct Team {
    pub(super) events: Vec<Event>,
    /// How many of the events are committed.
    committed: usize,
    pub(super) tasks: Table<TaskId, Task>,
    pub(super) numbers: Table<u64, TaskId>,
    pub(super) queued: Table<Place, TaskId>,
    pub(super) leased: Table<(AgentName, TaskId), ()>,
    pub(super) due: Table<(Timestamp, u64), TaskId>,
    pub(super) attempts: Table<(TaskId, Epoch), Attempt>,
    pub(super) edges: Table<(TaskId, TaskId), Edge>,
    /// The edges from their other end: what is waited for, who waits.
    pub(super) dependents: Table<(TaskId, TaskId), ()>,
    pub(super) logs: Table<(TaskId, Epoch, u64), LogChunk>,
    pub(super) artifacts: Table<(TaskId, String), Vec<u8>>,
    pub(super) agents: Table<AgentName, Agent>,
    pub(super) queues: Table<QueueName, Queue>,
    pub(super) messages: Table<MessageId, Message>,
    pub(super) inboxes: Table<(AgentName, u64), Delivery>,
    /// Where in whose inbox a message lies.
    pub(super) deliveries: Table<(MessageId, AgentName), u64>,
    pub(super) questions: Table<QuestionId, Question>,
    pub(super) reservations: Table<ReservationId, Reservation>,
    pub(super) schedules: Table<ScheduleId, Schedule>,
    pub(super) remembered: Table<String, (Remembered, Timestamp)>,
}

impl State {
    pub(super) fn team_mut(&mut self, name: &TeamName) -> Result<&mut Team, StoreError> {
        self.teams
            .get_mut(name)
            .ok_or_else(|| StoreError::Internal(format!("a write to team `{name}`, which isn't")))
    }

    /// Creates a team; says whether it was new.
    pub(super) fn found(&mut self, name: &TeamName) -> bool {
        if self.teams.contains_key(name) {
            return false;
        }
        self.teams.insert(name.clone(), Team::default());
        self.founded.push(name.clone());
        true
    }

    pub(super) fn append(
        &mut self,
        name: &TeamName,
        actor: &str,
        at: Timestamp,
        facts: Vec<Fact>,
    ) -> Result<u64, StoreError> {
        let team = self.team_mut(name)?;
        let first = team.events.len() as u64 + 1;
        let new = facts.into_iter().zip(first..).map(|(fact, seq)| Event {
            team: name.clone(),
            seq,
            at,
            actor: actor.to_owned(),
            fact,
        });
        let start = team.events.len();
        team.events.extend(new);
        let new = team.events[start..].to_vec();
        self.appended.extend(new);
        Ok(first)
    }

    /// Makes the work in progress permanent and gives its events.
    pub(super) fn commit(&mut self) -> Vec<Event> {
        self.keys.commit();
        self.founded.clear();
        for team in self.teams.values_mut() {
            team.committed = team.events.len();
            for table in team.tables() {
                table.commit();
            }
        }
        std::mem::take(&mut self.appended)
    }

    /// Takes the work in progress back.
    pub(super) fn roll_back(&mut self) {
        self.keys.roll_back();
        self.appended.clear();
        for name in std::mem::take(&mut self.founded) {
            self.teams.remove(&name);
        }
        for team in self.teams.values_mut() {
            team.events.truncate(team.committed);
            for table in team.tables() {
                table.roll_back();
            }
        }
    }
}

impl Team {
    fn tables(&mut self) -> [&mut dyn Journal; 19] {
        [
            &mut self.tasks,
            &mut self.numbers,
            &mut self.queued,
            &mut self.leased,
            &mut self.due,
            &mut self.attempts,
            &mut self.edges,
            &mut self.dependents,
            &mut self.logs,
            &mut self.artifacts,
            &mut self.agents,
            &mut self.queues,
            &mut self.messages,
            &mut self.inboxes,
            &mut self.deliveries,
            &mut self.questions,
            &mut self.reservations,
            &mut self.schedules,
            &mut self.remembered,
        ]
    }

    pub(super) fn insert_task(&mut self, task: &Task) -> Result<(), StoreError> {
        let new =
            !self.tasks.contains_key(&task.id) && self.numbers.insert_new(task.number, task.id);
        if !new {
            return Err(StoreError::Internal(format!(
                "task {} or its number {} is there already",
                task.id, task.number
            )));
        }
        self.index(None, task);
        self.tasks.put(task.id, task.clone());
        Ok(())
    }

    /// Writes everything of a task but what never changes.
    pub(super) fn update_task(&mut self, task: &Task) -> Result<(), StoreError> {
        let Some(old) = self.tasks.get(&task.id) else {
            return Err(StoreError::Internal(format!(
                "an update of task {}, which isn't",
                task.id
            )));
        };
        let mut new = task.clone();
        if new.spec != old.spec {
            new.spec.clone_from(&old.spec);
        }
        let before = Places::of(old);
        self.index(Some(before), &new);
        self.tasks.put(new.id, new);
        Ok(())
    }

    /// Moves a task in the indexes from where it stood to where it stands.
    fn index(&mut self, before: Option<Places>, task: &Task) {
        let before = before.unwrap_or_default();
        let after = Places::of(task);
        shift(&mut self.queued, before.queued, after.queued, task.id);
        shift(&mut self.due, before.due, after.due, task.id);
        shift(&mut self.leased, before.leased, after.leased, ());
    }
}

/// Where a task stands in each index, if at all.
#[derive(Default)]
struct Places {
    queued: Option<Place>,
    leased: Option<(AgentName, TaskId)>,
    due: Option<(Timestamp, u64)>,
}

impl Places {
    fn of(task: &Task) -> Self {
        let queued = (task.state == TaskState::Queued)
            .then(|| (task.lane(), task.spec.priority, task.ready_at, task.number));
        let leased = task
            .lease
            .as_ref()
            .map(|lease| (lease.agent.clone(), task.id));
        let due = task.due_at().map(|at| (at, task.number));
        Self {
            queued,
            leased,
            due,
        }
    }
}

fn shift<K: Ord + Clone, V>(index: &mut Table<K, V>, from: Option<K>, to: Option<K>, row: V) {
    if from == to {
        return;
    }
    if let Some(from) = from {
        index.remove(&from);
    }
    if let Some(to) = to {
        index.put(to, row);
    }
}
