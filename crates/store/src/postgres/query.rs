//! The port's `Query`, once for both kinds of connection.
//!
//! A [`View`] asks through an [`Access`]: a work's asks inside its transaction,
//! a reader's borrows a connection for each question. Every question is one
//! statement, so that its answer is of one moment.

use std::collections::BTreeMap;
use std::future::Future;

use async_trait::async_trait;
use collective_core::agent::Agent;
use collective_core::event::Event;
use collective_core::key::ApiKey;
use collective_core::message::{Delivery, Message};
use collective_core::ports::store::{Edge, LaneCount, LogChunk, Remembered, TaskFilter};
use collective_core::ports::{Query, StoreError};
use collective_core::question::{Question, QuestionState};
use collective_core::queue::Queue;
use collective_core::reservation::Reservation;
use collective_core::schedule::Schedule;
use collective_core::task::{Attempt, Epoch, Lane, Priority, Task, TaskState};
use collective_core::{
    AgentName, KeyId, MessageId, QuestionId, QueueName, ReservationId, ScheduleId, TaskId,
    TeamName, Timestamp,
};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::teams::{self, Locked};
use super::{
    agents, answers, attempts, edges, events, lanes, listing, messages, questions, reservations,
    schedules, tasks,
};

/// A way to ask.
pub(super) trait Access: Send {
    /// The rows that a statement gives.
    fn rows(
        &mut self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// How far a team has come, where that is known better than the rows say.
    fn known(&self, team: &TeamName) -> Option<Locked>;
}

/// What can be read through an access.
pub(super) struct View<A> {
    pub(super) access: A,
}

#[async_trait]
impl<A: Access> Query for View<A> {
    async fn task(&mut self, team: &TeamName, id: TaskId) -> Result<Option<Task>, StoreError> {
        tasks::by_id(&mut self.access, team, id).await
    }

    async fn task_by_number(
        &mut self,
        team: &TeamName,
        number: u64,
    ) -> Result<Option<Task>, StoreError> {
        tasks::by_number(&mut self.access, team, number).await
    }

    async fn list_tasks(
        &mut self,
        team: &TeamName,
        filter: &TaskFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        listing::newest(&mut self.access, team, filter, before, limit).await
    }

    async fn lane_counts(&mut self, team: &TeamName) -> Result<Vec<LaneCount>, StoreError> {
        lanes::counts(&mut self.access, team).await
    }

    async fn state_counts(
        &mut self,
        team: &TeamName,
    ) -> Result<BTreeMap<TaskState, u64>, StoreError> {
        lanes::state_counts(&mut self.access, team).await
    }

    async fn count_ahead(
        &mut self,
        team: &TeamName,
        lane: &Lane,
        place: (Priority, Timestamp, u64),
        limit: u64,
    ) -> Result<u64, StoreError> {
        lanes::count_ahead(&mut self.access, team, lane, place, limit).await
    }

    async fn held(&mut self, team: &TeamName) -> Result<BTreeMap<AgentName, u32>, StoreError> {
        lanes::held(&mut self.access, team).await
    }

    async fn held_by(&mut self, team: &TeamName, agent: &AgentName) -> Result<u32, StoreError> {
        lanes::held_by(&mut self.access, team, agent).await
    }

    async fn attempts(
        &mut self,
        team: &TeamName,
        task: TaskId,
    ) -> Result<Vec<Attempt>, StoreError> {
        attempts::of_task(&mut self.access, team, task).await
    }

    async fn attempt(
        &mut self,
        team: &TeamName,
        task: TaskId,
        epoch: Epoch,
    ) -> Result<Option<Attempt>, StoreError> {
        attempts::one(&mut self.access, team, task, epoch).await
    }

    async fn dependencies(
        &mut self,
        team: &TeamName,
        task: TaskId,
    ) -> Result<Vec<Edge>, StoreError> {
        edges::of_task(&mut self.access, team, task).await
    }

    async fn dependents(
        &mut self,
        team: &TeamName,
        on: &[TaskId],
    ) -> Result<Vec<Edge>, StoreError> {
        edges::on_tasks(&mut self.access, team, on).await
    }

