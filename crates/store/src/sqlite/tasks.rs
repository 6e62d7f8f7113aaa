//! Tasks as rows: written new, moved, and read one by one.

use collective_core::ports::StoreError;
use collective_core::task::{Epoch, Lease, LeaseToken, Task, TaskState};
use collective_core::{QuestionId, Span, TaskId, TeamName};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row, params};

use super::column::{Columns, Unsigned, bytes, json, secret_bytes};
use super::error::store_error;
use super::range::{self, Range};

/// The columns that [`task`] reads, for a `SELECT` from `tasks` and `task_specs`.
macro_rules! task_columns {
    () => {
        "tasks.id, tasks.row, state, waiting_on, ready_at, wake_at, epoch, attempts_used, poisonings,
         lease_agent, lease_secret, lease_ttl, lease_expires_at, question, cancel_reason,
         created_by, created_at, started_at, finished_at, failure, result, spec"
    };
}
pub(super) use task_columns;

const INSERT: &str = "
    INSERT INTO tasks
        (row, team, id, lane, priority, state, waiting_on, ready_at, wake_at, due_at, epoch,
         attempts_used, poisonings, lease_agent, lease_secret, lease_ttl, lease_expires_at,
         question, cancel_reason, created_by, created_at, started_at, finished_at, failure, result)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
            ?20, ?21, ?22, ?23, ?24, ?25)";

pub(super) const UPDATE: &str = "
    UPDATE tasks SET
        state = ?3, waiting_on = ?4, ready_at = ?5, wake_at = ?6, due_at = ?7, epoch = ?8,
        attempts_used = ?9, poisonings = ?10, lease_agent = ?11, lease_secret = ?12,
        lease_ttl = ?13, lease_expires_at = ?14, question = ?15, cancel_reason = ?16,
        started_at = ?17, finished_at = ?18, failure = ?19, result = ?20
    WHERE row = ?1 AND id = ?2";

pub(super) const BY_ID: &str = concat!(
    "SELECT ",
    task_columns!(),
    " FROM tasks CROSS JOIN task_specs USING (row)
     WHERE id = ?1 AND tasks.row BETWEEN ?2 AND ?3"
);

pub(super) const BY_NUMBER: &str = concat!(
    "SELECT ",
    task_columns!(),
    " FROM tasks CROSS JOIN task_specs USING (row) WHERE tasks.row = ?1"
);

/// Writes new tasks, and counts them.
pub(super) fn insert(
    connection: &Connection,
    team: &TeamName,
    tasks: &[Task],
) -> rusqlite::Result<()> {
    let range = Range::of(connection, team)?;
    let mut insert = connection.prepare_cached(INSERT)?;
    let mut insert_spec =
        connection.prepare_cached("INSERT INTO task_specs (row, spec) VALUES (?1, ?2)")?;
    for task in tasks {
        let row = range.row(task.number)?;
        let lease = LeaseColumns::of(task);
        insert.execute(params![
            row,
            range.team(),
            bytes(&task.id.0),
            task.lane().to_string(),
            task.spec.priority.rank(),
            task.state.as_str(),
            task.waiting_on,
            task.ready_at.micros(),
            task.wake_at.map(|at| at.micros()),
            task.due_at().map(|at| at.micros()),
            task.epoch.0,
            task.attempts_used,
            task.poisonings,
            lease.agent,
            lease.secret,
            lease.ttl,
            lease.expires_at,
            task.question.as_ref().map(|id| bytes(&id.0)),
            task.cancel_reason,
            task.created_by,
            task.created_at.micros(),
            task.started_at.map(|at| at.micros()),
            task.finished_at.map(|at| at.micros()),
            task.failure.as_ref().map(json).transpose()?,
            task.result.as_ref().map(json).transpose()?,
        ])?;
        insert_spec.execute(params![row, json(&task.spec)?])?;
        insert_labels(connection, range, task)?;
    }
    connection
        .prepare_cached(
            "INSERT INTO task_totals (team, tasks) VALUES (?1, ?2)
             ON CONFLICT (team) DO UPDATE SET tasks = tasks + excluded.tasks",
        )?
        .execute(params![range.team(), Unsigned::limit(tasks.len())])?;
    Ok(())
}

