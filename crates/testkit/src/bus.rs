//! What every bus must do: one case per promise of the port.
//!
//! A case never assumes that a publish wakes at once: it waits for the wake-up
//! with a deadline, and where it must show that nothing comes, it listens for
//! [`QUIET`]. Adapters run the cases by [`bus_conformance!`](crate::bus_conformance).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use collective_core::event::{Event, Fact};
use collective_core::message::Recipient;
use collective_core::ports::{Bus, Subscription, Topic};
use collective_core::role::Role;
use collective_core::task::{Epoch, Lane, Priority, Queued, TaskState};
use collective_core::{AgentName, MessageId, QueueName, Span, TaskId, TeamName, Timestamp};
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

/// How long a wake-up may take: far more than a broker on a busy machine needs.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How long a case listens before it says that nothing came.
pub const QUIET: Duration = Duration::from_millis(150);

/// Runs every case of the suite, each as a `#[tokio::test]`.
///
/// `make` is a path to an `async fn()` that gives an empty bus behind a
/// pointer, such as `Arc<LocalBus>`. What the bus needs to live (a server, a
/// folder) can be kept in the same value, as long as it derefs to the bus.
///
/// `table` in its place gives the cases as a table of names and functions, for
/// an adapter that runs them all on one server.
#[macro_export]
macro_rules! bus_conformance {
    (table) => {
        $crate::bus_conformance! { @each [@table] }
    };
    ($make:path) => {
        $crate::bus_conformance! { @each [@tests $make] }
    };
    (@each [$($what:tt)*]) => {
        $crate::bus_conformance! { $($what)*:
            every_topic_of_an_event_is_woken
            other_topics_are_not_woken
            teams_do_not_hear_each_other
            a_wake_up_before_the_wait_is_kept
            wake_ups_before_the_wait_come_to_an_end
            a_dropped_wait_loses_nothing
            a_subscription_hears_all_its_topics
            a_batch_wakes_whoever_any_of_its_events_concerns
            a_thousand_waiters_on_one_lane_are_all_woken
            a_dropped_subscription_disturbs_nobody
            a_subscription_hears_from_the_moment_it_is_there
            whoever_looks_after_each_wake_up_misses_nothing
            publishing_to_nobody_succeeds
            a_bus_that_works_says_so
        }
    };
    (@tests $make:path: $($case:ident)*) => {
        $(
            #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let bus = $make().await;
                $crate::bus::$case(&*bus).await;
            }
        )*
    };
    (@table: $($case:ident)*) => {
        [$((
            stringify!($case),
            (|bus| Box::pin($crate::bus::$case(bus))) as $crate::bus::Case,
        )),*]
    };
}

/// A case of the suite, as an entry of its table.
pub type Case = for<'b> fn(&'b dyn Bus) -> BoxFuture<'b, ()>;

/// Whom each kind of event concerns is woken by it.
pub async fn every_topic_of_an_event_is_woken(bus: &dyn Bus) {
    let table = [
        (lane("queue/default"), queued(1, "queue/default")),
        (lane("role/leader"), queued(1, "role/leader")),
        (lane("agent/ada"), queued(1, "agent/ada")),
        (
            lane("queue/default"),
            created(1, "queue/default", TaskState::Queued),
        ),
        (lane("queue/rust"), paused("rust", false)),
        (Topic::Task(task(7)), claimed(7)),
        (Topic::Task(task(8)), succeeded(8)),
        (Topic::Feed(team("default")), succeeded(9)),
        (Topic::Agent(team("default"), agent("bob")), mail("bob")),
        (
            Topic::Agent(team("default"), agent("ada")),
            Fact::AgentDraining {
                agent: agent("ada"),
                draining: true,
            },
        ),
    ];
    for (topic, fact) in table {
        let mut waiting = subscribe(bus, std::slice::from_ref(&topic)).await;
        publish(bus, vec![fact.clone()]).await;
        woken(&mut waiting, &format!("{topic:?} by {fact:?}")).await;
    }
}

