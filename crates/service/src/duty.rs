//! Duties: what one of several replicas does for all of them.
//!
//! Whoever takes a duty does it until it stops, loses it, or dies; then another
//! replica takes it within [`LOOK_AGAIN`]. Two replicas may believe for a moment
//! that a duty is theirs: the relay's notes are fenced by the store, and what the
//! reaper does is decided anew under each task's lock, so that both are harmless.

use std::future::Future;
use std::time::Duration;

use collective_core::Rejection;
use collective_core::ports::{Duty, Outbox, Post};

use crate::Hub;

/// How soon a replica asks again for a duty that another one has. No store tells
/// that a lock is free, so it has to be asked.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Does a duty whenever it is this replica's. `work` ends when the duty is
/// lost or something fails, and is begun again once the duty is taken again.
pub(crate) async fn whenever_ours<W, F>(hub: &Hub, outbox: &dyn Outbox, duty: Duty, mut work: W)
where
    W: FnMut(Box<dyn Post>) -> F,
    F: Future<Output = Result<(), Rejection>>,
{
    loop {
        match outbox.take(duty, hub.now()).await {
            Ok(Some(post)) => {
                tracing::info!(duty = duty.as_str(), epoch = post.epoch(), "took a duty");
                match work(post).await {
                    Ok(()) => tracing::info!(duty = duty.as_str(), "another replica has the duty"),
                    Err(error) => tracing::warn!(%error, duty = duty.as_str(), "a duty broke off"),
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, duty = duty.as_str(), "a duty can't be taken"),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
