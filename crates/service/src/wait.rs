//! Waiting: listen first, look, wait for a wake-up with a bound, look again.
//!
//! The bound makes a lost wake-up cost seconds, never the thing waited for.

use std::future::Future;

use collective_core::limits::MAX_WAIT;
use collective_core::ports::Topic;
use collective_core::{Code, Rejection, Span};

use crate::Hub;

/// How long to trust in a wake-up before looking again all the same.
const LOOK_AGAIN: Span = Span::from_secs(5);

/// Calls `look` until it gives something, `wait` is over or the server stops.
/// The first look happens before anything is subscribed to: mostly there is something.
pub(crate) async fn until<T, F, Fut>(
    hub: &Hub,
    topics: &[Topic],
    wait: Span,
    look: F,
) -> Result<Option<T>, Rejection>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<Option<T>, Rejection>>,
{
    every(hub, topics, wait, LOOK_AGAIN, look).await
}

/// The same, looking again after `again` at the latest.
pub(crate) async fn every<T, F, Fut>(
    hub: &Hub,
    topics: &[Topic],
    wait: Span,
    again: Span,
    look: F,
) -> Result<Option<T>, Rejection>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<Option<T>, Rejection>>,
{
    if wait > MAX_WAIT {
        return Err(Rejection::new(
            Code::InvalidField,
            format!("must be at most {MAX_WAIT}, not {wait}"),
        )
        .hint("wait again when the answer is empty")
        .at("wait"));
    }
    if let Some(found) = look().await? {
        return Ok(Some(found));
    }
    if wait == Span::ZERO || hub.draining() {
        return Ok(None);
    }
    let end = tokio::time::Instant::now() + wait.as_duration();
    let mut subscription = hub.bus().subscribe(topics).await.map_err(|error| {
        Rejection::new(Code::Unavailable, error.to_string()).hint("try again in a moment")
    })?;
    loop {
        if let Some(found) = look().await? {
            return Ok(Some(found));
        }
        let now = tokio::time::Instant::now();
        if now >= end || hub.draining() {
            return Ok(None);
        }
        let bound = (end - now).min(again.as_duration());
        tokio::select! {
            woken = tokio::time::timeout(bound, subscription.wake()) => {
                if let Ok(Err(error)) = woken {
                    return Err(Rejection::new(Code::Unavailable, error.to_string()).hint("try again in a moment"));
                }
            }
            () = hub.drained() => {}
        }
    }
}
