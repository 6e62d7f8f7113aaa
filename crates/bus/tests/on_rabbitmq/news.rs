//! Events on `agent.status`, and news between replicas on `agent.news`.

use collective_core::event::Event;
use collective_core::ports::Bus;
use collective_testkit::servers::RabbitMq;
use lapin::BasicProperties;
use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;

use crate::ground::{event, eventually, header, plain, replica, topic, woken};

/// Whoever waits at one replica hears what another publishes, both ways.
pub(crate) async fn replicas_hear_each_other(server: &RabbitMq) {
    let (here, there) = (replica(server).await, replica(server).await);
    for (one, other) in [(&here, &there), (&there, &here)] {
        let mut waiting = other.subscribe(&[topic(1)]).await.expect("a place to wait");
        one.publish(&[event(1)]).await.expect("published");
        woken(&mut waiting, "who waits at the other replica").await;
    }
    here.close().await;
    there.close().await;
}

/// A client that isn't ours can tell what an event is without reading it.
pub(crate) async fn events_reach_anyone_with_the_documented_headers(server: &RabbitMq) {
    let bus = replica(server).await;
    let client = plain(&server.url()).await;
    let queue = client
        .channel
        .queue_declare(
            "".into(),
            QueueDeclareOptions::exclusive(),
            FieldTable::default(),
        )
        .await
        .expect("a queue");
    client
        .channel
        .queue_bind(
            queue.name().clone(),
            "agent.status".into(),
            "default.task.*".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
        .expect("a binding");
    bus.publish(&[event(1)]).await.expect("published");
    let heard = client.take(queue.name().as_str()).await;
    assert_eq!(heard.routing_key.as_str(), "default.task.queued");
    let expected = [
        ("cloudEvents:specversion", "1.0"),
        ("cloudEvents:type", "task.queued"),
        ("cloudEvents:source", "/collective/teams/default"),
        ("cloudEvents:id", "default/7"),
        ("cloudEvents:time", "2023-11-14T22:13:20.000000Z"),
        (
            "cloudEvents:subject",
            "00000000-0000-0000-0000-000000000001",
        ),
    ];
    for (name, value) in expected {
        assert_eq!(header(&heard, name), Some(value), "{name}");
    }
    let kind = heard.properties.content_type().as_ref();
    assert_eq!(kind.map(|kind| kind.as_str()), Some("application/json"));
    let body: Event = serde_json::from_slice(&heard.data).expect("the body is the event");
    assert_eq!(body, event(1));
    bus.close().await;
}

/// A stranger's message costs a count, and the next news is heard.
pub(crate) async fn what_is_no_news_is_counted_and_dropped(server: &RabbitMq) {
    let (here, there) = (replica(server).await, replica(server).await);
    let client = plain(&server.url()).await;
    for garbage in [&b""[..], b"{}", b"\xff\xfe", b"[1,2", b"[{\"lane\":7}]"] {
        client
            .publish(
                "agent.news",
                "any.thing",
                garbage,
                BasicProperties::default(),
            )
            .await;
    }
    eventually("the garbage is counted", async || {
        (here.state().garbage == 5).then_some(())
    })
    .await;
    let mut waiting = here.subscribe(&[topic(2)]).await.expect("a place to wait");
    there.publish(&[event(2)]).await.expect("published");
    woken(&mut waiting, "who waits after the garbage").await;
    here.close().await;
    there.close().await;
}
