//! What the binary says: help, tables, JSON, errors with hints, exit codes.
//!
//! Snapshots of the real binary against a real server on a folder of its own.
//! What differs from run to run (ids, times, ports) is replaced by its name.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agents;
mod collector;
mod config;
mod connection;
mod help;
mod mistakes;
mod nouns;
mod passwords;
mod restore;
mod runs;
mod stack;
mod support;
mod traces;
