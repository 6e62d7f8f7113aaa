//! A broker that dies, comes back empty, or takes nothing.

use std::time::{Duration, Instant};

use collective_bus::{RabbitBus, RabbitOptions};
use collective_core::ports::{Broker, Bus, BusError};
use collective_core::task::Priority;
use collective_testkit::servers::RabbitMq;
use lapin::BasicProperties;

use crate::ground::{
    DEADLINE, event, eventually, lane, offer, options, plain, replica, soon, team, topic, woken,
};

/// A broker that is down at the start is not an error, and waiting works without it.
pub(crate) async fn a_broker_that_is_down_at_the_start_is_used_when_it_comes(
    server: &mut RabbitMq,
) {
    server.kill();
    let bus = RabbitBus::connect(options(server));
    let mut waiting = bus.subscribe(&[topic(1)]).await.expect("a place to wait");
    eventually("it says that nobody is there", async || {
        bus.state().last_error
    })
    .await;
    let refused = bus.publish(&[event(1)]).await;
    assert!(
        matches!(refused, Err(BusError::Unavailable(_))),
        "{refused:?}"
    );
    // What is published here wakes who waits here, whatever the broker does.
    woken(&mut waiting, "who waits here").await;
    server.restart().expect("the broker starts");
    bus.connected(DEADLINE).await.expect("the bus connects");
    bus.publish(&[event(1)]).await.expect("published");
    assert_eq!(bus.state().reconnects, 0);
    bus.close().await;
}

/// Killed and started again: publishing, news and reports go on by themselves.
pub(crate) async fn a_killed_broker_is_used_again_when_it_is_back(server: &mut RabbitMq) {
    let (here, there) = (replica(server).await, replica(server).await);
    bus_with_reports(&here).await;
    here.offer(&[offer(1, "queue/kept", Priority::Normal)])
        .await
        .expect("offered");
    let mut waiting = there.subscribe(&[topic(1)]).await.expect("a place to wait");
    server.kill();
    let noticed = Instant::now();
    eventually("both notice", async || {
        (!here.state().connected && !there.state().connected).then_some(())
    })
    .await;
    println!("  a killed broker is noticed after {:?}", noticed.elapsed());
    let asked = Instant::now();
    let refused = here.publish(&[event(1)]).await;
    assert!(
        matches!(refused, Err(BusError::Unavailable(_))),
        "{refused:?}"
    );
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );

    server.restart().expect("the broker starts");
    let back = Instant::now();
    // News may have been missed: everyone looks again.
    woken(&mut waiting, "who waited all the time").await;
    here.connected(DEADLINE).await.expect("one is back");
    there.connected(DEADLINE).await.expect("the other is back");
    println!(
        "  both replicas are back {:?} after it listens",
        back.elapsed()
    );
    // Once more than the other's reconnection, which wakes nobody here.
    here.publish(&[event(1)]).await.expect("published");
    woken(&mut waiting, "who waits for another replica").await;
    let client = plain(&server.url()).await;
    client.take("agent.tasks.default.queue.kept.normal").await;
    client
        .publish("agent.results", "started", b"1", BasicProperties::default())
        .await;
    let report = soon("a report comes", here.report())
        .await
        .expect("reports are taken");
    report.done().await.expect("done");
    println!("  everything works {:?} after it listens", back.elapsed());
    assert_eq!(here.state().reconnects, 1);
    here.close().await;
    there.close().await;
}

/// Back with empty data: everything that is needed is declared again.
pub(crate) async fn a_broker_that_comes_back_empty_is_furnished_again(server: &mut RabbitMq) {
    let bus = replica(server).await;
    bus_with_reports(&bus).await;
    let (here, kept) = (team("default"), lane("queue/kept"));
    bus.declare(&here, &kept).await.expect("declared");
    server.wipe().expect("the data is removed");
    eventually("it notices", async || {
        (!bus.state().connected).then_some(())
    })
    .await;
    server.restart().expect("the broker starts");
    bus.connected(DEADLINE).await.expect("the bus is back");
    bus.publish(&[event(1)]).await.expect("published");
    let depth = bus.depth(&here, &kept, Priority::Normal).await;
    assert_eq!(depth, Ok(None), "the queue was wiped");
    bus.offer(&[offer(1, "queue/kept", Priority::Normal)])
        .await
        .expect("offered");
    let client = plain(&server.url()).await;
    client.take("agent.tasks.default.queue.kept.normal").await;
    client
        .publish("agent.results", "started", b"1", BasicProperties::default())
        .await;
    let report = soon("a report comes", bus.report())
        .await
        .expect("reports are taken");
    report.bury("for a test").await.expect("buried");
    client.take("agent.dead").await;
    bus.close().await;
}

