//! Leases: claim, keep alive, complete, fail, give back.
//!
//! Batches share one commit; each item stands for itself.

mod claim;
mod heartbeat;
mod offered;
mod report;
mod turns;

use std::collections::HashMap;

use collective_core::limits::MAX_BATCH;
use collective_core::ports::store::{Failed, Tx};
use collective_core::task::Task;
use collective_core::{Code, Rejection, TaskId, TeamName};

pub use claim::claim;
pub use heartbeat::heartbeat;
pub(crate) use heartbeat::{progress, recover};
pub use offered::claim_offered;
pub use report::{append_log, complete, fail, release};
pub(crate) use turns::Turns;

fn bounded_batch(size: usize, field: &str) -> Result<(), Rejection> {
    if size > MAX_BATCH {
        return Err(Rejection::new(
            Code::BatchTooLarge,
            format!("{size} items, the bound is {MAX_BATCH}"),
        )
        .hint("send several batches")
        .at(field));
    }
    Ok(())
}

async fn lock_all(
    tx: &mut dyn Tx,
    team: &TeamName,
    ids: impl Iterator<Item = TaskId>,
) -> Result<HashMap<TaskId, Task>, Failed> {
    let mut ids: Vec<TaskId> = ids.collect();
    // One order for all, so that two batches can't wait for each other.
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    Ok(tx
        .lock_tasks(team, &ids)
        .await?
        .into_iter()
        .map(|task| (task.id, task))
        .collect())
}