/// A topic that no event concerns stays quiet, or every wait would be a poll.
pub async fn other_topics_are_not_woken(bus: &dyn Bus) {
    let mut waiting = subscribe(
        bus,
        &[
            lane("queue/other"),
            lane("role/worker"),
            lane("agent/bob"),
            Topic::Task(task(2)),
            Topic::Agent(team("default"), agent("bob")),
        ],
    )
    .await;
    publish(
        bus,
        vec![
            created(1, "queue/other", TaskState::Blocked),
            queued(1, "queue/default"),
            queued(1, "role/leader"),
            queued(1, "agent/ada"),
            paused("other", true),
            claimed(1),
            mail("ada"),
        ],
    )
    .await;
    quiet(&mut waiting).await;
}

/// The same names in another team are other topics.
pub async fn teams_do_not_hear_each_other(bus: &dyn Bus) {
    let red = |topic: Topic| match topic {
        Topic::Lane(_, lane) => Topic::Lane(team("red"), lane),
        other => other,
    };
    let topics = [
        red(lane("queue/default")),
        Topic::Feed(team("red")),
        Topic::Agent(team("red"), agent("ada")),
    ];
    let mut waiting = subscribe(bus, &topics).await;
    publish(bus, vec![queued(1, "queue/default"), mail("ada")]).await;
    quiet(&mut waiting).await;
    let event = Event {
        team: team("red"),
        ..event(1, queued(2, "queue/default"))
    };
    bus.publish(&[event])
        .await
        .expect("the other team's event is published");
    woken(&mut waiting, "its own team").await;
}

/// Whoever looks at the store between subscribing and waiting loses nothing.
pub async fn a_wake_up_before_the_wait_is_kept(bus: &dyn Bus) {
    let mut waiting = subscribe(bus, &[lane("queue/default")]).await;
    let mut witness = subscribe(bus, &[lane("queue/default")]).await;
    publish(bus, vec![queued(1, "queue/default")]).await;
    woken(&mut witness, "the one that waits").await;
    woken(&mut waiting, "the one that waits later").await;
}

/// What nobody took doesn't pile up into a wake-up for each event.
pub async fn wake_ups_before_the_wait_come_to_an_end(bus: &dyn Bus) {
    const EVENTS: u32 = 50;
    let mut waiting = subscribe(bus, &[lane("queue/default")]).await;
    let mut witness = subscribe(bus, &[Topic::Task(task(0))]).await;
    for i in (0..EVENTS).rev() {
        publish(bus, vec![queued(u128::from(i), "queue/default")]).await;
    }
    woken(&mut witness, "the last event").await;
    let mut wakes = 0;
    while timeout(QUIET, waiting.wake()).await.is_ok() {
        wakes += 1;
        assert!(
            wakes < EVENTS / 2,
            "{wakes} wake-ups were kept of {EVENTS} events"
        );
    }
    assert!(wakes > 0, "no wake-up was kept");
}

/// A wait that is given up leaves the wake-up for the next one.
pub async fn a_dropped_wait_loses_nothing(bus: &dyn Bus) {
    let mut waiting = subscribe(bus, &[lane("queue/default")]).await;
    let mut witness = subscribe(bus, &[lane("queue/default")]).await;
    for round in 0..20 {
        let given_up = timeout(Duration::from_millis(1), waiting.wake()).await;
        assert!(
            given_up.is_err(),
            "a wake-up came out of nothing in round {round}"
        );
        let mut taken = false;
        {
            let mut wait = waiting.wake();
            let polled = futures_util::poll!(&mut wait);
            assert!(
                polled.is_pending(),
                "a wake-up came out of nothing in round {round}"
            );
            publish(bus, vec![queued(round, "queue/default")]).await;
            woken(&mut witness, "the witness").await;
            // Given up with the wake-up on its way, and in the middle of taking it.
            if round % 2 == 1 {
                taken = futures_util::poll!(&mut wait).is_ready();
            }
        }
        if !taken {
            woken(&mut waiting, "the one that gave up before").await;
        }
        settled(&mut waiting).await;
        settled(&mut witness).await;
    }
}

