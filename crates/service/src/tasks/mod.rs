//! Tasks: create, find, wait for, explain, call off, revive, put away.

mod control;
mod create;
mod explain;
mod log;
mod read;

pub(crate) use control::lock;
pub use control::{cancel, discard, retry};
pub(crate) use create::insert;
pub use create::{create, create_batch};
pub use explain::explain_task;
pub(crate) use log::LOG_BOUND;
pub use log::read_log;
pub(crate) use read::page_size;
pub use read::{artifact, history, id_of, list, show, wait_for_result};
