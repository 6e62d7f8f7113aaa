//! Offers to agents and their reports, each against a client that isn't ours.

use std::collections::BTreeSet;
use std::time::Duration;

use collective_bus::RabbitBus;
use collective_bus::rabbitmq::{MAX_BODY, topology};
use collective_core::ports::{Broker, Depth, Offer, Report};
use collective_core::task::Priority;
use collective_testkit::servers::RabbitMq;
use futures_util::StreamExt;
use lapin::BasicProperties;
use lapin::options::{BasicConsumeOptions, BasicRejectOptions, QueuePurgeOptions};
use lapin::types::{AMQPValue, FieldTable};
use tokio::time::timeout;

use crate::ground::{DEADLINE, Plain, eventually, header, lane, offer, plain, replica, soon, team};

/// An offer has all that an agent needs, in the body and in the headers.
pub(crate) async fn offers_reach_anyone_with_the_documented_headers(server: &RabbitMq) {
    let bus = replica(server).await;
    let client = plain(&server.url()).await;
    let offered = offer(1, "queue/rust", Priority::High);
    bus.declare(&team("default"), &lane("queue/rust"))
        .await
        .expect("declared");
    bus.offer(std::slice::from_ref(&offered))
        .await
        .expect("offered");
    let got = client.take("agent.tasks.default.queue.rust.high").await;
    assert_eq!(got.routing_key.as_str(), "default.queue.rust.high");
    let id = "00000000-0000-0000-0000-000000000001/1700000000000001";
    let expected = [
        ("cloudEvents:specversion", "1.0"),
        ("cloudEvents:type", "task.offered"),
        ("cloudEvents:source", "/collective/teams/default"),
        ("cloudEvents:id", id),
        ("cloudEvents:time", "2023-11-14T22:13:20.000001Z"),
        (
            "cloudEvents:subject",
            "00000000-0000-0000-0000-000000000001",
        ),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    ];
    for (name, value) in expected {
        assert_eq!(header(&got, name), Some(value), "{name}");
    }
    assert_eq!(
        got.properties.message_id().as_ref().map(|id| id.as_str()),
        Some(id)
    );
    assert_eq!(*got.properties.delivery_mode(), Some(2));
    let body: Offer = serde_json::from_slice(&got.data).expect("the body is the offer");
    assert_eq!(body, offered);
    bus.close().await;
}

/// A queue that nobody declared is made, and the offer that came back lies in it.
pub(crate) async fn missing_queues_are_made_by_the_offer(server: &RabbitMq) {
    let bus = replica(server).await;
    let here = team("default");
    let missing = lane("agent/new.comer");
    let depth = async |priority| bus.depth(&here, &missing, priority).await.expect("looked");
    assert_eq!(depth(Priority::Low).await, None);
    let offers: Vec<Offer> = (0..300)
        .map(|number| match number % 3 {
            0 => offer(number, "agent/new.comer", Priority::Low),
            1 => offer(number, "queue/rust", Priority::Normal),
            _ => offer(number, "role/worker", Priority::Critical),
        })
        .collect();
    bus.offer(&offers).await.expect("offered");
    let hundred = Some(Depth {
        ready: 100,
        consumers: 0,
    });
    eventually("a hundred offers lie there", async || {
        (depth(Priority::Low).await == hundred).then_some(())
    })
    .await;
    // The other priorities of the lane are there too, and empty.
    let none = Some(Depth {
        ready: 0,
        consumers: 0,
    });
    assert_eq!(depth(Priority::High).await, none);
    bus.close().await;
}

/// Dots part the words of a key, but not the names that hold them.
pub(crate) async fn lanes_with_dots_do_not_share_a_queue(server: &RabbitMq) {
    let bus = replica(server).await;
    let one = offer(1, "queue/b.queue.c", Priority::Normal);
    let other = Offer {
        team: team("default.queue.b"),
        ..offer(2, "queue/c", Priority::Normal)
    };
    bus.offer(&[one.clone(), other.clone()])
        .await
        .expect("offered");
    let client = plain(&server.url()).await;
    for offered in [one, other] {
        let key = topology::task_key(&offered.team, &offered.lane, offered.priority);
        let got = client.take(&topology::task_queue(&key)).await;
        let body: Offer = serde_json::from_slice(&got.data).expect("the body is the offer");
        assert_eq!(body, offered);
    }
    bus.close().await;
}

