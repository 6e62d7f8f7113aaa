//! Replicas on one engine behave as one server: what is done at one is seen,
//! waited for and refused at the other.

use std::time::Duration;

use collective_api::agents::CreateKey;
use collective_client::{Client, Token};
use collective_core::agent::Transport;
use collective_core::event::Event;
use collective_core::role::Role;
use collective_core::{Code, Span, Timestamp};
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::broker::{in_queue, serve};
use crate::cluster::{Cluster, DEADLINE, until};
use crate::load::{claim_of, done, events, name, sturdy};

/// A wait that ends by a wake-up ends within this; by itself it would look
/// again only after five seconds.
const WOKEN: Duration = Duration::from_secs(3);
/// Requests that a claim is given to have begun to wait.
const LATER: usize = 10;
/// How long a revoked key may go on at another replica (one second), and the
/// time that a busy machine adds.
const REVOKED: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn replicas_behave_as_one_server() {
    let cluster = Cluster::start().await;
    let (a, b) = (cluster.client(0), cluster.client(1));
    a_feed_shows_what_is_done_elsewhere_in_order_and_without_gaps(&a, &b).await;
    a_waiting_claim_is_woken_by_a_task_that_is_created_elsewhere(&a, &b).await;
    a_key_that_is_revoked_elsewhere_stops_working_within_a_second(&a, &b).await;
    an_idempotency_key_counts_at_every_replica(&a, &b).await;
}

async fn a_feed_shows_what_is_done_elsewhere_in_order_and_without_gaps(a: &Client, b: &Client) {
    const TASKS: usize = 40;
    let start = a.status().await.unwrap().last_event;
    let mut seen: Vec<Event> = Vec::new();
    // Done at one and followed at the other; then the reader goes on where it
    // was at the other replica, while things are done at both.
    for (does, follows) in [(a, b), (b, a)] {
        let last = seen.last().map_or(start, |event| event.seq);
        let mut feed = follows.events(Some(last));
        let creates = async {
            for number in 0..TASKS {
                let at = if number % 4 == 0 { follows } else { does };
                at.create_task(&sturdy("seen")).await.unwrap();
            }
        };
        let reads = async {
            for _ in 0..TASKS {
                let next = timeout(DEADLINE, feed.next()).await;
                seen.push(next.unwrap().unwrap().unwrap());
            }
        };
        tokio::join!(creates, reads);
    }
    let log = events(a).await;
    let log = log.iter().filter(|event| event.seq > start);
    assert!(log.eq(&seen), "the feed isn't the log");
}

async fn a_waiting_claim_is_woken_by_a_task_that_is_created_elsewhere(a: &Client, b: &Client) {
    let queue = serve(b, "waiting", Transport::Http).await;
    let request = claim_of("waiting", Span::from_secs(30));
    for (creates, waits) in [(a, b), (b, a), (a, b), (b, a)] {
        let before = seen_at(creates).await;
        let waiting = tokio::spawn({
            let (waits, request) = (waits.clone(), request.clone());
            async move { waits.claim(&request).await }
        });
        // A claim is a sign of life, so it is known when it has come.
        until("the claim comes", async || seen_at(creates).await != before).await;
        // It looks a few times before it waits; these come after it and take longer.
        for _ in 0..LATER {
            waits.status().await.unwrap();
        }
        let task = creates.create_task(&in_queue(&queue)).await.unwrap();
        let woken = timeout(WOKEN, waiting).await.unwrap();
        let claims = woken.unwrap().unwrap().claims;
        assert_eq!(claims[0].task.id, task.id);
        waits.complete(done(&claims[0])).await.unwrap();
    }
}

async fn seen_at(client: &Client) -> Option<Timestamp> {
    client.agent(&name("waiting")).await.unwrap().seen_at
}

async fn a_key_that_is_revoked_elsewhere_stops_working_within_a_second(a: &Client, b: &Client) {
    let request = CreateKey {
        label: "to be revoked".to_owned(),
        role: Some(Role::Monitor),
        agent: None,
        admin: false,
    };
    let created = a.create_key(&request).await.unwrap();
    let holder = b.with_token(Token::new(&created.token));
    // Now the other replica knows it.
    holder.status().await.unwrap();
    a.revoke_key(created.key.id).await.unwrap();
    let refused = async {
        loop {
            match holder.status().await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => break error.code(),
            }
        }
    };
    let refused = timeout(REVOKED, refused).await.unwrap();
    assert_eq!(refused, Some(Code::Unauthenticated));
}

async fn an_idempotency_key_counts_at_every_replica(a: &Client, b: &Client) {
    let spec = sturdy("once");
    let first = a.create_task_once(&spec, "one-after-the-other").await;
    let again = b.create_task_once(&spec, "one-after-the-other").await;
    assert_eq!(first.unwrap().id, again.unwrap().id);
    for round in 0..10 {
        let key = format!("at-once-{round}");
        let (here, there) = tokio::join!(
            a.create_task_once(&spec, &key),
            b.create_task_once(&spec, &key)
        );
        assert_eq!(here.unwrap().id, there.unwrap().id);
    }
    let other = sturdy("another request");
    let refused = b.create_task_once(&other, "one-after-the-other").await;
    assert_eq!(refused.unwrap_err().code(), Some(Code::IdempotencyMismatch));
}
