//! Answers remembered under idempotency keys.

use collective_core::ports::store::Remembered;
use collective_core::{TeamName, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::column::{Columns, Unsigned};

/// Remembers an answer; an older one under the same key has expired and gives way.
pub(super) fn remember(
    connection: &Connection,
    team: &TeamName,
    key: &str,
    answer: &Remembered,
    now: Timestamp,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO answers (team, key, request_hash, answer, at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (team, key) DO UPDATE SET request_hash = excluded.request_hash,
                 answer = excluded.answer, at = excluded.at",
        )?
        .execute(params![
            team.as_str(),
            key,
            answer.request_hash,
            answer.answer,
            now.micros()
        ])?;
    Ok(())
}

pub(super) fn remembered(
    connection: &Connection,
    team: &TeamName,
    key: &str,
    since: Timestamp,
) -> rusqlite::Result<Option<Remembered>> {
    connection
        .prepare_cached(
            "SELECT request_hash, answer, at FROM answers WHERE team = ?1 AND key = ?2",
        )?
        .query_row(params![team.as_str(), key], |row| {
            let fresh = row.time(2)? >= since;
            let answer = Remembered {
                request_hash: row.get(0)?,
                answer: row.get(1)?,
            };
            Ok(fresh.then_some(answer))
        })
        .optional()
        .map(Option::flatten)
}

/// Answers with keys after `after`, by key.
pub(super) fn all(
    connection: &Connection,
    team: &TeamName,
    after: &str,
    limit: usize,
) -> rusqlite::Result<Vec<(String, Remembered, Timestamp)>> {
    connection
        .prepare_cached(
            "SELECT key, request_hash, answer, at FROM answers
             WHERE team = ?1 AND key > ?2 ORDER BY key LIMIT ?3",
        )?
        .query_map(
            params![team.as_str(), after, Unsigned::limit(limit)],
            |row| {
                let answer = Remembered {
                    request_hash: row.get(1)?,
                    answer: row.get(2)?,
                };
                Ok((row.get(0)?, answer, row.time(3)?))
            },
        )?
        .collect()
}

/// Forgets the answers older than `before`.
pub(super) fn forget(connection: &Connection, before: Timestamp) -> rusqlite::Result<u64> {
    let forgotten = connection
        .prepare_cached("DELETE FROM answers WHERE at < ?1")?
        .execute(params![before.micros()])?;
    Ok(u64::try_from(forgotten).unwrap_or(u64::MAX))
}
