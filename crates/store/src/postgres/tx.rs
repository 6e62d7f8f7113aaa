//! The port's `Tx`: statements inside the transaction of a group.
//!
//! Whatever writes or locks has the team's row first, so reading one of the
//! team's rows after that is locking it.

use async_trait::async_trait;
use collective_core::agent::Agent;
use collective_core::event::Fact;
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

use super::query::View;
use super::writing::Writing;
use super::{
    agents, answers, attempts, edges, events, lanes, messages, questions, reservations, schedules,
    tasks, teams,
};

#[async_trait]
impl Tx for View<Writing> {
    async fn append(
        &mut self,
        team: &TeamName,
        actor: &str,
        at: Timestamp,
        facts: Vec<Fact>,
    ) -> Result<u64, StoreError> {
        events::append(&mut self.access, team, actor, at, facts).await
    }

    async fn insert_tasks(&mut self, team: &TeamName, tasks: &[Task]) -> Result<(), StoreError> {
        tasks::insert(&mut self.access, team, tasks).await
    }

    async fn lock_tasks(
        &mut self,
        team: &TeamName,
        ids: &[TaskId],
    ) -> Result<Vec<Task>, StoreError> {
        tasks::by_ids(&mut self.access, team, ids).await
    }

    async fn lock_heads(
        &mut self,
        team: &TeamName,
        lanes: &[Lane],
        limit: usize,
    ) -> Result<Vec<Head>, StoreError> {
        lanes::heads(&mut self.access, team, lanes, limit).await
    }

    async fn update_tasks(&mut self, team: &TeamName, tasks: &[Task]) -> Result<(), StoreError> {
        tasks::update(&mut self.access, team, tasks).await
    }

    async fn insert_attempts(
        &mut self,
        team: &TeamName,
        attempts: &[(TaskId, Attempt)],
    ) -> Result<(), StoreError> {
        attempts::insert(&mut self.access, team, attempts).await
    }

    async fn insert_edges(&mut self, team: &TeamName, edges: &[Edge]) -> Result<(), StoreError> {
        edges::insert(&mut self.access, team, edges).await
    }

    async fn set_edge_met(
        &mut self,
        team: &TeamName,
        task: TaskId,
        on: TaskId,
        met: bool,
    ) -> Result<(), StoreError> {
        edges::set_met(&mut self.access, team, task, on, met).await
    }

    async fn append_log(
        &mut self,
        team: &TeamName,
        task: TaskId,
        epoch: Epoch,
        chunk: LogChunk,
    ) -> Result<u64, StoreError> {
        attempts::append_log(&mut self.access, team, task, epoch, &chunk).await
    }

    async fn put_artifact(
        &mut self,
        team: &TeamName,
        task: TaskId,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        attempts::put_artifact(&mut self.access, team, task, name, bytes).await
    }

    async fn insert_team(&mut self, team: &TeamName, now: Timestamp) -> Result<bool, StoreError> {
        teams::insert(&mut self.access, team, now).await
    }

    async fn put_agent(&mut self, team: &TeamName, agent: &Agent) -> Result<(), StoreError> {
        agents::put_agent(&mut self.access, team, agent).await
    }

    async fn remove_agent(&mut self, team: &TeamName, name: &AgentName) -> Result<(), StoreError> {
        agents::remove_agent(&mut self.access, team, name).await
    }

    async fn put_queue(&mut self, team: &TeamName, queue: &Queue) -> Result<(), StoreError> {
        agents::put_queue(&mut self.access, team, queue).await
    }

    async fn put_key(&mut self, key: &ApiKey) -> Result<(), StoreError> {
        agents::put_key(&mut self.access, key).await
    }

    async fn insert_message(
        &mut self,
        team: &TeamName,
        message: &Message,
        to: &[AgentName],
    ) -> Result<(), StoreError> {
        messages::insert(&mut self.access, team, message, to).await
    }

    async fn set_receipts(
        &mut self,
        team: &TeamName,
        agent: &AgentName,
        receipts: &[(MessageId, Receipt)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        messages::set_receipts(&mut self.access, team, agent, receipts, now).await
    }

    async fn put_question(
        &mut self,
        team: &TeamName,
        question: &Question,
    ) -> Result<(), StoreError> {
        questions::put(&mut self.access, team, question).await
    }

    async fn put_reservation(
        &mut self,
        team: &TeamName,
        reservation: &Reservation,
    ) -> Result<(), StoreError> {
        reservations::put(&mut self.access, team, reservation).await
    }

    async fn remove_reservation(
        &mut self,
        team: &TeamName,
        id: ReservationId,
    ) -> Result<(), StoreError> {
        reservations::remove(&mut self.access, team, id).await
    }

    async fn put_schedule(
        &mut self,
        team: &TeamName,
        schedule: &Schedule,
    ) -> Result<(), StoreError> {
        schedules::put(&mut self.access, team, schedule).await
    }

    async fn remove_schedule(&mut self, team: &TeamName, id: ScheduleId) -> Result<(), StoreError> {
        schedules::remove(&mut self.access, team, id).await
    }

    async fn remember(
        &mut self,
        team: &TeamName,
        key: &str,
        answer: &Remembered,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        answers::remember(&mut self.access, team, key, answer, now).await
    }

    async fn forget(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        answers::forget(&mut self.access, before).await
    }
}
