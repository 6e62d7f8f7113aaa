//! Adapters of the cache port: what may be lost at any time.
//!
//! This crate must never hold anything that the store doesn't know better. The
//! time of an entry is the caller's; only the link to a server looks at a clock
//! of its own, for how long it waits.

pub mod local;
pub mod redis;
mod table;

pub use local::LocalCache;
pub use redis::{RedisCache, RedisOptions};
