//! What the dispatch asks: heads of lanes, leases, counts.

use std::collections::BTreeMap;

use collective_core::ports::Store;
use collective_core::ports::store::{Head, LaneCount};
use collective_core::task::{Lane, Priority, Task, TaskState};
use collective_core::{TeamName, Timestamp};

use super::sample::{self, agent_name, at, lane, queued};
use super::tasks::{insert, update};
use super::{default_team, done, reader};

async fn heads(store: &dyn Store, team: &TeamName, lanes: &[Lane], limit: usize) -> Vec<Head> {
    let (team, lanes) = (team.clone(), lanes.to_vec());
    let (heads, _) = done(store, move |tx| {
        Box::pin(async move { Ok(tx.lock_heads(&team, &lanes, limit).await?) })
    })
    .await;
    heads
}

/// Heads in the order that is promised within a lane and priority, whatever
/// the order of lanes and priorities.
fn sorted(mut heads: Vec<Head>) -> Vec<u64> {
    heads.sort_by_key(|head| head.priority);
    heads.into_iter().map(|head| head.number).collect()
}

/// The oldest wait first; among equals the lower number.
pub async fn heads_come_by_priority_then_wait_then_number(store: &dyn Store) {
    let team = default_team(store).await;
    let to = "queue/default";
    let tasks = vec![
        queued(1, to, Priority::Low, at(1)),
        queued(2, to, Priority::Normal, at(5)),
        queued(3, to, Priority::Normal, at(4)),
        queued(4, to, Priority::Critical, at(9)),
        queued(12, to, Priority::Normal, at(4)),
        queued(11, to, Priority::Normal, at(4)),
        queued(5, "queue/rust", Priority::Critical, at(0)),
        queued(6, to, Priority::High, at(-9)),
    ];
    insert(store, &team, tasks.clone()).await;
    let found = heads(store, &team, &[lane(to)], 10).await;
    assert_eq!(sorted(found.clone()), [4, 6, 3, 11, 12, 2, 1]);
    for head in found {
        let task = tasks.iter().find(|task| task.number == head.number);
        let task = task.expect("a head is a task");
        assert_eq!(
            (head.id, head.priority, head.ready_at),
            (task.id, task.spec.priority, task.ready_at)
        );
    }
    assert_eq!(heads(store, &team, &[lane("agent/ada")], 10).await, []);
    assert_eq!(heads(store, &team, &[], 10).await, []);
}

/// A full lane doesn't hide another one, nor a priority another.
pub async fn heads_are_limited_for_each_lane_and_priority(store: &dyn Store) {
    let team = default_team(store).await;
    let lanes = ["queue/default", "role/worker", "agent/ada", "queue/rust"];
    let mut tasks = Vec::new();
    for (l, to) in (0_u64..).zip(lanes) {
        for (p, priority) in (0_u64..).zip(Priority::ALL) {
            for i in 0..4 {
                let number = 1 + i + 4 * p + 16 * l;
                tasks.push(queued(number, to, priority, at(-(i as i64))));
            }
        }
    }
    insert(store, &team, tasks).await;
    let asked = ["role/worker", "queue/default", "agent/ada"].map(lane);
    for limit in [0, 1, 3, 4, 9] {
        let found = heads(store, &team, &asked, limit).await;
        assert_eq!(found.len(), 3 * 4 * limit.min(4), "limit {limit}");
        assert!(found.iter().all(|head| head.number <= 48), "another lane's");
        let mut of_each: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for head in found {
            let place = head.number - 1;
            of_each.entry(place / 4).or_default().push(place % 4);
        }
        let oldest: Vec<u64> = (0..4).rev().take(limit).collect();
        assert!(
            of_each.values().all(|found| *found == oldest),
            "{of_each:?}"
        );
    }
}

/// Only queued tasks are heads, and a task that is queued anew stands where it then belongs.
pub async fn heads_follow_the_tasks(store: &dyn Store) {
    let team = default_team(store).await;
    let tasks: Vec<Task> = (1..=3)
        .map(|n| queued(n, "queue/default", Priority::Normal, at(n as i64)))
        .collect();
    insert(store, &team, tasks.clone()).await;
    let asked = [lane("queue/default")];
    for state in TaskState::ALL {
        update(
            store,
            &team,
            vec![sample::in_state(tasks[0].clone(), state)],
        )
        .await;
        let found = sorted(heads(store, &team, &asked, 10).await);
        match state {
            TaskState::Queued => assert_eq!(found, [1, 2, 3]),
            _ => assert_eq!(found, [2, 3], "{state}"),
        }
    }
    let mut again = tasks[0].clone();
    again.ready_at = at(10);
    update(store, &team, vec![again]).await;
    assert_eq!(sorted(heads(store, &team, &asked, 10).await), [2, 3, 1]);
}

