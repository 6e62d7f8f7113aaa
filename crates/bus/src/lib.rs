//! Adapters of the bus port: where one waits for wake-ups.
//!
//! This crate must never know a store or a rule: it carries events and decides
//! nothing.

pub mod local;

pub use local::LocalBus;
