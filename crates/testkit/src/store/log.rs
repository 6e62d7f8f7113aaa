//! The log of events: numbers without gaps, facts as they were.

use std::collections::BTreeMap;

use collective_core::event::{Event, Fact};
use collective_core::message::{Receipt, Recipient};
use collective_core::ports::store::write;
use collective_core::ports::{Failed, Store, StoreError};
use collective_core::role::Role;
use collective_core::task::{AttemptOutcome, Epoch, FailureClass, Priority, Queued, TaskState};
use collective_core::{Code, Rejection, Span, TaskId};

use super::sample::{
    self, agent_name, at, key_id, lane, message_id, question_id, queue_name, reservation_id,
    schedule_id, task_id, team,
};
use super::{default_team, done, found, reader};

fn named(what: impl Into<String>) -> Fact {
    Fact::AccessDenied { what: what.into() }
}

fn numbered(count: usize) -> Vec<Fact> {
    (0..count).map(|n| named(n.to_string())).collect()
}

/// Two teams, many works at once, one in three refused after it has appended.
pub async fn event_numbers_have_no_gaps_whatever_fails_beside_them(store: &dyn Store) {
    const WORKS: usize = 120;
    let teams = [team("red"), team("blue")];
    for team in &teams {
        found(store, team).await;
    }
    let works = (0..WORKS).map(|n| {
        let of = teams[n % 2].clone();
        async move {
            let (appended_of, facts) = (of.clone(), (0..=n % 4).map(|i| named(format!("{n}.{i}"))));
            let facts: Vec<Fact> = facts.collect();
            let appended = write(store, None, move |tx| {
                Box::pin(async move {
                    let (first, rest) = facts.split_at(facts.len() / 2);
                    for part in [first, rest] {
                        tx.append(&appended_of, "admin", at(1), part.to_vec())
                            .await?;
                    }
                    match n % 3 {
                        0 => Err(Rejection::new(Code::WrongState, "no").into()),
                        _ => Ok(()),
                    }
                })
            })
            .await;
            match appended {
                Ok((_, events)) => (of, events),
                Err(Failed::Rejected(_)) if n % 3 == 0 => (of, Vec::new()),
                Err(Failed::Store(StoreError::Conflict(_))) => (of, Vec::new()),
                Err(error) => panic!("work {n} failed: {error}"),
            }
        }
    });
    let mut answered: BTreeMap<_, Vec<Event>> = BTreeMap::new();
    for (of, events) in futures_util::future::join_all(works).await {
        for pair in events.windows(2) {
            assert_eq!(pair[0].seq + 1, pair[1].seq, "a work's events lie together");
        }
        answered.entry(of).or_default().extend(events);
    }
    for of in &teams {
        let log = reader(store).await.events(of, 0, 10_000).await;
        let log = log.expect("the log");
        let seqs: Vec<u64> = log.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (1..=log.len() as u64).collect::<Vec<_>>());
        let mut events = answered.remove(of).unwrap_or_default();
        events.sort_by_key(|event| event.seq);
        assert_eq!(events, log, "what was answered is what is kept");
        assert!(!log.is_empty(), "no work of {of} succeeded");
    }
}

/// A number that was given to what didn't happen is the next one's.
pub async fn numbers_of_a_refused_work_are_given_again(store: &dyn Store) {
    let team = default_team(store).await;
    for (facts, refused, expected) in [(2, false, 1), (3, true, 3), (1, false, 3), (1, false, 4)] {
        let of = team.clone();
        let (tell, told) = std::sync::mpsc::channel();
        let outcome = write(store, None, move |tx| {
            Box::pin(async move {
                let facts = numbered(facts);
                let first = tx.append(&of, "admin", at(1), facts).await?;
                tell.send(first).expect("the case listens");
                match refused {
                    true => Err(Rejection::new(Code::WrongState, "no").into()),
                    false => Ok(()),
                }
            })
        })
        .await;
        assert_eq!(outcome.is_err(), refused);
        assert_eq!(told.recv().expect("the work tells"), expected);
    }
    let newest = reader(store).await.last_seq(&team).await;
    assert_eq!(newest, Ok(4));
}

fn facts_of_a_task(task: TaskId) -> Vec<Fact> {
    let (epoch, agent) = (Epoch(3), agent_name("ada"));
    let wake_at = at(9);
    let text = || "warum\nnicht \u{1f980}".to_owned();
    vec![
        Fact::TaskCreated {
            task,
            title: text(),
            key: Some("build".to_owned()),
            lane: lane("role/leader"),
            priority: Priority::Low,
            state: TaskState::Scheduled,
            waiting_on: 2,
            wake_at: Some(wake_at),
        },
        Fact::TaskDependencyMet {
            task,
            dependency: task_id(77),
            waiting_on: 1,
        },
        Fact::TaskScheduled { task, wake_at },
        Fact::TaskQueued {
            task,
            lane: lane("queue/rust"),
            priority: Priority::Critical,
            ready_at: at(2),
            cause: Queued::Dependencies,
        },
        Fact::TaskClaimed {
            task,
            agent: agent.clone(),
            epoch,
            ttl: Span::from_micros(1),
        },
        Fact::TaskAsked {
            task,
            epoch,
            agent: agent.clone(),
            question: question_id(1),
            expires_at: wake_at,
        },
        Fact::TaskAnswered {
            task,
            question: question_id(1),
            by: text(),
        },
        Fact::TaskAttemptFailed {
            task,
            epoch,
            agent: agent.clone(),
            lane: lane("queue/rust"),
            outcome: AttemptOutcome::TimedOut,
            class: FailureClass::Poison,
            reason: text(),
            counted: true,
            ran: Span::from_millis(1_500),
        },
        Fact::TaskRetrying { task, wake_at },
        Fact::TaskQuotaWait { task, wake_at },
        Fact::TaskSucceeded {
            task,
            epoch,
            agent,
            lane: lane("agent/ada"),
            ran: Span::from_secs(7),
        },
        Fact::TaskDead {
            task,
            lane: lane("queue/rust"),
            class: FailureClass::Dependency,
            reason: text(),
        },
        Fact::TaskCancelRequested {
            task,
            reason: text(),
        },
        Fact::TaskCancelled {
            task,
            lane: lane("role/worker"),
            class: FailureClass::Permanent,
            reason: text(),
        },
        Fact::TaskDiscarded {
            task,
            reason: text(),
        },
        Fact::TaskRevived {
            task,
            waiting_on: u32::MAX,
        },
    ]
}

