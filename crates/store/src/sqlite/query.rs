//! The port's `Query`, once for both kinds of connection.
//!
//! A [`View`] asks through an [`Access`]: the writer's runs a statement at
//! once, on its own thread; a reader's runs it on a thread that may block.

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
use rusqlite::Connection;

use super::{
    agents, answers, attempts, edges, events, lanes, listing, messages, questions, reservations,
    schedules, tasks,
};

/// A way to run statements on a connection.
pub(super) trait Access: Send {
    /// Runs `ask` on the connection; all of it sees one state of the store.
    fn run<T, F>(&mut self, ask: F) -> impl Future<Output = Result<T, StoreError>> + Send
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static;
}

/// What can be read through an access.
pub(super) struct View<A> {
    pub(super) access: A,
}

#[async_trait]
impl<A: Access> Query for View<A> {
    async fn task(&mut self, team: &TeamName, id: TaskId) -> Result<Option<Task>, StoreError> {
        let team = team.clone();
        self.access.run(move |c| tasks::by_id(c, &team, id)).await
    }

    async fn task_by_number(
        &mut self,
        team: &TeamName,
        number: u64,
    ) -> Result<Option<Task>, StoreError> {
        let team = team.clone();
        self.access
            .run(move |c| tasks::by_number(c, &team, number))
            .await
    }

    async fn list_tasks(
        &mut self,
        team: &TeamName,
        filter: &TaskFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        let (team, filter) = (team.clone(), filter.clone());
        self.access
            .run(move |c| listing::newest(c, &team, &filter, before, limit))
            .await
    }

    async fn lane_counts(&mut self, team: &TeamName) -> Result<Vec<LaneCount>, StoreError> {
        let team = team.clone();
        self.access.run(move |c| lanes::counts(c, &team)).await
    }

    async fn state_counts(
        &mut self,
        team: &TeamName,
    ) -> Result<BTreeMap<TaskState, u64>, StoreError> {
        let team = team.clone();
        self.access
            .run(move |c| lanes::state_counts(c, &team))
            .await
    }

    async fn count_ahead(
        &mut self,
        team: &TeamName,
        lane: &Lane,
        place: (Priority, Timestamp, u64),
        limit: u64,
    ) -> Result<u64, StoreError> {
        let (team, lane) = (team.clone(), lane.clone());
        self.access
            .run(move |c| lanes::count_ahead(c, &team, &lane, place, limit))
            .await
    }

    async fn held(&mut self, team: &TeamName) -> Result<BTreeMap<AgentName, u32>, StoreError> {
        let team = team.clone();
        self.access.run(move |c| lanes::held(c, &team)).await
    }

    async fn held_by(&mut self, team: &TeamName, agent: &AgentName) -> Result<u32, StoreError> {
        let (team, agent) = (team.clone(), agent.clone());
        self.access
            .run(move |c| lanes::held_by(c, &team, &agent))
            .await
    }

    async fn attempts(
        &mut self,
        team: &TeamName,
        task: TaskId,
    ) -> Result<Vec<Attempt>, StoreError> {
        let team = team.clone();
        self.access
            .run(move |c| attempts::of_task(c, &team, task))
            .await
    }

    async fn attempt(
        &mut self,
        team: &TeamName,
        task: TaskId,
        epoch: Epoch,
    ) -> Result<Option<Attempt>, StoreError> {
        let team = team.clone();
        self.access
            .run(move |c| attempts::one(c, &team, task, epoch))
            .await
    }

    async fn dependencies(
        &mut self,
        team: &TeamName,
        task: TaskId,
    ) -> Result<Vec<Edge>, StoreError> {
        let team = team.clone();
        self.access
            .run(move |c| edges::of_task(c, &team, task))
            .await
    }

    async fn dependents(
        &mut self,
        team: &TeamName,
        on: &[TaskId],
    ) -> Result<Vec<Edge>, StoreError> {
        let (team, on) = (team.clone(), on.to_vec());
        self.access
            .run(move |c| edges::on_tasks(c, &team, &on))
            .await
    }

