//! The distributed server as a whole, from outside: the real binary, two
//! replicas of it, on a real PostgreSQL, RabbitMQ and Redis.
//!
//! Parts are killed, emptied, filled up and replaced while a light load runs;
//! afterwards the event log is checked against all that callers were told.
//! `docs/degradation.md` is the table of these faults. Starting the servers
//! costs seconds, so one test takes all faults of one part, one after the other.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod broker;
mod cache;
mod check;
mod cluster;
mod database;
mod load;
mod migrate;
mod replicas;
mod slow;
mod start;
mod table;
mod team;
