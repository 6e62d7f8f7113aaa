//! Answers remembered under idempotency keys.

use collective_core::ports::StoreError;
use collective_core::ports::store::Remembered;
use collective_core::{TeamName, Timestamp};

use super::column::{Columns, Text};
use super::query::Access;
use super::statements::{statements, team};
use super::writing::{Expect, Writing, owned};

statements! { "answers":
    REMEMBER = "
        INSERT INTO answers (team, key, request_hash, answer, at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (team, key) DO UPDATE SET request_hash = excluded.request_hash,
            answer = excluded.answer, at = excluded.at";
    REMEMBERED = concat!("
        SELECT request_hash, answer FROM answers
        WHERE team = ", team!(), " AND key = $2 AND at >= $3");
    ALL = concat!("
        SELECT key, request_hash, answer, at FROM answers
        WHERE team = ", team!(), " AND key > $2 ORDER BY key LIMIT $3");
    FORGET = "
        WITH forgotten AS (DELETE FROM answers WHERE at < $1 RETURNING 1)
        SELECT COUNT(*) FROM forgotten";
}

/// Remembers an answer; an older one under the same key has expired and gives way.
pub(super) async fn remember(
    tx: &mut Writing,
    team: &TeamName,
    key: &str,
    answer: &Remembered,
    now: Timestamp,
) -> Result<(), StoreError> {
    let values = owned![
        tx.team(team).await?.number,
        Text::owned(key),
        answer.request_hash.to_vec(),
        Text::owned(&answer.answer),
        now.micros(),
    ];
    tx.send(REMEMBER, values, Expect::Success).await
}

pub(super) async fn remembered(
    ask: &mut impl Access,
    team: &TeamName,
    key: &str,
    since: Timestamp,
) -> Result<Option<Remembered>, StoreError> {
    let key = Text::of(key);
    let rows = ask
        .rows(REMEMBERED, &[&team.as_str(), &key, &since.micros()])
        .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(Remembered {
        request_hash: row.hash(0)?,
        answer: row.text(1)?,
    }))
}

/// Answers with keys after `after`, by key.
pub(super) async fn all(
    ask: &mut impl Access,
    team: &TeamName,
    after: &str,
    limit: usize,
) -> Result<Vec<(String, Remembered, Timestamp)>, StoreError> {
    let after = Text::of(after);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    ask.rows(ALL, &[&team.as_str(), &after, &limit])
        .await?
        .iter()
        .map(|row| {
            let answer = Remembered {
                request_hash: row.hash(1)?,
                answer: row.text(2)?,
            };
            Ok((row.text(0)?, answer, row.time(3)?))
        })
        .collect()
}

/// Forgets the answers older than `before`.
pub(super) async fn forget(tx: &mut Writing, before: Timestamp) -> Result<u64, StoreError> {
    let rows = tx.rows(FORGET, &[&before.micros()]).await?;
    rows.first().map_or(Ok(0), |row| row.number(0))
}
