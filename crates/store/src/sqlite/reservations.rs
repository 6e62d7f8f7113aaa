//! Reservations of paths.

use collective_core::reservation::Reservation;
use collective_core::task::Epoch;
use collective_core::{ReservationId, TaskId, TeamName, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column::{Columns, Unsigned, bytes, json};

const RESERVATIONS: &str = "SELECT id, agent, task, epoch, repository, paths, shared, reason,
     created_at, expires_at FROM reservations";

pub(super) const EXPIRED: &str = "
    SELECT team, id FROM reservations
    WHERE expires_at <= ?1 ORDER BY expires_at, rowid LIMIT ?2";

pub(super) fn put(
    connection: &Connection,
    team: &TeamName,
    reservation: &Reservation,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO reservations (id, team, agent, task, epoch, repository, paths, shared,
                 reason, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT (id) DO UPDATE SET agent = excluded.agent, task = excluded.task,
                 epoch = excluded.epoch, repository = excluded.repository,
                 paths = excluded.paths, shared = excluded.shared, reason = excluded.reason,
                 created_at = excluded.created_at, expires_at = excluded.expires_at",
        )?
        .execute(params![
            bytes(&reservation.id.0),
            team.as_str(),
            reservation.agent.as_str(),
            reservation.task.as_ref().map(|task| bytes(&task.0)),
            reservation.epoch.map(|epoch| epoch.0),
            reservation.repository,
            json(&reservation.paths)?,
            reservation.shared,
            reservation.reason,
            reservation.created_at.micros(),
            reservation.expires_at.micros(),
        ])?;
    Ok(())
}

pub(super) fn remove(
    connection: &Connection,
    team: &TeamName,
    id: ReservationId,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM reservations WHERE id = ?1 AND team = ?2")?
        .execute(params![bytes(&id.0), team.as_str()])?;
    Ok(())
}

pub(super) fn one(
    connection: &Connection,
    team: &TeamName,
    id: ReservationId,
) -> rusqlite::Result<Option<Reservation>> {
    connection
        .prepare_cached(&format!("{RESERVATIONS} WHERE id = ?1 AND team = ?2"))?
        .query_row(params![bytes(&id.0), team.as_str()], reservation)
        .optional()
}

pub(super) fn list(connection: &Connection, team: &TeamName) -> rusqlite::Result<Vec<Reservation>> {
    connection
        .prepare_cached(&format!(
            "{RESERVATIONS} WHERE team = ?1 ORDER BY created_at, id"
        ))?
        .query_map(params![team.as_str()], reservation)?
        .collect()
}

pub(super) fn expired(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<(TeamName, ReservationId)>> {
    connection
        .prepare_cached(EXPIRED)?
        .query_map(params![now.micros(), Unsigned::limit(limit)], |row| {
            Ok((row.name(0)?, ReservationId(row.uuid(1)?)))
        })?
        .collect()
}

fn reservation(row: &Row<'_>) -> rusqlite::Result<Reservation> {
    Ok(Reservation {
        id: ReservationId(row.uuid(0)?),
        agent: row.name(1)?,
        task: row.optional_uuid(2)?.map(TaskId),
        epoch: row.get::<_, Option<u32>>(3)?.map(Epoch),
        repository: row.get(4)?,
        paths: row.json(5)?,
        shared: row.get(6)?,
        reason: row.get(7)?,
        created_at: row.time(8)?,
        expires_at: row.time(9)?,
    })
}
