//! Ended attempts, their output, and the artifacts of results.

use collective_core::ports::StoreError;
use collective_core::ports::store::LogChunk;
use collective_core::task::{Attempt, AttemptOutcome, Epoch, LeaseToken};
use collective_core::{TaskId, TeamName};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::column::{Columns, Text, at_most, json, signed};
use super::query::Access;
use super::statements::{statements, team};
use super::writing::{Expect, Writing, owned};

macro_rules! attempt_columns {
    () => {
        "epoch, agent, secret, started_at, ended_at, outcome, failure, evidence"
    };
}

statements! { "attempts":
    INSERT = "
        INSERT INTO attempts
            (team, task, epoch, agent, secret, started_at, ended_at, outcome, failure, evidence)
        SELECT $1, * FROM unnest(
            $2::uuid[], $3::bigint[], $4::text[], $5::uuid[], $6::bigint[], $7::bigint[],
            $8::text[], $9::text[], $10::text[])";
    OF_TASK = concat!(
        "SELECT ", attempt_columns!(),
        " FROM attempts WHERE task = $2 AND team = ", team!(), " ORDER BY epoch"
    );
    ONE = concat!(
        "SELECT ", attempt_columns!(),
        " FROM attempts WHERE task = $2 AND epoch = $3 AND team = ", team!()
    );
    /// Adds a piece unless its place is taken, and gives the attempt's size.
    APPEND_LOG = "
        WITH added AS (
            INSERT INTO attempt_logs (task, epoch, position, team, at, bytes)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (task, epoch, position) DO NOTHING
            RETURNING octet_length(bytes) AS size)
        INSERT INTO attempt_log_sizes AS sizes (task, epoch, bytes)
        VALUES ($1, $2, COALESCE((SELECT size FROM added), 0))
        ON CONFLICT (task, epoch) DO UPDATE SET bytes = sizes.bytes + excluded.bytes
        RETURNING bytes";
    LOG = concat!(
        "SELECT position, at, bytes FROM attempt_logs
         WHERE task = $2 AND epoch = $3 AND position > $4 AND team = ", team!(), "
         ORDER BY position LIMIT $5"
    );
    PUT_ARTIFACT = "
        INSERT INTO artifacts (task, name, team, bytes) VALUES ($1, $2, $3, $4)
        ON CONFLICT (task, name) DO UPDATE SET bytes = excluded.bytes";
    ARTIFACT = concat!(
        "SELECT bytes FROM artifacts WHERE task = $2 AND name = $3 AND team = ", team!()
    );
}

pub(super) async fn insert(
    tx: &mut Writing,
    team: &TeamName,
    attempts: &[(TaskId, Attempt)],
) -> Result<(), StoreError> {
    let of = tx.team(team).await?.number;
    if attempts.is_empty() {
        return Ok(());
    }
    let mut columns = Ended::default();
    for (task, attempt) in attempts {
        columns.add(*task, attempt)?;
    }
    let values = owned![
        of,
        columns.tasks,
        columns.epochs,
        columns.agents,
        columns.secrets,
        columns.started_at,
        columns.ended_at,
        columns.outcomes,
        columns.failures,
        columns.evidence,
    ];
    tx.send(INSERT, values, Expect::Success).await
}

/// Ended attempts, as columns.
#[derive(Default)]
struct Ended {
    tasks: Vec<Uuid>,
    epochs: Vec<i64>,
    agents: Vec<String>,
    secrets: Vec<Option<Uuid>>,
    started_at: Vec<i64>,
    ended_at: Vec<i64>,
    outcomes: Vec<&'static str>,
    failures: Vec<Option<String>>,
    evidence: Vec<Option<String>>,
}

impl Ended {
    fn add(&mut self, task: TaskId, attempt: &Attempt) -> Result<(), StoreError> {
        self.tasks.push(task.0);
        self.epochs.push(attempt.epoch.0.into());
        self.agents.push(attempt.agent.to_string());
        let secret = attempt.token.map(|token| Uuid::from_u128(token.secret));
        self.secrets.push(secret);
        self.started_at.push(attempt.started_at.micros());
        self.ended_at.push(attempt.ended_at.micros());
        self.outcomes.push(attempt.outcome.as_str());
        self.failures
            .push(attempt.failure.as_ref().map(json).transpose()?);
        let evidence = (!attempt.evidence.is_empty()).then(|| json(&attempt.evidence));
        self.evidence.push(evidence.transpose()?);
        Ok(())
    }
}

pub(super) async fn of_task(
    ask: &mut impl Access,
    team: &TeamName,
    task: TaskId,
) -> Result<Vec<Attempt>, StoreError> {
    let rows = ask.rows(OF_TASK, &[&team.as_str(), &task.0]).await?;
    rows.iter().map(attempt).collect()
}

pub(super) async fn one(
    ask: &mut impl Access,
    team: &TeamName,
    task: TaskId,
    epoch: Epoch,
) -> Result<Option<Attempt>, StoreError> {
    let epoch = i64::from(epoch.0);
    let rows = ask.rows(ONE, &[&team.as_str(), &task.0, &epoch]).await?;
    rows.first().map(attempt).transpose()
}

fn attempt(row: &Row) -> Result<Attempt, StoreError> {
    let epoch = Epoch(row.number(0)?);
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
pub(super) async fn append_log(
    tx: &mut Writing,
    team: &TeamName,
    task: TaskId,
    epoch: Epoch,
    chunk: &LogChunk,
) -> Result<u64, StoreError> {
    let of = tx.team(team).await?.number;
    let rows = tx
        .rows(
            APPEND_LOG,
            &[
                &task.0,
                &i64::from(epoch.0),
                &signed(chunk.position)?,
                &of,
                &chunk.at.micros(),
                &chunk.bytes,
            ],
        )
        .await?;
    rows.first().map_or(Ok(0), |row| row.number(0))
}

pub(super) async fn log(
    ask: &mut impl Access,
    team: &TeamName,
    task: TaskId,
    epoch: Epoch,
    after: u64,
    limit: usize,
) -> Result<Vec<LogChunk>, StoreError> {
    let epoch = i64::from(epoch.0);
    let (after, limit): (i64, i64) = (at_most(after), at_most(limit));
    let values: [&(dyn ToSql + Sync); 5] = [&team.as_str(), &task.0, &epoch, &after, &limit];
    let rows = ask.rows(LOG, &values).await?;
    let chunk = |row: &Row| {
        Ok(LogChunk {
            position: row.number(0)?,
            at: row.time(1)?,
            bytes: row.value(2)?,
        })
    };
    rows.iter().map(chunk).collect()
}

pub(super) async fn put_artifact(
    tx: &mut Writing,
    team: &TeamName,
    task: TaskId,
    name: &str,
    content: &[u8],
) -> Result<(), StoreError> {
    let of = tx.team(team).await?.number;
    let values = owned![task.0, Text::owned(name), of, content.to_vec()];
    tx.send(PUT_ARTIFACT, values, Expect::Success).await
}

pub(super) async fn artifact(
    ask: &mut impl Access,
    team: &TeamName,
    task: TaskId,
    name: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    let rows = ask
        .rows(ARTIFACT, &[&team.as_str(), &task.0, &Text::of(name)])
        .await?;
    rows.first().map(|row| row.value(0)).transpose()
}
