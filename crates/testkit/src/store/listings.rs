//! Listings of tasks: pages from the newest, and filters.

use collective_core::TeamName;
use collective_core::ports::Store;
use collective_core::ports::store::TaskFilter;
use collective_core::task::{Priority, Task, TaskState};

use super::sample::{self, agent_name, at, lane};
use super::tasks::{insert, update};
use super::{default_team, reader};

async fn numbers(
    store: &dyn Store,
    team: &TeamName,
    filter: &TaskFilter,
    before: Option<u64>,
    limit: usize,
) -> Vec<u64> {
    let tasks = reader(store)
        .await
        .list_tasks(team, filter, before, limit)
        .await
        .expect("a listing");
    tasks.iter().map(|task| task.number).collect()
}

/// A cursor is the number of the last task that was shown.
pub async fn a_listing_is_paged_from_the_newest(store: &dyn Store) {
    let team = default_team(store).await;
    let tasks: Vec<Task> = [3, 20, 7, 11, 5].into_iter().map(sample::task).collect();
    insert(store, &team, tasks.clone()).await;
    let all = TaskFilter::default();
    for (before, limit, expected) in [
        (None, 2, vec![20, 11]),
        (Some(11), 2, vec![7, 5]),
        (Some(5), 2, vec![3]),
        (Some(3), 2, vec![]),
        (Some(0), 2, vec![]),
        (None, 0, vec![]),
        (Some(u64::MAX), usize::MAX, vec![20, 11, 7, 5, 3]),
        (Some(12), 10, vec![11, 7, 5, 3]),
    ] {
        let page = numbers(store, &team, &all, before, limit).await;
        assert_eq!(page, expected, "before {before:?}, at most {limit}");
    }
    let listed = reader(store).await.list_tasks(&team, &all, None, 1).await;
    assert_eq!(
        listed.expect("a listing"),
        [tasks[1].clone()],
        "it is whole"
    );
}

/// Tasks in every state, lane, hand and with every label, in a mix that no filter sorts by chance.
fn mix() -> Vec<Task> {
    let lanes = ["queue/default", "queue/rust", "agent/ada"];
    (1..=60)
        .map(|n: u64| {
            let place = usize::try_from(n).expect("small");
            let state = TaskState::ALL[place * 7 % TaskState::ALL.len()];
            let to = lanes[place * 5 % lanes.len()];
            let mut task = sample::queued(n, to, Priority::ALL[place % 4], at(-(n as i64)));
            for (every, label) in [(2, "even"), (3, "third")] {
                if n.is_multiple_of(every) {
                    let value = (n % 4).to_string();
                    task.spec.labels.insert(label.to_owned(), value);
                }
            }
            let mut task = sample::in_state(task, state);
            if let Some(lease) = &mut task.lease
                && n.is_multiple_of(2)
            {
                lease.agent = agent_name("bob");
            }
            task
        })
        .collect()
}

fn passes(filter: &TaskFilter, task: &Task) -> bool {
    let TaskFilter {
        states,
        lane,
        agent,
        label,
    } = filter;
    let holder = task.lease.as_ref().map(|lease| &lease.agent);
    (states.is_empty() || states.contains(&task.state))
        && lane.as_ref().is_none_or(|lane| *lane == task.lane())
        && agent.as_ref().is_none_or(|agent| Some(agent) == holder)
        && label
            .as_ref()
            .is_none_or(|(key, value)| task.spec.labels.get(key) == Some(value))
}

fn filters() -> Vec<TaskFilter> {
    use TaskState::{Blocked, Dead, NeedsInput, Queued, Running, Succeeded};
    let mut state_sets: Vec<Vec<TaskState>> = TaskState::ALL
        .into_iter()
        .map(|state| vec![state])
        .collect();
    state_sets.extend([
        vec![],
        vec![Dead, Queued, Succeeded],
        vec![Running, NeedsInput, Running],
        vec![Blocked, Dead],
        TaskState::ALL.to_vec(),
    ]);
    let lanes = [None, Some("queue/rust"), Some("queue/none")];
    let agents = [None, Some("bob"), Some("nobody")];
    let labels = [
        None,
        Some(("even", "2")),
        Some(("third", "2")),
        Some(("even", "no")),
    ];
    let mut filters = Vec::new();
    for states in &state_sets {
        for to in lanes {
            for by in agents {
                for label in labels {
                    filters.push(TaskFilter {
                        states: states.clone(),
                        lane: to.map(lane),
                        agent: by.map(agent_name),
                        label: label.map(|(key, value)| (key.to_owned(), value.to_owned())),
                    });
                }
            }
        }
    }
    filters
}

/// Every filter, alone and with others, against looking at each task.
pub async fn a_listing_shows_what_its_filter_lets_through(store: &dyn Store) {
    let team = default_team(store).await;
    let mix = mix();
    insert(store, &team, mix.clone()).await;
    let mut shown = 0;
    for filter in filters() {
        let mut expected: Vec<u64> = mix
            .iter()
            .filter(|task| passes(&filter, task))
            .map(|task| task.number)
            .collect();
        expected.reverse();
        let all = numbers(store, &team, &filter, None, 100).await;
        assert_eq!(all, expected, "{filter:?}");
        if let [_, second, third, ..] = expected[..] {
            let page = numbers(store, &team, &filter, Some(expected[0]), 2).await;
            assert_eq!(page, [second, third], "a page of {filter:?}");
        }
        shown += expected.len();
    }
    assert!(shown > 300, "the filters let through only {shown}");
}

/// A task is listed where it stands now, not where it stood.
pub async fn a_listing_follows_the_tasks(store: &dyn Store) {
    let team = default_team(store).await;
    let mut task = sample::task(1);
    insert(store, &team, vec![task.clone()]).await;
    for state in TaskState::ALL {
        task = sample::in_state(task, state);
        update(store, &team, vec![task.clone()]).await;
        for asked in TaskState::ALL {
            let filter = TaskFilter {
                states: vec![asked],
                ..TaskFilter::default()
            };
            let listed = numbers(store, &team, &filter, None, 10).await;
            let expected = if asked == state { vec![1] } else { vec![] };
            assert_eq!(listed, expected, "{asked} while it is {state}");
        }
    }
}
