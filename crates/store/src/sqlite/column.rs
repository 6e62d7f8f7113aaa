//! How core's words are kept in columns, and read back from them.
//!
//! What can't be read back is corruption and is reported with its column;
//! nothing is guessed.

use std::str::FromStr;

use collective_core::{Span, Timestamp};
use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Type, ValueRef};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// Why a column doesn't hold what it should.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("`{0}` is none of the words that belong there")]
    Word(String),
    #[error("`{text}` is not a name: {reason}")]
    Name { text: String, reason: String },
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// Reading columns as core's types.
pub(super) trait Columns {
    /// A UUID, kept as its 16 bytes.
    fn uuid(&self, column: usize) -> rusqlite::Result<Uuid>;
    /// A UUID or nothing.
    fn optional_uuid(&self, column: usize) -> rusqlite::Result<Option<Uuid>>;
    /// 128 bits or nothing, kept as 16 bytes, the highest first.
    fn optional_secret(&self, column: usize) -> rusqlite::Result<Option<u128>>;
    /// A point in time.
    fn time(&self, column: usize) -> rusqlite::Result<Timestamp>;
    /// A point in time or nothing.
    fn optional_time(&self, column: usize) -> rusqlite::Result<Option<Timestamp>>;
    /// One of an enumeration's words.
    fn word<T>(&self, column: usize, read: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T>;
    /// A checked name.
    fn name<T: FromStr>(&self, column: usize) -> rusqlite::Result<T>
    where
        T::Err: std::fmt::Display;
    /// A checked name or nothing.
    fn optional_name<T: FromStr>(&self, column: usize) -> rusqlite::Result<Option<T>>
    where
        T::Err: std::fmt::Display;
    /// A value kept as JSON.
    fn json<T: DeserializeOwned>(&self, column: usize) -> rusqlite::Result<T>;
    /// A value kept as JSON or nothing.
    fn optional_json<T: DeserializeOwned>(&self, column: usize) -> rusqlite::Result<Option<T>>;
}

impl Columns for Row<'_> {
    fn uuid(&self, column: usize) -> rusqlite::Result<Uuid> {
        self.get::<_, [u8; 16]>(column).map(Uuid::from_bytes)
    }

    fn optional_uuid(&self, column: usize) -> rusqlite::Result<Option<Uuid>> {
        Ok(self
            .get::<_, Option<[u8; 16]>>(column)?
            .map(Uuid::from_bytes))
    }

    fn optional_secret(&self, column: usize) -> rusqlite::Result<Option<u128>> {
        Ok(self
            .get::<_, Option<[u8; 16]>>(column)?
            .map(u128::from_be_bytes))
    }

    fn time(&self, column: usize) -> rusqlite::Result<Timestamp> {
        self.get(column).map(Timestamp::from_micros)
    }

    fn optional_time(&self, column: usize) -> rusqlite::Result<Option<Timestamp>> {
        Ok(self
            .get::<_, Option<i64>>(column)?
            .map(Timestamp::from_micros))
    }

    fn word<T>(&self, column: usize, read: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T> {
        let text = self.get_ref(column)?.as_str()?;
        read(text).ok_or_else(|| unreadable(column, Unreadable::Word(text.to_owned())))
    }

    fn name<T: FromStr>(&self, column: usize) -> rusqlite::Result<T>
    where
        T::Err: std::fmt::Display,
    {
        parse(column, self.get_ref(column)?.as_str()?)
    }

    fn optional_name<T: FromStr>(&self, column: usize) -> rusqlite::Result<Option<T>>
    where
        T::Err: std::fmt::Display,
    {
        match self.get_ref(column)?.as_str_or_null()? {
            Some(text) => parse(column, text).map(Some),
            None => Ok(None),
        }
    }

    fn json<T: DeserializeOwned>(&self, column: usize) -> rusqlite::Result<T> {
        let text = self.get_ref(column)?.as_str()?;
        serde_json::from_str(text).map_err(|error| unreadable(column, error.into()))
    }

    fn optional_json<T: DeserializeOwned>(&self, column: usize) -> rusqlite::Result<Option<T>> {
        match self.get_ref(column)?.as_str_or_null()? {
            Some(text) => serde_json::from_str(text)
                .map(Some)
                .map_err(|error| unreadable(column, error.into())),
            None => Ok(None),
        }
    }
}

fn parse<T: FromStr>(column: usize, text: &str) -> rusqlite::Result<T>
where
    T::Err: std::fmt::Display,
{
    T::from_str(text).map_err(|reason| {
        let text = text.to_owned();
        let reason = reason.to_string();
        unreadable(column, Unreadable::Name { text, reason })
    })
}

fn unreadable(column: usize, error: Unreadable) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

/// A count or number that is never negative; SQLite keeps signed 64-bit integers.
#[derive(Clone, Copy)]
pub(super) struct Unsigned(pub(super) u64);

impl ToSql for Unsigned {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        i64::try_from(self.0)
            .map(ToSqlOutput::from)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    }
}

impl FromSql for Unsigned {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let value = value.as_i64()?;
        u64::try_from(value)
            .map(Self)
            .map_err(|_| FromSqlError::OutOfRange(value))
    }
}

impl Unsigned {
    /// The length of a span in microseconds.
    pub(super) fn span(span: Span) -> Self {
        Self(span.micros())
    }

    /// How many rows at most. More than SQLite can count is as good as all.
    pub(super) fn limit(limit: usize) -> Self {
        Self(
            u64::try_from(limit)
                .unwrap_or(u64::MAX)
                .min(i64::MAX.unsigned_abs()),
        )
    }
}

/// A value as JSON text.
pub(super) fn json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// The 16 bytes of a UUID, as they are bound.
pub(super) fn bytes(id: &Uuid) -> &[u8] {
    id.as_bytes().as_slice()
}

/// The 16 bytes of a secret, the highest first.
pub(super) fn secret_bytes(secret: u128) -> [u8; 16] {
    secret.to_be_bytes()
}
