//! The server as its clients see it: real sockets, a real store, every answer
//! held against the OpenAPI document.

mod bad_input;
mod contract;
mod drain;
mod edge;
mod harness;
mod idempotency;
mod metrics;
mod permissions;
mod routes;
mod stream;
mod waiting;
