//! Reservations of paths.

use collective_core::ports::StoreError;
use collective_core::reservation::Reservation;
use collective_core::task::Epoch;
use collective_core::{ReservationId, TaskId, TeamName, Timestamp};
use tokio_postgres::Row;

use super::column::{Columns, Text, at_most, json};
use super::query::Access;
use super::statements::{statements, team};
use super::writing::{Expect, Writing, owned};

macro_rules! reservations {
    () => {
        concat!(
            "SELECT id, agent, task, epoch, repository, paths, shared, reason, created_at,
                 expires_at FROM reservations WHERE team = ",
            team!()
        )
    };
}

statements! { "reservations":
    PUT = "
        INSERT INTO reservations (id, team, agent, task, epoch, repository, paths, shared, reason,
            created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        ON CONFLICT (id) DO UPDATE SET agent = excluded.agent, task = excluded.task,
            epoch = excluded.epoch, repository = excluded.repository, paths = excluded.paths,
            shared = excluded.shared, reason = excluded.reason,
            created_at = excluded.created_at, expires_at = excluded.expires_at";
    REMOVE = "DELETE FROM reservations WHERE id = $1 AND team = $2";
    ONE = concat!(reservations!(), " AND id = $2");
    ALL = concat!(reservations!(), " ORDER BY created_at, id");
    EXPIRED = "
        SELECT teams.name, due.id FROM (
            SELECT team, id, expires_at FROM reservations
            WHERE expires_at <= $1 ORDER BY expires_at, id LIMIT $2) AS due
        JOIN teams ON teams.number = due.team ORDER BY due.expires_at, due.id";
}

pub(super) async fn put(
    tx: &mut Writing,
    team: &TeamName,
    reservation: &Reservation,
) -> Result<(), StoreError> {
    let values = owned![
        reservation.id.0,
        tx.team(team).await?.number,
        reservation.agent.to_string(),
        reservation.task.map(|task| task.0),
        reservation.epoch.map(|epoch| i64::from(epoch.0)),
        Text::owned(&reservation.repository),
        json(&reservation.paths)?,
        reservation.shared,
        Text::owned(&reservation.reason),
        reservation.created_at.micros(),
        reservation.expires_at.micros(),
    ];
    tx.send(PUT, values, Expect::Success).await
}

pub(super) async fn remove(
    tx: &mut Writing,
    team: &TeamName,
    id: ReservationId,
) -> Result<(), StoreError> {
    let values = owned![id.0, tx.team(team).await?.number];
    tx.send(REMOVE, values, Expect::Success).await
}

pub(super) async fn one(
    ask: &mut impl Access,
    team: &TeamName,
    id: ReservationId,
) -> Result<Option<Reservation>, StoreError> {
    let rows = ask.rows(ONE, &[&team.as_str(), &id.0]).await?;
    rows.first().map(reservation).transpose()
}

pub(super) async fn list(
    ask: &mut impl Access,
    team: &TeamName,
) -> Result<Vec<Reservation>, StoreError> {
    let rows = ask.rows(ALL, &[&team.as_str()]).await?;
    rows.iter().map(reservation).collect()
}

pub(super) async fn expired(
    ask: &mut impl Access,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<(TeamName, ReservationId)>, StoreError> {
    let limit: i64 = at_most(limit);
    let rows = ask.rows(EXPIRED, &[&now.micros(), &limit]).await?;
    let expired = |row: &Row| Ok((row.name(0)?, ReservationId(row.uuid(1)?)));
    rows.iter().map(expired).collect()
}

fn reservation(row: &Row) -> Result<Reservation, StoreError> {
    let epoch: Option<i64> = row.value(3)?;
    Ok(Reservation {
        id: ReservationId(row.uuid(0)?),
        agent: row.name(1)?,
        task: row.optional_uuid(2)?.map(TaskId),
        epoch: epoch.map(|_| row.number(3)).transpose()?.map(Epoch),
        repository: row.text(4)?,
        paths: row.json(5)?,
        shared: row.value(6)?,
        reason: row.text(7)?,
        created_at: row.time(8)?,
        expires_at: row.time(9)?,
    })
}
