//! Waiting: listen first, look, wait for a wake-up with a bound, look again.
//!
//! The bound makes a lost wake-up cost seconds, never the thing waited for.

use std::future::Future;
use std::time::Duration;

use collective_core::limits::MAX_WAIT;
use collective_core::ports::{BusError, Subscription, Topic};
use collective_core::{Code, Rejection, Span};
use futures_util::future::select_all;
use tokio::time::Instant;

use crate::Hub;

/// How long to trust in a wake-up before looking again all the same.
pub(crate) const LOOK_AGAIN: Span = Span::from_secs(5);

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
    check_bound(wait)?;
    if let Some(found) = look().await? {
        return Ok(Some(found));
    }
    if wait == Span::ZERO || hub.draining() {
        return Ok(None);
    }
    let mut waiting = Waiting::start(hub, &[topics], wait, again).await?;
    loop {
        if let Some(found) = look().await? {
            return Ok(Some(found));
        }
        if waiting.woken().await? == Woken::Over {
            return Ok(None);
        }
    }
}

/// Nobody may wait for longer than the bound.
pub(crate) fn check_bound(wait: Span) -> Result<(), Rejection> {
    if wait > MAX_WAIT {
        return Err(Rejection::new(
            Code::InvalidField,
            format!("must be at most {MAX_WAIT}, not {wait}"),
        )
        .hint("wait again when the answer is empty")
        .at("wait"));
    }
    Ok(())
}

/// Why a wait goes on or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// There is news of the topics at this place.
    By(usize),
    /// Nobody has called for a while.
    ByTime,
    /// The time is up, or the server stops.
    Over,
}

/// Somebody who waits.
pub(crate) struct Waiting<'h> {
    hub: &'h Hub,
    subscriptions: Vec<Box<dyn Subscription>>,
    end: Instant,
    again: Duration,
}

impl<'h> Waiting<'h> {
    /// Listens to sets of topics; what happens from now on wakes it.
    pub(crate) async fn start(
        hub: &'h Hub,
        topics: &[&[Topic]],
        wait: Span,
        again: Span,
    ) -> Result<Self, Rejection> {
        let mut subscriptions = Vec::with_capacity(topics.len());
        for topics in topics {
            subscriptions.push(
                hub.bus()
                    .subscribe(topics)
                    .await
                    .map_err(|error| unheard(&error))?,
            );
        }
        Ok(Self {
            hub,
            subscriptions,
            end: Instant::now() + wait.as_duration(),
            again: again.as_duration(),
        })
    }

    /// Waits for what comes next.
    pub(crate) async fn woken(&mut self) -> Result<Woken, Rejection> {
        let now = Instant::now();
        if now >= self.end || self.hub.draining() {
            return Ok(Woken::Over);
        }
        let bound = (self.end - now).min(self.again);
        let calls = self.subscriptions.iter_mut().map(|one| one.wake());
        tokio::select! {
            (called, at, _) = select_all(calls) => {
                called.map_err(|error| unheard(&error))?;
                Ok(Woken::By(at))
            }
            () = tokio::time::sleep(bound) => Ok(Woken::ByTime),
            () = self.hub.drained() => Ok(Woken::Over),
        }
    }
}

fn unheard(error: &BusError) -> Rejection {
    Rejection::new(Code::Unavailable, error.to_string()).hint("try again in a moment")
}
