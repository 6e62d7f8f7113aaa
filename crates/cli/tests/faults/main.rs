//! Nothing is lost: the real binary, and what can be done to it.
//!
//! Servers and agents are killed, disks fill up, files are spoilt, requests are
//! broken, and afterwards the event log, read through the API, is checked
//! against all that callers were told. `docs/durability.md` is the table of these tests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agents;
mod bodies;
mod disk;
mod folder;
mod leases;
mod load;
mod server;
mod support;
mod table;
