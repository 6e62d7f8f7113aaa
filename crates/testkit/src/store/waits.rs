//! What waits: for a time, for another task.

use collective_core::ports::Store;
use collective_core::ports::store::Edge;
use collective_core::task::{DependencyCondition, TaskState};
use collective_core::{Span, Timestamp};

use super::sample::{self, at, reservation_id, schedule_id, task_id, team};
use super::tasks::{insert, update};
use super::{default_team, done, found, reader};

/// Of every team, the earliest first, and a time that has just come counts.
pub async fn due_tasks_come_earliest_first(store: &dyn Store) {
    let (red, blue) = (team("red"), team("blue"));
    for (team, rows) in [
        (&red, vec![(1, 30), (2, 10), (3, 50)]),
        (&blue, vec![(4, 20), (5, 40)]),
    ] {
        found(store, team).await;
        let tasks = rows
            .into_iter()
            .map(|(n, until)| sample::held(sample::task(n), "ada", at(until)))
            .collect();
        insert(store, team, tasks).await;
    }
    let mut reader = reader(store).await;
    let all = [(&red, 2), (&blue, 4), (&red, 1), (&blue, 5), (&red, 3)]
        .map(|(team, n)| (team.clone(), task_id(n)));
    for (now, limit, expected) in [
        (at(9), 10, &all[..0]),
        (at(10), 10, &all[..1]),
        (at(40), 10, &all[..4]),
        (at(40), 2, &all[..2]),
        (at(99), 10, &all[..]),
        (at(99), 0, &all[..0]),
    ] {
        let due = reader.due_tasks(now, limit).await.expect("an answer");
        assert_eq!(due, expected, "at {now}, at most {limit}");
    }
}

/// The store asks core when a task is due: its wake, its lease, its deadline.
pub async fn a_task_is_due_as_its_state_says(store: &dyn Store) {
    let team = default_team(store).await;
    let mut task = sample::task(1);
    task.spec.deadline = Some(at(100_000));
    insert(store, &team, vec![task.clone()]).await;
    let mut moves = vec![task.clone()];
    moves.extend(TaskState::ALL.map(|state| sample::in_state(task.clone(), state)));
    let mut seen = 0;
    for moved in moves {
        update(store, &team, vec![moved.clone()]).await;
        let mut reader = reader(store).await;
        let expected = moved.due_at();
        assert_eq!(reader.next_due().await, Ok(expected), "{}", moved.state);
        if let Some(due) = expected {
            let just_before = due - Span::from_micros(1);
            assert_eq!(reader.due_tasks(just_before, 9).await, Ok(vec![]));
            let then = reader.due_tasks(due, 9).await.expect("an answer");
            assert_eq!(then, [(team.clone(), task_id(1))], "{}", moved.state);
            seen += 1;
        } else {
            let never = reader.due_tasks(Timestamp::from_micros(i64::MAX), 9).await;
            assert_eq!(never, Ok(vec![]), "{}", moved.state);
        }
    }
    assert!(seen >= 6, "only {seen} states had a time");
}

/// While paused, a schedule's time passes without it being due.
pub async fn schedules_are_due_unless_paused(store: &dyn Store) {
    let (red, blue) = (team("red"), team("blue"));
    for team in [&red, &blue] {
        found(store, team).await;
    }
    let mut rows = Vec::new();
    for (n, of, next, paused) in [
        (1, &red, 30, false),
        (2, &blue, 10, false),
        (3, &red, 5, true),
        (4, &red, 20, false),
    ] {
        let mut schedule = sample::schedule(n, &format!("s{n}"));
        schedule.next_at = at(next);
        schedule.paused = paused;
        rows.push((of.clone(), schedule));
    }
    done(store, move |tx| {
        Box::pin(async move {
            for (of, schedule) in &rows {
                tx.put_schedule(of, schedule).await?;
            }
            Ok(())
        })
    })
    .await;
    let mut reader = reader(store).await;
    let all = [(&blue, 2), (&red, 4), (&red, 1)].map(|(team, n)| (team.clone(), schedule_id(n)));
    for (now, limit, expected) in [
        (at(9), 9, &all[..0]),
        (at(20), 9, &all[..2]),
        (at(99), 9, &all[..]),
        (at(99), 1, &all[..1]),
    ] {
        let due = reader.due_schedules(now, limit).await.expect("an answer");
        assert_eq!(due, expected, "at {now}, at most {limit}");
    }
    assert_eq!(reader.next_due().await, Ok(Some(at(10))));
}

