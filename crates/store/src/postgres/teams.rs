//! Teams, and their rows as locks: whoever writes to a team has its row, so works
//! of a team come one after the other and event numbers follow their commits.

use collective_core::ports::StoreError;
use collective_core::{TeamName, Timestamp};

use super::column::{Columns, signed};
use super::query::Access;
use super::statements::statements;
use super::writing::{Expect, Writing, owned};

statements! { "teams":
    /// The lock, and what the work goes on from.
    LOCK = "SELECT number, last_seq, tasks FROM teams WHERE name = $1 FOR NO KEY UPDATE";
    ADVANCE = "UPDATE teams SET last_seq = $2, tasks = $3 WHERE number = $1";
    // Asked first, since a conflict would use a number up.
    INSERT = "INSERT INTO teams (name, created_at)
         SELECT $1, $2 WHERE NOT EXISTS (SELECT 1 FROM teams WHERE name = $1)
         ON CONFLICT (name) DO NOTHING RETURNING number";
    EXISTS = "SELECT EXISTS (SELECT 1 FROM teams WHERE name = $1)";
    ALL = "SELECT name FROM teams ORDER BY name";
}

/// The statement that locks a team.
pub(super) const LOCK_STATEMENT: &str = LOCK;

/// A locked team as the work that has it sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Locked {
    /// Its number.
    pub(super) number: i32,
    /// The newest event's number.
    pub(super) last_seq: u64,
    /// How many tasks it has ever had.
    pub(super) tasks: u64,
}

impl Locked {
    /// Reads a row of the locking statement.
    pub(super) fn of(row: &tokio_postgres::Row) -> Result<Self, StoreError> {
        Ok(Self {
            number: row.value(0)?,
            last_seq: row.number(1)?,
            tasks: row.number(2)?,
        })
    }
}

/// Writes how far a team has come.
pub(super) async fn advance(tx: &mut Writing, team: Locked) -> Result<(), StoreError> {
    let values = owned![team.number, signed(team.last_seq)?, signed(team.tasks)?];
    tx.send(ADVANCE, values, Expect::Rows(1, "teams")).await
}

/// Creates a team unless it is there; a new one is locked by that.
pub(super) async fn insert(
    tx: &mut Writing,
    team: &TeamName,
    now: Timestamp,
) -> Result<bool, StoreError> {
    // Whoever creates the same team at the same time is waited for here.
    let added = tx
        .rows(INSERT, &[&team.as_str(), &now.micros()])
        .await?
        .first()
        .map(|row| row.value(0))
        .transpose()?;
    match added {
        Some(number) => {
            tx.founded(team, number);
            Ok(true)
        }
        None => Ok(false),
    }
}

pub(super) async fn exists(ask: &mut impl Access, team: &TeamName) -> Result<bool, StoreError> {
    let rows = ask.rows(EXISTS, &[&team.as_str()]).await?;
    rows.first().map_or(Ok(false), |row| row.value(0))
}

pub(super) async fn all(ask: &mut impl Access) -> Result<Vec<TeamName>, StoreError> {
    let rows = ask.rows(ALL, &[]).await?;
    rows.iter().map(|row| row.name(0)).collect()
}
