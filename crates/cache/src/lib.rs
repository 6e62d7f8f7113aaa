//! Adapters of the cache port: what may be lost at any time.
//!
//! This crate must never hold anything that the store doesn't know better, and
//! never reads a clock: time is the caller's.

pub mod local;
mod table;

pub use local::LocalCache;
