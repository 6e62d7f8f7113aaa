//! Listings of tasks, newest first, each by the index that suits its filter.
//!
//! A statement first picks rows, from an index alone where it can, and then
//! reads those. By label and by agent there is one statement; otherwise one per
//! state, merged, so that a page of dead letters among a million succeeded tasks
//! costs what the page has. Two listings walk more than they show: of queued
//! tasks all that are queued (0.3 s for a million), and of a lane without a
//! state all tasks until the page is full (0.15 s for a million).

use collective_core::TeamName;
use collective_core::ports::store::TaskFilter;
use collective_core::task::{Task, TaskState};
use rusqlite::{Connection, ToSql};

use super::column::Unsigned;
use super::range::Range;
use super::tasks::{task, task_columns};

const SELECT: &str = concat!("SELECT ", task_columns!());

/// The newest tasks that the filter lets through, with numbers below `before`.
pub(super) fn newest(
    connection: &Connection,
    team: &TeamName,
    filter: &TaskFilter,
    before: Option<u64>,
    limit: usize,
) -> rusqlite::Result<Vec<Task>> {
    let Some(range) = Range::find(connection, team)? else {
        return Ok(Vec::new());
    };
    let team = range.team();
    let before = range.place(before.unwrap_or(u64::MAX));
    let rows = Unsigned::limit(limit);
    let lane = filter.lane.as_ref().map(ToString::to_string);
    let agent = filter.agent.as_ref().map(|agent| agent.as_str());
    // In the order of the places that `statements` gives them.
    let mut bound: Vec<&dyn ToSql> = vec![&team, &before, &rows];
    bound.extend(lane.as_ref().map(|lane| lane as &dyn ToSql));
    bound.extend(agent.as_ref().map(|agent| agent as &dyn ToSql));
    if let Some((label, value)) = &filter.label {
        bound.extend([label as &dyn ToSql, value]);
    }
    let mut tasks = Vec::new();
    for statement in statements(filter) {
        let mut statement = connection.prepare_cached(&statement)?;
        let mut rows = statement.query(bound.as_slice())?;
        while let Some(row) = rows.next()? {
            tasks.push(task(row)?);
        }
    }
    tasks.sort_unstable_by_key(|task| std::cmp::Reverse(task.number));
    tasks.truncate(limit);
    Ok(tasks)
}

/// The statements whose answers together are the listing. `?1` is the team,
/// `?2` the row before which to look, `?3` how many; what the filter has follows.
pub(super) fn statements(filter: &TaskFilter) -> Vec<String> {
    let mut place = 3;
    let mut next = || {
        place += 1;
        format!("?{place}")
    };
    let mut conditions = String::new();
    if filter.lane.is_some() {
        conditions.push_str(&format!(" AND lane = {}", next()));
    }
    if filter.agent.is_some() {
        conditions.push_str(&format!(
            " AND tasks.team = ?1 AND lease_agent = {}",
            next()
        ));
    }
    if filter.label.is_some() {
        let states = in_states(&filter.states);
        return vec![pick(
            "task_labels CROSS JOIN tasks USING (row)",
            &format!(
                "task_labels.team = ?1 AND label = {} AND value = {} {conditions} {states}",
                next(),
                next()
            ),
        )];
    }
    if filter.agent.is_some() {
        let states = in_states(&filter.states);
        let source = "tasks INDEXED BY tasks_leased";
        return vec![pick(source, &format!("TRUE {conditions} {states}"))];
    }
    if filter.states.is_empty() {
        return vec![pick("tasks NOT INDEXED", &format!("TRUE {conditions}"))];
    }
    let mut states = filter.states.clone();
    states.sort_unstable();
    states.dedup();
    let of_each = states.into_iter();
    of_each.map(|state| of_state(state, &conditions)).collect()
}

fn of_state(state: TaskState, conditions: &str) -> String {
    let (source, condition) = match state {
        TaskState::Queued => ("tasks INDEXED BY tasks_queued", "team = ?1"),
        TaskState::Running | TaskState::NeedsInput => (
            "tasks INDEXED BY tasks_leased",
            "team = ?1 AND lease_agent IS NOT NULL",
        ),
        // Most tasks end like this: the newest ones are found at once.
        TaskState::Succeeded => ("tasks NOT INDEXED", "TRUE"),
        TaskState::Blocked
        | TaskState::Scheduled
        | TaskState::Retrying
        | TaskState::QuotaWait
        | TaskState::Dead
        | TaskState::Cancelled
        | TaskState::Discarded => ("tasks INDEXED BY tasks_aside", "team = ?1"),
    };
    pick(
        source,
        &format!("{condition} AND state = '{state}' {conditions}"),
    )
}

/// Picks rows of the team's range, then reads them.
fn pick(source: &str, conditions: &str) -> String {
    format!(
        "{SELECT} FROM (
             SELECT row FROM {source}
             WHERE {conditions} AND row > (?1 << 44) AND row < ?2
             ORDER BY row DESC LIMIT ?3)
         CROSS JOIN tasks USING (row) CROSS JOIN task_specs USING (row)"
    )
}

/// The words come from core, not from a caller.
fn in_states(states: &[TaskState]) -> String {
    if states.is_empty() {
        return String::new();
    }
    let words: Vec<String> = states.iter().map(|state| format!("'{state}'")).collect();
    format!("AND state IN ({})", words.join(", "))
}
