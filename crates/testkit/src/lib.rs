//! Conformance suites, stand-ins for the world, and the checker of invariants. For tests only.
//!
//! [`bus`], [`cache`] and [`store`] say what each adapter of a port must do; [`memory`]
//! and [`world`] let the rules run without I/O, a clock or chance of their own;
//! [`servers`] and [`process`] start real servers and end them;
//! [`history`] says from an event log alone whether the invariants held.
//! Nothing here may be linked into the binary.

pub mod bus;
pub mod cache;
pub mod history;
pub mod interrupt;
pub mod memory;
pub mod process;
pub mod servers;
pub mod store;
pub mod world;
