//! The broker's side for agents that speak its protocol themselves: tasks go
//! out to their queues, reports come back.
//!
//! A task on the broker is an offer, not the task: the store hands the task out
//! when an agent reports `started`, and says no if somebody else was first. So
//! an offer may be lost, repeated or outdated, and the broker may be emptied.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::bus::BusError;
use crate::task::{Lane, Priority};
use crate::{TaskId, TeamName, Timestamp};

/// A queued task as it is offered on the broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Offer {
    /// Its team.
    pub team: TeamName,
    /// Its lane.
    pub lane: Lane,
    /// Its priority.
    pub priority: Priority,
    /// Its id.
    pub task: TaskId,
    /// Its number in the team.
    pub number: u64,
    /// What it is called.
    pub title: String,
    /// Since when it is ready.
    pub ready_at: Timestamp,
    /// The trace that it belongs to (W3C Trace Context).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// What an agent sent, with all that is needed to answer it.
#[async_trait]
pub trait Report: Send {
    /// The kind of report: the routing key it was published with.
    fn kind(&self) -> &str;

    /// A header, if it is text.
    fn header(&self, name: &str) -> Option<&str>;

    /// The broker's user who published it, as the broker itself has checked.
    fn user(&self) -> Option<&str>;

    /// The body, bounded by the adapter.
    fn body(&self) -> &[u8];

    /// Answers to where the report asked for an answer; without such a place nothing happens.
    async fn answer(&mut self, body: &[u8]) -> Result<(), BusError>;

    /// It was dealt with.
    async fn done(self: Box<Self>) -> Result<(), BusError>;

    /// It can't be dealt with now; it comes again.
    async fn again(self: Box<Self>) -> Result<(), BusError>;

    /// Nobody can deal with it: it goes to the dead letters with the reason,
    /// without the headers that hold secrets.
    async fn bury(self: Box<Self>, reason: &str) -> Result<(), BusError>;
}

/// How many offers of a lane lie on the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Offers that wait for an agent.
    pub ready: u64,
    /// Agents that listen.
    pub consumers: u64,
}

/// The broker.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// What the queue of a lane and a priority is called: what an agent consumes.
    fn task_queue(&self, team: &TeamName, lane: &Lane, priority: Priority) -> String;

    /// Makes the queues of a lane, one for each priority. Repeating it changes nothing.
    async fn declare(&self, team: &TeamName, lane: &Lane) -> Result<(), BusError>;

    /// Offers tasks; returns when the broker has confirmed all of them. Queues
    /// that are missing are made.
    async fn offer(&self, offers: &[Offer]) -> Result<(), BusError>;

    /// How many offers lie there; nothing if the lane has no queue of this priority.
    async fn depth(
        &self,
        team: &TeamName,
        lane: &Lane,
        priority: Priority,
    ) -> Result<Option<Depth>, BusError>;

    /// How many connections this process made after its first.
    fn reconnects(&self) -> u64 {
        0
    }

    /// The next report of an agent. The caller bounds the wait; dropping the
    /// future loses nothing. Reports come to one replica each, a bounded number at once.
    async fn report(&self) -> Result<Box<dyn Report>, BusError>;
}
