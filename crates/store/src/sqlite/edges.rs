//! The dependency graph.

use collective_core::ports::StoreError;
use collective_core::ports::store::Edge;
use collective_core::task::DependencyCondition;
use collective_core::{TaskId, TeamName};
use rusqlite::{Connection, Row, params};

use super::column::{Columns, bytes};
use super::error::store_error;

const COLUMNS: &str = "task, depends_on, condition, met";

pub(super) fn insert(
    connection: &Connection,
    team: &TeamName,
    edges: &[Edge],
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO edges (task, depends_on, team, condition, met) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for edge in edges {
        statement.execute(params![
            bytes(&edge.task.0),
            bytes(&edge.on.0),
            team.as_str(),
            condition_word(edge.when),
            edge.met,
        ])?;
    }
    Ok(())
}

pub(super) fn set_met(
    connection: &Connection,
    team: &TeamName,
    task: TaskId,
    on: TaskId,
    met: bool,
) -> Result<(), StoreError> {
    let changed = connection
        .prepare_cached(
            "UPDATE edges SET met = ?4 WHERE task = ?1 AND depends_on = ?2 AND team = ?3",
        )
        .and_then(|mut statement| {
            statement.execute(params![bytes(&task.0), bytes(&on.0), team.as_str(), met])
        })
        .map_err(store_error)?;
    match changed {
        0 => Err(StoreError::Internal(format!(
            "there is no edge from task {task} to {on}"
        ))),
        _ => Ok(()),
    }
}

pub(super) fn of_task(
    connection: &Connection,
    team: &TeamName,
    task: TaskId,
) -> rusqlite::Result<Vec<Edge>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM edges WHERE task = ?1 AND team = ?2 ORDER BY depends_on"
        ))?
        .query_map(params![bytes(&task.0), team.as_str()], edge)?
        .collect()
}

pub(super) fn on_tasks(
    connection: &Connection,
    team: &TeamName,
    on: &[TaskId],
) -> rusqlite::Result<Vec<Edge>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM edges WHERE depends_on = ?1 AND team = ?2 ORDER BY task"
    ))?;
    let mut edges = Vec::new();
    for on in on {
        for found in statement.query_map(params![bytes(&on.0), team.as_str()], edge)? {
            edges.push(found?);
        }
    }
    Ok(edges)
}

fn edge(row: &Row<'_>) -> rusqlite::Result<Edge> {
    Ok(Edge {
        task: TaskId(row.uuid(0)?),
        on: TaskId(row.uuid(1)?),
        when: row.word(2, condition)?,
        met: row.get(3)?,
    })
}

fn condition_word(condition: DependencyCondition) -> &'static str {
    match condition {
        DependencyCondition::Succeeded => "succeeded",
        DependencyCondition::Ended => "ended",
    }
}

fn condition(word: &str) -> Option<DependencyCondition> {
    [DependencyCondition::Succeeded, DependencyCondition::Ended]
        .into_iter()
        .find(|condition| condition_word(*condition) == word)
}
