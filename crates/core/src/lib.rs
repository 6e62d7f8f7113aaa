//! The words and rules of Collective.
//!
//! Everything here is pure: `(state, command, now) -> Result<(state, facts), Rejection>`.
//! This crate must never do I/O, read a clock or draw a random number; time,
//! identifiers and chance are handed in. The ports ([`ports`]) are the traits
//! that adapters implement so that the rules can be served.

pub mod agent;
pub mod event;
pub mod explain;
pub mod id;
pub mod key;
pub mod limits;
pub mod message;
#[cfg(feature = "openapi")]
mod openapi;
pub mod ports;
pub mod question;
pub mod queue;
pub mod rejection;
pub mod reservation;
pub mod role;
pub mod schedule;
pub mod task;
pub mod text;
pub mod time;

pub use id::{
    AgentName, KeyId, MessageId, QuestionId, QueueName, ReservationId, ScheduleId, TaskId, TeamName,
};
pub use rejection::{Code, Rejection};
pub use time::{Span, Timestamp};
