//! What agents report: taken from `agent.results` with acknowledgements, a
//! bounded number at once, each to one replica.
//!
//! A report that can't be dealt with now is held back for a time before it goes
//! back into its queue: the queue counts how often it came, and a store that is
//! away for a minute must not use that count up.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use collective_core::ports::{BusError, Report};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, Channel, Consumer};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::cloudevents::{of_answer, persistent};
use super::error::Trouble;
use super::publisher::{Message, Unwanted};
use super::session::Shared;
use super::topology::{DEAD, RESULTS};

/// Largest body of a report: a result with its text and JSON fits, an artifact
/// is uploaded over HTTP.
pub const MAX_BODY: usize = 1024 * 1024;
/// Longest reason that is written into a header.
const MAX_REASON: usize = 1_000;
/// Pause before a report comes again for the first time; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest such pause: with the delivery limit, a report outlasts a store that
/// is away for some minutes.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Headers whose names hold one of these are not kept with a dead letter.
const SECRETS: [&str; 3] = ["key", "token", "authorization"];
/// Headers that would send a copy elsewhere (RabbitMQ's sender-selected distribution).
const ROUTING: [&str; 2] = ["CC", "BCC"];
/// Where answers never go: our own queues, or an agent could make the server
/// write into another one's.
const OURS: &str = "agent.";

/// A report as it lies on the broker.
pub(super) struct RabbitReport {
    delivery: Delivery,
    shared: Arc<Shared>,
    later: mpsc::Sender<Later>,
}

/// A report that comes again after a pause.
pub(super) struct Later {
    acker: Acker,
    pause: Duration,
}

/// Starts to take reports on a channel of its own.
pub(super) async fn listen(channel: &Channel, shared: &Shared) -> Result<Consumer, Trouble> {
    let told = |error: lapin::Error| {
        Trouble::read(&error, &shared.options, "taking reports", Some(RESULTS))
    };
    channel
        .basic_qos(shared.options.prefetch, BasicQosOptions::default())
        .await
        .map_err(told)?;
    channel
        .basic_consume(
            RESULTS.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .map_err(told)
}

/// Hands on what comes and puts back what was held, to the first error.
pub(super) async fn pump(
    mut consumer: Consumer,
    shared: &Arc<Shared>,
    inbox: &mpsc::Sender<RabbitReport>,
) -> Trouble {
    let told = |error: &lapin::Error| Trouble::read(error, &shared.options, "taking reports", None);
    // The broker sends no more than the prefetch, so neither can be overfull.
    let (later, mut held) = mpsc::channel(usize::from(shared.options.prefetch).max(1));
    let mut resting = FuturesUnordered::new();
    loop {
        tokio::select! {
            next = consumer.next() => {
                let delivery = match next {
                    Some(Ok(delivery)) => delivery,
                    Some(Err(error)) => return told(&error),
                    None => return Trouble::Broken {
                        said: format!("RabbitMQ removed the queue `{RESULTS}`"),
                    },
                };
                let report = RabbitReport {
                    delivery,
                    shared: Arc::clone(shared),
                    later: later.clone(),
                };
                if report.delivery.data.len() > MAX_BODY {
                    let size = report.delivery.data.len();
                    let reason = format!("its body has {size} bytes, more than {MAX_BODY}");
                    // A broker that takes nothing now takes it later; a broken one is told of elsewhere.
                    if report.put_away(&reason).await.is_err() {
                        resting.push(rest(report.held_back(), shared));
                    }
                } else if inbox.send(report).await.is_err() {
                    return Trouble::Closed;
                }
            }
            Some(later) = held.recv() => resting.push(rest(later, shared)),
            Some(rested) = resting.next(), if !resting.is_empty() => {
                if let Err(trouble) = rested {
                    return trouble;
                }
            }
        }
    }
}

/// Waits, then lets a report go back into its queue.
async fn rest(later: Later, shared: &Shared) -> Result<bool, Trouble> {
    sleep(later.pause).await;
    let back = BasicNackOptions {
        requeue: true,
        multiple: false,
    };
    let put_back = async {
        let answer = later.acker.nack(back).await;
        answer.map_err(|error| Trouble::read(&error, &shared.options, "taking reports", None))
    };
    shared.bounded("giving a report back", put_back).await
}

impl RabbitReport {
    /// Whether it can still be answered for; one of a connection that is gone
    /// comes again by itself.
    pub(super) fn is_live(&self) -> bool {
        self.delivery.acker.usable()
    }

    fn headers(&self) -> Option<&FieldTable> {
        self.delivery.properties.headers().as_ref()
    }

    /// How often it came before. RabbitMQ 4.3 counts what is given back unread
    /// apart from what failed; older ones count both as deliveries.
    fn deliveries(&self) -> u32 {
        let counts = ["x-acquired-count", "x-delivery-count"].map(|name| self.count(name));
        let counted = counts.into_iter().flatten().max();
        counted.unwrap_or_else(|| u32::from(self.delivery.redelivered))
    }

    fn count(&self, name: &str) -> Option<u32> {
        match self.headers()?.inner().get(name)? {
            AMQPValue::LongLongInt(count) => Some(u32::try_from(*count).unwrap_or(u32::MAX)),
            AMQPValue::LongInt(count) => Some(u32::try_from(*count).unwrap_or(0)),
            AMQPValue::LongUInt(count) => Some(*count),
            _ => None,
        }
    }

    /// How long it stays away before it comes again.
    fn held_back(&self) -> Later {
        let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.deliveries()));
        Later {
            acker: self.delivery.acker.clone(),
            pause: doubled.min(LONGEST_PAUSE),
        }
    }

    async fn settle(&self) -> Result<(), Trouble> {
        let gone = || Trouble::Away {
            said: "the report's connection was lost; it comes again".to_owned(),
        };
        // The driver never answers one that meets the closing of its connection.
        let settled = async {
            let settled = self.delivery.acker.ack(BasicAckOptions::default()).await;
            settled
                .map_err(|error| Trouble::read(&error, &self.shared.options, "acknowledging", None))
        };
        let settled = self
            .shared
            .bounded("acknowledging a report", settled)
            .await?;
        settled.then_some(()).ok_or_else(gone)
    }

    /// Copies it to the dead letters, then lets go of it. A copy that is there
    /// twice is better than none.
    async fn put_away(&self, reason: &str) -> Result<(), Trouble> {
        let link = self.shared.link()?;
        let message = Message {
            exchange: DEAD,
            key: self.delivery.routing_key.to_string(),
            body: self.delivery.data[..self.delivery.data.len().min(MAX_BODY)].to_vec(),
            properties: dead_letter(&self.delivery, reason),
        };
        let returned = link.send_surely(&[message], &self.shared).await?;
        if !returned.is_empty() {
            return Err(Trouble::Unroutable {
                key: DEAD.to_owned(),
            });
        }
        self.settle().await
    }
}

