//! A store that does what the memory store does, but for one fault.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use collective_core::agent::Agent;
use collective_core::event::{Event, Fact};
use collective_core::key::ApiKey;
use collective_core::message::{Delivery, Message, Receipt};
use collective_core::ports::store::{
    Edge, Head, LaneCount, LogChunk, Remembered, TaskFilter, Work,
};
use collective_core::ports::{Failed, Query, Store, StoreError, Tx};
use collective_core::question::{Question, QuestionState};
use collective_core::queue::Queue;
use collective_core::reservation::Reservation;
use collective_core::schedule::Schedule;
use collective_core::task::{Attempt, Epoch, Lane, Priority, Task, TaskState};
use collective_core::{
    AgentName, KeyId, MessageId, QuestionId, QueueName, ReservationId, ScheduleId, TaskId,
    TeamName, Timestamp,
};
use collective_testkit::memory::MemoryStore;

use crate::fault::{Fault, Given};

/// A view or a transaction with a fault.
pub(crate) struct Broken<I> {
    inner: I,
    fault: Fault,
}

/// Which of the answers are lists.
macro_rules! is_list {
    (Vec<$($item:tt)*) => {
        true
    };
    ($($other:tt)*) => {
        false
    };
}

/// The port's questions, for both kinds of view.
macro_rules! questions {
    ($($name:ident($($given:ident: $kind:ty),*) -> [$($answer:tt)*];)*) => {
        /// Every question's name, and the names of those that are answered by a list.
        pub(crate) fn questions() -> (Vec<&'static str>, Vec<&'static str>) {
            let all = [$((stringify!($name), is_list!($($answer)*))),*];
            let names = all.iter().map(|(name, _)| *name).collect();
            let lists = all.iter().filter(|(_, list)| *list).map(|(name, _)| *name);
            (names, lists.collect())
        }

        questions! { @view Broken<Box<dyn Query>>:
            $($name($($given: $kind),*) -> [$($answer)*];)* }
        questions! { @view Broken<&mut dyn Tx>:
            $($name($($given: $kind),*) -> [$($answer)*];)* }
    };
    (@view $view:ty: $($name:ident($($given:ident: $kind:ty),*) -> [$($answer:tt)*];)*) => {
        #[async_trait]
        impl Query for $view {
            $(
                async fn $name(&mut self, $($given: $kind),*) -> Result<$($answer)*, StoreError> {
                    let asked = self.inner.$name(
                        $($given.with(self.fault == Fault::ReadsAnotherTeam)),*
                    );
                    let answer = asked.await?;
                    Ok(self.fault.answer(stringify!($name), answer))
                }
            )*
        }
    };
}

questions! {
    task(team: &TeamName, id: TaskId) -> [Option<Task>];
    task_by_number(team: &TeamName, number: u64) -> [Option<Task>];
    list_tasks(team: &TeamName, filter: &TaskFilter, before: Option<u64>, limit: usize)
        -> [Vec<Task>];
    lane_counts(team: &TeamName) -> [Vec<LaneCount>];
    state_counts(team: &TeamName) -> [BTreeMap<TaskState, u64>];
    count_ahead(team: &TeamName, lane: &Lane, place: (Priority, Timestamp, u64), limit: u64)
        -> [u64];
    held(team: &TeamName) -> [BTreeMap<AgentName, u32>];
    held_by(team: &TeamName, agent: &AgentName) -> [u32];
    attempts(team: &TeamName, task: TaskId) -> [Vec<Attempt>];
    attempt(team: &TeamName, task: TaskId, epoch: Epoch) -> [Option<Attempt>];
    dependencies(team: &TeamName, task: TaskId) -> [Vec<Edge>];
    dependents(team: &TeamName, on: &[TaskId]) -> [Vec<Edge>];
    due_tasks(now: Timestamp, limit: usize) -> [Vec<(TeamName, TaskId)>];
    next_due() -> [Option<Timestamp>];
    log(team: &TeamName, task: TaskId, epoch: Epoch, after: u64, limit: usize) -> [Vec<LogChunk>];
    artifact(team: &TeamName, task: TaskId, name: &str) -> [Option<Vec<u8>>];
    team_exists(team: &TeamName) -> [bool];
    teams() -> [Vec<TeamName>];
    agent(team: &TeamName, name: &AgentName) -> [Option<Agent>];
    agents(team: &TeamName) -> [Vec<Agent>];
    queue(team: &TeamName, name: &QueueName) -> [Option<Queue>];
    queues(team: &TeamName) -> [Vec<Queue>];
    key(id: KeyId) -> [Option<ApiKey>];
    keys(team: &TeamName) -> [Vec<ApiKey>];
    message(team: &TeamName, id: MessageId) -> [Option<Message>];
    inbox(team: &TeamName, agent: &AgentName, after: u64, unacknowledged: bool, limit: usize)
        -> [Vec<Delivery>];
    deliveries(team: &TeamName, id: MessageId) -> [Vec<Delivery>];
    question(team: &TeamName, id: QuestionId) -> [Option<Question>];
    questions(team: &TeamName, state: Option<QuestionState>, task: Option<TaskId>, limit: usize)
        -> [Vec<Question>];
    reservation(team: &TeamName, id: ReservationId) -> [Option<Reservation>];
    reservations(team: &TeamName) -> [Vec<Reservation>];
    expired_reservations(now: Timestamp, limit: usize) -> [Vec<(TeamName, ReservationId)>];
    schedule(team: &TeamName, id: ScheduleId) -> [Option<Schedule>];
    schedules(team: &TeamName) -> [Vec<Schedule>];
    due_schedules(now: Timestamp, limit: usize) -> [Vec<(TeamName, ScheduleId)>];
    events(team: &TeamName, after: u64, limit: usize) -> [Vec<Event>];
    task_events(team: &TeamName, task: TaskId, limit: usize) -> [Vec<Event>];
    last_seq(team: &TeamName) -> [u64];
    remembered(team: &TeamName, key: &str, since: Timestamp) -> [Option<Remembered>];
    answers(team: &TeamName, after: &str, limit: usize) -> [Vec<(String, Remembered, Timestamp)>];
}

