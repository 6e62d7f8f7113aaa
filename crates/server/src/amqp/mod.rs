//! The reports of agents that speak AMQP: taken from the broker, carried out
//! by the services, answered.
//!
//! A report is in one of four hands at its end: answered, put into the dead
//! letters with a reason, or given back to come again, here or at another
//! replica; and if this process dies first, the broker still has it. This
//! module must never know which broker it is, nor decide anything about tasks.

mod deal;
mod order;

use std::sync::Arc;
use std::time::Duration;

use collective_core::ports::Broker;
use tokio::task::JoinSet;

use crate::http::app::App;

/// Most reports in hand at once. Commits are shared, so a few dozen keep the
/// store busy; more would only wait here instead of at another replica.
const MAX_AT_ONCE: usize = 64;
/// How long to wait before asking a broker again that can't be reached.
const BROKER_PAUSE: Duration = Duration::from_secs(1);

/// Deals with reports until the server stops, and finishes those in hand.
pub(crate) async fn serve(app: App, broker: Arc<dyn Broker>) {
    let mut in_hand = JoinSet::new();
    loop {
        tokio::select! {
            () = app.stop.cancelled() => break,
            Some(_) = in_hand.join_next() => {}
            taken = broker.report(), if in_hand.len() < MAX_AT_ONCE => match taken {
                Ok(report) => {
                    in_hand.spawn(deal::with(app.clone(), broker.clone(), report));
                }
                Err(error) => {
                    tracing::debug!(%error, "no reports can be taken from the broker");
                    tokio::select! {
                        () = app.stop.cancelled() => break,
                        () = tokio::time::sleep(BROKER_PAUSE) => {}
                    }
                }
            },
        }
    }
    while in_hand.join_next().await.is_some() {}
}

pub use order::{Heartbeat, Registered, Registration, Released, Started};
