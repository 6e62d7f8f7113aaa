//! Duties and untold events: two stores on one database are two replicas.

use std::collections::BTreeMap;
use std::time::Duration;

use collective_core::TeamName;
use collective_core::event::Event;
use collective_core::ports::StoreError;
use collective_core::ports::outbox::{Duty, Outbox, Post};
use collective_store::PgStore;
use collective_testkit::servers::Postgres;

use crate::{append, at, database, eventually, found, open, server, team};

async fn taken(store: &PgStore, duty: Duty, now: i64) -> Option<Box<dyn Post>> {
    store.take(duty, at(now)).await.expect("an answer")
}

async fn taken_at_last(store: &PgStore, duty: Duty, now: i64) -> Box<dyn Post> {
    eventually("the duty", || taken(store, duty, now)).await
}

/// Both replicas of a database.
async fn replicas(server: &Postgres, name: &str) -> (PgStore, PgStore) {
    let options = database(server, name);
    (open(&options).await, open(&options).await)
}

fn numbered(events: &[Event]) -> Vec<(&str, u64)> {
    events
        .iter()
        .map(|event| (event.team.as_str(), event.seq))
        .collect()
}

async fn tell(post: &mut dyn Post, events: &[Event]) -> Result<(), StoreError> {
    let mut up_to: BTreeMap<TeamName, u64> = BTreeMap::new();
    for event in events {
        up_to.insert(event.team.clone(), event.seq);
    }
    let up_to: Vec<_> = up_to.into_iter().collect();
    post.told(&up_to).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_duties_and_events() {
    let server = server();
    one_replica_at_a_time_has_a_duty(&server).await;
    a_broken_connection_frees_the_duty(&server).await;
    an_old_epoch_is_refused(&server).await;
    untold_events_come_in_order_and_no_team_starves(&server).await;
    told_never_goes_back_and_never_beyond_what_is_there(&server).await;
    commits_of_any_replica_are_heard(&server).await;
    works_of_two_replicas_on_one_team_do_not_meet(&server).await;
    a_closed_store_gives_its_duties_up(&server).await;
}

async fn one_replica_at_a_time_has_a_duty(server: &Postgres) {
    let (one, two) = replicas(server, "one_has_it").await;
    let mut first = taken(&one, Duty::Relay, 1).await.expect("the duty is free");
    assert_eq!((first.epoch(), first.vacant_since()), (1, None));
    assert!(taken(&two, Duty::Relay, 2).await.is_none());
    assert!(taken(&two, Duty::Relay, 2).await.is_none());
    let other = taken(&two, Duty::Reaper, 2).await;
    assert_eq!(other.expect("another duty is free").epoch(), 1);
    assert_eq!(first.confirm(at(7)).await, Ok(true));
    drop(first);
    let second = taken_at_last(&two, Duty::Relay, 9).await;
    assert_eq!((second.epoch(), second.vacant_since()), (2, Some(at(7))));
    assert!(taken(&one, Duty::Relay, 9).await.is_none());
}

async fn a_broken_connection_frees_the_duty(server: &Postgres) {
    let (one, two) = replicas(server, "broken").await;
    let mut first = taken(&one, Duty::Reaper, 1).await.expect("the duty");
    let end = "SELECT pg_terminate_backend(pid) FROM pg_locks
               WHERE locktype = 'advisory' AND granted
                 AND database = (SELECT oid FROM pg_database WHERE datname = 'broken')";
    server.sql("broken", end).expect("the connection ends");
    let second = taken_at_last(&two, Duty::Reaper, 2).await;
    assert_eq!(second.epoch(), 2);
    assert_eq!(first.confirm(at(3)).await, Ok(false));
    let refused = first.told(&[(team("red"), 1)]).await;
    assert!(refused.is_err(), "a broken post told all the same");
}

async fn an_old_epoch_is_refused(server: &Postgres) {
    let (one, _) = replicas(server, "fenced").await;
    let red = team("red");
    found(&one, &red).await;
    append(&one, &red, vec!["a".to_owned(), "b".to_owned()])
        .await
        .expect("events");
    let mut old = taken(&one, Duty::Relay, 1).await.expect("the duty");
    old.told(&[(red.clone(), 1)]).await.expect("it is ours");
    // As if another replica had taken it while this one was away.
    server
        .sql("fenced", "UPDATE duties SET epoch = epoch + 1")
        .expect("a newer epoch");
    assert_eq!(old.confirm(at(2)).await, Ok(false));
    let refused = old.told(&[(red.clone(), 2)]).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict(_))),
        "it gave {refused:?}"
    );
    assert_eq!(one.backlog(10).await, Ok(1), "the old one moved it");
}

