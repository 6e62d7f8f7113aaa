//! The store is the truth: every accepted command is committed there before it is answered.
//!
//! A command is a piece of work on a [`Tx`]: it locks what it needs, lets core
//! decide, writes state and events, and all of it commits or nothing does.
//! Adapters hold SQL and nothing else; they decide nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use crate::agent::Agent;
use crate::event::{Event, Fact};
use crate::key::ApiKey;
use crate::message::{Delivery, Message, Receipt};
use crate::question::{Question, QuestionState};
use crate::queue::Queue;
use crate::rejection::{Code, Rejection};
use crate::reservation::Reservation;
use crate::schedule::Schedule;
use crate::task::order::Candidate;
use crate::task::{Attempt, DependencyCondition, Epoch, Lane, Priority, Task, TaskState};
use crate::{
    AgentName, KeyId, MessageId, QuestionId, QueueName, ReservationId, ScheduleId, TaskId,
    TeamName, Timestamp,
};

/// Why the store can't serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No room is left. Nothing was changed.
    #[error("the store has no room left")]
    Full,
    /// It doesn't answer, or not in time.
    #[error("the store doesn't answer: {0}")]
    Unavailable(String),
    /// It went away while it was committing: the command was carried out, or it wasn't.
    #[error("the store went away while it was committing: {0}")]
    Uncertain(String),
    /// Two commands met; the same command may succeed when sent again.
    #[error("two commands met in the store: {0}")]
    Conflict(String),
    /// What it holds can't be read.
    #[error("the store holds what can't be read: {0}")]
    Corrupt(String),
    /// Its schema is newer than this binary.
    #[error("the store has schema {found}, this binary knows up to {known}")]
    SchemaTooNew {
        /// Version in the store.
        found: u32,
        /// Newest version that this binary knows.
        known: u32,
    },
    /// Another server has it open.
    #[error("the data folder {folder} is in use by process {holder}")]
    InUse {
        /// The folder.
        folder: String,
        /// The process that holds it, as far as known.
        holder: String,
    },
    /// A bug: the adapter was used wrongly, or a statement is wrong.
    #[error("a store statement failed: {0}")]
    Internal(String),
}

impl From<StoreError> for Rejection {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Full => Code::StorageFull,
            StoreError::Unavailable(_) | StoreError::Conflict(_) | StoreError::InUse { .. } => {
                Code::Unavailable
            }
            StoreError::Uncertain(_) => Code::Timeout,
            StoreError::Corrupt(_) | StoreError::SchemaTooNew { .. } | StoreError::Internal(_) => {
                Code::Internal
            }
        };
        let hint = match &error {
            StoreError::Full => {
                Some("free some space, then send the command again; nothing was changed")
            }
            StoreError::Conflict(_) | StoreError::Unavailable(_) => {
                Some("send the command again in a moment")
            }
            StoreError::Uncertain(_) => {
                Some("look whether it was carried out before you send it again")
            }
            _ => None,
        };
        let rejection = Rejection::new(code, error.to_string());
        match hint {
            Some(hint) => rejection.hint(hint),
            None => rejection,
        }
    }
}

/// Why a piece of work was rolled back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// A rule refused the command.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Failed> for Rejection {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Rejected(rejection) => rejection,
            Failed::Store(error) => error.into(),
        }
    }
}

/// A piece of work on one transaction.
pub type Work = Box<dyn for<'t> FnOnce(&'t mut dyn Tx) -> BoxFuture<'t, Result<(), Failed>> + Send>;

/// A queued task at the head of its lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its id.
    pub id: TaskId,
    /// Its priority.
    pub priority: Priority,
    /// Since when it is ready.
    pub ready_at: Timestamp,
    /// Its number.
    pub number: u64,
}

impl Candidate for Head {
    fn place(&self) -> (Priority, Timestamp, u64) {
        (self.priority, self.ready_at, self.number)
    }
}

/// A dependency as an edge of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The task that waits.
    pub task: TaskId,
    /// The task that it waits for.
    pub on: TaskId,
    /// How that one must end.
    pub when: DependencyCondition,
    /// Whether it ended so.
    pub met: bool,
}

/// Which tasks a listing shows. Empty means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// In one of these states.
    pub states: Vec<TaskState>,
    /// In this lane.
    pub lane: Option<Lane>,
    /// Held by this agent.
    pub agent: Option<AgentName>,
    /// With this label.
    pub label: Option<(String, String)>,
}

/// How many tasks a lane has in a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneCount {
    /// The lane.
    pub lane: Lane,
    /// The priority.
    pub priority: Priority,
    /// The state: `queued`, or one of the leased states.
    pub state: TaskState,
    /// How many.
    pub count: u64,
}

