//! Works: all or nothing, one after another, and what the store itself says.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;

use collective_core::event::Fact;
use collective_core::ports::store::{Edge, LogChunk, Remembered, TaskFilter, write};
use collective_core::ports::{Failed, Store, StoreError, Tx};
use collective_core::task::{DependencyCondition, Epoch};
use collective_core::{Code, Rejection, TaskId, TeamName};

use super::sample::{self, at, task_id};
use super::{default_team, done, reader};

/// How long a case waits for something that must happen.
const DEADLINE: Duration = Duration::from_secs(20);

fn succeeded(task: TaskId) -> Fact {
    Fact::AccessDenied {
        what: format!("task {task}"),
    }
}

/// What was answered is committed, and the events are those of the log.
pub async fn what_a_work_wrote_is_there_when_it_is_answered(store: &dyn Store) {
    let team = default_team(store).await;
    let of = team.clone();
    let (first, events) = done(store, move |tx| {
        Box::pin(async move {
            let facts = vec![succeeded(task_id(1)), succeeded(task_id(2))];
            let first = tx.append(&of, "admin", at(5), facts).await?;
            let more = vec![succeeded(task_id(3))];
            tx.append(&of, "agent:ada", at(6), more).await?;
            tx.insert_tasks(&of, &[sample::task(first)]).await?;
            Ok(first)
        })
    })
    .await;
    assert_eq!(first, 1, "an empty log starts at 1");
    let seen: Vec<_> = events
        .iter()
        .map(|event| (event.seq, event.at, event.actor.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            (1, at(5), "admin"),
            (2, at(5), "admin"),
            (3, at(6), "agent:ada")
        ]
    );
    let mut reader = reader(store).await;
    assert_eq!(reader.events(&team, 0, 10).await.expect("the log"), events);
    assert_eq!(reader.last_seq(&team).await.expect("the newest number"), 3);
    let task = reader.task(&team, task_id(1)).await.expect("a look-up");
    assert_eq!(task, Some(sample::task(1)));
}

/// Writes at least one of everything that a work can write.
async fn write_everything(tx: &mut dyn Tx, team: &TeamName) -> Result<(), Failed> {
    let ada = sample::agent_name("ada");
    tx.insert_team(&sample::team("other"), at(0)).await?;
    tx.append(team, "admin", at(1), vec![succeeded(task_id(1))])
        .await?;
    let mut labelled = sample::task(1);
    labelled.spec.labels.insert("a".to_owned(), "b".to_owned());
    tx.insert_tasks(team, &[labelled.clone(), sample::task(2)])
        .await?;
    tx.update_tasks(team, &[sample::held(labelled, "ada", at(9))])
        .await?;
    tx.insert_attempts(team, &[(task_id(1), sample::attempt(1))])
        .await?;
    let edge = Edge {
        task: task_id(2),
        on: task_id(1),
        when: DependencyCondition::Ended,
        met: false,
    };
    tx.insert_edges(team, &[edge]).await?;
    tx.set_edge_met(team, task_id(2), task_id(1), true).await?;
    let chunk = LogChunk {
        position: 1,
        at: at(2),
        bytes: b"x".to_vec(),
    };
    tx.append_log(team, task_id(1), Epoch(1), chunk).await?;
    tx.put_artifact(team, task_id(1), "a", b"x").await?;
    tx.put_agent(team, &sample::agent("ada")).await?;
    tx.put_queue(team, &sample::queue("rust")).await?;
    tx.put_key(&sample::key(1, team)).await?;
    tx.insert_message(team, &sample::message(1), &[ada]).await?;
    tx.put_question(team, &sample::question(1, task_id(1)))
        .await?;
    tx.put_reservation(team, &sample::reservation(1)).await?;
    tx.put_schedule(team, &sample::schedule(1, "nightly"))
        .await?;
    let answer = Remembered {
        request_hash: [1; 32],
        answer: "{}".to_owned(),
    };
    tx.remember(team, "key", &answer, at(1)).await?;
    Ok(())
}

/// Everything that the store has of a team, as text, to compare.
async fn everything(store: &dyn Store, team: &TeamName) -> Vec<String> {
    let mut reader = reader(store).await;
    let ada = sample::agent_name("ada");
    let filter = TaskFilter::default();
    let late = at(1_000_000);
    let by_label = TaskFilter {
        label: Some(("a".to_owned(), "b".to_owned())),
        ..TaskFilter::default()
    };
    macro_rules! all {
        ($($question:ident($($argument:expr),*);)*) => {
            vec![$(format!(
                "{}: {:?}",
                stringify!($question),
                reader.$question($($argument),*).await.expect("an answer")
            )),*]
        };
    }
    all! {
        teams();
        last_seq(team);
        events(team, 0, 100);
        list_tasks(team, &filter, None, 100);
        list_tasks(team, &by_label, None, 100);
        state_counts(team);
        lane_counts(team);
        held(team);
        due_tasks(late, 100);
        next_due();
        attempts(team, task_id(1));
        dependencies(team, task_id(2));
        dependents(team, &[task_id(1)]);
        log(team, task_id(1), Epoch(1), 0, 100);
        artifact(team, task_id(1), "a");
        agents(team);
        queues(team);
        keys(team);
        message(team, sample::message_id(1));
        inbox(team, &ada, 0, false, 100);
        deliveries(team, sample::message_id(1));
        questions(team, None, None, 100);
        reservations(team);
        schedules(team);
        remembered(team, "key", at(0));
    }
}

