//! The store port on real databases: one folder per engine, with the same files in each.
//!
//! Adapters hold SQL and nothing else. This crate must never decide anything
//! about a task, an agent or a message: it keeps what core decided and gives it
//! back as it was.

pub mod postgres;
pub mod sqlite;

pub use postgres::{Password, PgCounters, PgHost, PgOptions, PgStore, TlsMode};
pub use sqlite::{FolderLock, SqliteCounters, SqliteOptions, SqliteStore, Synchronous};
