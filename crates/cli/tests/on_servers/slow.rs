//! Parts that are slow and alive: every byte between them and the replicas is
//! delayed and few get through at once. Nothing is refused by any of these.

use std::time::{Duration, Instant};

use crate::broker::a_waiting_agent_gets_its_task;
use crate::cluster::{Cluster, Proxies};
use crate::load::{Load, sturdy};

/// How long every byte takes in each direction.
const DELAY: Duration = Duration::from_millis(200);
/// The same for Redis, whose answers may take half a second there and back: on
/// a busy machine too, this is within it.
const SHORT_DELAY: Duration = Duration::from_millis(100);
/// And this is beyond it.
const LONG_DELAY: Duration = Duration::from_millis(400);
/// Bytes a second of each connection and direction: a batch takes a while.
const RATE: u64 = 128 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_are_slow() {
    let mut cluster = Cluster::behind_proxies().await;
    postgresql_is_slow(&mut cluster).await;
    rabbitmq_is_slow(&mut cluster).await;
    redis_is_slow(&mut cluster).await;
}

fn proxies(cluster: &Cluster) -> &Proxies {
    cluster.proxies.as_ref().unwrap()
}

/// How long one command takes.
async fn command(cluster: &Cluster) -> Duration {
    let begun = Instant::now();
    let created = cluster.client(0).create_task(&sturdy("timed")).await;
    created.unwrap();
    begun.elapsed()
}

/// Every replica says that it is ready and that no part of it is away.
async fn all_is_ready(cluster: &Cluster) {
    for number in 0..crate::cluster::REPLICAS {
        let said = cluster.readiness(number).await;
        assert!(said.ready && said.parts.iter().all(|it| it.ok), "{said:?}");
    }
}

async fn postgresql_is_slow(cluster: &mut Cluster) {
    let mut load = Load::start(cluster, "postgresql_is_slow").await;
    proxies(cluster).postgres.slow_down(DELAY, RATE);
    load.completes(20).await;
    // A commit takes one way there and back at least.
    let slow = command(cluster).await;
    assert!(slow >= 2 * DELAY, "{slow:?}");
    all_is_ready(cluster).await;
    assert!(load.refusals().is_empty());
    proxies(cluster).postgres.hurry();
    load.completes(20).await;
    let fast = command(cluster).await;
    assert!(fast < slow, "{fast:?} is no less than {slow:?}");
    assert!(load.refusals().is_empty());
    load.finish().await;
    cluster.converges().await;
}

async fn rabbitmq_is_slow(cluster: &mut Cluster) {
    let mut load = Load::start(cluster, "rabbitmq_is_slow").await;
    proxies(cluster).rabbitmq.slow_down(DELAY, RATE);
    load.completes(20).await;
    a_waiting_agent_gets_its_task(cluster).await;
    all_is_ready(cluster).await;
    assert!(load.refusals().is_empty());
    proxies(cluster).rabbitmq.hurry();
    load.completes(20).await;
    assert!(load.refusals().is_empty());
    load.finish().await;
    cluster.converges().await;
}

async fn redis_is_slow(cluster: &mut Cluster) {
    let mut load = Load::start(cluster, "redis_is_slow").await;
    proxies(cluster).redis.slow_down(SHORT_DELAY, RATE);
    load.completes(20).await;
    all_is_ready(cluster).await;
    assert!(load.refusals().is_empty());
    // Slower than its bound is as good as away.
    proxies(cluster).redis.slow_down(LONG_DELAY, RATE);
    assert!(cluster.names("cache", "Redis").await, "it is still ready");
    load.completes(20).await;
    proxies(cluster).redis.hurry();
    load.completes(20).await;
    assert!(load.refusals().is_empty());
    load.finish().await;
    cluster.converges().await;
}