    async fn due_tasks(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(TeamName, TaskId)>, StoreError> {
        self.access.run(move |c| lanes::due(c, now, limit)).await
    }

    async fn next_due(&mut self) -> Result<Option<Timestamp>, StoreError> {
        self.access.run(lanes::next_due).await
    }

    async fn log(
        &mut self,
        team: &TeamName,
        task: TaskId,
        epoch: Epoch,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LogChunk>, StoreError> {
        let team = team.clone();
        self.access
            .run(move |c| attempts::log(c, &team, task, epoch, after, limit))
            .await
    }

    async fn artifact(
        &mut self,
        team: &TeamName,
        task: TaskId,
        name: &str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let (team, name) = (team.clone(), name.to_owned());
        self.access
            .run(move |c| attempts::artifact(c, &team, task, &name))
            .await
    }

    async fn team_exists(&mut self, team: &TeamName) -> Result<bool, StoreError> {
        let team = team.clone();
        self.access
            .run(move |c| agents::team_exists(c, &team))
            .await
    }

    async fn teams(&mut self) -> Result<Vec<TeamName>, StoreError> {
        self.access.run(agents::teams).await
    }

    async fn agent(
        &mut self,
        team: &TeamName,
        name: &AgentName,
    ) -> Result<Option<Agent>, StoreError> {
        let (team, name) = (team.clone(), name.clone());
        self.access
            .run(move |c| agents::agent(c, &team, &name))
            .await
    }

    async fn agents(&mut self, team: &TeamName) -> Result<Vec<Agent>, StoreError> {
        let team = team.clone();
        self.access.run(move |c| agents::agents(c, &team)).await
    }

    async fn queue(
        &mut self,
        team: &TeamName,
        name: &QueueName,
    ) -> Result<Option<Queue>, StoreError> {
        let (team, name) = (team.clone(), name.clone());
        self.access
            .run(move |c| agents::queue(c, &team, &name))
            .await
    }

    async fn queues(&mut self, team: &TeamName) -> Result<Vec<Queue>, StoreError> {
        let team = team.clone();
        self.access.run(move |c| agents::queues(c, &team)).await
    }

    async fn key(&mut self, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
        self.access.run(move |c| agents::key(c, id)).await
    }

    async fn keys(&mut self, team: &TeamName) -> Result<Vec<ApiKey>, StoreError> {
        let team = team.clone();
        self.access.run(move |c| agents::keys(c, &team)).await
    }

    async fn message(
        &mut self,
        team: &TeamName,
        id: MessageId,
    ) -> Result<Option<Message>, StoreError> {
        let team = team.clone();
        self.access
            .run(move |c| messages::message(c, &team, id))
            .await
    }

    async fn inbox(
        &mut self,
        team: &TeamName,
        agent: &AgentName,
        after: u64,
        unacknowledged: bool,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let (team, agent) = (team.clone(), agent.clone());
        self.access
            .run(move |c| messages::inbox(c, &team, &agent, after, unacknowledged, limit))
            .await
    }

    async fn deliveries(
        &mut self,
        team: &TeamName,
        id: MessageId,
    ) -> Result<Vec<Delivery>, StoreError> {
        let team = team.clone();
        self.access
            .run(move |c| messages::deliveries(c, &team, id))
            .await
    }

    async fn question(
        &mut self,
        team: &TeamName,
        id: QuestionId,
    ) -> Result<Option<Question>, StoreError> {
        let team = team.clone();
        self.access.run(move |c| questions::one(c, &team, id)).await
    }

    async fn questions(
        &mut self,
        team: &TeamName,
        state: Option<QuestionState>,
        task: Option<TaskId>,
        limit: usize,
    ) -> Result<Vec<Question>, StoreError> {
        let team = team.clone();
        self.access
            .run(move |c| questions::list(c, &team, state, task, limit))
            .await
    }

    async fn reservation(
        &mut self,
        team: &TeamName,
        id: ReservationId,
    ) -> Result<Option<Reservation>, StoreError> {
        let team = team.clone();
        self.access
            .run(move |c| reservations::one(c, &team, id))
            .await
    }

    async fn reservations(&mut self, team: &TeamName) -> Result<Vec<Reservation>, StoreError> {
        let team = team.clone();
        self.access.run(move |c| reservations::list(c, &team)).await
    }

    async fn expired_reservations(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(TeamName, ReservationId)>, StoreError> {
        self.access
            .run(move |c| reservations::expired(c, now, limit))
            .await
    }

    async fn schedule(
        &mut self,
        team: &TeamName,
        id: ScheduleId,
    ) -> Result<Option<Schedule>, StoreError> {
        let team = team.clone();
        self.access.run(move |c| schedules::one(c, &team, id)).await
    }

    async fn schedules(&mut self, team: &TeamName) -> Result<Vec<Schedule>, StoreError> {
        let team = team.clone();
        self.access.run(move |c| schedules::list(c, &team)).await
    }

    async fn due_schedules(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(TeamName, ScheduleId)>, StoreError> {
        self.access
            .run(move |c| schedules::due(c, now, limit))
            .await
    }

    async fn events(
        &mut self,
        team: &TeamName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let team = team.clone();
        self.access
            .run(move |c| events::after(c, &team, after, limit))
            .await
    }

    async fn task_events(
        &mut self,
        team: &TeamName,
        task: TaskId,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let team = team.clone();
        self.access
            .run(move |c| events::of_task(c, &team, task, limit))
            .await
    }

    async fn last_seq(&mut self, team: &TeamName) -> Result<u64, StoreError> {
        let team = team.clone();
        self.access.run(move |c| events::last_seq(c, &team)).await
    }

    async fn remembered(
        &mut self,
        team: &TeamName,
        key: &str,
        since: Timestamp,
    ) -> Result<Option<Remembered>, StoreError> {
        let (team, key) = (team.clone(), key.to_owned());
        self.access
            .run(move |c| answers::remembered(c, &team, &key, since))
            .await
    }

    async fn answers(
        &mut self,
        team: &TeamName,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Remembered, Timestamp)>, StoreError> {
        let (team, after) = (team.clone(), after.to_owned());
        self.access
            .run(move |c| answers::all(c, &team, &after, limit))
            .await
    }
}
