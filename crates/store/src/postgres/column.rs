//! How core's words are kept in columns, and read back from them.
//!
//! What can't be read back is corruption and is reported with its column;
//! nothing is guessed.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Display;
use std::str::FromStr;

use bytes::BytesMut;
use collective_core::Timestamp;
use collective_core::ports::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

/// Stands before the digit of a character that PostgreSQL can't keep, or of itself.
const ESCAPE: char = '\u{1}';

/// Text on its way into or out of a column. PostgreSQL keeps any character but
/// U+0000; that one, and the U+0001 that marks it, become two characters. The
/// order of texts stays what it is, and so does whether two are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text<'a>(Cow<'a, str>);

impl<'a> Text<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        if !text.contains(['\0', ESCAPE]) {
            return Self(Cow::Borrowed(text));
        }
        let mut escaped = String::with_capacity(text.len() + 8);
        for c in text.chars() {
            match c {
                '\0' => escaped.extend([ESCAPE, '0']),
                ESCAPE => escaped.extend([ESCAPE, '1']),
                c => escaped.push(c),
            }
        }
        Self(Cow::Owned(escaped))
    }

    /// The same, for a parameter that outlives what it was made from.
    pub(super) fn owned(text: &str) -> Text<'static> {
        Text(Cow::Owned(Text::of(text).0.into_owned()))
    }

    fn read(kept: &str) -> String {
        if !kept.contains(ESCAPE) {
            return kept.to_owned();
        }
        let mut text = String::with_capacity(kept.len());
        let mut chars = kept.chars();
        while let Some(c) = chars.next() {
            match c {
                ESCAPE => text.push(match chars.next() {
                    Some('0') => '\0',
                    // Nothing else is ever written after it.
                    _ => ESCAPE,
                }),
                c => text.push(c),
            }
        }
        text
    }
}

impl ToSql for Text<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.0.as_ref().to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        <&str as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

/// Reading columns as core's types.
pub(super) trait Columns {
    /// A value as PostgreSQL's type has it.
    fn value<'r, T: FromSql<'r>>(&'r self, column: usize) -> Result<T, StoreError>;

    /// Text.
    fn text(&self, column: usize) -> Result<String, StoreError> {
        self.value(column).map(Text::read)
    }

    /// Text or nothing.
    fn optional_text(&self, column: usize) -> Result<Option<String>, StoreError> {
        let kept: Option<&str> = self.value(column)?;
        Ok(kept.map(Text::read))
    }

    /// A UUID.
    fn uuid(&self, column: usize) -> Result<Uuid, StoreError> {
        self.value(column)
    }

    /// A UUID or nothing.
    fn optional_uuid(&self, column: usize) -> Result<Option<Uuid>, StoreError> {
        self.value(column)
    }

    /// 128 bits or nothing, kept like a UUID.
    fn optional_secret(&self, column: usize) -> Result<Option<u128>, StoreError> {
        Ok(self.optional_uuid(column)?.map(|secret| secret.as_u128()))
    }

    /// A SHA-256.
    fn hash(&self, column: usize) -> Result<[u8; 32], StoreError> {
        let bytes: &[u8] = self.value(column)?;
        bytes
            .try_into()
            .map_err(|_| unreadable(column, format!("{} bytes are no SHA-256", bytes.len())))
    }

    /// A count or number that is never negative.
    fn number<T: TryFrom<i64>>(&self, column: usize) -> Result<T, StoreError> {
        let value: i64 = self.value(column)?;
        T::try_from(value).map_err(|_| unreadable(column, format!("{value} is out of range")))
    }

    /// A point in time.
    fn time(&self, column: usize) -> Result<Timestamp, StoreError> {
        self.value(column).map(Timestamp::from_micros)
    }

    /// A point in time or nothing.
    fn optional_time(&self, column: usize) -> Result<Option<Timestamp>, StoreError> {
        let micros: Option<i64> = self.value(column)?;
        Ok(micros.map(Timestamp::from_micros))
    }

    /// One of an enumeration's words.
    fn word<T>(
        &self,
        column: usize,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let word: &str = self.value(column)?;
        read(word).ok_or_else(|| {
            unreadable(
                column,
                format!("`{word}` is none of the words that belong there"),
            )
        })
    }

    /// A checked name.
    fn name<T: FromStr<Err: Display>>(&self, column: usize) -> Result<T, StoreError> {
        parse(column, self.value(column)?)
    }

    /// A checked name or nothing.
    fn optional_name<T: FromStr<Err: Display>>(
        &self,
        column: usize,
    ) -> Result<Option<T>, StoreError> {
        let name: Option<&str> = self.value(column)?;
        name.map(|name| parse(column, name)).transpose()
    }

    /// A value kept as JSON.
    fn json<T: DeserializeOwned>(&self, column: usize) -> Result<T, StoreError> {
        read_json(column, self.value(column)?)
    }

    /// A value kept as JSON or nothing.
    fn optional_json<T: DeserializeOwned>(&self, column: usize) -> Result<Option<T>, StoreError> {
        let text: Option<&str> = self.value(column)?;
        text.map(|text| read_json(column, text)).transpose()
    }
}

impl Columns for Row {
    fn value<'r, T: FromSql<'r>>(&'r self, column: usize) -> Result<T, StoreError> {
        self.try_get(column).map_err(|error| {
            let reason = match error.source() {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            unreadable(column, reason)
        })
    }
}

fn parse<T: FromStr<Err: Display>>(column: usize, text: &str) -> Result<T, StoreError> {
    T::from_str(text)
        .map_err(|reason| unreadable(column, format!("`{text}` is not a name: {reason}")))
}

fn read_json<T: DeserializeOwned>(column: usize, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| unreadable(column, error.to_string()))
}

fn unreadable(column: usize, reason: impl Display) -> StoreError {
    StoreError::Corrupt(format!("column {column}: {reason}"))
}

/// A value as JSON text. It has no control characters, so it needs no [`Text`].
pub(super) fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Internal(format!("a value can't be written as JSON: {error}")))
}

/// A number for a column; PostgreSQL keeps signed 64-bit integers.
pub(super) fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number)
        .map_err(|_| StoreError::Internal(format!("the number {number} is beyond what is kept")))
}

/// How many rows at most, or a number to compare with. More than there can be is as good as all.
pub(super) fn at_most<T: TryInto<i64>>(number: T) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_comes_back_and_keeps_its_order() {
        let texts = [
            "",
            "\0",
            "\0\0",
            "\0\u{1}",
            "\0a",
            "\u{1}",
            "\u{1}\0",
            "\u{1}0",
            "\u{1}1",
            "\u{2}",
            "0",
            "a",
            "a\0b",
            "a\u{1}",
            "\u{10ffff}",
        ];
        let kept = texts.map(|text| Text::of(text).0.into_owned());
        for (text, kept) in texts.iter().zip(&kept) {
            assert!(!kept.contains('\0'), "{text:?} can't be kept");
            assert_eq!(Text::read(kept), *text);
        }
        for pair in [texts.map(str::to_owned), kept] {
            assert!(pair.is_sorted(), "{pair:?} is out of order");
        }
    }
}
