//! The dependency graph.

use collective_core::ports::StoreError;
use collective_core::ports::store::Edge;
use collective_core::task::DependencyCondition;
use collective_core::{TaskId, TeamName};
use tokio_postgres::Row;
use uuid::Uuid;

use super::column::Columns;
use super::query::Access;
use super::statements::{statements, team};
use super::writing::{Expect, Writing, owned};

statements! { "edges":
    INSERT = "
        INSERT INTO edges (team, task, depends_on, condition, met)
        SELECT $1, * FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::bool[])";
    SET_MET = "UPDATE edges SET met = $4 WHERE task = $1 AND depends_on = $2 AND team = $3";
    OF_TASK = concat!("
        SELECT task, depends_on, condition, met FROM edges
        WHERE task = $2 AND team = ", team!(), " ORDER BY depends_on");
    ON_TASKS = concat!("
        SELECT task, depends_on, condition, met FROM edges
        WHERE depends_on = ANY ($2) AND team = ", team!(), " ORDER BY depends_on, task");
}

pub(super) async fn insert(
    tx: &mut Writing,
    team: &TeamName,
    edges: &[Edge],
) -> Result<(), StoreError> {
    let of = tx.team(team).await?.number;
    if edges.is_empty() {
        return Ok(());
    }
    let values = owned![
        of,
        edges.iter().map(|edge| edge.task.0).collect::<Vec<_>>(),
        edges.iter().map(|edge| edge.on.0).collect::<Vec<_>>(),
        edges
            .iter()
            .map(|edge| condition_word(edge.when))
            .collect::<Vec<_>>(),
        edges.iter().map(|edge| edge.met).collect::<Vec<_>>(),
    ];
    tx.send(INSERT, values, Expect::Success).await
}

pub(super) async fn set_met(
    tx: &mut Writing,
    team: &TeamName,
    task: TaskId,
    on: TaskId,
    met: bool,
) -> Result<(), StoreError> {
    let of = tx.team(team).await?.number;
    let values = owned![task.0, on.0, of, met];
    tx.send(SET_MET, values, Expect::Rows(1, "edges")).await
}

pub(super) async fn of_task(
    ask: &mut impl Access,
    team: &TeamName,
    task: TaskId,
) -> Result<Vec<Edge>, StoreError> {
    let rows = ask.rows(OF_TASK, &[&team.as_str(), &task.0]).await?;
    rows.iter().map(edge).collect()
}

pub(super) async fn on_tasks(
    ask: &mut impl Access,
    team: &TeamName,
    on: &[TaskId],
) -> Result<Vec<Edge>, StoreError> {
    if on.is_empty() {
        return Ok(Vec::new());
    }
    let on: Vec<Uuid> = on.iter().map(|task| task.0).collect();
    let rows = ask.rows(ON_TASKS, &[&team.as_str(), &on]).await?;
    rows.iter().map(edge).collect()
}

fn edge(row: &Row) -> Result<Edge, StoreError> {
    Ok(Edge {
        task: TaskId(row.uuid(0)?),
        on: TaskId(row.uuid(1)?),
        when: row.word(2, condition)?,
        met: row.value(3)?,
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
