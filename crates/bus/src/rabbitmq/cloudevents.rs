//! Messages as CloudEvents 1.0 in binary mode: the attributes are headers with
//! the prefix `cloudEvents:`, the data is the body.
//!
//! An event and an offer each have an id that stays the same when they are sent
//! again, so that whoever hears them twice can tell.

use collective_core::Timestamp;
use collective_core::event::Event;
use collective_core::ports::{Offer, Topic};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::error::Trouble;
use super::publisher::Message;
use super::topology::{NEWS, STATUS, TASKS, event_key, task_key};

/// The type of an offer; an event's type is its fact's word.
pub const OFFER_TYPE: &str = "task.offered";
/// What every body is.
pub(super) const JSON: &str = "application/json";

/// AMQP's word for a message that survives a restart of its broker.
const PERSISTENT: u8 = 2;
/// And for one that doesn't.
const TRANSIENT: u8 = 1;

/// The attributes of one CloudEvent.
struct Attributes<'a> {
    kind: &'a str,
    source: String,
    id: &'a str,
    time: Timestamp,
    subject: Option<String>,
}

impl Attributes<'_> {
    fn headers(self) -> FieldTable {
        let mut headers = FieldTable::default();
        let mut set = |name: &str, value: String| {
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
        };
        set("cloudEvents:specversion", "1.0".to_owned());
        set("cloudEvents:type", self.kind.to_owned());
        set("cloudEvents:source", self.source);
        set("cloudEvents:id", self.id.to_owned());
        set("cloudEvents:time", self.time.to_string());
        if let Some(subject) = self.subject {
            set("cloudEvents:subject", subject);
        }
        headers
    }
}

/// Who sends: a team's part of the system.
fn source(team: &str) -> String {
    format!("/collective/teams/{team}")
}

/// An event as a message. It is transient: the store has it, and whoever misses
/// it reads it there.
pub(super) fn of_event(event: &Event) -> Result<Message, Trouble> {
    let kind = event.fact.kind();
    let id = event_id(event);
    let headers = Attributes {
        kind,
        source: source(event.team.as_str()),
        id: &id,
        time: event.at,
        subject: event.fact.task().map(|task| task.to_string()),
    }
    .headers();
    let properties = BasicProperties::default()
        .with_content_type(JSON.into())
        .with_delivery_mode(TRANSIENT)
        .with_message_id(id.into())
        .with_headers(headers);
    Ok(Message {
        exchange: STATUS,
        key: event_key(&event.team, kind),
        body: body(event)?,
        properties,
    })
}

/// Whom other servers are to wake, as one message for however many events.
/// `origin` tells a process its own messages from others'.
pub(super) fn of_news(topics: &[Topic], origin: &ShortString) -> Result<Message, Trouble> {
    let properties = BasicProperties::default()
        .with_content_type(JSON.into())
        .with_delivery_mode(TRANSIENT)
        .with_app_id(origin.clone());
    Ok(Message {
        exchange: NEWS,
        key: String::new(),
        body: body(&topics)?,
        properties,
    })
}

/// `<team>/<seq>`: the event's place in the one log that it is in.
fn event_id(event: &Event) -> String {
    format!("{}/{}", event.team, event.seq)
}

/// `<task>/<ready_at in microseconds>`: a task that becomes ready again is another offer.
pub fn offer_id(offer: &Offer) -> String {
    format!("{}/{}", offer.task, offer.ready_at.micros())
}

/// An offer as a message; it outlives a restart of the broker.
pub(super) fn of_offer(offer: &Offer) -> Result<Message, Trouble> {
    let id = offer_id(offer);
    let mut headers = Attributes {
        kind: OFFER_TYPE,
        source: source(offer.team.as_str()),
        id: &id,
        time: offer.ready_at,
        subject: Some(offer.task.to_string()),
    }
    .headers();
    if let Some(trace) = &offer.traceparent {
        headers.insert(
            "traceparent".into(),
            AMQPValue::LongString(trace.as_str().into()),
        );
    }
    let properties = BasicProperties::default()
        .with_content_type(JSON.into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(id.into())
        .with_headers(headers);
    Ok(Message {
        exchange: TASKS,
        key: task_key(&offer.team, &offer.lane, offer.priority),
        body: body(offer)?,
        properties,
    })
}

/// The properties of an answer to a report.
pub(super) fn of_answer(correlation: Option<&ShortString>) -> BasicProperties {
    let properties = BasicProperties::default().with_content_type(JSON.into());
    match correlation {
        Some(id) => properties.with_correlation_id(id.clone()),
        None => properties,
    }
}

/// Marks a message as one that survives a restart of its broker.
pub(super) fn persistent(properties: BasicProperties) -> BasicProperties {
    properties.with_delivery_mode(PERSISTENT)
}

fn body(value: &impl serde::Serialize) -> Result<Vec<u8>, Trouble> {
    serde_json::to_vec(value).map_err(|error| Trouble::Unwritable {
        said: error.to_string(),
    })
}