/// A refusal by a rule takes back whatever the work had written, of every kind.
pub async fn a_refused_work_leaves_nothing(store: &dyn Store) {
    let team = default_team(store).await;
    let before = everything(store, &team).await;
    let rejection = Rejection::new(Code::WrongState, "no")
        .hint("try another")
        .at("tasks[0]");
    let (of, given) = (team.clone(), rejection.clone());
    let refused: Result<((), _), _> = write(store, None, move |tx| {
        Box::pin(async move {
            write_everything(tx, &of).await?;
            Err(given.into())
        })
    })
    .await;
    let refused = refused.expect_err("the work was refused");
    assert_eq!(refused, Failed::Rejected(rejection));
    assert_eq!(everything(store, &team).await, before);

    // The same work, not refused, shows that each of these could have been left.
    let of = team.clone();
    done(store, move |tx| {
        Box::pin(async move { write_everything(tx, &of).await })
    })
    .await;
    let after = everything(store, &team).await;
    for (before, after) in before.iter().zip(&after) {
        assert_ne!(before, after, "the work didn't write this");
    }
}

/// A statement that the store refuses takes the whole work back.
pub async fn a_work_with_a_failing_statement_leaves_nothing(store: &dyn Store) {
    let team = default_team(store).await;
    let of = team.clone();
    done(store, move |tx| {
        Box::pin(async move { Ok(tx.insert_tasks(&of, &[sample::task(1)]).await?) })
    })
    .await;
    let before = everything(store, &team).await;
    let of = team.clone();
    let failed = write(store, None, move |tx| {
        Box::pin(async move {
            tx.append(&of, "admin", at(1), vec![succeeded(task_id(9))])
                .await?;
            tx.put_queue(&of, &sample::queue("rust")).await?;
            // The second one has the id of a task that is there.
            let mut twin = sample::task(3);
            twin.id = task_id(1);
            Ok(tx.insert_tasks(&of, &[sample::task(2), twin]).await?)
        })
    })
    .await;
    assert!(
        matches!(failed, Err(Failed::Store(_))),
        "a second task with the same id gave {failed:?}"
    );
    assert_eq!(everything(store, &team).await, before);
}

/// What a work has written is for itself to see, until it has committed.
pub async fn nobody_sees_a_work_before_it_commits(store: &dyn Store) {
    let team = default_team(store).await;
    let (wrote, written) = mpsc::channel();
    let (looked, look) = mpsc::channel();
    let of = team.clone();
    let work = done(store, move |tx| {
        Box::pin(async move {
            tx.insert_tasks(&of, &[sample::task(1)]).await?;
            tx.append(&of, "admin", at(1), vec![succeeded(task_id(1))])
                .await?;
            let own = tx.task(&of, task_id(1)).await?;
            let newest = tx.last_seq(&of).await?;
            // Blocks the thread that carries out the work: the look comes while it is open.
            wrote.send(()).expect("the case waits");
            look.recv_timeout(DEADLINE).expect("the case looks");
            Ok((own, newest))
        })
    });
    let outside = async {
        tokio::task::spawn_blocking(move || written.recv_timeout(DEADLINE))
            .await
            .expect("the wait ends")
            .expect("the work writes");
        let mut reader = reader(store).await;
        let task = reader.task(&team, task_id(1)).await.expect("a look-up");
        let newest = reader.last_seq(&team).await.expect("the newest number");
        looked.send(()).expect("the work waits");
        (task, newest)
    };
    let (((own, own_newest), _), (seen, seen_newest)) = tokio::join!(work, outside);
    assert_eq!(own, Some(sample::task(1)), "the work sees what it wrote");
    assert_eq!(own_newest, 1);
    assert_eq!(seen, None, "another one saw what wasn't committed");
    assert_eq!(seen_newest, 0);
}

/// Works on the same row run one after the other; a conflict may be sent again.
pub async fn concurrent_works_do_not_lose_each_others_changes(store: &dyn Store) {
    const WORKS: u32 = 40;
    let team = default_team(store).await;
    let of = team.clone();
    done(store, move |tx| {
        Box::pin(async move { Ok(tx.insert_tasks(&of, &[sample::task(1)]).await?) })
    })
    .await;
    let counting = (0..WORKS).map(|_| async {
        for _ in 0..WORKS {
            let of = team.clone();
            let counted = write(store, None, move |tx| {
                Box::pin(async move {
                    let mut tasks = tx.lock_tasks(&of, &[task_id(1)]).await?;
                    tasks[0].attempts_used += 1;
                    Ok(tx.update_tasks(&of, &tasks).await?)
                })
            })
            .await;
            match counted {
                Err(Failed::Store(StoreError::Conflict(_))) => {}
                counted => return counted.map(drop),
            }
        }
        panic!("a work met others again and again");
    });
    for counted in futures_util::future::join_all(counting).await {
        counted.expect("the work commits");
    }
    let task = reader(store).await.task(&team, task_id(1)).await;
    let used = task.expect("a look-up").map(|task| task.attempts_used);
    assert_eq!(used, Some(WORKS));
}

