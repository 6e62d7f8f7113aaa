//! Works that name their team: they come one after the other, may share a
//! commit, and are kept apart all the same.

use std::collections::BTreeMap;

use collective_core::event::{Event, Fact};
use collective_core::ports::store::{TaskFilter, write};
use collective_core::ports::{Failed, Store, StoreError};
use collective_core::{Code, Rejection, TeamName};

use super::sample::{self, at, task_id, team};
use super::{default_team, found, reader};

fn named(what: impl Into<String>) -> Fact {
    Fact::AccessDenied { what: what.into() }
}

fn no() -> Failed {
    Rejection::new(Code::WrongState, "no").into()
}

/// Two teams, many works at once, one in three refused after it has appended.
/// Nothing but its own refusal stops a work that names its team.
pub async fn works_that_name_their_team_have_numbers_without_gaps(store: &dyn Store) {
    const WORKS: usize = 120;
    let teams = [team("red"), team("blue")];
    for team in &teams {
        found(store, team).await;
    }
    let works = (0..WORKS).map(|n| {
        let of = teams[n % 2].clone();
        async move {
            let appended_of = of.clone();
            let appended = write(store, Some(&of), move |tx| {
                Box::pin(async move {
                    let facts = (0..=n % 4).map(|i| named(format!("{n}.{i}"))).collect();
                    let first = tx.append(&appended_of, "admin", at(1), facts).await?;
                    let newest = tx.last_seq(&appended_of).await?;
                    match n % 3 {
                        0 => Err(no()),
                        _ => Ok((first, newest)),
                    }
                })
            })
            .await;
            match appended {
                Ok(((first, newest), events)) => {
                    let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
                    assert_eq!(seqs, (first..=newest).collect::<Vec<_>>());
                    (of, events)
                }
                Err(Failed::Rejected(_)) if n % 3 == 0 => (of, Vec::new()),
                Err(error) => panic!("work {n} failed: {error}"),
            }
        }
    });
    let mut answered: BTreeMap<_, Vec<Event>> = BTreeMap::new();
    for (of, events) in futures_util::future::join_all(works).await {
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

/// Of works that wait together one is refused by a rule, one by the store, and
/// the others are as if those had never been.
pub async fn a_refused_work_harms_none_that_waits_with_it(store: &dyn Store) {
    const WORKS: u64 = 60;
    let team = default_team(store).await;
    super::tasks::insert(store, &team, vec![sample::task(1_000)]).await;
    let works = (1..=WORKS).map(|n| {
        let of = team.clone();
        let team = &team;
        async move {
            let work = write(store, Some(team), move |tx| {
                Box::pin(async move {
                    tx.append(&of, "admin", at(1), vec![named(n.to_string())])
                        .await?;
                    tx.insert_tasks(&of, &[sample::task(n)]).await?;
                    match n % 3 {
                        0 => Err(no()),
                        1 => {
                            // The id of a task that is there.
                            let mut twin = sample::task(n + 2_000);
                            twin.id = task_id(1_000);
                            Ok(tx.insert_tasks(&of, &[twin]).await?)
                        }
                        _ => Ok(()),
                    }
                })
            });
            (n, work.await)
        }
    });
    let mut expected = Vec::new();
    for (n, ended) in futures_util::future::join_all(works).await {
        match (n % 3, ended) {
            (0, Err(Failed::Rejected(_)))
            | (1, Err(Failed::Store(StoreError::Internal(_) | StoreError::Conflict(_)))) => {}
            (2, Ok((_, events))) => {
                assert_eq!(events.len(), 1);
                expected.push(n);
            }
            (_, ended) => panic!("work {n} gave {ended:?}"),
        }
    }
    let mut reader = reader(store).await;
    let filter = TaskFilter::default();
    let tasks = reader.list_tasks(&team, &filter, None, 1_000).await;
    let mut numbers: Vec<u64> = tasks
        .expect("the tasks")
        .iter()
        .map(|task| task.number)
        .filter(|number| *number != 1_000)
        .collect();
    numbers.reverse();
    assert_eq!(numbers, expected);
    let log = reader.events(&team, 0, 1_000).await.expect("the log");
    let seqs: Vec<u64> = log.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=expected.len() as u64).collect::<Vec<_>>());
    let counts = reader.state_counts(&team).await.expect("the counts");
    assert_eq!(counts.values().sum::<u64>(), 1 + expected.len() as u64);
}

/// Works of one team never meet: no change is lost, and none has to be sent again.
pub async fn works_of_a_team_see_what_those_before_them_wrote(store: &dyn Store) {
    const WORKS: u32 = 40;
    let team = default_team(store).await;
    super::tasks::insert(store, &team, vec![sample::task(1)]).await;
    let counting = (0..WORKS).map(|_| async {
        let of = team.clone();
        let counted = write(store, Some(&team), move |tx| {
            Box::pin(async move {
                let mut tasks = tx.lock_tasks(&of, &[task_id(1)]).await?;
                tasks[0].attempts_used += 1;
                tx.update_tasks(&of, &tasks).await?;
                let own = tx.task(&of, task_id(1)).await?;
                Ok((tasks[0].attempts_used, own.map(|task| task.attempts_used)))
            })
        })
        .await;
        counted.expect("the work commits").0
    });
    let mut counted = Vec::new();
    for (used, own) in futures_util::future::join_all(counting).await {
        assert_eq!(own, Some(used), "a work doesn't see what it wrote");
        counted.push(used);
    }
    counted.sort_unstable();
    assert_eq!(counted, (1..=WORKS).collect::<Vec<_>>());
}

/// A team is created by works that name it, by just one of them.
pub async fn a_named_work_can_create_its_team(store: &dyn Store) {
    const WORKS: usize = 20;
    let new = team("new");
    let creating = (0..WORKS).map(|_| async {
        let of: TeamName = new.clone();
        let created = write(store, Some(&new), move |tx| {
            Box::pin(async move {
                let created = tx.insert_team(&of, at(1)).await?;
                tx.append(&of, "admin", at(1), vec![named("x")]).await?;
                Ok(created)
            })
        })
        .await;
        created.expect("the work commits").0
    });
    let created = futures_util::future::join_all(creating).await;
    assert_eq!(created.into_iter().filter(|new| *new).count(), 1);
    let newest = reader(store).await.last_seq(&new).await;
    assert_eq!(newest, Ok(WORKS as u64));
}
