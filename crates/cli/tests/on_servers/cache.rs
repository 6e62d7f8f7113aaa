//! Faults of Redis. Nothing is refused by any of them: who is present isn't
//! known for a while, and each replica limits rates for itself.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use crate::cluster::{Cluster, until};
use crate::load::Load;

/// How long Redis may take to do what it is told.
const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_redis() {
    let mut cluster = Cluster::start().await;
    redis_is_down(&mut cluster).await;
    redis_is_flushed(&mut cluster).await;
    redis_is_full(&mut cluster).await;
    redis_hangs(&mut cluster).await;
}

/// Tells Redis to do something, by its inline protocol.
fn say(cluster: &Cluster, words: &str) {
    const BOTH_DONE: &[u8] = b"+OK\r\n+OK\r\n";
    let redis = &cluster.parts.redis;
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, redis.port())).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let said = format!("AUTH {}\r\n{words}\r\n", redis.password());
    stream.write_all(said.as_bytes()).unwrap();
    let mut answers = [0; BOTH_DONE.len()];
    stream.read_exact(&mut answers).unwrap();
    assert_eq!(answers, BOTH_DONE, "{words}");
}

async fn redis_is_down(cluster: &mut Cluster) {
    let mut load = Load::start(cluster, "redis_is_down").await;
    cluster.parts.redis.kill();
    assert!(cluster.names("cache", "Redis").await, "it is still ready");
    load.completes(20).await;
    cluster.parts.redis.restart().unwrap();
    load.completes(20).await;
    assert!(load.refusals().is_empty());
    load.finish().await;
    cluster.converges().await;
}

async fn redis_is_flushed(cluster: &mut Cluster) {
    let mut load = Load::start(cluster, "redis_is_flushed").await;
    say(cluster, "FLUSHALL");
    let admin = cluster.client(1);
    until("the agent is seen again at its next call", async || {
        let agents = admin.list_agents().await.unwrap().items;
        agents
            .iter()
            .any(|it| it.agent.name.as_str() == "worker" && it.present)
    })
    .await;
    load.completes(20).await;
    assert!(load.refusals().is_empty());
    load.finish().await;
    cluster.converges().await;
}

async fn redis_is_full(cluster: &mut Cluster) {
    let mut load = Load::start(cluster, "redis_is_full").await;
    say(cluster, "CONFIG SET maxmemory 1");
    assert!(cluster.names("cache", "OOM").await, "it is still ready");
    load.completes(20).await;
    say(cluster, "CONFIG SET maxmemory 0");
    load.completes(20).await;
    assert!(load.refusals().is_empty());
    load.finish().await;
    cluster.converges().await;
}

async fn redis_hangs(cluster: &mut Cluster) {
    let mut load = Load::start(cluster, "redis_hangs").await;
    // It goes on by itself after so many milliseconds.
    say(cluster, "CLIENT PAUSE 25000 ALL");
    assert!(cluster.names("cache", "").await, "it is still ready");
    load.completes(20).await;
    assert!(load.refusals().is_empty());
    load.finish().await;
    cluster.converges().await;
}
