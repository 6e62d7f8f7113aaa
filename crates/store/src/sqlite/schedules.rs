//! Schedules of recurring tasks.

use collective_core::schedule::{Overlap, Schedule};
use collective_core::{ScheduleId, TaskId, TeamName, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column::{Columns, Unsigned, bytes, json};

const SCHEDULES: &str = "SELECT id, name, cron, time_zone, spec, overlap, paused, next_at,
     last_task, created_at FROM schedules";

pub(super) const DUE: &str = "
    SELECT team, id FROM schedules
    WHERE paused = 0 AND next_at <= ?1 ORDER BY next_at, rowid LIMIT ?2";

pub(super) fn put(
    connection: &Connection,
    team: &TeamName,
    schedule: &Schedule,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO schedules (id, team, name, cron, time_zone, spec, overlap, paused,
                 next_at, last_task, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, cron = excluded.cron,
                 time_zone = excluded.time_zone, spec = excluded.spec,
                 overlap = excluded.overlap, paused = excluded.paused,
                 next_at = excluded.next_at, last_task = excluded.last_task,
                 created_at = excluded.created_at",
        )?
        .execute(params![
            bytes(&schedule.id.0),
            team.as_str(),
            schedule.name,
            schedule.cron,
            schedule.time_zone,
            json(&schedule.spec)?,
            overlap_word(schedule.overlap),
            schedule.paused,
            schedule.next_at.micros(),
            schedule.last_task.as_ref().map(|task| bytes(&task.0)),
            schedule.created_at.micros(),
        ])?;
    Ok(())
}

pub(super) fn remove(
    connection: &Connection,
    team: &TeamName,
    id: ScheduleId,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM schedules WHERE id = ?1 AND team = ?2")?
        .execute(params![bytes(&id.0), team.as_str()])?;
    Ok(())
}

pub(super) fn one(
    connection: &Connection,
    team: &TeamName,
    id: ScheduleId,
) -> rusqlite::Result<Option<Schedule>> {
    connection
        .prepare_cached(&format!("{SCHEDULES} WHERE id = ?1 AND team = ?2"))?
        .query_row(params![bytes(&id.0), team.as_str()], schedule)
        .optional()
}

pub(super) fn list(connection: &Connection, team: &TeamName) -> rusqlite::Result<Vec<Schedule>> {
    connection
        .prepare_cached(&format!("{SCHEDULES} WHERE team = ?1 ORDER BY name"))?
        .query_map(params![team.as_str()], schedule)?
        .collect()
}

pub(super) fn due(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<(TeamName, ScheduleId)>> {
    connection
        .prepare_cached(DUE)?
        .query_map(params![now.micros(), Unsigned::limit(limit)], |row| {
            Ok((row.name(0)?, ScheduleId(row.uuid(1)?)))
        })?
        .collect()
}

fn schedule(row: &Row<'_>) -> rusqlite::Result<Schedule> {
    Ok(Schedule {
        id: ScheduleId(row.uuid(0)?),
        name: row.get(1)?,
        cron: row.get(2)?,
        time_zone: row.get(3)?,
        spec: row.json(4)?,
        overlap: row.word(5, overlap)?,
        paused: row.get(6)?,
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