fn other_facts() -> Vec<Fact> {
    let (agent, queue) = (agent_name("ada"), queue_name("rust"));
    let name = || "nightly".to_owned();
    vec![
        Fact::TeamCreated { name: team("red") },
        Fact::AgentRegistered {
            agent: agent.clone(),
            spec: sample::agent("ada").spec,
        },
        Fact::AgentDraining {
            agent: agent.clone(),
            draining: true,
        },
        Fact::AgentRemoved {
            agent: agent.clone(),
        },
        Fact::QueueDeclared {
            queue: queue.clone(),
        },
        Fact::QueuePaused {
            queue,
            paused: true,
        },
        Fact::MessageSent {
            message: message_id(1),
            from: "admin".to_owned(),
            to: Recipient::Agent(agent.clone()),
            recipients: vec![agent.clone()],
        },
        Fact::MessageReceipt {
            message: message_id(1),
            agent: agent.clone(),
            receipt: Receipt::HandedOver,
        },
        Fact::ReservationMade {
            reservation: reservation_id(1),
            agent: agent.clone(),
            repository: "main".to_owned(),
            paths: vec!["src".to_owned()],
            expires_at: at(3),
        },
        Fact::ReservationEnded {
            reservation: reservation_id(1),
            agent: agent.clone(),
            reason: "released".to_owned(),
        },
        Fact::ScheduleSet {
            schedule: schedule_id(1),
            name: name(),
            cron: "* * * * *".to_owned(),
            paused: false,
        },
        Fact::ScheduleFired {
            schedule: schedule_id(1),
            name: name(),
            task: None,
        },
        Fact::ScheduleRemoved {
            schedule: schedule_id(1),
            name: name(),
        },
        Fact::KeyCreated {
            key: key_id(1),
            label: name(),
            role: Some(Role::Monitor),
            agent: Some(agent),
        },
        Fact::KeyRevoked { key: key_id(1) },
        Fact::AccessDenied {
            what: "alles\u{0}\u{7}".to_owned(),
        },
    ]
}

/// The log is kept for good: what goes in comes out.
pub async fn every_kind_of_fact_comes_back_as_it_was(store: &dyn Store) {
    let team = default_team(store).await;
    let mut facts = facts_of_a_task(task_id(1));
    facts.extend(other_facts());
    let (of, given) = (team.clone(), facts.clone());
    let (_, events) = done(store, move |tx| {
        Box::pin(async move { Ok(tx.append(&of, "key:leader", at(4), given).await?) })
    })
    .await;
    let kept = reader(store).await.events(&team, 0, 1_000).await;
    let kept = kept.expect("the log");
    assert_eq!(kept, events);
    let kept_facts: Vec<Fact> = kept.into_iter().map(|event| event.fact).collect();
    assert_eq!(kept_facts, facts);
}

/// A cursor is the number of the last event that was seen.
pub async fn events_are_paged_by_their_number(store: &dyn Store) {
    let team = default_team(store).await;
    let of = team.clone();
    done(store, move |tx| {
        Box::pin(async move {
            let facts = numbered(10);
            Ok(tx.append(&of, "admin", at(1), facts).await?)
        })
    })
    .await;
    let mut reader = reader(store).await;
    for (after, limit, expected) in [
        (0, 4, vec![1, 2, 3, 4]),
        (4, 4, vec![5, 6, 7, 8]),
        (8, 4, vec![9, 10]),
        (10, 4, vec![]),
        (3, 0, vec![]),
        (u64::MAX, 4, vec![]),
        (8, usize::MAX, vec![9, 10]),
    ] {
        let page = reader.events(&team, after, limit).await.expect("a page");
        let seqs: Vec<u64> = page.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, expected, "after {after}, at most {limit}");
    }
}

/// A task's history has its own events in order, and nothing else.
pub async fn the_events_of_a_task_are_its_own(store: &dyn Store) {
    let team = default_team(store).await;
    let of = team.clone();
    done(store, move |tx| {
        Box::pin(async move {
            let mut facts = Vec::new();
            for (one, two) in facts_of_a_task(task_id(1))
                .into_iter()
                .zip(facts_of_a_task(task_id(2)))
            {
                facts.extend([one, two, named("nobody")]);
            }
            Ok(tx.append(&of, "admin", at(1), facts).await?)
        })
    })
    .await;
    let mut reader = reader(store).await;
    for limit in [1_000, 3] {
        let events = reader.task_events(&team, task_id(2), limit).await;
        let events = events.expect("its history");
        let facts: Vec<Fact> = events.iter().map(|event| event.fact.clone()).collect();
        let expected: Vec<Fact> = facts_of_a_task(task_id(2))
            .into_iter()
            .take(limit)
            .collect();
        assert_eq!(facts, expected);
        assert!(events.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    }
    let none = reader.task_events(&team, task_id(3), 10).await;
    assert_eq!(none, Ok(Vec::new()));
}