/// One subscription for everything that an agent waits for.
pub async fn a_subscription_hears_all_its_topics(bus: &dyn Bus) {
    let topics = [
        lane("queue/default"),
        lane("agent/ada"),
        Topic::Task(task(3)),
    ];
    let mut waiting = subscribe(bus, &topics).await;
    for fact in [
        claimed(3),
        queued(1, "queue/default"),
        queued(2, "agent/ada"),
    ] {
        publish(bus, vec![fact]).await;
        woken(&mut waiting, "each of its topics").await;
        settled(&mut waiting).await;
    }
}

/// A batch concerns everyone that any of its events concerns.
pub async fn a_batch_wakes_whoever_any_of_its_events_concerns(bus: &dyn Bus) {
    let mut waiting = Vec::new();
    for i in 0..100 {
        waiting.push(subscribe(bus, &[Topic::Task(task(i))]).await);
    }
    publish(bus, (0..100).map(|i| queued(i, "queue/default")).collect()).await;
    for (i, one) in waiting.iter_mut().enumerate() {
        woken(one, &format!("the one that waits for task {i}")).await;
    }
}

/// Many idle agents on one lane: each of them is woken, whoever takes the task.
pub async fn a_thousand_waiters_on_one_lane_are_all_woken(bus: &dyn Bus) {
    let mut waits = Vec::new();
    for _ in 0..1_000 {
        let mut waiting = subscribe(bus, &[lane("queue/default")]).await;
        waits.push(tokio::spawn(async move {
            woken(&mut waiting, "one of a thousand").await;
        }));
    }
    publish(bus, vec![queued(1, "queue/default")]).await;
    for wait in waits {
        wait.await.expect("each waiter is woken");
    }
}

/// Whoever leaves takes only its own place.
pub async fn a_dropped_subscription_disturbs_nobody(bus: &dyn Bus) {
    let mut kept = Vec::new();
    for i in 0..50 {
        let subscription = subscribe(bus, &[lane("queue/default")]).await;
        if i % 2 == 0 {
            kept.push(subscription);
        }
    }
    publish(bus, vec![queued(1, "queue/default")]).await;
    for one in &mut kept {
        woken(one, "the one that stayed").await;
    }
}

/// No gap between subscribing and hearing, however often it is done.
pub async fn a_subscription_hears_from_the_moment_it_is_there(bus: &dyn Bus) {
    for round in 0..50 {
        let mut waiting = subscribe(bus, &[Topic::Task(task(round))]).await;
        publish(bus, vec![claimed(round)]).await;
        woken(&mut waiting, &format!("round {round}")).await;
    }
}

/// The promise that the whole design needs: what is committed before a publish
/// is seen by whoever looks after its wake-up, though waits are given up all the time.
pub async fn whoever_looks_after_each_wake_up_misses_nothing(bus: &dyn Bus) {
    const READERS: usize = 8;
    const BURSTS: usize = 200;
    let committed = Arc::new(AtomicU64::new(0));
    let (looked, mut looks) = mpsc::channel(READERS);
    let mut readers = JoinSet::new();
    for reader in 0..READERS {
        let mut waiting = subscribe(bus, &[lane("queue/default")]).await;
        let (committed, looked) = (Arc::clone(&committed), looked.clone());
        readers.spawn(async move {
            let patience = Duration::from_micros(50 * (reader as u64 + 1));
            loop {
                // Looks again only after a wake-up, never after giving up.
                while timeout(patience, waiting.wake()).await.is_err() {}
                let seen = committed.load(Ordering::SeqCst);
                if looked.send((reader, seen)).await.is_err() {
                    return;
                }
            }
        });
    }
    let mut seen = [0; READERS];
    for burst in 0..BURSTS {
        let mut last = 0;
        for _ in 0..[1, 1, 2, 3][burst % 4] {
            last = committed.fetch_add(1, Ordering::SeqCst) + 1;
            publish(bus, vec![queued(u128::from(last), "queue/default")]).await;
            tokio::task::yield_now().await;
        }
        while let Some(behind) = seen.iter().position(|seen| *seen < last) {
            let (reader, looked) = timeout(DEADLINE, looks.recv())
                .await
                .unwrap_or_else(|_| panic!("reader {behind} missed commit {last}"))
                .expect("the readers are there");
            seen[reader] = looked;
        }
    }
}

