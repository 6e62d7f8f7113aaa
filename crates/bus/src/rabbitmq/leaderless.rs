//! Queues that take nothing: suspected, looked at and removed, so that they are
//! made anew.
//!
//! A broker that is killed moments after a quorum queue was made may come back
//! without a leader for it (RabbitMQ 3.10, on one node). Declaring it again says
//! that all is well; whoever publishes to it waits, and after a while loses the
//! connection. One such queue would keep everything else from being told. What
//! lies in a task queue are offers, which may be lost: the store knows what is
//! queued, and it is offered again.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeleteOptions};
use tokio::time::timeout;

use super::error::Trouble;
use super::link::{GOODBYE, Link};
use super::publisher::Message;
use super::session::Shared;
use super::topology::task_queue;
use super::transport::connect;

/// How long a queue may take to confirm one message before it counts as one
/// that takes nothing. A loaded broker needs tens of milliseconds.
const CONFIRM_LIMIT: Duration = Duration::from_secs(3);
/// How long the broker may take to remove a queue: it asks the queue's leader
/// for five seconds first.
const REMOVE_LIMIT: Duration = Duration::from_secs(15);
/// Most queues that are under suspicion at once: more have another cause.
const MAX_SUSPECTS: usize = 64;

/// The routing keys of queues that may take nothing.
#[derive(Default)]
pub(super) struct Suspects(Mutex<BTreeSet<String>>);

impl Suspects {
    /// Notes what was sent in vain.
    pub(super) fn note(&self, messages: &[Message], trouble: &Trouble) {
        // Anything else is no fault of a queue.
        if !matches!(trouble, Trouble::TimedOut { .. } | Trouble::Broken { .. }) {
            return;
        }
        let mut suspects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = messages.iter().map(|message| message.key.clone());
        suspects.extend(keys);
        while suspects.len() > MAX_SUSPECTS {
            suspects.pop_last();
        }
    }

    fn clear(&self, key: &str) -> bool {
        let mut suspects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        suspects.remove(key)
    }
}

/// Looks at those queues of a batch that are under suspicion, and removes those
/// that take nothing.
pub(super) async fn clear_up(
    shared: &Shared,
    link: &Link,
    messages: &[Message],
) -> Result<(), Trouble> {
    for message in messages {
        if shared.suspects.clear(&message.key) && !takes(shared, message).await? {
            remove(shared, link, &task_queue(&message.key)).await?;
        }
    }
    Ok(())
}

/// Whether its queue takes a message, on a connection of its own: the broker
/// ends it if the queue doesn't.
async fn takes(shared: &Shared, message: &Message) -> Result<bool, Trouble> {
    let options = &shared.options;
    let told = |error: &lapin::Error| Trouble::read(error, options, "looking at a queue", None);
    let connection = connect(options, "a look at a queue").await?;
    let publish = async {
        let channel = connection.create_channel().await?;
        let confirms = ConfirmSelectOptions::default();
        channel.confirm_select(confirms).await?;
        let sent = channel.basic_publish(
            message.exchange.into(),
            message.key.as_str().into(),
            BasicPublishOptions::default(),
            &message.body,
            message.properties.clone(),
        );
        sent.await?.await.map(drop)
    };
    let published = timeout(CONFIRM_LIMIT, publish).await;
    // A broker that takes nothing from anybody isn't the queue's fault.
    let blocked = connection.status().blocked();
    let _ = timeout(GOODBYE, connection.close(200, "done".into())).await;
    match published {
        Ok(Ok(())) => Ok(true),
        // Waiting for the queue was given up at the other end.
        Ok(Err(error)) => match told(&error) {
            Trouble::Broken { .. } => Ok(false),
            trouble => Err(trouble),
        },
        Err(_) => Ok(blocked),
    }
}

async fn remove(shared: &Shared, link: &Link, queue: &str) -> Result<(), Trouble> {
    let what = format!("removing `{queue}`, which takes nothing");
    tracing::warn!(
        queue,
        "a queue takes nothing; it is removed and made anew, and what is queued is offered again"
    );
    let channel = link.errand(shared, &what).await?;
    let removed = channel.queue_delete(queue.into(), QueueDeleteOptions::default());
    let removed = match timeout(REMOVE_LIMIT, removed).await {
        Ok(removed) => removed
            .map(drop)
            .map_err(|error| Trouble::read(&error, &shared.options, &what, Some(queue))),
        Err(_) => Err(Trouble::TimedOut {
            what,
            limit: REMOVE_LIMIT,
        }),
    };
    channel.done().await;
    removed
}