/// A place in the lane counts what is better and what is earlier.
pub async fn the_tasks_ahead_are_counted_up_to_the_limit(store: &dyn Store) {
    let team = default_team(store).await;
    let to = "queue/default";
    let mut tasks: Vec<Task> = (1..=40)
        .map(|n: u64| {
            let priority = Priority::ALL[(n % 4) as usize];
            queued(n, to, priority, at((n * 7 % 5) as i64))
        })
        .collect();
    insert(store, &team, tasks.clone()).await;
    let elsewhere = queued(50, "queue/rust", Priority::Critical, at(-99));
    let running = sample::held(queued(51, to, Priority::Critical, at(-99)), "ada", at(9));
    insert(store, &team, vec![elsewhere, running]).await;
    let place = |task: &Task| (task.spec.priority, task.ready_at, task.number);
    tasks.sort_by_key(place);
    let mut reader = reader(store).await;
    for (ahead, task) in (0_u64..).zip(&tasks) {
        for limit in [1_000, 7, 0, u64::MAX] {
            let counted = reader
                .count_ahead(&team, &lane(to), place(task), limit)
                .await;
            assert_eq!(counted, Ok(ahead.min(limit)), "at most {limit}");
        }
    }
    let behind_all = (Priority::Low, Timestamp::from_micros(i64::MAX), u64::MAX);
    let all = reader.count_ahead(&team, &lane(to), behind_all, 100).await;
    assert_eq!(all, Ok(40));
    let other = lane("queue/nobody");
    let none = reader.count_ahead(&team, &other, behind_all, 1).await;
    assert_eq!(none, Ok(0));
}

/// What an agent holds is what counts against its slots.
pub async fn leases_are_counted_by_agent(store: &dyn Store) {
    let team = default_team(store).await;
    let mut asking = sample::held(sample::task(3), "ada", at(9));
    asking.state = TaskState::NeedsInput;
    let tasks = vec![
        sample::held(sample::task(1), "ada", at(9)),
        sample::held(sample::task(2), "bob", at(9)),
        asking,
        sample::task(4),
        sample::in_state(sample::task(5), TaskState::Succeeded),
    ];
    insert(store, &team, tasks.clone()).await;
    let mut reader = reader(store).await;
    let (ada, bob) = (agent_name("ada"), agent_name("bob"));
    let held = reader.held(&team).await.expect("a count");
    assert_eq!(held, [(ada.clone(), 2), (bob.clone(), 1)].into());
    for (agent, expected) in [(&ada, 2), (&bob, 1), (&agent_name("eve"), 0)] {
        assert_eq!(reader.held_by(&team, agent).await, Ok(expected), "{agent}");
    }
    let ended = sample::in_state(tasks[1].clone(), TaskState::Dead);
    update(store, &team, vec![ended]).await;
    assert_eq!(reader.held(&team).await, Ok([(ada, 2)].into()));
    assert_eq!(reader.held_by(&team, &bob).await, Ok(0));
}

/// Both counts after every move, against counting by hand.
pub async fn lanes_and_states_are_counted(store: &dyn Store) {
    let team = default_team(store).await;
    let mut tasks: Vec<Task> = (1..=33)
        .map(|n: u64| {
            let to = ["queue/default", "role/worker", "agent/ada"][(n % 3) as usize];
            queued(n, to, Priority::ALL[(n % 4) as usize], at(0))
        })
        .collect();
    insert(store, &team, tasks.clone()).await;
    for round in 0..TaskState::ALL.len() + 1 {
        if round > 0 {
            for (n, task) in tasks.iter_mut().enumerate() {
                let state = TaskState::ALL[(n + round * round) % TaskState::ALL.len()];
                *task = sample::in_state(task.clone(), state);
            }
            update(store, &team, tasks.clone()).await;
        }
        assert_counts(store, &team, &tasks).await;
    }
}

async fn assert_counts(store: &dyn Store, team: &TeamName, tasks: &[Task]) {
    let mut by_state: BTreeMap<TaskState, u64> = BTreeMap::new();
    let mut by_lane: BTreeMap<(Lane, Priority, TaskState), u64> = BTreeMap::new();
    for task in tasks {
        *by_state.entry(task.state).or_default() += 1;
        if task.state == TaskState::Queued || task.state.is_leased() {
            let key = (task.lane(), task.spec.priority, task.state);
            *by_lane.entry(key).or_default() += 1;
        }
    }
    let mut reader = reader(store).await;
    assert_eq!(reader.state_counts(team).await, Ok(by_state));
    let counts = reader.lane_counts(team).await.expect("a count");
    let rows = counts.len();
    let counted: BTreeMap<_, u64> = counts
        .into_iter()
        .map(|count| {
            let LaneCount {
                lane,
                priority,
                state,
                count,
            } = count;
            ((lane, priority, state), count)
        })
        .collect();
    assert_eq!(counted.len(), rows, "a lane is counted twice");
    assert_eq!(counted, by_lane);
}