/// A caller that is gone before the answer has either done all of its work or none.
pub async fn a_caller_that_goes_away_leaves_all_or_nothing(store: &dyn Store) {
    const CALLERS: u64 = 30;
    let team = default_team(store).await;
    for n in 1..=CALLERS {
        let of = team.clone();
        let call = write(store, None, move |tx| {
            Box::pin(async move {
                tx.insert_tasks(&of, &[sample::task(n)]).await?;
                Ok(tx
                    .append(&of, "admin", at(1), vec![succeeded(task_id(n))])
                    .await?)
            })
        });
        drop(futures_util::poll!(std::pin::pin!(call)));
    }
    // Whatever was on its way has ended before this one is answered, or ends like any other.
    let mut named = BTreeSet::new();
    let mut listed = BTreeSet::new();
    let settle = std::time::Instant::now();
    loop {
        default_team(store).await;
        let mut reader = reader(store).await;
        let events = reader.events(&team, 0, 100).await.expect("the log");
        let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (1..).take(seqs.len()).collect::<Vec<u64>>());
        let facts: BTreeSet<String> = events
            .into_iter()
            .map(|e| format!("{:?}", e.fact))
            .collect();
        let filter = TaskFilter::default();
        let tasks = reader.list_tasks(&team, &filter, None, 100).await;
        let expected: BTreeSet<String> = tasks
            .expect("the tasks")
            .into_iter()
            .map(|task| format!("{:?}", succeeded(task.id)))
            .collect();
        let stable = named == facts && listed == expected;
        (named, listed) = (facts, expected);
        if stable || settle.elapsed() > DEADLINE {
            break;
        }
    }
    assert_eq!(named, listed, "a work was done in part");
}

/// A view isn't a picture of the moment when it was made.
pub async fn a_reader_sees_what_was_committed_after_it_was_made(store: &dyn Store) {
    let team = default_team(store).await;
    let mut reader = reader(store).await;
    let before = reader.task(&team, task_id(1)).await.expect("a look-up");
    assert_eq!(before, None);
    let of = team.clone();
    done(store, move |tx| {
        Box::pin(async move { Ok(tx.insert_tasks(&of, &[sample::task(1)]).await?) })
    })
    .await;
    let after = reader.task(&team, task_id(1)).await.expect("a look-up");
    assert_eq!(after, Some(sample::task(1)));
}

/// More callers than the store has connections wait for each other.
pub async fn many_readers_at_once_are_all_served(store: &dyn Store) {
    const CALLERS: usize = 64;
    let team = default_team(store).await;
    let looks = (0..CALLERS).map(|_| async {
        let mut reader = reader(store).await;
        // In between, others have their turn.
        let exists = reader.team_exists(&team).await.expect("an answer");
        tokio::task::yield_now().await;
        exists && reader.last_seq(&team).await.expect("an answer") == 0
    });
    let answers = futures_util::future::join_all(looks).await;
    assert!(answers.into_iter().all(|right| right));
}

/// Health is there to be asked at any time.
pub async fn a_store_that_works_says_so(store: &dyn Store) {
    assert_eq!(store.health().await, Ok(()));
    let team = default_team(store).await;
    assert_eq!(store.health().await, Ok(()));
    let newest = reader(store).await.last_seq(&team).await;
    assert_eq!(newest, Ok(0), "asking for health is no event");
}

/// After closing, every call fails as unavailable and none hangs.
pub async fn a_closed_store_refuses(store: &dyn Store) {
    let team = default_team(store).await;
    let mut early = reader(store).await;
    store.close().await;
    let wrote = write(store, None, move |tx| {
        Box::pin(async move { Ok(tx.insert_team(&sample::team("late"), at(1)).await?) })
    })
    .await;
    assert!(
        matches!(wrote, Err(Failed::Store(StoreError::Unavailable(_)))),
        "writing gave {wrote:?}"
    );
    let read = store.reader().await.map(drop);
    assert!(
        matches!(read, Err(StoreError::Unavailable(_))),
        "reading gave {read:?}"
    );
    let read = early.team_exists(&team).await;
    assert!(
        matches!(read, Err(StoreError::Unavailable(_))),
        "an earlier reader gave {read:?}"
    );
    let health = store.health().await;
    assert!(
        matches!(health, Err(StoreError::Unavailable(_))),
        "health was {health:?}"
    );
    store.close().await;
}