fn insert_labels(connection: &Connection, range: Range, task: &Task) -> rusqlite::Result<()> {
    if task.spec.labels.is_empty() {
        return Ok(());
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO task_labels (team, label, value, row) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (label, value) in &task.spec.labels {
        insert.execute(params![range.team(), label, value, range.row(task.number)?])?;
    }
    Ok(())
}

/// Writes everything of tasks but what was asked. A task that isn't there is an error.
pub(super) fn update(
    connection: &Connection,
    team: &TeamName,
    tasks: &[Task],
) -> Result<(), StoreError> {
    let range = Range::of(connection, team).map_err(store_error)?;
    let mut statement = connection.prepare_cached(UPDATE).map_err(store_error)?;
    for task in tasks {
        if update_one(&mut statement, range, task).map_err(store_error)? == 0 {
            return Err(StoreError::Internal(format!(
                "there is no task {} in team {team} to update",
                task.id
            )));
        }
    }
    Ok(())
}

fn update_one(
    statement: &mut CachedStatement<'_>,
    range: Range,
    task: &Task,
) -> rusqlite::Result<usize> {
    let lease = LeaseColumns::of(task);
    statement.execute(params![
        range.place(task.number),
        bytes(&task.id.0),
        task.state.as_str(),
        task.waiting_on,
        task.ready_at.micros(),
        task.wake_at.map(|at| at.micros()),
        task.due_at().map(|at| at.micros()),
        task.epoch.0,
        task.attempts_used,
        task.poisonings,
        lease.agent,
        lease.secret,
        lease.ttl,
        lease.expires_at,
        task.question.as_ref().map(|id| bytes(&id.0)),
        task.cancel_reason,
        task.started_at.map(|at| at.micros()),
        task.finished_at.map(|at| at.micros()),
        task.failure.as_ref().map(json).transpose()?,
        task.result.as_ref().map(json).transpose()?,
    ])
}

/// A lease as its four columns, all empty without one.
struct LeaseColumns<'a> {
    agent: Option<&'a str>,
    secret: Option<[u8; 16]>,
    ttl: Option<Unsigned>,
    expires_at: Option<i64>,
}

impl<'a> LeaseColumns<'a> {
    fn of(task: &'a Task) -> Self {
        let lease = task.lease.as_ref();
        Self {
            agent: lease.map(|lease| lease.agent.as_str()),
            secret: lease
                .and_then(|lease| lease.token)
                .map(|token| secret_bytes(token.secret)),
            ttl: lease.map(|lease| Unsigned::span(lease.ttl)),
            expires_at: lease.map(|lease| lease.expires_at.micros()),
        }
    }
}

pub(super) fn by_id(
    connection: &Connection,
    team: &TeamName,
    id: TaskId,
) -> rusqlite::Result<Option<Task>> {
    Ok(by_ids(connection, team, &[id])?.pop())
}

pub(super) fn by_number(
    connection: &Connection,
    team: &TeamName,
    number: u64,
) -> rusqlite::Result<Option<Task>> {
    let Some(range) = Range::find(connection, team)? else {
        return Ok(None);
    };
    // The ends of the range have no task.
    one(
        &mut connection.prepare_cached(BY_NUMBER)?,
        params![range.place(number)],
    )
}

/// The tasks with these ids, in their order; unknown ones are left out.
pub(super) fn by_ids(
    connection: &Connection,
    team: &TeamName,
    ids: &[TaskId],
) -> rusqlite::Result<Vec<Task>> {
    let Some(range) = Range::find(connection, team)? else {
        return Ok(Vec::new());
    };
    let (first, last) = (range.first(), range.last());
    let mut statement = connection.prepare_cached(BY_ID)?;
    let mut tasks = Vec::with_capacity(ids.len());
    for id in ids {
        tasks.extend(one(&mut statement, params![bytes(&id.0), first, last])?);
    }
    Ok(tasks)
}

fn one(statement: &mut CachedStatement<'_>, params: impl Params) -> rusqlite::Result<Option<Task>> {
    statement.query_row(params, task).optional()
}

/// Reads a row of [`task_columns`].
pub(super) fn task(row: &Row<'_>) -> rusqlite::Result<Task> {
    let epoch = Epoch(row.get(6)?);
    let lease = match row.optional_name(9)? {
        Some(agent) => Some(Lease {
            agent,
            token: row
                .optional_secret(10)?
                .map(|secret| LeaseToken { epoch, secret }),
            ttl: Span::from_micros(row.get::<_, Unsigned>(11)?.0),
            expires_at: row.time(12)?,
        }),
        None => None,
    };
    Ok(Task {
        id: TaskId(row.uuid(0)?),
        number: range::number(row.get(1)?),
        state: row.word(2, TaskState::from_text)?,
        waiting_on: row.get(3)?,
        ready_at: row.time(4)?,
        wake_at: row.optional_time(5)?,
        epoch,
        attempts_used: row.get(7)?,
        poisonings: row.get(8)?,
        lease,
        question: row.optional_uuid(13)?.map(QuestionId),
        cancel_reason: row.get(14)?,
        created_by: row.get(15)?,
        created_at: row.time(16)?,
        started_at: row.optional_time(17)?,
        finished_at: row.optional_time(18)?,
        failure: row.optional_json(19)?,
        result: row.optional_json(20)?,
        spec: row.json(21)?,
    })
}
