//! How much the bus on RabbitMQ carries on this machine: confirmed events and
//! offers in batches, news at another replica, reports taken and acknowledged.
//!
//! Starts a broker of its own. `cargo run -p collective-bus --example rate`

use std::time::{Duration, Instant};

use collective_bus::{RabbitBus, RabbitOptions};
use collective_core::event::{Event, Fact};
use collective_core::ports::{Broker, Bus, BusError, Offer};
use collective_core::task::{Lane, Priority, Queued};
use collective_core::{QueueName, TaskId, TeamName, Timestamp};
use collective_testkit::process::cpu_time;
use collective_testkit::servers::RabbitMq;
use futures_util::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// Events of one batch: what a relay sends after a commit of 64 tasks.
const BATCH: usize = 192;
/// How long each figure is measured.
const TIME: Duration = Duration::from_secs(5);
/// How long anything may take to start or to arrive.
const LIMIT: Duration = Duration::from_secs(60);
/// Reports that are sent before they are taken.
const REPORTS: usize = 20_000;
/// Reports that are dealt with at once.
const HANDS: usize = 32;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let server = RabbitMq::start()?;
    let options = RabbitOptions::from_url(&server.url())?;
    let bus = RabbitBus::connect(options.clone());
    bus.connected(LIMIT).await?;

    let used = cpu_time("self")?;
    let sent = events(&bus, 1).await?;
    let used = (cpu_time("self")? - used).as_secs_f64() / (sent * TIME.as_secs_f64());
    println!(
        "events, nobody else hears, one batch at a time: {sent:.0}/s, {:.0} µs of our CPU each",
        used * 1e6
    );
    let sent = events(&bus, 4).await?;
    println!("events, nobody else hears, four batches at a time: {sent:.0}/s");

    let other = RabbitBus::connect(options);
    other.connected(LIMIT).await?;
    let before = other.state().heard;
    let start = Instant::now();
    let sent = events(&bus, 1).await?;
    let total = (sent * TIME.as_secs_f64()) as u64 / BATCH as u64;
    let heard = arrived(&other, before, total).await;
    let rate = heard as f64 / start.elapsed().as_secs_f64();
    println!(
        "events, one batch at a time, with another replica: {sent:.0}/s sent, {rate:.0} batches/s heard ({heard} of about {total})"
    );

    let offered = offers(&bus).await?;
    println!("offers, one batch at a time: {offered:.0}/s");

    fill(&server.url()).await?;
    let start = Instant::now();
    let hands = (0..HANDS).map(|_| take(&bus, REPORTS / HANDS));
    try_join_all(hands).await?;
    let rate = REPORTS as f64 / start.elapsed().as_secs_f64();
    println!("reports taken and acknowledged, {HANDS} at once: {rate:.0}/s");
    bus.close().await;
    other.close().await;
    Ok(())
}

/// Publishes batches for a time; gives events per second.
async fn events(bus: &RabbitBus, at_once: usize) -> Result<f64, BusError> {
    let batch: Vec<Event> = (1_u64..).take(BATCH).map(event).collect();
    let start = Instant::now();
    let sender = async || {
        let mut sent = 0;
        while start.elapsed() < TIME {
            bus.publish(&batch).await?;
            sent += batch.len();
        }
        Ok::<usize, BusError>(sent)
    };
    let sent = try_join_all((0..at_once).map(|_| sender())).await?;
    Ok(sent.iter().sum::<usize>() as f64 / start.elapsed().as_secs_f64())
}

/// Waits until news has stopped to come; gives how much came.
async fn arrived(bus: &RabbitBus, before: u64, total: u64) -> u64 {
    const QUIET: Duration = Duration::from_millis(50);
    let mut last = 0;
    loop {
        let heard = bus.state().heard - before;
        if heard >= total || (heard == last && heard > 0) {
            return heard;
        }
        last = heard;
        sleep(QUIET).await;
    }
}

async fn offers(bus: &RabbitBus) -> Result<f64, BusError> {
    let batch: Vec<Offer> = (1_u64..).take(BATCH).map(offer).collect();
    bus.offer(&batch).await?;
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < TIME {
        bus.offer(&batch).await?;
        sent += batch.len();
    }
    Ok(sent as f64 / start.elapsed().as_secs_f64())
}

/// Sends reports as an agent would.
async fn fill(url: &str) -> Outcome<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    for _ in 0..REPORTS {
        let published = channel.basic_publish(
            "agent.results".into(),
            "heartbeat".into(),
            BasicPublishOptions::default(),
            b"{\"task\":\"01890a5d-ac96-774b-bcce-b302099a8057\"}",
            BasicProperties::default().with_delivery_mode(2),
        );
        drop(published.await?);
    }
    channel.wait_for_confirms().await?;
    Ok(())
}

async fn take(bus: &RabbitBus, number: usize) -> Result<(), BusError> {
    for _ in 0..number {
        let report = timeout(LIMIT, bus.report())
            .await
            .map_err(|_| BusError::Unavailable("no report came".to_owned()))??;
        report.done().await?;
    }
    Ok(())
}

fn event(number: u64) -> Event {
    Event {
        team: TeamName::default_team(),
        seq: number,
        at: Timestamp::from_micros(1_700_000_000_000_000),
        actor: "server".to_owned(),
        fact: Fact::TaskQueued {
            task: TaskId(Uuid::from_u128(number.into())),
            lane: Lane::Queue(QueueName::default_queue()),
            priority: Priority::Normal,
            ready_at: Timestamp::from_micros(1_700_000_000_000_000),
            cause: Queued::Due,
        },
    }
}

fn offer(number: u64) -> Offer {
    Offer {
        team: TeamName::default_team(),
        lane: Lane::Queue(QueueName::default_queue()),
        priority: Priority::Normal,
        task: TaskId(Uuid::from_u128(number.into())),
        number,
        title: "Look into it".to_owned(),
        ready_at: Timestamp::from_micros(1_700_000_000_000_000),
        traceparent: None,
    }
}
