//! Schedules of recurring tasks.

use collective_core::ports::StoreError;
use collective_core::schedule::{Overlap, Schedule};
use collective_core::{ScheduleId, TaskId, TeamName, Timestamp};
use tokio_postgres::Row;

use super::column::{Columns, Text, at_most, json};
use super::query::Access;
use super::statements::{statements, team};
use super::writing::{Expect, Writing, owned};

macro_rules! schedules {
    () => {
        concat!(
            "SELECT id, name, cron, time_zone, spec, overlap, paused, next_at, last_task,
                 created_at FROM schedules WHERE team = ",
            team!()
        )
    };
}

statements! { "schedules":
    PUT = "
        INSERT INTO schedules (id, team, name, cron, time_zone, spec, overlap, paused, next_at,
            last_task, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        ON CONFLICT (id) DO UPDATE SET name = excluded.name, cron = excluded.cron,
            time_zone = excluded.time_zone, spec = excluded.spec, overlap = excluded.overlap,
            paused = excluded.paused, next_at = excluded.next_at,
            last_task = excluded.last_task, created_at = excluded.created_at";
    REMOVE = "DELETE FROM schedules WHERE id = $1 AND team = $2";
    ONE = concat!(schedules!(), " AND id = $2");
    ALL = concat!(schedules!(), " ORDER BY name");
    DUE = "
        SELECT teams.name, due.id FROM (
            SELECT team, id, next_at FROM schedules
            WHERE NOT paused AND next_at <= $1 ORDER BY next_at, id LIMIT $2) AS due
        JOIN teams ON teams.number = due.team ORDER BY due.next_at, due.id";
}

pub(super) async fn put(
    tx: &mut Writing,
    team: &TeamName,
    schedule: &Schedule,
) -> Result<(), StoreError> {
    let values = owned![
        schedule.id.0,
        tx.team(team).await?.number,
        Text::owned(&schedule.name),
        Text::owned(&schedule.cron),
        Text::owned(&schedule.time_zone),
        json(&schedule.spec)?,
        overlap_word(schedule.overlap),
        schedule.paused,
        schedule.next_at.micros(),
        schedule.last_task.map(|task| task.0),
        schedule.created_at.micros(),
    ];
    tx.send(PUT, values, Expect::Success).await
}

pub(super) async fn remove(
    tx: &mut Writing,
    team: &TeamName,
    id: ScheduleId,
) -> Result<(), StoreError> {
    let values = owned![id.0, tx.team(team).await?.number];
    tx.send(REMOVE, values, Expect::Success).await
}

pub(super) async fn one(
    ask: &mut impl Access,
    team: &TeamName,
    id: ScheduleId,
) -> Result<Option<Schedule>, StoreError> {
    let rows = ask.rows(ONE, &[&team.as_str(), &id.0]).await?;
    rows.first().map(schedule).transpose()
}

pub(super) async fn list(
    ask: &mut impl Access,
    team: &TeamName,
) -> Result<Vec<Schedule>, StoreError> {
    let rows = ask.rows(ALL, &[&team.as_str()]).await?;
    rows.iter().map(schedule).collect()
}

pub(super) async fn due(
    ask: &mut impl Access,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<(TeamName, ScheduleId)>, StoreError> {
    let limit: i64 = at_most(limit);
    let rows = ask.rows(DUE, &[&now.micros(), &limit]).await?;
    let due = |row: &Row| Ok((row.name(0)?, ScheduleId(row.uuid(1)?)));
    rows.iter().map(due).collect()
}

fn schedule(row: &Row) -> Result<Schedule, StoreError> {
    Ok(Schedule {
        id: ScheduleId(row.uuid(0)?),
        name: row.text(1)?,
        cron: row.text(2)?,
        time_zone: row.text(3)?,
        spec: row.json(4)?,
        overlap: row.word(5, overlap)?,
        paused: row.value(6)?,
        next_at: row.time(7)?,
        last_task: row.optional_uuid(8)?.map(TaskId),
        created_at: row.time(9)?,
    })
}

fn overlap_word(overlap: Overlap) -> &'static str {
    match overlap {
        Overlap::Skip => "skip",
        Overlap::Allow => "allow",
    }
}

fn overlap(word: &str) -> Option<Overlap> {
    [Overlap::Skip, Overlap::Allow]
        .into_iter()
        .find(|overlap| overlap_word(*overlap) == word)
}
