//! Adapters of the bus port, where one waits for wake-ups, and of the broker
//! port, where agents that speak AMQP meet their tasks.
//!
//! This crate must never know a store or a rule: it carries events and decides
//! nothing.

pub mod local;
pub mod rabbitmq;

pub use local::LocalBus;
pub use rabbitmq::{RabbitBus, RabbitOptions};
