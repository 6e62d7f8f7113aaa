//! What the cases share: a bus on the server, a client that isn't ours, samples.

use std::future::Future;
use std::time::{Duration, Instant};

use collective_bus::{RabbitBus, RabbitOptions};
use collective_core::event::{Event, Fact};
use collective_core::ports::{Offer, Subscription, Topic};
use collective_core::task::{Lane, Priority, Queued};
use collective_core::{TaskId, TeamName, Timestamp};
use collective_testkit::servers::RabbitMq;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions};
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tokio::time::timeout;
use uuid::Uuid;

/// How long anything may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn options(server: &RabbitMq) -> RabbitOptions {
    RabbitOptions::from_url(&server.url()).expect("the server's URL is one")
}

/// A replica that is connected.
pub(crate) async fn replica(server: &RabbitMq) -> RabbitBus {
    let bus = RabbitBus::connect(options(server));
    bus.connected(DEADLINE).await.expect("the bus connects");
    bus
}

/// A client that isn't ours.
pub(crate) struct Plain {
    _connection: Connection,
    pub(crate) channel: Channel,
}

pub(crate) async fn plain(url: &str) -> Plain {
    let connection = Connection::connect(url, ConnectionProperties::default())
        .await
        .expect("a plain client connects");
    let channel = connection.create_channel().await.expect("a channel");
    Plain {
        _connection: connection,
        channel,
    }
}

impl Plain {
    /// Publishes and doesn't ask.
    pub(crate) async fn publish(
        &self,
        exchange: &str,
        key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) {
        let options = BasicPublishOptions::default();
        self.channel
            .basic_publish(exchange.into(), key.into(), options, body, properties)
            .await
            .expect("a plain client publishes");
    }

    /// The next message of a queue, acknowledged.
    pub(crate) async fn take(&self, queue: &str) -> Delivery {
        let found = eventually(&format!("a message in {queue}"), async || {
            let got = self
                .channel
                .basic_get(queue.into(), BasicGetOptions::default());
            // A queue without a leader answers after a minute, with a refusal.
            let got = timeout(DEADLINE, got).await;
            got.unwrap_or_else(|_| panic!("{queue} gives no answer"))
                .expect("the queue is there")
        })
        .await
        .delivery;
        found
            .ack(BasicAckOptions::default())
            .await
            .expect("acknowledged");
        found
    }
}

/// Looks until there is something, with a deadline.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    const PAUSE: Duration = Duration::from_millis(20);
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "{what} within {DEADLINE:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits no longer than the deadline.
pub(crate) async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    timeout(DEADLINE, wait)
        .await
        .unwrap_or_else(|_| panic!("{what} within {DEADLINE:?}"))
}

pub(crate) async fn woken(waiting: &mut Box<dyn Subscription>, who: &str) {
    soon(who, waiting.wake()).await.expect("the wait succeeds");
}

pub(crate) fn team(name: &str) -> TeamName {
    TeamName::new(name).expect("a valid team name")
}

pub(crate) fn lane(text: &str) -> Lane {
    text.parse().expect("a valid lane")
}

pub(crate) fn task(number: u128) -> TaskId {
    TaskId(Uuid::from_u128(number))
}

pub(crate) fn topic(number: u128) -> Topic {
    Topic::Task(task(number))
}

pub(crate) fn event(number: u128) -> Event {
    Event {
        team: team("default"),
        seq: 7,
        at: Timestamp::from_micros(1_700_000_000_000_000),
        actor: "server".to_owned(),
        fact: Fact::TaskQueued {
            task: task(number),
            lane: lane("queue/rust"),
            priority: Priority::Normal,
            ready_at: Timestamp::from_micros(1_700_000_000_000_000),
            cause: Queued::Due,
        },
    }
}

pub(crate) fn offer(number: u128, on: &str, priority: Priority) -> Offer {
    Offer {
        team: team("default"),
        lane: lane(on),
        priority,
        task: task(number),
        number: 12,
        title: "Look into it".to_owned(),
        ready_at: Timestamp::from_micros(1_700_000_000_000_001),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    }
}

/// A header as text; nothing if there is none.
pub(crate) fn header<'d>(delivery: &'d Delivery, name: &str) -> Option<&'d str> {
    match delivery.properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        _ => None,
    }
}
