//! The port's `Tx`: statements on the writer's connection, inside the transaction of its group.
//!
//! The writer is the only one who writes and works run one after the other,
//! so reading a row is locking it.

use std::future::Future;

use async_trait::async_trait;
use collective_core::agent::Agent;
use collective_core::event::{Event, Fact};
use collective_core::key::ApiKey;
use collective_core::message::{Message, Receipt};
use collective_core::ports::store::{Edge, Head, LogChunk, Remembered};
use collective_core::ports::{StoreError, Tx};
use collective_core::question::Question;
use collective_core::queue::Queue;
use collective_core::reservation::Reservation;
use collective_core::schedule::Schedule;
use collective_core::task::{Attempt, Epoch, Lane, Task};
use collective_core::{
    AgentName, MessageId, ReservationId, ScheduleId, TaskId, TeamName, Timestamp,
};
use rusqlite::Connection;

use super::error::store_error;
use super::events::{self, Numbers};
use super::query::{Access, View};
use super::{
    agents, answers, attempts, edges, lanes, messages, questions, reservations, schedules, tasks,
};

/// The writer's connection, lent to one piece of work.
pub(super) struct Writing<'w> {
    connection: &'w mut Connection,
    numbers: &'w mut Numbers,
    appended: Vec<Event>,
}

impl<'w> View<Writing<'w>> {
    pub(super) fn of_work(connection: &'w mut Connection, numbers: &'w mut Numbers) -> Self {
        Self {
            access: Writing {
                connection,
                numbers,
                appended: Vec::new(),
            },
        }
    }

    /// The events that the work appended, in order.
    pub(super) fn into_events(self) -> Vec<Event> {
        self.access.appended
    }

    fn write<T>(
        &self,
        statements: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        statements(self.access.connection).map_err(store_error)
    }
}

impl Access for Writing<'_> {
    fn run<T, F>(&mut self, ask: F) -> impl Future<Output = Result<T, StoreError>> + Send
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        std::future::ready(ask(self.connection).map_err(store_error))
    }
}

#[async_trait]
impl Tx for View<Writing<'_>> {
    async fn append(
        &mut self,
        team: &TeamName,
        actor: &str,
        at: Timestamp,
        facts: Vec<Fact>,
    ) -> Result<u64, StoreError> {
        let Writing {
            connection,
            numbers,
            appended,
        } = &mut self.access;
        events::append(connection, numbers, team, actor, at, facts, appended).map_err(store_error)
    }

    async fn insert_tasks(&mut self, team: &TeamName, tasks: &[Task]) -> Result<(), StoreError> {
        self.write(|c| tasks::insert(c, team, tasks))
    }

    async fn lock_tasks(
        &mut self,
        team: &TeamName,
        ids: &[TaskId],
    ) -> Result<Vec<Task>, StoreError> {
        self.write(|c| tasks::by_ids(c, team, ids))
    }

    async fn lock_heads(
        &mut self,
        team: &TeamName,
        lanes: &[Lane],
        limit: usize,
    ) -> Result<Vec<Head>, StoreError> {
        self.write(|c| lanes::heads(c, team, lanes, limit))
    }

    async fn update_tasks(&mut self, team: &TeamName, tasks: &[Task]) -> Result<(), StoreError> {
        tasks::update(self.access.connection, team, tasks)
    }

    async fn insert_attempts(
        &mut self,
        team: &TeamName,
        attempts: &[(TaskId, Attempt)],
    ) -> Result<(), StoreError> {
        self.write(|c| attempts::insert(c, team, attempts))
    }

    async fn insert_edges(&mut self, team: &TeamName, edges: &[Edge]) -> Result<(), StoreError> {
        self.write(|c| edges::insert(c, team, edges))
    }

    async fn set_edge_met(
        &mut self,
        team: &TeamName,
        task: TaskId,
        on: TaskId,
        met: bool,
    ) -> Result<(), StoreError> {
        edges::set_met(self.access.connection, team, task, on, met)
    }

    async fn append_log(
        &mut self,
        team: &TeamName,
        task: TaskId,
        epoch: Epoch,
        chunk: LogChunk,
    ) -> Result<u64, StoreError> {
        self.write(|c| attempts::append_log(c, team, task, epoch, &chunk))
    }

    async fn put_artifact(
        &mut self,
        team: &TeamName,
        task: TaskId,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        self.write(|c| attempts::put_artifact(c, team, task, name, bytes))
    }

    async fn insert_team(&mut self, team: &TeamName, now: Timestamp) -> Result<bool, StoreError> {
        self.write(|c| agents::insert_team(c, team, now))
    }

    async fn put_agent(&mut self, team: &TeamName, agent: &Agent) -> Result<(), StoreError> {
        self.write(|c| agents::put_agent(c, team, agent))
    }

    async fn remove_agent(&mut self, team: &TeamName, name: &AgentName) -> Result<(), StoreError> {
        self.write(|c| agents::remove_agent(c, team, name))
    }

    async fn put_queue(&mut self, team: &TeamName, queue: &Queue) -> Result<(), StoreError> {
        self.write(|c| agents::put_queue(c, team, queue))
    }

    async fn put_key(&mut self, key: &ApiKey) -> Result<(), StoreError> {
        self.write(|c| agents::put_key(c, key))
    }

    async fn insert_message(
        &mut self,
        team: &TeamName,
        message: &Message,
        to: &[AgentName],
    ) -> Result<(), StoreError> {
        self.write(|c| messages::insert(c, team, message, to))
    }

    async fn set_receipts(
        &mut self,
        team: &TeamName,
        agent: &AgentName,
        receipts: &[(MessageId, Receipt)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(|c| messages::set_receipts(c, team, agent, receipts, now))
    }

    async fn put_question(
        &mut self,
        team: &TeamName,
        question: &Question,
    ) -> Result<(), StoreError> {
        self.write(|c| questions::put(c, team, question))
    }

    async fn put_reservation(
        &mut self,
        team: &TeamName,
        reservation: &Reservation,
    ) -> Result<(), StoreError> {
        self.write(|c| reservations::put(c, team, reservation))
    }

    async fn remove_reservation(
        &mut self,
        team: &TeamName,
        id: ReservationId,
    ) -> Result<(), StoreError> {
        self.write(|c| reservations::remove(c, team, id))
    }

    async fn put_schedule(
        &mut self,
        team: &TeamName,
        schedule: &Schedule,
    ) -> Result<(), StoreError> {
        self.write(|c| schedules::put(c, team, schedule))
    }

    async fn remove_schedule(&mut self, team: &TeamName, id: ScheduleId) -> Result<(), StoreError> {
        self.write(|c| schedules::remove(c, team, id))
    }

    async fn remember(
        &mut self,
        team: &TeamName,
        key: &str,
        answer: &Remembered,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(|c| answers::remember(c, team, key, answer, now))
    }

    async fn forget(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(|c| answers::forget(c, before))
    }
}
