//! Identifiers and names as types, so that one can't be passed for another.
//!
//! Identifiers are UUIDv7 (RFC 9562), handed in by the caller. Names are lower
//! case, safe in a URL, a file name and an AMQP routing key.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::limits::MAX_NAME_LEN;
use crate::rejection::{Code, Rejection};

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Rejection;

            fn from_str(text: &str) -> Result<Self, Rejection> {
                Uuid::from_str(text).map(Self).map_err(|_| {
                    Rejection::new(Code::InvalidField, format!("`{}` is not an identifier (a UUID)", crate::text::shown(text)))
                })
            }
        }
    };
}

uuid_id!(
    /// One unit of work.
    TaskId
);
uuid_id!(
    /// One message, whoever receives it.
    MessageId
);
uuid_id!(
    /// One question that a running task asked.
    QuestionId
);
uuid_id!(
    /// One claim on paths of a repository.
    ReservationId
);
uuid_id!(
    /// One API key (the public half; the secret is never stored).
    KeyId
);
uuid_id!(
    /// One recurring schedule.
    ScheduleId
);

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 63 characters: `a-z`, `0-9`, `.`, `_`, `-`, starting with a letter or digit.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses a name; the rejection says what is wrong with it.
            pub fn new(text: &str) -> Result<Self, Rejection> {
                check_name(text, $what).map(|()| Self(Arc::from(text)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl FromStr for $name {
            type Err = Rejection;

            fn from_str(text: &str) -> Result<Self, Rejection> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(de)?;
                Self::new(&text).map_err(|rejection| serde::de::Error::custom(rejection.message()))
            }
        }
    };
}

name!(
    /// The namespace that everything belongs to.
    TeamName,
    "team name"
);
name!(
    /// A participant's name, unique in its team.
    AgentName,
    "agent name"
);
name!(
    /// A lane of work that agents serve.
    QueueName,
    "queue name"
);

impl TeamName {
    /// The team that is there from the start.
    pub fn default_team() -> Self {
        Self(Arc::from("default"))
    }
}

impl QueueName {
    /// The queue that is there from the start.
    pub fn default_queue() -> Self {
        Self(Arc::from("default"))
    }
}

fn check_name(text: &str, what: &str) -> Result<(), Rejection> {
    let bad = |why: &str| {
        Rejection::new(
            Code::InvalidName,
            format!("{what} `{}` {why}", crate::text::shown(text)),
        )
        .hint("use 1 to 63 of a-z, 0-9, `.`, `_`, `-`, starting with a letter or digit")
    };
    match text.as_bytes() {
        [] => Err(bad("is empty")),
        bytes if bytes.len() > MAX_NAME_LEN => Err(bad("is too long")),
        [first, ..] if !(first.is_ascii_lowercase() || first.is_ascii_digit()) => {
            Err(bad("doesn't start with a lower-case letter or digit"))
        }
        bytes => match bytes
            .iter()
            .find(|b| !matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
        {
            Some(_) => Err(bad("has a character outside a-z, 0-9, `.`, `_`, `-`")),
            None => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_safe_everywhere_are_refused() {
        for bad in ["", "A", "-a", "a b", "a/b", "ä", "a\n", &"x".repeat(64)] {
            assert_eq!(
                AgentName::new(bad).unwrap_err().code(),
                Code::InvalidName,
                "{bad:?}"
            );
        }
        for good in ["a", "0", "a.b-c_d", &"x".repeat(63)] {
            assert!(AgentName::new(good).is_ok(), "{good:?}");
        }
    }
}
