//! What a store that several servers share offers beside [`Store`](super::Store):
//! duties that one replica does at a time, and the committed events that the
//! world was not told of yet.
//!
//! The event log is the outbox. A team's events are numbered in the order of
//! their commits and without gaps, so "told up to number n" says exactly what is
//! left to tell, and a commit needs no rows beside its events for it. The price
//! is at-least-once: a relay that dies after telling and before noting it is
//! followed by one that tells again.

use async_trait::async_trait;

use super::store::StoreError;
use crate::event::Event;
use crate::{TeamName, Timestamp};

/// What one replica does for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Duty {
    /// Tells the bus of committed events.
    Relay,
    /// Does what is due.
    Reaper,
}

impl Duty {
    /// Its word, for tables and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Duty::Relay => "relay",
            Duty::Reaper => "reaper",
        }
    }
}

/// Duties and untold events of a shared store.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Takes a duty, unless another replica has it. Whoever takes it gets a
    /// higher epoch than all before.
    async fn take(&self, duty: Duty, now: Timestamp) -> Result<Option<Box<dyn Post>>, StoreError>;

    /// Waits until some replica committed events. It may return without reason;
    /// the caller bounds the wait and looks all the same.
    async fn committed(&self) -> Result<(), StoreError>;

    /// How many committed events the bus was not told of, counted up to `limit`.
    async fn backlog(&self, limit: u64) -> Result<u64, StoreError>;

    /// By how much the store's clock is ahead of this machine's, in microseconds
    /// (negative: behind), to half a round trip.
    async fn clock_offset(&self, now: Timestamp) -> Result<i64, StoreError>;
}

/// A duty that is held. It is given up when this is dropped, when its
/// connection breaks and when its process dies.
#[async_trait]
pub trait Post: Send {
    /// Its fencing number.
    fn epoch(&self) -> u64;

    /// When whoever had the duty before was last seen doing it.
    fn vacant_since(&self) -> Option<Timestamp>;

    /// Notes that the duty is being done. False if it is no longer ours.
    async fn confirm(&mut self, now: Timestamp) -> Result<bool, StoreError>;

    /// Events that the bus was not told of: of each team in order, at most
    /// `limit` in all, no team starving another.
    async fn untold(&mut self, limit: usize) -> Result<Vec<Event>, StoreError>;

    /// Notes how far each team's events were told. Refused as
    /// [`StoreError::Conflict`] once a higher epoch exists; never goes back.
    async fn told(&mut self, up_to: &[(TeamName, u64)]) -> Result<(), StoreError>;
}
