//! What the operator sees of a server: log lines, metrics and traces.
//!
//! An internal event is one struct that writes its log line and moves its
//! metric together (`events`). Task counters follow committed events
//! (`lanes`), so they are exact; gauges are read when someone looks
//! (`census`). Nothing here may hold a secret, a prompt or a result.

mod census;
pub(crate) mod events;
mod lanes;
mod log;
pub(crate) mod metrics;
mod process;
pub(crate) mod trace;

pub use log::{LogError, LogFormat, LogOptions, LogTarget, init};
pub use trace::{TraceError, TraceOptions, enter_trace, flush};
