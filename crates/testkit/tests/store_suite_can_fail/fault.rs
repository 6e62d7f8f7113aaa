//! The ways in which a store may break its promises.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use collective_core::agent::Agent;
use collective_core::event::Fact;
use collective_core::key::ApiKey;
use collective_core::message::{Message, Receipt};
use collective_core::ports::store::{Edge, LogChunk, Remembered, TaskFilter};
use collective_core::question::{Question, QuestionState};
use collective_core::queue::Queue;
use collective_core::reservation::Reservation;
use collective_core::schedule::Schedule;
use collective_core::task::{Attempt, Epoch, Lane, Priority, Task};
use collective_core::{
    AgentName, KeyId, MessageId, QuestionId, QueueName, ReservationId, ScheduleId, TaskId,
    TeamName, Timestamp,
};

/// One promise that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// None: the store works.
    None,
    /// This question is answered without the last of what it should find.
    Loses(&'static str),
    /// This question is answered in the wrong order.
    Turns(&'static str),
    /// This write is left out.
    Skips(&'static str),
    /// Questions of one team are answered with what another has.
    ReadsAnotherTeam,
    /// Writes of one team go to another.
    WritesAnotherTeam,
    /// What a refused work wrote stays.
    KeepsRefusedWork,
    /// The answer to a work leaves an event out.
    ForgetsAnEvent,
    /// A work is answered and not carried out.
    DropsWork,
    /// It goes on after it was closed.
    StaysOpen,
    /// It never feels well.
    IsNotHealthy,
    /// It gives no reader at times.
    RefusesReaders,
}

/// The questions whose answers have no promised order.
const UNORDERED: [&str; 5] = [
    "dependencies",
    "dependents",
    "lane_counts",
    // No order at all: they aren't lists.
    "held",
    "state_counts",
];

impl Fault {
    /// Every fault that there is.
    pub(crate) fn all() -> Vec<Fault> {
        let mut all = vec![
            Fault::ReadsAnotherTeam,
            Fault::WritesAnotherTeam,
            Fault::KeepsRefusedWork,
            Fault::ForgetsAnEvent,
            Fault::DropsWork,
            Fault::StaysOpen,
            Fault::IsNotHealthy,
            Fault::RefusesReaders,
        ];
        let (questions, lists) = crate::broken::questions();
        all.extend(questions.iter().map(|name| Fault::Loses(name)));
        let ordered = lists.iter().filter(|name| !UNORDERED.contains(name));
        all.extend(ordered.map(|name| Fault::Turns(name)));
        all.extend(
            crate::broken::writes()
                .iter()
                .map(|name| Fault::Skips(name)),
        );
        all
    }

    /// The answer to a question, as this fault has it.
    pub(crate) fn answer<T: Answer>(self, question: &str, mut answer: T) -> T {
        match self {
            Fault::Loses(name) if name == question => answer.lose(),
            Fault::Turns(name) if name == question => answer.turn(),
            _ => {}
        }
        answer
    }
}

/// What a question is answered with.
pub(crate) trait Answer {
    /// Leaves something out.
    fn lose(&mut self);
    /// Brings it into another order.
    fn turn(&mut self) {}
}

impl<T> Answer for Vec<T> {
    fn lose(&mut self) {
        self.pop();
    }

    fn turn(&mut self) {
        self.reverse();
    }
}

impl<T> Answer for Option<T> {
    fn lose(&mut self) {
        *self = None;
    }
}

impl<K: Ord, V> Answer for BTreeMap<K, V> {
    fn lose(&mut self) {
        self.pop_last();
    }
}

impl Answer for bool {
    fn lose(&mut self) {
        *self = false;
    }
}

impl Answer for u64 {
    fn lose(&mut self) {
        *self = self.saturating_sub(1);
    }
}

impl Answer for u32 {
    fn lose(&mut self) {
        *self = self.saturating_sub(1);
    }
}

/// What a method is given. Only a team is ever taken for another.
pub(crate) trait Given: Sized {
    fn with(self, _mistaken: bool) -> Self {
        self
    }
}

static RED: LazyLock<TeamName> = LazyLock::new(|| TeamName::new("red").expect("a name"));

impl Given for &TeamName {
    fn with(self, mistaken: bool) -> Self {
        match mistaken && self.as_str() == "blue" {
            true => &RED,
            false => self,
        }
    }
}

macro_rules! given {
    ($($kind:ty),* $(,)?) => {
        $(impl Given for $kind {})*
    };
}

given! {
    TaskId, KeyId, MessageId, QuestionId, ReservationId, ScheduleId, Timestamp, Epoch,
    u64, usize, bool, Option<u64>, Option<TaskId>, Option<QuestionState>,
    (Priority, Timestamp, u64), Vec<Fact>, LogChunk,
    &TaskFilter, &Lane, &AgentName, &QueueName, &str, &Agent, &Queue, &ApiKey, &Message,
    &Question, &Reservation, &Schedule, &Remembered,
    &[u8], &[TaskId], &[Lane], &[Task], &[Edge], &[AgentName], &[(TaskId, Attempt)],
    &[(MessageId, Receipt)],
}
