//! Services: one command, one function.
//!
//! Each loads what the rules need, lets core decide, commits, and tells the
//! bus. This crate knows the ports and the words; it must never know an
//! adapter, HTTP, or a clock other than the one it was given.

pub mod access;
pub mod agents;
mod artifacts;
mod duty;
pub mod feed;
pub mod hub;
pub mod keys;
pub mod leases;
mod ledger;
mod memory;
pub mod messages;
pub mod migrate;
pub mod questions;
pub mod queues;
pub mod reaper;
pub mod relay;
pub mod reservations;
pub mod schedules;
mod schemas;
pub mod status;
pub mod tasks;
mod trace;
mod wait;

pub use hub::{Hub, Ports, Shared};
