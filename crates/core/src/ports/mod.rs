//! The ports: what the rules need of the world, as traits that adapters implement.
//!
//! One conformance suite per port (crate `testkit`) runs against every adapter.

pub mod bus;
pub mod cache;
pub mod store;
pub mod world;

pub use bus::{Bus, BusError, Subscription, Topic};
pub use cache::{Cache, CacheError, Permit, RateLimit};
pub use store::{Failed, Query, Store, StoreError, Tx};
pub use world::{Clock, Entropy};
