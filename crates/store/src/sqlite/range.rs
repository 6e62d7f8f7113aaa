//! A team's range of rows: tasks and events are kept under the team's number
//! and their own in one integer (see the schema).

use collective_core::TeamName;
use rusqlite::{Connection, OptionalExtension, params};

/// Bits of a row that are the number in the team: enough for nine years at
/// 60,000 events a second.
const NUMBER_BITS: u32 = 44;
/// The end of a team's numbers. It is never given, and neither is 0, so that
/// the ends of a range stand for nothing.
const MAX_NUMBER: i64 = (1 << NUMBER_BITS) - 1;

/// Why there is no such row.
#[derive(Debug, thiserror::Error)]
enum NoRow {
    #[error("there is no team `{0}` to write to")]
    Team(TeamName),
    #[error("the number {0} is beyond what a team can have")]
    Number(u64),
}

/// The rows of one team.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    team: i64,
}

impl Range {
    /// The team's range, if there is such a team.
    pub(super) fn find(connection: &Connection, team: &TeamName) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached("SELECT number FROM teams WHERE name = ?1")?
            .query_row(params![team.as_str()], |row| Ok(Self { team: row.get(0)? }))
            .optional()
    }

    /// The team's range, to write to.
    pub(super) fn of(connection: &Connection, team: &TeamName) -> rusqlite::Result<Self> {
        Self::find(connection, team)?.ok_or_else(|| refuse(NoRow::Team(team.clone())))
    }

    /// The team's number.
    pub(super) fn team(self) -> i64 {
        self.team
    }

    /// The row of a number, to write it.
    pub(super) fn row(self, number: u64) -> rusqlite::Result<i64> {
        match i64::try_from(number) {
            Ok(number) if (1..MAX_NUMBER).contains(&number) => Ok(self.first() + number),
            _ => Err(refuse(NoRow::Number(number))),
        }
    }

    /// Where a number lies or would lie, the end of the range for those beyond it.
    pub(super) fn place(self, number: u64) -> i64 {
        let number = i64::try_from(number).unwrap_or(MAX_NUMBER);
        self.first() + number.min(MAX_NUMBER)
    }

    /// Before everything of the team.
    pub(super) fn first(self) -> i64 {
        self.team << NUMBER_BITS
    }

    /// After everything of the team.
    pub(super) fn last(self) -> i64 {
        self.first() + MAX_NUMBER
    }
}

/// The number in its team of a row.
pub(super) fn number(row: i64) -> u64 {
    (row & MAX_NUMBER).unsigned_abs()
}

fn refuse(why: NoRow) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(why))
}
