//! Listings of tasks, newest first, each by the index that suits its filter.
//!
//! By label and by agent there is one statement; otherwise one per state,
//! merged, so that a page of dead letters among a million succeeded tasks
//! costs what the page has.

use collective_core::TeamName;
use collective_core::ports::store::TaskFilter;
use collective_core::task::{Task, TaskState};
use rusqlite::{Connection, ToSql};

use super::column::Unsigned;
use super::range::Range;
use super::tasks::{task, task_columns};

const SELECT: &str = concat!("SELECT ", task_columns!(), " FROM ");
/// What every listing asks: rows of the team's range before a place. A lane or
/// agent that isn't given passes everything.
const BOUNDS: &str = "tasks.row > (?1 << 44) AND tasks.row < ?2
    AND (?3 IS NULL OR lane = ?3) AND (?4 IS NULL OR lease_agent = ?4)";

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
    let lane = filter.lane.as_ref().map(ToString::to_string);
    let agent = filter.agent.as_ref().map(|agent| agent.as_str());
    let rows = Unsigned::limit(limit);
    let mut bound: Vec<&dyn ToSql> = vec![&team, &before, &lane, &agent, &rows];
    if let Some((label, value)) = &filter.label {
        bound.extend([label as &dyn ToSql, value]);
    }
    let statements = statements(filter);
    let mut tasks = Vec::new();
    for statement in &statements {
        let mut statement = connection.prepare_cached(statement)?;
        let mut rows = statement.query(bound.as_slice())?;
        while let Some(row) = rows.next()? {
            tasks.push(task(row)?);
        }
    }
    if statements.len() > 1 {
        tasks.sort_by_key(|task| std::cmp::Reverse(task.number));
        tasks.truncate(limit);
    }
    Ok(tasks)
}

/// The statements whose answers together are the listing.
pub(super) fn statements(filter: &TaskFilter) -> Vec<String> {
    if filter.label.is_some() {
        return vec![format!(
            "{SELECT} task_labels
             CROSS JOIN tasks USING (row) CROSS JOIN task_specs USING (row)
             WHERE task_labels.team = ?1 AND label = ?6 AND value = ?7
                 AND task_labels.row < ?2 AND {BOUNDS} {}
             ORDER BY task_labels.row DESC LIMIT ?5",
            in_states(&filter.states)
        )];
    }
    if filter.agent.is_some() {
        let states = in_states(&filter.states);
        let condition = format!("AND team = ?1 AND lease_agent = ?4 {states}");
        return vec![one("INDEXED BY tasks_leased", &condition)];
    }
    if filter.states.is_empty() {
        return vec![one("NOT INDEXED", "")];
    }
    let mut states = filter.states.clone();
    states.sort_unstable();
    states.dedup();
    states.into_iter().map(of_state).collect()
}

fn of_state(state: TaskState) -> String {
    let (index, condition) = match state {
        TaskState::Queued => ("INDEXED BY tasks_queued", "AND team = ?1"),
        TaskState::Running | TaskState::NeedsInput => (
            "INDEXED BY tasks_leased",
            "AND team = ?1 AND lease_agent IS NOT NULL",
        ),
        // Most tasks end like this: the newest ones are found at once.
        TaskState::Succeeded => ("NOT INDEXED", ""),
        TaskState::Blocked
        | TaskState::Scheduled
        | TaskState::Retrying
        | TaskState::QuotaWait
        | TaskState::Dead
        | TaskState::Cancelled
        | TaskState::Discarded => ("INDEXED BY tasks_aside", "AND team = ?1"),
    };
    one(index, &format!("AND state = '{state}' {condition}"))
}

fn one(index: &str, condition: &str) -> String {
    format!(
        "{SELECT} tasks {index} CROSS JOIN task_specs USING (row)
         WHERE {BOUNDS} {condition} ORDER BY tasks.row DESC LIMIT ?5"
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