/// Nobody needs to listen.
pub async fn publishing_to_nobody_succeeds(bus: &dyn Bus) {
    bus.publish(&[]).await.expect("no events are published");
    publish(bus, vec![queued(1, "queue/default")]).await;
    drop(subscribe(bus, &[lane("queue/default")]).await);
    publish(bus, vec![queued(2, "queue/default")]).await;
}

/// Readiness asks for it.
pub async fn a_bus_that_works_says_so(bus: &dyn Bus) {
    bus.health().await.expect("a fresh bus is healthy");
}

async fn subscribe(bus: &dyn Bus, topics: &[Topic]) -> Box<dyn Subscription> {
    bus.subscribe(topics)
        .await
        .expect("a subscription is given")
}

async fn publish(bus: &dyn Bus, facts: Vec<Fact>) {
    let events: Vec<Event> = facts
        .into_iter()
        .enumerate()
        .map(|(i, fact)| event(i as u64 + 1, fact))
        .collect();
    bus.publish(&events)
        .await
        .expect("the events are published");
}

async fn woken(waiting: &mut Box<dyn Subscription>, who: &str) {
    timeout(DEADLINE, waiting.wake())
        .await
        .unwrap_or_else(|_| panic!("no wake-up came within {DEADLINE:?} for {who}"))
        .expect("the wait succeeds");
}

async fn quiet(waiting: &mut Box<dyn Subscription>) {
    let wake = timeout(QUIET, waiting.wake()).await;
    assert!(wake.is_err(), "a wake-up came that nothing caused");
}

/// Takes what a bus that repeats may still hand out.
async fn settled(waiting: &mut Box<dyn Subscription>) {
    const MOST_REPEATS: u32 = 8;
    for _ in 0..MOST_REPEATS {
        let wait = timeout(Duration::from_millis(5), waiting.wake()).await;
        if wait.is_err() {
            return;
        }
    }
    panic!("one event woke its waiter more than {MOST_REPEATS} times");
}

fn event(seq: u64, fact: Fact) -> Event {
    Event {
        team: team("default"),
        seq,
        at: Timestamp::from_micros(0),
        actor: "server".to_owned(),
        fact,
    }
}

fn team(name: &str) -> TeamName {
    TeamName::new(name).expect("a valid team name")
}

fn agent(name: &str) -> AgentName {
    AgentName::new(name).expect("a valid agent name")
}

fn task(number: u128) -> TaskId {
    TaskId(Uuid::from_u128(number))
}

fn parse_lane(text: &str) -> Lane {
    text.parse().expect("a valid lane")
}

fn lane(text: &str) -> Topic {
    Topic::Lane(team("default"), parse_lane(text))
}

fn queued(number: u128, lane: &str) -> Fact {
    Fact::TaskQueued {
        task: task(number),
        lane: parse_lane(lane),
        priority: Priority::Normal,
        ready_at: Timestamp::from_micros(0),
        cause: Queued::Due,
    }
}

fn created(number: u128, lane: &str, state: TaskState) -> Fact {
    Fact::TaskCreated {
        task: task(number),
        title: "a task".to_owned(),
        key: None,
        lane: parse_lane(lane),
        priority: Priority::Normal,
        state,
        waiting_on: u32::from(state == TaskState::Blocked),
        wake_at: None,
    }
}

fn claimed(number: u128) -> Fact {
    Fact::TaskClaimed {
        task: task(number),
        agent: agent("ada"),
        epoch: Epoch(1),
        ttl: Span::from_secs(30),
    }
}

fn succeeded(number: u128) -> Fact {
    Fact::TaskSucceeded {
        task: task(number),
        epoch: Epoch(1),
        agent: agent("ada"),
        lane: Lane::Queue(QueueName::default_queue()),
        ran: Span::from_secs(1),
    }
}

fn paused(queue: &str, paused: bool) -> Fact {
    Fact::QueuePaused {
        queue: QueueName::new(queue).expect("a valid queue name"),
        paused,
    }
}

fn mail(to: &str) -> Fact {
    Fact::MessageSent {
        message: MessageId(Uuid::from_u128(1)),
        from: "admin".to_owned(),
        to: Recipient::Role(Role::Worker),
        recipients: vec![agent("carol"), agent(to)],
    }
}
