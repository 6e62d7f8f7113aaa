//! Replicas that are killed: whoever is left takes their duties and gives out
//! what their agents held.

use std::collections::BTreeMap;

use collective_core::Span;
use collective_core::agent::Transport;

use crate::broker::{in_queue, serve};
use crate::cluster::{Cluster, REPLICAS, until};
use crate::load::{Load, assert_only, claim_of, done};

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_replicas() {
    let mut cluster = Cluster::start().await;
    a_replica_is_killed(&mut cluster).await;
    every_replica_is_killed(&mut cluster).await;
}

/// The epoch of each duty: it grows when another replica takes it.
fn epochs(cluster: &Cluster) -> BTreeMap<String, u64> {
    let rows = cluster.sql("SELECT duty || ' ' || epoch FROM duties");
    let epoch = |row: &str| {
        let (duty, epoch) = row.split_once(' ').unwrap();
        (duty.to_owned(), epoch.parse().unwrap())
    };
    rows.lines().map(epoch).collect()
}

async fn a_replica_is_killed(cluster: &mut Cluster) {
    let queue = serve(&cluster.client(0), "bereft", Transport::Http).await;
    // The first one started alone, so it has the duties; then the other has.
    for number in 0..REPLICAS {
        let mut load = Load::start(cluster, &format!("a_replica_is_killed-{number}")).await;
        let before = epochs(cluster);
        assert_eq!(before.len(), 2, "{before:?}");
        let (goes, stays) = (cluster.client(number), cluster.client(1 - number));
        let task = goes.create_task(&in_queue(&queue)).await.unwrap();
        let request = claim_of("bereft", Span::from_secs(20));
        let first = goes.claim(&request).await.unwrap().claims.remove(0);
        assert_eq!(first.task.id, task.id);

        cluster.kill_replica(number);
        until("the other replica has both duties", async || {
            let now = epochs(cluster);
            before.iter().all(|(duty, epoch)| now[duty] > *epoch)
        })
        .await;
        // Nobody sends a heartbeat for it: the reaper takes it back.
        let second = stays.claim(&request).await.unwrap().claims.remove(0);
        assert_eq!(second.task.id, task.id);
        assert!(second.token.epoch > first.token.epoch);
        stays.complete(done(&second)).await.unwrap();
        load.completes(20).await;
        assert_only(&load.refusals(), "no connection");

        cluster.start_replica(number).await;
        load.finish().await;
        cluster.converges().await;
    }
}

async fn every_replica_is_killed(cluster: &mut Cluster) {
    let mut load = Load::start(cluster, "every_replica_is_killed").await;
    for number in 0..REPLICAS {
        cluster.kill_replica(number);
    }
    load.is_refused("no connection").await;
    let (exit, said) = cluster.doctor();
    assert_eq!(exit, Some(1), "{said}");
    for number in 0..REPLICAS {
        cluster.start_replica(number).await;
    }
    load.completes(20).await;
    load.finish().await;
    cluster.converges().await;
}