async fn untold_events_come_in_order_and_no_team_starves(server: &Postgres) {
    let (one, two) = replicas(server, "untold").await;
    let counts = [("big", 1_000_u64), ("mid", 40), ("small", 3)];
    for (name, count) in counts {
        found(&one, &team(name)).await;
        let facts = (0..count).map(|n| n.to_string()).collect();
        append(&one, &team(name), facts).await.expect("events");
    }
    assert_eq!(two.backlog(10_000).await, Ok(1_043));
    assert_eq!(two.backlog(100).await, Ok(100));
    let mut post = taken(&two, Duty::Relay, 1).await.expect("the duty");
    assert_eq!(post.untold(0).await, Ok(Vec::new()));
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    let mut rounds = 0;
    loop {
        let events = post.untold(100).await.expect("events");
        if events.is_empty() {
            break;
        }
        assert!(events.len() <= 100);
        assert_eq!(post.untold(100).await.expect("events").len(), events.len());
        if rounds == 0 {
            let teams: Vec<&str> = numbered(&events).iter().map(|(name, _)| *name).collect();
            for (name, _) in counts {
                assert!(teams.contains(&name), "{name} starves");
            }
            assert_eq!(events.len(), 100, "room is left unused");
        }
        for (name, seq) in numbered(&events) {
            let before = told.insert(name.to_owned(), seq).unwrap_or(0);
            assert_eq!(seq, before + 1, "an event of {name} was skipped");
        }
        tell(&mut *post, &events).await.expect("it is noted");
        rounds += 1;
        assert!(rounds < 20, "it doesn't end");
    }
    let expected = counts.map(|(name, count)| (name.to_owned(), count));
    assert_eq!(told, BTreeMap::from(expected));
    assert_eq!(two.backlog(10).await, Ok(0));
}

async fn told_never_goes_back_and_never_beyond_what_is_there(server: &Postgres) {
    let (one, _) = replicas(server, "told").await;
    let red = team("red");
    found(&one, &red).await;
    let facts = (0..5).map(|n| n.to_string()).collect();
    append(&one, &red, facts).await.expect("events");
    let mut post = taken(&one, Duty::Relay, 1).await.expect("the duty");
    let left = async |post: &mut dyn Post| {
        let events = post.untold(10).await.expect("events");
        events.iter().map(|event| event.seq).collect::<Vec<_>>()
    };
    assert_eq!(left(&mut *post).await, [1, 2, 3, 4, 5]);
    for (up_to, expected) in [
        (vec![(red.clone(), 3)], vec![4, 5]),
        (vec![(red.clone(), 1)], vec![4, 5]),
        (vec![(red.clone(), 2), (red.clone(), 4)], vec![5]),
        (vec![(team("nobody"), 9)], vec![5]),
        (vec![], vec![5]),
        (vec![(red.clone(), 99)], vec![]),
    ] {
        post.told(&up_to).await.expect("it is noted");
        assert_eq!(left(&mut *post).await, expected, "after {up_to:?}");
    }
    append(&one, &red, vec!["more".to_owned()])
        .await
        .expect("an event");
    assert_eq!(left(&mut *post).await, [6], "it was told ahead of time");
}

async fn commits_of_any_replica_are_heard(server: &Postgres) {
    const SOON: Duration = Duration::from_secs(20);
    let (one, two) = replicas(server, "heard").await;
    let red = team("red");
    found(&one, &red).await;
    let heard = async |what: &str| {
        let waited = tokio::time::timeout(SOON, two.committed()).await;
        assert_eq!(waited, Ok(Ok(())), "{what} wasn't heard");
    };
    // The first one tells that it listens from now on.
    heard("the beginning").await;
    append(&one, &red, vec!["a".to_owned()])
        .await
        .expect("an event");
    heard("a commit of the other replica").await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = 'heard' AND query LIKE 'LISTEN%'";
    let ended = server.sql("heard", end).expect("it ends");
    assert_eq!(ended.trim(), "t", "one connection listens");
    // It listens anew, and commits of the meantime count as heard.
    heard("listening anew").await;
    append(&one, &red, vec!["b".to_owned()])
        .await
        .expect("an event");
    heard("a commit after that").await;
    let offset = two.clock_offset(crate::local_now()).await;
    let offset = offset.expect("the server's clock").unsigned_abs();
    assert!(
        offset < 2_000_000,
        "one machine's clock is off by {offset} µs"
    );
}

async fn works_of_two_replicas_on_one_team_do_not_meet(server: &Postgres) {
    const WORKS: usize = 100;
    let (one, two) = replicas(server, "both").await;
    let red = team("red");
    found(&one, &red).await;
    let appending = (0..WORKS).map(|n| {
        let (store, red) = ([&one, &two][n % 2], &red);
        async move { append(store, red, vec![n.to_string()]).await }
    });
    let mut numbers: Vec<u64> = futures_util::future::join_all(appending)
        .await
        .into_iter()
        .map(|first| first.expect("no work meets another"))
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=WORKS as u64).collect::<Vec<_>>());
}

async fn a_closed_store_gives_its_duties_up(server: &Postgres) {
    use collective_core::ports::Store;
    let (one, two) = replicas(server, "closed").await;
    let post = taken(&one, Duty::Relay, 1).await.expect("the duty");
    assert!(taken(&two, Duty::Relay, 1).await.is_none());
    one.close().await;
    drop(post);
    taken_at_last(&two, Duty::Relay, 2).await;
    let refused = [
        one.take(Duty::Reaper, at(1)).await.map(drop),
        one.committed().await,
        one.backlog(1).await.map(drop),
        one.clock_offset(at(1)).await.map(drop),
    ];
    for refused in refused {
        assert!(
            matches!(refused, Err(StoreError::Unavailable(_))),
            "it gave {refused:?}"
        );
    }
}
