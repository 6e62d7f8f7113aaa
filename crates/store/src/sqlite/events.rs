//! The log of events, numbered per team without gaps.

use std::collections::HashMap;

use collective_core::event::{Event, Fact};
use collective_core::{TaskId, TeamName, Timestamp};
use rusqlite::{Connection, Row, params};

use super::column::{Columns, Unsigned, bytes, json};

/// The newest number of each team that this process has written to, so that
/// it needn't be asked for with each append. After a rollback it is forgotten
/// as a whole: numbers that were given to what didn't happen are given again.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    newest: HashMap<TeamName, u64>,
}

impl Numbers {
    fn newest(&mut self, connection: &Connection, team: &TeamName) -> rusqlite::Result<u64> {
        match self.newest.get(team) {
            Some(newest) => Ok(*newest),
            None => last_seq(connection, team),
        }
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
    let newest = numbers.newest(connection, team)?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO events (team, seq, at, actor, task, fact) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let mut seq = newest;
    for fact in facts {
        seq += 1;
        let task = fact.task();
        insert.execute(params![
            team.as_str(),
            Unsigned(seq),
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
    numbers.newest.insert(team.clone(), seq);
    Ok(newest + 1)
}

pub(super) fn last_seq(connection: &Connection, team: &TeamName) -> rusqlite::Result<u64> {
    let newest: Option<Unsigned> = connection
        .prepare_cached("SELECT MAX(seq) FROM events WHERE team = ?1")?
        .query_row(params![team.as_str()], |row| row.get(0))?;
    Ok(newest.map_or(0, |newest| newest.0))
}

pub(super) fn after(
    connection: &Connection,
    team: &TeamName,
    after: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Event>> {
    // A cursor beyond what SQLite can count has nothing after it.
    let after = after.min(i64::MAX.unsigned_abs());
    connection
        .prepare_cached(
            "SELECT seq, at, actor, fact FROM events
             WHERE team = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        )?
        .query_map(
            params![team.as_str(), Unsigned(after), Unsigned::limit(limit)],
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
    connection
        .prepare_cached(
            "SELECT seq, at, actor, fact FROM events
             WHERE task = ?1 AND team = ?2 ORDER BY seq LIMIT ?3",
        )?
        .query_map(
            params![bytes(&task.0), team.as_str(), Unsigned::limit(limit)],
            |row| event(team, row),
        )?
        .collect()
}

fn event(team: &TeamName, row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        team: team.clone(),
        seq: row.get::<_, Unsigned>(0)?.0,
        at: row.time(1)?,
        actor: row.get(2)?,
        fact: row.json(3)?,
    })
}
