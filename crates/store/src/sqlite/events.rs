//! The log of events, numbered per team without gaps.

use std::collections::HashMap;

use collective_core::event::{Event, Fact};
use collective_core::{TaskId, TeamName, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column::{Columns, Unsigned, bytes, json};
use super::range::{self, Range};

pub(super) const NEWEST: &str =
    "SELECT row FROM events WHERE row BETWEEN ?1 AND ?2 ORDER BY row DESC LIMIT 1";

pub(super) const AFTER: &str = "
    SELECT row, at, actor, fact FROM events
    WHERE row > ?1 AND row <= ?2 ORDER BY row LIMIT ?3";

pub(super) const OF_TASK: &str = "
    SELECT row, at, actor, fact FROM events
    WHERE task = ?1 AND row BETWEEN ?2 AND ?3 ORDER BY row LIMIT ?4";

/// The newest number of each team that this process has written to, so that
/// it needn't be asked for with each append. After a rollback it is forgotten
/// as a whole: numbers that were given to what didn't happen are given again.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    newest: HashMap<TeamName, (Range, u64)>,
}

impl Numbers {
    fn newest(&self, connection: &Connection, team: &TeamName) -> rusqlite::Result<(Range, u64)> {
        if let Some(newest) = self.newest.get(team) {
            return Ok(*newest);
        }
        let range = Range::of(connection, team)?;
        Ok((range, newest(connection, range)?))
    }

    /// What was cached may not have been committed.
    pub(super) fn forget(&mut self) {
        self.newest.clear();
    }
}

/// Appends facts; the events that they became are added to `appended`.
pub(super) fn append(
    connection: &Connection,
    numbers: &mut Numbers,
    team: &TeamName,
    actor: &str,
    at: Timestamp,
    facts: Vec<Fact>,
    appended: &mut Vec<Event>,
) -> rusqlite::Result<u64> {
    let (range, newest) = numbers.newest(connection, team)?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO events (row, at, actor, task, fact) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut seq = newest;
    for fact in facts {
        seq += 1;
        let task = fact.task();
        insert.execute(params![
            range.row(seq)?,
            at.micros(),
            actor,
            task.as_ref().map(|task| bytes(&task.0)),
            json(&fact)?,
        ])?;
        appended.push(Event {
            team: team.clone(),
            seq,
            at,
            actor: actor.to_owned(),
            fact,
        });
    }
    numbers.newest.insert(team.clone(), (range, seq));
    Ok(newest + 1)
}

fn newest(connection: &Connection, range: Range) -> rusqlite::Result<u64> {
    let row = connection
        .prepare_cached(NEWEST)?
        .query_row(params![range.first(), range.last()], |row| row.get(0))
        .optional()?;
    Ok(row.map_or(0, range::number))
}

pub(super) fn last_seq(connection: &Connection, team: &TeamName) -> rusqlite::Result<u64> {
    match Range::find(connection, team)? {
        Some(range) => newest(connection, range),
        None => Ok(0),
    }
}

pub(super) fn after(
    connection: &Connection,
    team: &TeamName,
    after: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Event>> {
    let Some(range) = Range::find(connection, team)? else {
        return Ok(Vec::new());
    };
    connection
        .prepare_cached(AFTER)?
        .query_map(
            params![range.place(after), range.last(), Unsigned::limit(limit)],
            |row| event(team, row),
        )?
        .collect()
}

pub(super) fn of_task(
    connection: &Connection,
    team: &TeamName,
    task: TaskId,
    limit: usize,
) -> rusqlite::Result<Vec<Event>> {
    let Some(range) = Range::find(connection, team)? else {
        return Ok(Vec::new());
    };
    connection
        .prepare_cached(OF_TASK)?
        .query_map(
            params![
                bytes(&task.0),
                range.first(),
                range.last(),
                Unsigned::limit(limit)
            ],
            |row| event(team, row),
        )?
        .collect()
}

fn event(team: &TeamName, row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        team: team.clone(),
        seq: range::number(row.get(0)?),
        at: row.time(1)?,
        actor: row.get(2)?,
        fact: row.json(3)?,
    })
}