/// A report comes with its kind, headers, user and body; its answer goes to where it was asked for.
pub(crate) async fn a_report_is_read_and_answered_where_it_asks(server: &RabbitMq) {
    let bus = replica(server).await;
    let client = plain(&server.url()).await;
    // RabbitMQ's direct reply-to: listen first, on the same channel.
    let mut answers = client
        .channel
        .basic_consume(
            "amq.rabbitmq.reply-to".into(),
            "".into(),
            BasicConsumeOptions {
                no_ack: true,
                ..BasicConsumeOptions::default()
            },
            FieldTable::default(),
        )
        .await
        .expect("a place for answers");
    let mut headers = FieldTable::default();
    headers.insert(
        "collective-agent".into(),
        AMQPValue::LongString("ada".into()),
    );
    headers.insert("collective-count".into(), AMQPValue::LongInt(3));
    let properties = BasicProperties::default()
        .with_reply_to("amq.rabbitmq.reply-to".into())
        .with_correlation_id("question-1".into())
        .with_user_id("guest".into())
        .with_headers(headers);
    client
        .publish("agent.results", "started", b"{\"task\":1}", properties)
        .await;

    let mut report = next(&bus).await;
    assert_eq!(report.kind(), "started");
    assert_eq!(report.header("collective-agent"), Some("ada"));
    assert_eq!(report.header("collective-count"), None, "no text");
    assert_eq!(report.header("missing"), None);
    assert_eq!(report.user(), Some("guest"));
    assert_eq!(report.body(), b"{\"task\":1}");
    report.answer(b"{\"lease\":\"x\"}").await.expect("answered");
    report.done().await.expect("done");

    let answer = soon("the answer", answers.next())
        .await
        .expect("the place stays")
        .expect("an answer");
    assert_eq!(answer.data, b"{\"lease\":\"x\"}");
    let correlation = answer.properties.correlation_id().as_ref();
    assert_eq!(correlation.map(|id| id.as_str()), Some("question-1"));

    // Nobody asked for an answer, or asked for it where it must not go.
    for place in [None, Some("agent.results")] {
        let properties = match place {
            Some(place) => BasicProperties::default().with_reply_to(place.into()),
            None => BasicProperties::default(),
        };
        client
            .publish("agent.results", "heartbeat", b"1", properties)
            .await;
        let mut report = next(&bus).await;
        assert_eq!((report.kind(), report.user()), ("heartbeat", None));
        report.answer(b"2").await.expect("answered to nobody");
        report.done().await.expect("done");
    }
    nothing_comes(&bus).await;
    bus.close().await;
}

/// Garbage lies in the dead letters with its reason, and without its secrets.
pub(crate) async fn a_buried_report_is_a_dead_letter_without_secrets(server: &RabbitMq) {
    let bus = replica(server).await;
    let client = plain(&server.url()).await;
    empty(&client, "agent.dead").await;
    let mut headers = FieldTable::default();
    for name in [
        "collective-agent",
        "collective-key",
        "X-Lease-Token",
        "Authorization",
    ] {
        headers.insert(name.into(), AMQPValue::LongString("value".into()));
    }
    let properties = BasicProperties::default()
        .with_headers(headers)
        .with_message_id("m-1".into());
    client
        .publish("agent.results", "completed", b"\xffgarbage", properties)
        .await;
    let report = next(&bus).await;
    report.bury("the body is no JSON").await.expect("buried");
    let dead = client.take("agent.dead").await;
    assert_eq!(dead.data, b"\xffgarbage");
    assert_eq!(dead.routing_key.as_str(), "completed");
    assert_eq!(
        header(&dead, "collective-reason"),
        Some("the body is no JSON")
    );
    assert_eq!(header(&dead, "collective-kind"), Some("completed"));
    assert_eq!(header(&dead, "collective-agent"), Some("value"));
    for secret in ["collective-key", "X-Lease-Token", "Authorization"] {
        assert_eq!(header(&dead, secret), None, "{secret}");
    }
    assert_eq!(
        dead.properties.message_id().as_ref().map(|id| id.as_str()),
        Some("m-1")
    );
    nothing_comes(&bus).await;
    bus.close().await;
}

/// What is too large never reaches the rules.
pub(crate) async fn a_report_that_is_too_large_is_buried(server: &RabbitMq) {
    let bus = replica(server).await;
    let client = plain(&server.url()).await;
    empty(&client, "agent.dead").await;
    for size in [MAX_BODY + 1, MAX_BODY] {
        let body = vec![b'x'; size];
        client
            .publish(
                "agent.results",
                "completed",
                &body,
                BasicProperties::default(),
            )
            .await;
    }
    let report = next(&bus).await;
    assert_eq!(report.body().len(), MAX_BODY);
    report.done().await.expect("done");
    let dead = client.take("agent.dead").await;
    let reason = header(&dead, "collective-reason").expect("a reason");
    assert!(reason.contains("1048577 bytes"), "{reason}");
    bus.close().await;
}

/// A report that can't be dealt with now comes again, later.
pub(crate) async fn a_report_that_is_put_back_comes_again(server: &RabbitMq) {
    let bus = replica(server).await;
    let client = plain(&server.url()).await;
    client
        .publish(
            "agent.results",
            "failed",
            b"later",
            BasicProperties::default(),
        )
        .await;
    for _ in 0..3 {
        let report = next(&bus).await;
        assert_eq!(report.body(), b"later");
        report.again().await.expect("put back");
    }
    next(&bus).await.done().await.expect("done");
    nothing_comes(&bus).await;
    bus.close().await;
}

