//! What the services promise beyond the simulation: explanations, waiting, access, batches.

#![expect(
    clippy::unwrap_used,
    reason = "all of it is tests; the lint knows only functions marked as such"
)]

mod access;
mod explain;
mod offered;
mod reports;
mod team;
mod waiting;