/// A reservation has run out at its time, not after it.
pub async fn reservations_expire(store: &dyn Store) {
    let (red, blue) = (team("red"), team("blue"));
    for team in [&red, &blue] {
        found(store, team).await;
    }
    let mut rows = Vec::new();
    for (n, of, until) in [(1, &red, 30), (2, &blue, 10), (3, &red, 20)] {
        let mut reservation = sample::reservation(n);
        reservation.expires_at = at(until);
        rows.push((of.clone(), reservation));
    }
    done(store, move |tx| {
        Box::pin(async move {
            for (of, reservation) in &rows {
                tx.put_reservation(of, reservation).await?;
            }
            Ok(())
        })
    })
    .await;
    let mut reader = reader(store).await;
    let all = [(&blue, 2), (&red, 3), (&red, 1)].map(|(team, n)| (team.clone(), reservation_id(n)));
    for (now, limit, expected) in [
        (at(9), 9, &all[..0]),
        (at(10), 9, &all[..1]),
        (at(29), 9, &all[..2]),
        (at(99), 2, &all[..2]),
        (at(99), 9, &all[..]),
    ] {
        let expired = reader.expired_reservations(now, limit).await;
        assert_eq!(expired.expect("an answer"), expected, "at {now}");
    }
}

/// A sleeper that waits for the answer misses nothing of the three kinds.
pub async fn the_next_due_time_is_the_earliest_of_all(store: &dyn Store) {
    let team = default_team(store).await;
    let next = async || reader(store).await.next_due().await.expect("an answer");
    assert_eq!(next().await, None);
    let of = team.clone();
    done(store, move |tx| {
        Box::pin(async move {
            let mut reservation = sample::reservation(1);
            reservation.expires_at = at(30);
            Ok(tx.put_reservation(&of, &reservation).await?)
        })
    })
    .await;
    assert_eq!(next().await, Some(at(30)));
    let of = team.clone();
    done(store, move |tx| {
        Box::pin(async move {
            let mut schedule = sample::schedule(1, "s");
            schedule.next_at = at(20);
            Ok(tx.put_schedule(&of, &schedule).await?)
        })
    })
    .await;
    assert_eq!(next().await, Some(at(20)));
    insert(
        store,
        &team,
        vec![
            sample::held(sample::task(1), "ada", at(10)),
            sample::task(2),
        ],
    )
    .await;
    assert_eq!(next().await, Some(at(10)));
    update(store, &team, vec![sample::task(1)]).await;
    assert_eq!(next().await, Some(at(20)));
    let of = team.clone();
    done(store, move |tx| {
        Box::pin(async move {
            tx.remove_schedule(&of, schedule_id(1)).await?;
            Ok(tx.remove_reservation(&of, reservation_id(1)).await?)
        })
    })
    .await;
    assert_eq!(next().await, None);
}

/// The graph is found from both ends, and each edge is marked alone.
pub async fn edges_are_met_one_by_one(store: &dyn Store) {
    let team = default_team(store).await;
    let edge = |from: u64, to: u64, when, met| Edge {
        task: task_id(from),
        on: task_id(to),
        when,
        met,
    };
    use DependencyCondition::{Ended, Succeeded};
    let edges = [
        edge(3, 1, Succeeded, false),
        edge(3, 2, Ended, false),
        edge(4, 2, Succeeded, true),
        edge(4, 1, Ended, false),
    ];
    let of = team.clone();
    let given = edges.clone();
    done(store, move |tx| {
        Box::pin(async move {
            tx.insert_edges(&of, &given).await?;
            Ok(tx.set_edge_met(&of, task_id(3), task_id(2), true).await?)
        })
    })
    .await;
    let mut expected = edges;
    expected[1].met = true;
    let mut reader = reader(store).await;
    for n in 1..=5 {
        let mut found = reader.dependencies(&team, task_id(n)).await.expect("edges");
        found.sort_by_key(|edge| edge.on);
        let mut from: Vec<Edge> = expected.to_vec();
        from.retain(|edge| edge.task == task_id(n));
        from.sort_by_key(|edge| edge.on);
        assert_eq!(found, from, "what {n} depends on");
        let mut found = reader
            .dependents(&team, &[task_id(n)])
            .await
            .expect("edges");
        found.sort_by_key(|edge| edge.task);
        let mut to: Vec<Edge> = expected.to_vec();
        to.retain(|edge| edge.on == task_id(n));
        to.sort_by_key(|edge| edge.task);
        assert_eq!(found, to, "what depends on {n}");
    }
    let asked = [task_id(1), task_id(2), task_id(5)];
    let mut found = reader.dependents(&team, &asked).await.expect("edges");
    found.sort_by_key(|edge| (edge.task, edge.on));
    let mut all = expected.to_vec();
    all.sort_by_key(|edge| (edge.task, edge.on));
    assert_eq!(found, all, "what depends on any of them");
    let of = team.clone();
    done(store, move |tx| {
        Box::pin(async move { Ok(tx.set_edge_met(&of, task_id(3), task_id(2), false).await?) })
    })
    .await;
    let found = reader.dependencies(&team, task_id(3)).await.expect("edges");
    assert!(found.iter().all(|edge| !edge.met), "it can be taken back");
}