#[async_trait]
impl Report for RabbitReport {
    fn kind(&self) -> &str {
        self.delivery.routing_key.as_str()
    }

    fn header(&self, name: &str) -> Option<&str> {
        match self.headers()?.inner().get(name)? {
            AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
            AMQPValue::ShortString(text) => Some(text.as_str()),
            _ => None,
        }
    }

    fn user(&self) -> Option<&str> {
        self.delivery
            .properties
            .user_id()
            .as_ref()
            .map(|user| user.as_str())
    }

    fn body(&self) -> &[u8] {
        &self.delivery.data
    }

    async fn answer(&mut self, body: &[u8]) -> Result<(), BusError> {
        let properties = &self.delivery.properties;
        let Some(place) = properties.reply_to().as_ref() else {
            return Ok(());
        };
        if place.as_str().is_empty() || place.as_str().starts_with(OURS) {
            return Ok(());
        }
        let message = Message {
            exchange: "",
            key: place.to_string(),
            body: body.to_vec(),
            properties: of_answer(properties.correlation_id().as_ref()),
        };
        let link = self.shared.link()?;
        // Who doesn't wait any more gets no answer.
        link.send(&[message], Unwanted::Dropped, &self.shared)
            .await?;
        Ok(())
    }

    async fn done(self: Box<Self>) -> Result<(), BusError> {
        Ok(self.settle().await?)
    }

    async fn again(self: Box<Self>) -> Result<(), BusError> {
        // Without a connection it comes again all the same.
        let _ = self.later.send(self.held_back()).await;
        Ok(())
    }

    async fn bury(self: Box<Self>, reason: &str) -> Result<(), BusError> {
        Ok(self.put_away(reason).await?)
    }
}

/// The properties of a dead letter: what it was, why it is one, and no secret.
fn dead_letter(delivery: &Delivery, reason: &str) -> lapin::BasicProperties {
    let mut headers = FieldTable::default();
    let old = delivery.properties.headers().as_ref();
    for (name, value) in old.into_iter().flat_map(|headers| headers.inner()) {
        let lower = name.as_str().to_ascii_lowercase();
        let secret = SECRETS.iter().any(|word| lower.contains(word));
        if !secret && !ROUTING.contains(&name.as_str()) {
            headers.insert(name.clone(), value.clone());
        }
    }
    let mut note = |name: &str, value: &str| {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    };
    note("collective-reason", head(reason, MAX_REASON));
    note("collective-kind", delivery.routing_key.as_str());
    if let Some(user) = delivery.properties.user_id() {
        // The property itself may only name whoever publishes.
        note("collective-user", user.as_str());
    }
    let mut properties = persistent(lapin::BasicProperties::default()).with_headers(headers);
    if let Some(kind) = delivery.properties.content_type() {
        properties = properties.with_content_type(kind.clone());
    }
    if let Some(id) = delivery.properties.message_id() {
        properties = properties.with_message_id(id.clone());
    }
    match delivery.properties.correlation_id() {
        Some(id) => properties.with_correlation_id(id.clone()),
        None => properties,
    }
}

/// The beginning of a text, cut between characters.
fn head(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_keeps_what_helps_and_no_secret() {
        let mut delivery = Delivery::mock(1, RESULTS.into(), "failed".into(), false, Vec::new());
        let mut headers = FieldTable::default();
        for name in [
            "agent",
            "X-Api-Key",
            "lease-TOKEN",
            "Authorization",
            "CC",
            "BCC",
        ] {
            headers.insert(name.into(), AMQPValue::LongString("value".into()));
        }
        delivery.properties = lapin::BasicProperties::default()
            .with_headers(headers)
            .with_user_id("ada".into())
            .with_reply_to("somewhere".into());
        let kept = dead_letter(&delivery, &"ä".repeat(MAX_REASON));
        let names: Vec<&str> = kept
            .headers()
            .as_ref()
            .map(|headers| headers.inner().keys().map(|name| name.as_str()).collect())
            .unwrap_or_default();
        assert_eq!(
            names,
            [
                "agent",
                "collective-kind",
                "collective-reason",
                "collective-user"
            ]
        );
        assert_eq!((kept.user_id(), kept.reply_to()), (&None, &None));
        let Some(AMQPValue::LongString(reason)) = kept
            .headers()
            .as_ref()
            .and_then(|headers| headers.inner().get("collective-reason"))
        else {
            panic!("the reason is text");
        };
        assert_eq!(reason.len(), MAX_REASON);
    }
}