/// A replica that dies with a report leaves it to the others.
pub(crate) async fn a_report_of_a_dead_replica_comes_to_another(server: &RabbitMq) {
    let dying = replica(server).await;
    let client = plain(&server.url()).await;
    for body in [b"1", b"2"] {
        client
            .publish(
                "agent.results",
                "completed",
                body,
                BasicProperties::default(),
            )
            .await;
    }
    let held = next(&dying).await;
    dying.close().await;
    let gone = held.done().await;
    assert!(
        gone.is_err(),
        "a report of a closed connection can't be done"
    );
    let other = replica(server).await;
    let mut bodies = Vec::new();
    for _ in 0..2 {
        let report = next(&other).await;
        bodies.push(report.body().to_vec());
        report.done().await.expect("done");
    }
    bodies.sort();
    assert_eq!(bodies, [b"1", b"2"]);
    nothing_comes(&other).await;
    other.close().await;
}

/// Every report comes to one replica, and each replica gets some.
pub(crate) async fn replicas_share_the_reports(server: &RabbitMq) {
    const REPORTS: usize = 100;
    let replicas = [replica(server).await, replica(server).await];
    // Both listen before there is anything.
    for bus in &replicas {
        nothing_comes(bus).await;
    }
    let client = plain(&server.url()).await;
    for number in 0..REPORTS {
        let body = number.to_string();
        client
            .publish(
                "agent.results",
                "heartbeat",
                body.as_bytes(),
                BasicProperties::default(),
            )
            .await;
    }
    let mut taken = [0, 0];
    let mut bodies = BTreeSet::new();
    for _ in 0..REPORTS {
        let (which, report) = soon("each report", async {
            tokio::select! {
                report = replicas[0].report() => (0, report),
                report = replicas[1].report() => (1, report),
            }
        })
        .await;
        let report = report.expect("reports are taken");
        taken[which] += 1;
        assert!(bodies.insert(report.body().to_vec()), "a report came twice");
        report.done().await.expect("done");
    }
    assert!(taken.iter().all(|taken| *taken > 0), "{taken:?}");
    for bus in &replicas {
        nothing_comes(bus).await;
        bus.close().await;
    }
}

/// A message that kills whoever takes it ends in the dead letters, and what is behind it is served.
pub(crate) async fn poison_ends_in_the_dead_letters_and_stops_no_queue(server: &RabbitMq) {
    let bus = replica(server).await;
    let client = plain(&server.url()).await;
    let queue = "agent.tasks.default.queue.poison.normal";
    let poison = offer(66, "queue/poison", Priority::Normal);
    bus.offer(std::slice::from_ref(&poison))
        .await
        .expect("offered");
    for queue in ["agent.results", queue] {
        empty(&client, "agent.dead").await;
        if queue == "agent.results" {
            client
                .publish(
                    "agent.results",
                    "failed",
                    b"poison",
                    BasicProperties::default(),
                )
                .await;
        }
        let victim = plain(&server.url()).await;
        let mut consumer = victim
            .channel
            .basic_consume(
                queue.into(),
                "".into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await
            .expect("a victim listens");
        let mut deliveries = 0;
        // It comes once and then as often as the limit says.
        while deliveries <= topology::DELIVERY_LIMIT {
            let delivery = soon("the poison comes again", consumer.next())
                .await
                .expect("the queue stays")
                .expect("a delivery");
            deliveries += 1;
            // What failed is rejected: since RabbitMQ 4.3 a nack counts no failure.
            let back = BasicRejectOptions { requeue: true };
            delivery.reject(back).await.expect("put back");
        }
        let dead = client.take("agent.dead").await;
        let headers = dead.properties.headers().as_ref().expect("headers");
        assert!(headers.contains_key("x-death"), "{queue}: {headers:?}");
        let reason = header(&dead, "x-first-death-reason");
        assert_eq!(reason, Some("delivery_limit"), "{queue}");
        drop(consumer);
        drop(victim);
    }
    bus.offer(&[offer(67, "queue/poison", Priority::Normal)])
        .await
        .expect("offered");
    client.take(queue).await;
    client
        .publish(
            "agent.results",
            "failed",
            b"sound",
            BasicProperties::default(),
        )
        .await;
    let report = next(&bus).await;
    assert_eq!(report.body(), b"sound");
    report.done().await.expect("done");
    bus.close().await;
}

async fn next(bus: &RabbitBus) -> Box<dyn Report> {
    timeout(DEADLINE, bus.report())
        .await
        .expect("a report comes")
        .expect("reports are taken")
}

async fn nothing_comes(bus: &RabbitBus) {
    const QUIET: Duration = Duration::from_millis(200);
    let report = timeout(QUIET, bus.report()).await;
    assert!(report.is_err(), "a report came that nobody sent");
}

async fn empty(client: &Plain, queue: &str) {
    client
        .channel
        .queue_purge(queue.into(), QueuePurgeOptions::default())
        .await
        .expect("purged");
}