    async fn due_tasks(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(TeamName, TaskId)>, StoreError> {
        lanes::due(&mut self.access, now, limit).await
    }

    async fn next_due(&mut self) -> Result<Option<Timestamp>, StoreError> {
        lanes::next_due(&mut self.access).await
    }

    async fn log(
        &mut self,
        team: &TeamName,
        task: TaskId,
        epoch: Epoch,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LogChunk>, StoreError> {
        attempts::log(&mut self.access, team, task, epoch, after, limit).await
    }

    async fn artifact(
        &mut self,
        team: &TeamName,
        task: TaskId,
        name: &str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        attempts::artifact(&mut self.access, team, task, name).await
    }

    async fn team_exists(&mut self, team: &TeamName) -> Result<bool, StoreError> {
        teams::exists(&mut self.access, team).await
    }

    async fn teams(&mut self) -> Result<Vec<TeamName>, StoreError> {
        teams::all(&mut self.access).await
    }

    async fn agent(
        &mut self,
        team: &TeamName,
        name: &AgentName,
    ) -> Result<Option<Agent>, StoreError> {
        agents::agent(&mut self.access, team, name).await
    }

    async fn agents(&mut self, team: &TeamName) -> Result<Vec<Agent>, StoreError> {
        agents::agents(&mut self.access, team).await
    }

    async fn queue(
        &mut self,
        team: &TeamName,
        name: &QueueName,
    ) -> Result<Option<Queue>, StoreError> {
        agents::queue(&mut self.access, team, name).await
    }

    async fn queues(&mut self, team: &TeamName) -> Result<Vec<Queue>, StoreError> {
        agents::queues(&mut self.access, team).await
    }

    async fn key(&mut self, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
        agents::key(&mut self.access, id).await
    }

    async fn keys(&mut self, team: &TeamName) -> Result<Vec<ApiKey>, StoreError> {
        agents::keys(&mut self.access, team).await
    }

    async fn message(
        &mut self,
        team: &TeamName,
        id: MessageId,
    ) -> Result<Option<Message>, StoreError> {
        messages::message(&mut self.access, team, id).await
    }

    async fn inbox(
        &mut self,
        team: &TeamName,
        agent: &AgentName,
        after: u64,
        unacknowledged: bool,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        messages::inbox(&mut self.access, team, agent, after, unacknowledged, limit).await
    }

    async fn deliveries(
        &mut self,
        team: &TeamName,
        id: MessageId,
    ) -> Result<Vec<Delivery>, StoreError> {
        messages::deliveries(&mut self.access, team, id).await
    }

    async fn question(
        &mut self,
        team: &TeamName,
        id: QuestionId,
    ) -> Result<Option<Question>, StoreError> {
        questions::one(&mut self.access, team, id).await
    }

    async fn questions(
        &mut self,
        team: &TeamName,
        state: Option<QuestionState>,
        task: Option<TaskId>,
        limit: usize,
    ) -> Result<Vec<Question>, StoreError> {
        questions::list(&mut self.access, team, state, task, limit).await
    }

    async fn reservation(
        &mut self,
        team: &TeamName,
        id: ReservationId,
    ) -> Result<Option<Reservation>, StoreError> {
        reservations::one(&mut self.access, team, id).await
    }

    async fn reservations(&mut self, team: &TeamName) -> Result<Vec<Reservation>, StoreError> {
        reservations::list(&mut self.access, team).await
    }

    async fn expired_reservations(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(TeamName, ReservationId)>, StoreError> {
        reservations::expired(&mut self.access, now, limit).await
    }

    async fn schedule(
        &mut self,
        team: &TeamName,
        id: ScheduleId,
    ) -> Result<Option<Schedule>, StoreError> {
        schedules::one(&mut self.access, team, id).await
    }

    async fn schedules(&mut self, team: &TeamName) -> Result<Vec<Schedule>, StoreError> {
        schedules::list(&mut self.access, team).await
    }

    async fn due_schedules(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(TeamName, ScheduleId)>, StoreError> {
        schedules::due(&mut self.access, now, limit).await
    }

    async fn events(
        &mut self,
        team: &TeamName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        events::after(&mut self.access, team, after, limit).await
    }

    async fn task_events(
        &mut self,
        team: &TeamName,
        task: TaskId,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        events::of_task(&mut self.access, team, task, limit).await
    }

    async fn last_seq(&mut self, team: &TeamName) -> Result<u64, StoreError> {
        events::last_seq(&mut self.access, team).await
    }

    async fn remembered(
        &mut self,
        team: &TeamName,
        key: &str,
        since: Timestamp,
    ) -> Result<Option<Remembered>, StoreError> {
        answers::remembered(&mut self.access, team, key, since).await
    }

    async fn answers(
        &mut self,
        team: &TeamName,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Remembered, Timestamp)>, StoreError> {
        answers::all(&mut self.access, team, after, limit).await
    }
}
