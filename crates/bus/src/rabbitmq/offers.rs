//! Offers on the task queues: persistent, confirmed, and given back when their
//! queue is missing, so that it is made.

use std::collections::HashSet;

use collective_core::TeamName;
use collective_core::ports::{Depth, Offer};
use collective_core::task::{Lane, Priority};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;

use super::cloudevents::of_offer;
use super::error::Trouble;
use super::leaderless;
use super::link::Link;
use super::publisher::Message;
use super::session::Shared;
use super::topology::{declare_lane, task_key, task_queue};

/// Offers tasks and makes the queues that are missing. A lane whose queue can't
/// be made fails the call, but keeps no other lane from its offers.
pub(super) async fn offer(shared: &Shared, offers: &[Offer]) -> Result<(), Trouble> {
    let messages: Vec<Message> = offers.iter().map(of_offer).collect::<Result<_, _>>()?;
    let link = shared.link()?;
    leaderless::clear_up(shared, &link, &messages).await?;
    let homeless = send(&link, shared, &messages).await?;
    if homeless.is_empty() {
        return Ok(());
    }
    let is_homeless = |message: &Message| homeless.contains(&message.key);
    let lanes: HashSet<(&TeamName, &Lane)> = offers
        .iter()
        .zip(&messages)
        .filter(|(_, message)| is_homeless(message))
        .map(|(offer, _)| (&offer.team, &offer.lane))
        .collect();
    let mut first = None;
    for (team, lane) in lanes {
        if let Err(trouble) = declare(shared, &link, team, lane).await {
            first.get_or_insert(trouble);
        }
    }
    let again: Vec<Message> = messages.into_iter().filter(is_homeless).collect();
    let homeless = send(&link, shared, &again).await?;
    let unroutable = || {
        homeless
            .into_iter()
            .next()
            .map(|key| Trouble::Unroutable { key })
    };
    first.or_else(unroutable).map_or(Ok(()), Err)
}

/// Sends a batch; gives the routing keys that have no queue.
async fn send(
    link: &Link,
    shared: &Shared,
    messages: &[Message],
) -> Result<HashSet<String>, Trouble> {
    let sent = link.send_surely(messages, shared).await;
    let returned = sent.inspect_err(|trouble| shared.suspects.note(messages, trouble))?;
    Ok(returned
        .iter()
        .map(|message| message.routing_key.to_string())
        .collect())
}

/// Makes the queues of a lane.
pub(super) async fn declare(
    shared: &Shared,
    link: &Link,
    team: &TeamName,
    lane: &Lane,
) -> Result<(), Trouble> {
    let channel = link.errand(shared, "declaring a lane").await?;
    let declared = shared
        .bounded(
            "declaring a lane",
            declare_lane(&channel, &shared.options, team, lane),
        )
        .await;
    channel.done().await;
    declared
}

/// How many offers lie in a queue and who listens; nothing if there is no such queue.
pub(super) async fn depth(
    shared: &Shared,
    link: &Link,
    team: &TeamName,
    lane: &Lane,
    priority: Priority,
) -> Result<Option<Depth>, Trouble> {
    let queue = task_queue(&task_key(team, lane, priority));
    let what = format!("looking at `{queue}`");
    let channel = link.errand(shared, &what).await?;
    let look = async {
        let passive = QueueDeclareOptions::durable().passive();
        let looked = channel.queue_declare(queue.as_str().into(), passive, FieldTable::default());
        match looked.await {
            Ok(found) => Ok(Some(Depth {
                ready: found.message_count().into(),
                consumers: found.consumer_count().into(),
            })),
            Err(error) if Trouble::is_not_found(&error) => Ok(None),
            Err(error) => Err(Trouble::read(&error, &shared.options, &what, Some(&queue))),
        }
    };
    let found = shared.bounded(&what, look).await;
    channel.done().await;
    found
}