/// An alarm: what is to be sent is refused at once and with the reason, what comes still comes.
pub(crate) async fn a_broker_without_memory_is_told_at_once(server: &mut RabbitMq) {
    let bus = replica(server).await;
    bus_with_reports(&bus).await;
    let control = |arguments: &[&str]| {
        server.control(arguments).expect("rabbitmqctl works");
    };
    control(&["set_vm_memory_high_watermark", "0.000001"]);
    // The broker says so to whoever publishes.
    eventually("a publish is refused", async || {
        bus.publish(&[event(1)]).await.err()
    })
    .await;
    eventually("the reason is known", async || bus.state().blocked).await;
    let asked = Instant::now();
    let refused = bus.publish(&[event(1)]).await.expect_err("it is refused");
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
    let refused = refused.to_string();
    assert!(
        refused.contains("memory") && refused.contains("takes no messages"),
        "{refused}"
    );
    let offered = bus.offer(&[offer(1, "queue/kept", Priority::Normal)]).await;
    assert!(
        matches!(offered, Err(BusError::Unavailable(_))),
        "{offered:?}"
    );
    let health = bus.health().await.expect_err("it isn't healthy");
    assert!(health.to_string().contains("memory"), "{health}");
    // Looking and declaring don't publish, so they work.
    bus.declare(&team("default"), &lane("queue/kept"))
        .await
        .expect("declared");
    assert!(bus.state().connected);

    control(&["set_vm_memory_high_watermark", "0.4"]);
    let back = Instant::now();
    eventually("it takes messages again", async || bus.health().await.ok()).await;
    bus.publish(&[event(1)]).await.expect("published");
    bus.offer(&[offer(1, "queue/kept", Priority::Normal)])
        .await
        .expect("offered");
    println!("  messages are taken again after {:?}", back.elapsed());
    assert_eq!(bus.state().reconnects, 0);
    bus.close().await;
}

/// A broker that holds its connections and says nothing is given up in bounded time.
pub(crate) async fn a_broker_that_hangs_is_given_up_and_used_again(server: &mut RabbitMq) {
    let bus = RabbitBus::connect(RabbitOptions {
        confirm_limit: Duration::from_secs(1),
        connect_limit: Duration::from_secs(2),
        ..options(server)
    });
    bus.connected(DEADLINE).await.expect("the bus connects");
    let mut waiting = bus.subscribe(&[topic(1)]).await.expect("a place to wait");
    server.suspend().expect("the broker hangs");
    let asked = Instant::now();
    let refused = bus.publish(&[event(2)]).await.expect_err("it is refused");
    assert!(
        refused.to_string().contains("no answer within"),
        "{refused}"
    );
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "{:?}",
        asked.elapsed()
    );
    eventually("it counts as away", async || bus.health().await.err()).await;
    server.resume().expect("the broker goes on");
    woken(&mut waiting, "who waited all the time").await;
    bus.connected(DEADLINE).await.expect("the bus is back");
    bus.publish(&[event(1)]).await.expect("published");
    bus.close().await;
}

/// Starts to take reports, as a server does from its start.
async fn bus_with_reports(bus: &RabbitBus) {
    const GLANCE: Duration = Duration::from_millis(50);
    let none = tokio::time::timeout(GLANCE, bus.report()).await;
    assert!(none.is_err(), "a report came that nobody sent");
}

/// A queue that lost its leader takes nothing, and says that all is well. It is
/// made anew, and keeps no other from its offers for long.
pub(crate) async fn a_queue_without_a_leader_is_made_anew(server: &mut RabbitMq) {
    const QUEUE: &str = "agent.tasks.default.queue.leaderless.normal";
    let bus = RabbitBus::connect(RabbitOptions {
        confirm_limit: Duration::from_secs(2),
        ..options(server)
    });
    bus.connected(DEADLINE).await.expect("the bus connects");
    let client = plain(&server.url()).await;
    let dead = offer(1, "queue/leaderless", Priority::Normal);
    let sound = offer(2, "queue/led", Priority::Normal);
    let both = [dead, sound];
    bus.offer(&both).await.expect("offered");
    for queue in [QUEUE, "agent.tasks.default.queue.led.normal"] {
        client.take(queue).await;
    }
    // The process that leads it hears nothing any more.
    let suspend = format!("sys:suspend(list_to_atom(\"%2F_{QUEUE}\")).");
    server
        .control(&["eval", &suspend])
        .expect("it is suspended");
    let refused = bus.offer(&both).await;
    assert!(
        matches!(refused, Err(BusError::Unavailable(_))),
        "{refused:?}"
    );
    eventually("both are offered", async || bus.offer(&both).await.ok()).await;
    client.take(QUEUE).await;
    bus.close().await;
}