/// An answer remembered under an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// SHA-256 of the request that was answered.
    pub request_hash: [u8; 32],
    /// The answer, as JSON.
    pub answer: String,
}

/// A piece of an attempt's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// Its place, from 1.
    pub position: u64,
    /// When it came.
    pub at: Timestamp,
    /// The bytes, as the command wrote them.
    pub bytes: Vec<u8>,
}

/// Reading. On a [`Store`] it sees what is committed, on a [`Tx`] also what that work wrote.
#[async_trait]
pub trait Query: Send {
    /// A task by id.
    async fn task(&mut self, team: &TeamName, id: TaskId) -> Result<Option<Task>, StoreError>;
    /// A task by number.
    async fn task_by_number(
        &mut self,
        team: &TeamName,
        number: u64,
    ) -> Result<Option<Task>, StoreError>;
    /// Tasks, newest first, with numbers below `before`.
    async fn list_tasks(
        &mut self,
        team: &TeamName,
        filter: &TaskFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError>;
    /// How many tasks are queued and leased, per lane and priority.
    async fn lane_counts(&mut self, team: &TeamName) -> Result<Vec<LaneCount>, StoreError>;
    /// How many tasks are in each state. States without tasks are left out.
    async fn state_counts(
        &mut self,
        team: &TeamName,
    ) -> Result<BTreeMap<TaskState, u64>, StoreError>;
    /// How many queued tasks of the lane lie before this place within its priority or in a better one, counted up to `limit`.
    async fn count_ahead(
        &mut self,
        team: &TeamName,
        lane: &Lane,
        place: (Priority, Timestamp, u64),
        limit: u64,
    ) -> Result<u64, StoreError>;
    /// How many leases each agent of the team holds; agents without are left out.
    async fn held(&mut self, team: &TeamName) -> Result<BTreeMap<AgentName, u32>, StoreError>;
    /// How many leases one agent holds.
    async fn held_by(&mut self, team: &TeamName, agent: &AgentName) -> Result<u32, StoreError>;
    /// The ended attempts of a task, oldest first.
    async fn attempts(&mut self, team: &TeamName, task: TaskId)
    -> Result<Vec<Attempt>, StoreError>;
    /// One ended attempt.
    async fn attempt(
        &mut self,
        team: &TeamName,
        task: TaskId,
        epoch: Epoch,
    ) -> Result<Option<Attempt>, StoreError>;
    /// What a task depends on.
    async fn dependencies(
        &mut self,
        team: &TeamName,
        task: TaskId,
    ) -> Result<Vec<Edge>, StoreError>;
    /// What depends on any of these tasks, met or not.
    async fn dependents(&mut self, team: &TeamName, on: &[TaskId])
    -> Result<Vec<Edge>, StoreError>;
    /// Tasks of every team whose `due_at` has come, earliest first.
    async fn due_tasks(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(TeamName, TaskId)>, StoreError>;
    /// The earliest `due_at` of all, tasks and schedules and reservations.
    async fn next_due(&mut self) -> Result<Option<Timestamp>, StoreError>;
    /// Output of an attempt after a position.
    async fn log(
        &mut self,
        team: &TeamName,
        task: TaskId,
        epoch: Epoch,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LogChunk>, StoreError>;
    /// The kept bytes of an artifact of the task's result.
    async fn artifact(
        &mut self,
        team: &TeamName,
        task: TaskId,
        name: &str,
    ) -> Result<Option<Vec<u8>>, StoreError>;

    /// Whether a team exists.
    async fn team_exists(&mut self, team: &TeamName) -> Result<bool, StoreError>;
    /// Every team, by name.
    async fn teams(&mut self) -> Result<Vec<TeamName>, StoreError>;
    /// An agent.
    async fn agent(
        &mut self,
        team: &TeamName,
        name: &AgentName,
    ) -> Result<Option<Agent>, StoreError>;
    /// The team's agents, by name.
    async fn agents(&mut self, team: &TeamName) -> Result<Vec<Agent>, StoreError>;
    /// A queue.
    async fn queue(
        &mut self,
        team: &TeamName,
        name: &QueueName,
    ) -> Result<Option<Queue>, StoreError>;
    /// The team's queues, by name.
    async fn queues(&mut self, team: &TeamName) -> Result<Vec<Queue>, StoreError>;
    /// A key of any team.
    async fn key(&mut self, id: KeyId) -> Result<Option<ApiKey>, StoreError>;
    /// The team's keys, oldest first.
    async fn keys(&mut self, team: &TeamName) -> Result<Vec<ApiKey>, StoreError>;

    /// A message.
    async fn message(
        &mut self,
        team: &TeamName,
        id: MessageId,
    ) -> Result<Option<Message>, StoreError>;
    /// An agent's inbox after a position, oldest first; `unacknowledged` leaves out what was dealt with.
    async fn inbox(
        &mut self,
        team: &TeamName,
        agent: &AgentName,
        after: u64,
        unacknowledged: bool,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError>;
    /// Everyone who got a message, by name.
    async fn deliveries(
        &mut self,
        team: &TeamName,
        id: MessageId,
    ) -> Result<Vec<Delivery>, StoreError>;
    /// A question.
    async fn question(
        &mut self,
        team: &TeamName,
        id: QuestionId,
    ) -> Result<Option<Question>, StoreError>;
    /// Questions, oldest first, in this state, of this task.
    async fn questions(
        &mut self,
        team: &TeamName,
        state: Option<QuestionState>,
        task: Option<TaskId>,
        limit: usize,
    ) -> Result<Vec<Question>, StoreError>;
    /// A reservation.
    async fn reservation(
        &mut self,
        team: &TeamName,
        id: ReservationId,
    ) -> Result<Option<Reservation>, StoreError>;
    /// The team's reservations, oldest first, the expired ones that weren't yet removed included.
    async fn reservations(&mut self, team: &TeamName) -> Result<Vec<Reservation>, StoreError>;
    /// Reservations of every team that have run out.
    async fn expired_reservations(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(TeamName, ReservationId)>, StoreError>;
    /// A schedule.
    async fn schedule(
        &mut self,
        team: &TeamName,
        id: ScheduleId,
    ) -> Result<Option<Schedule>, StoreError>;
    /// The team's schedules, by name.
    async fn schedules(&mut self, team: &TeamName) -> Result<Vec<Schedule>, StoreError>;
    /// Schedules of every team that are due and not paused.
    async fn due_schedules(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(TeamName, ScheduleId)>, StoreError>;

    /// Events of the team with numbers above `after`, oldest first.
    async fn events(
        &mut self,
        team: &TeamName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError>;
    /// Events about one task, oldest first.
    async fn task_events(
        &mut self,
        team: &TeamName,
        task: TaskId,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError>;
    /// The number of the team's newest event, 0 if there is none.
    async fn last_seq(&mut self, team: &TeamName) -> Result<u64, StoreError>;
    /// An answer remembered since `since`.
    async fn remembered(
        &mut self,
        team: &TeamName,
        key: &str,
        since: Timestamp,
    ) -> Result<Option<Remembered>, StoreError>;
    /// Every remembered answer with its key and its time, by the bytes of the
    /// keys, those after `after`; for whoever copies a store.
    async fn answers(
        &mut self,
        team: &TeamName,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Remembered, Timestamp)>, StoreError>;
}

/// Writing. `lock_*` reads for change: no other work moves these rows until this one has ended.
#[async_trait]
pub trait Tx: Query {
    /// Appends facts to the team's log; returns the number of the first. Numbers have no gaps.
    async fn append(
        &mut self,
        team: &TeamName,
        actor: &str,
        at: Timestamp,
        facts: Vec<Fact>,
    ) -> Result<u64, StoreError>;

    /// Writes new tasks.
    async fn insert_tasks(&mut self, team: &TeamName, tasks: &[Task]) -> Result<(), StoreError>;
    /// Reads tasks for change, in the order of `ids`; unknown ids are left out.
    async fn lock_tasks(
        &mut self,
        team: &TeamName,
        ids: &[TaskId],
    ) -> Result<Vec<Task>, StoreError>;
    /// The first queued tasks, up to `limit` for each of the lanes and each
    /// priority, by `ready_at` and number. Those that other work has locked may be left out.
    async fn lock_heads(
        &mut self,
        team: &TeamName,
        lanes: &[Lane],
        limit: usize,
    ) -> Result<Vec<Head>, StoreError>;
    /// Writes everything of tasks but `spec`.
    async fn update_tasks(&mut self, team: &TeamName, tasks: &[Task]) -> Result<(), StoreError>;
    /// Writes ended attempts.
    async fn insert_attempts(
        &mut self,
        team: &TeamName,
        attempts: &[(TaskId, Attempt)],
    ) -> Result<(), StoreError>;
    /// Writes new edges.
    async fn insert_edges(&mut self, team: &TeamName, edges: &[Edge]) -> Result<(), StoreError>;
    /// Marks an edge.
    async fn set_edge_met(
        &mut self,
        team: &TeamName,
        task: TaskId,
        on: TaskId,
        met: bool,
    ) -> Result<(), StoreError>;
    /// Appends output of an attempt at `position`; what is there already stays (a repeated request).
    /// Returns how many bytes the attempt has now.
    async fn append_log(
        &mut self,
        team: &TeamName,
        task: TaskId,
        epoch: Epoch,
        chunk: LogChunk,
    ) -> Result<u64, StoreError>;
    /// Keeps the bytes of an artifact; an older one of the same name is replaced.
    async fn put_artifact(
        &mut self,
        team: &TeamName,
        task: TaskId,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError>;

    /// Creates a team, if it isn't there; says whether it was new.
    async fn insert_team(&mut self, team: &TeamName, now: Timestamp) -> Result<bool, StoreError>;
    /// Writes an agent.
    async fn put_agent(&mut self, team: &TeamName, agent: &Agent) -> Result<(), StoreError>;
    /// Removes an agent; its history stays.
    async fn remove_agent(&mut self, team: &TeamName, name: &AgentName) -> Result<(), StoreError>;
    /// Writes a queue.
    async fn put_queue(&mut self, team: &TeamName, queue: &Queue) -> Result<(), StoreError>;
    /// Writes a key.
    async fn put_key(&mut self, key: &ApiKey) -> Result<(), StoreError>;

    /// Writes a message and puts it into inboxes; each delivery starts as `durable`.
    async fn insert_message(
        &mut self,
        team: &TeamName,
        message: &Message,
        to: &[AgentName],
    ) -> Result<(), StoreError>;
    /// Writes how far messages got with one recipient.
    async fn set_receipts(
        &mut self,
        team: &TeamName,
        agent: &AgentName,
        receipts: &[(MessageId, Receipt)],
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// Writes a question.
    async fn put_question(
        &mut self,
        team: &TeamName,
        question: &Question,
    ) -> Result<(), StoreError>;
    /// Writes a reservation.
    async fn put_reservation(
        &mut self,
        team: &TeamName,
        reservation: &Reservation,
    ) -> Result<(), StoreError>;
    /// Removes a reservation.
    async fn remove_reservation(
        &mut self,
        team: &TeamName,
        id: ReservationId,
    ) -> Result<(), StoreError>;
    /// Writes a schedule.
    async fn put_schedule(
        &mut self,
        team: &TeamName,
        schedule: &Schedule,
    ) -> Result<(), StoreError>;
    /// Removes a schedule.
    async fn remove_schedule(&mut self, team: &TeamName, id: ScheduleId) -> Result<(), StoreError>;
    /// Remembers an answer under an idempotency key.
    async fn remember(
        &mut self,
        team: &TeamName,
        key: &str,
        answer: &Remembered,
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// Forgets answers older than `before`; returns how many.
    async fn forget(&mut self, before: Timestamp) -> Result<u64, StoreError>;
}

/// The store.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Carries out work in one transaction. When it returns, everything is
    /// durable and the events are returned, or nothing happened. Work of
    /// several callers may share one commit.
    ///
    /// `team` is the one team that the work touches, if it is one: a team's works
    /// come one after the other, those of different teams needn't. A work that
    /// says one team and touches another is a bug, and may fail as internal.
    async fn transact(&self, team: Option<&TeamName>, work: Work) -> Result<Vec<Event>, Failed>;

    /// A view of what is committed.
    async fn reader(&self) -> Result<Box<dyn Query>, StoreError>;

    /// Whether it can serve now.
    async fn health(&self) -> Result<(), StoreError>;

    /// Ends what runs and closes. Later calls fail as unavailable.
    async fn close(&self);
}

/// Carries out work that gives something; `team` as in [`Store::transact`].
pub async fn write<T, F>(
    store: &dyn Store,
    team: Option<&TeamName>,
    work: F,
) -> Result<(T, Vec<Event>), Failed>
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t mut dyn Tx) -> BoxFuture<'t, Result<T, Failed>> + Send + 'static,
{
    let slot = Arc::new(Mutex::new(None));
    let filled = Arc::clone(&slot);
    let boxed: Work = Box::new(move |tx| {
        let pending = work(tx);
        Box::pin(async move {
            let value = pending.await?;
            *filled
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(value);
            Ok(())
        })
    });
    let events = store.transact(team, boxed).await?;
    let value = slot
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take();
    match value {
        Some(value) => Ok((value, events)),
        None => Err(
            StoreError::Internal("the work committed without giving its value".to_owned()).into(),
        ),
    }
}
