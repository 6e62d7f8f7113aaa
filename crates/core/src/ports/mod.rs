//! The ports: what the rules need of the world, as traits that adapters implement.
//!
//! One conformance suite per port (crate `testkit`) runs against every adapter.

pub mod broker;
pub mod bus;
pub mod cache;
pub mod finding;
pub mod outbox;
pub mod store;
pub mod world;

pub use broker::{Broker, Depth, Offer, Report};
pub use bus::{Bus, BusError, Subscription, Topic};
pub use cache::{Cache, CacheError, Permit, RateLimit};
pub use finding::{About, Finding, FindingCode, Verdict};
pub use outbox::{Duty, Outbox, Post};
pub use store::{Failed, Query, Store, StoreError, Tx};
pub use world::{Clock, Entropy};
