//! Ended attempts, their output, and the artifacts of results.

use collective_core::ports::store::LogChunk;
use collective_core::task::{Attempt, AttemptOutcome, Epoch, LeaseToken};
use collective_core::{TaskId, TeamName};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column::{Columns, Unsigned, bytes, json, secret_bytes};

pub(super) fn insert(
    connection: &Connection,
    team: &TeamName,
    attempts: &[(TaskId, Attempt)],
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO attempts
             (task, epoch, team, agent, secret, started_at, ended_at, outcome, failure, evidence)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    for (task, attempt) in attempts {
        let evidence = (!attempt.evidence.is_empty())
            .then(|| json(&attempt.evidence))
            .transpose()?;
        statement.execute(params![
            bytes(&task.0),
            attempt.epoch.0,
            team.as_str(),
            attempt.agent.as_str(),
            attempt.token.map(|token| secret_bytes(token.secret)),
            attempt.started_at.micros(),
            attempt.ended_at.micros(),
            attempt.outcome.as_str(),
            attempt.failure.as_ref().map(json).transpose()?,
            evidence,
        ])?;
    }
    Ok(())
}

const COLUMNS: &str = "epoch, agent, secret, started_at, ended_at, outcome, failure, evidence";

pub(super) fn of_task(
    connection: &Connection,
    team: &TeamName,
    task: TaskId,
) -> rusqlite::Result<Vec<Attempt>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM attempts WHERE task = ?1 AND team = ?2 ORDER BY epoch"
        ))?
        .query_map(params![bytes(&task.0), team.as_str()], attempt)?
        .collect()
}

pub(super) fn one(
    connection: &Connection,
    team: &TeamName,
    task: TaskId,
    epoch: Epoch,
) -> rusqlite::Result<Option<Attempt>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM attempts WHERE task = ?1 AND epoch = ?2 AND team = ?3"
        ))?
        .query_row(params![bytes(&task.0), epoch.0, team.as_str()], attempt)
        .optional()
}

fn attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    let epoch = Epoch(row.get(0)?);
    Ok(Attempt {
        epoch,
        agent: row.name(1)?,
        token: row
            .optional_secret(2)?
            .map(|secret| LeaseToken { epoch, secret }),
        started_at: row.time(3)?,
        ended_at: row.time(4)?,
        outcome: row.word(5, AttemptOutcome::from_text)?,
        failure: row.optional_json(6)?,
        evidence: row.optional_json(7)?.unwrap_or_default(),
    })
}

/// Adds a piece of output unless its place is taken; returns the attempt's size.
pub(super) fn append_log(
    connection: &Connection,
    team: &TeamName,
    task: TaskId,
    epoch: Epoch,
    chunk: &LogChunk,
) -> rusqlite::Result<u64> {
    let added = connection
        .prepare_cached(
            "INSERT INTO attempt_logs (task, epoch, position, team, at, bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (task, epoch, position) DO NOTHING",
        )?
        .execute(params![
            bytes(&task.0),
            epoch.0,
            Unsigned(chunk.position),
            team.as_str(),
            chunk.at.micros(),
            chunk.bytes,
        ])?;
    let size = if added == 0 { 0 } else { chunk.bytes.len() };
    connection
        .prepare_cached(
            "INSERT INTO attempt_log_sizes (task, epoch, bytes) VALUES (?1, ?2, ?3)
             ON CONFLICT (task, epoch) DO UPDATE SET bytes = bytes + excluded.bytes
             RETURNING bytes",
        )?
        .query_row(
            params![bytes(&task.0), epoch.0, Unsigned::limit(size)],
            |row| row.get::<_, Unsigned>(0),
        )
        .map(|size| size.0)
}

pub(super) fn log(
    connection: &Connection,
    team: &TeamName,
    task: TaskId,
    epoch: Epoch,
    after: u64,
    limit: usize,
) -> rusqlite::Result<Vec<LogChunk>> {
    let after = after.min(i64::MAX.unsigned_abs());
    connection
        .prepare_cached(
            "SELECT position, at, bytes FROM attempt_logs
             WHERE task = ?1 AND epoch = ?2 AND position > ?3 AND team = ?4
             ORDER BY position LIMIT ?5",
        )?
        .query_map(
            params![
                bytes(&task.0),
                epoch.0,
                Unsigned(after),
                team.as_str(),
                Unsigned::limit(limit)
            ],
            |row| {
                Ok(LogChunk {
                    position: row.get::<_, Unsigned>(0)?.0,
                    at: row.time(1)?,
                    bytes: row.get(2)?,
                })
            },
        )?
        .collect()
}

pub(super) fn put_artifact(
    connection: &Connection,
    team: &TeamName,
    task: TaskId,
    name: &str,
    content: &[u8],
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO artifacts (task, name, team, bytes) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (task, name) DO UPDATE SET bytes = excluded.bytes",
        )?
        .execute(params![bytes(&task.0), name, team.as_str(), content])?;
    Ok(())
}

pub(super) fn artifact(
    connection: &Connection,
    team: &TeamName,
    task: TaskId,
    name: &str,
) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT bytes FROM artifacts WHERE task = ?1 AND name = ?2 AND team = ?3")?
        .query_row(params![bytes(&task.0), name, team.as_str()], |row| {
            row.get(0)
        })
        .optional()
}