/// The port's writes. Those that are left out answer with nothing.
macro_rules! writes {
    ($($name:ident($($given:ident: $kind:ty),*) -> $answer:ty;)*) => {
        /// Every write's name.
        pub(crate) fn writes() -> Vec<&'static str> {
            vec![$(stringify!($name)),*]
        }

        #[async_trait]
        impl Tx for Broken<&mut dyn Tx> {
            $(
                async fn $name(&mut self, $($given: $kind),*) -> Result<$answer, StoreError> {
                    if self.fault == Fault::Skips(stringify!($name)) {
                        return Ok(<$answer>::default());
                    }
                    let written = self.inner.$name(
                        $($given.with(self.fault == Fault::WritesAnotherTeam)),*
                    );
                    written.await
                }
            )*
        }
    };
}

writes! {
    append(team: &TeamName, actor: &str, at: Timestamp, facts: Vec<Fact>) -> u64;
    insert_tasks(team: &TeamName, tasks: &[Task]) -> ();
    lock_tasks(team: &TeamName, ids: &[TaskId]) -> Vec<Task>;
    lock_heads(team: &TeamName, lanes: &[Lane], limit: usize) -> Vec<Head>;
    update_tasks(team: &TeamName, tasks: &[Task]) -> ();
    insert_attempts(team: &TeamName, attempts: &[(TaskId, Attempt)]) -> ();
    insert_edges(team: &TeamName, edges: &[Edge]) -> ();
    set_edge_met(team: &TeamName, task: TaskId, on: TaskId, met: bool) -> ();
    append_log(team: &TeamName, task: TaskId, epoch: Epoch, chunk: LogChunk) -> u64;
    put_artifact(team: &TeamName, task: TaskId, name: &str, bytes: &[u8]) -> ();
    insert_team(team: &TeamName, now: Timestamp) -> bool;
    put_agent(team: &TeamName, agent: &Agent) -> ();
    remove_agent(team: &TeamName, name: &AgentName) -> ();
    put_queue(team: &TeamName, queue: &Queue) -> ();
    put_key(key: &ApiKey) -> ();
    insert_message(team: &TeamName, message: &Message, to: &[AgentName]) -> ();
    set_receipts(
        team: &TeamName,
        agent: &AgentName,
        receipts: &[(MessageId, Receipt)],
        now: Timestamp
    ) -> ();
    put_question(team: &TeamName, question: &Question) -> ();
    put_reservation(team: &TeamName, reservation: &Reservation) -> ();
    remove_reservation(team: &TeamName, id: ReservationId) -> ();
    put_schedule(team: &TeamName, schedule: &Schedule) -> ();
    remove_schedule(team: &TeamName, id: ScheduleId) -> ();
    remember(team: &TeamName, key: &str, answer: &Remembered, now: Timestamp) -> ();
    forget(before: Timestamp) -> u64;
}

/// A store with a fault.
pub(crate) struct BrokenStore {
    inner: MemoryStore,
    fault: Fault,
    readers: AtomicU64,
}

impl BrokenStore {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            inner: MemoryStore::new(),
            fault,
            readers: AtomicU64::new(0),
        }
    }
}

#[async_trait]
impl Store for BrokenStore {
    async fn transact(&self, team: Option<&TeamName>, work: Work) -> Result<Vec<Event>, Failed> {
        let fault = self.fault;
        if fault == Fault::DropsWork {
            return Ok(Vec::new());
        }
        let refusal = std::sync::Arc::new(Mutex::new(None));
        let kept = std::sync::Arc::clone(&refusal);
        let carried_out = self.inner.transact(
            team,
            Box::new(move |tx| {
                Box::pin(async move {
                    let mut broken = Broken { inner: tx, fault };
                    match work(&mut broken).await {
                        Err(failed @ Failed::Rejected(_)) if fault == Fault::KeepsRefusedWork => {
                            *kept.lock().expect("nobody panics with it") = Some(failed);
                            Ok(())
                        }
                        ended => ended,
                    }
                })
            }),
        );
        let mut events = carried_out.await?;
        if let Some(failed) = refusal.lock().expect("nobody panics with it").take() {
            return Err(failed);
        }
        if fault == Fault::ForgetsAnEvent {
            events.pop();
        }
        Ok(events)
    }

    async fn reader(&self) -> Result<Box<dyn Query>, StoreError> {
        let nth = self.readers.fetch_add(1, Ordering::Relaxed);
        if self.fault == Fault::RefusesReaders && nth % 3 == 2 {
            return Err(StoreError::Unavailable("every reader is busy".to_owned()));
        }
        let (inner, fault) = (self.inner.reader().await?, self.fault);
        Ok(Box::new(Broken { inner, fault }))
    }

    async fn health(&self) -> Result<(), StoreError> {
        match self.fault {
            Fault::IsNotHealthy => Err(StoreError::Full),
            _ => self.inner.health().await,
        }
    }

    async fn close(&self) {
        if self.fault != Fault::StaysOpen {
            self.inner.close().await;
        }
    }
}
