//! Secrets: made strong, judged, never shown.
//!
//! They are hexadecimal, so that they can stand in a URL, a shell and a
//! configuration file without being quoted.

use std::collections::BTreeSet;
use std::fmt;

use crate::error::StackError;

/// Random bytes of a secret: 192 bits, 48 characters.
const BYTES: usize = 24;
/// Shortest secret that counts as strong.
pub(crate) const MIN_LEN: usize = 20;
/// Fewest different characters of a strong secret.
const MIN_KINDS: usize = 8;

/// What must not be seen: it is used, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text as a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A new one, from the system's random numbers.
    pub(crate) fn generate() -> Result<Self, StackError> {
        let mut bytes = [0_u8; BYTES];
        getrandom::fill(&mut bytes).map_err(|error| StackError::NoRandomness(error.to_string()))?;
        Ok(Self(
            bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        ))
    }

    /// The text itself, for whoever has to use it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Whether a variable of this name holds a secret.
pub fn is_secret(name: &str) -> bool {
    if name.ends_with("_FILE") {
        return false;
    }
    ["PASSWORD", "SECRET", "COOKIE", "TOKEN", "_KEY", "_PASS"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

/// Why a secret is weak, if it is. `defaults` are values that everybody knows.
pub(crate) fn weakness(value: &str, defaults: &BTreeSet<String>) -> Option<String> {
    let kinds: BTreeSet<char> = value.chars().collect();
    if defaults.contains(value) {
        Some("it is the default that everybody knows".to_owned())
    } else if value.chars().count() < MIN_LEN {
        Some(format!("it has fewer than {MIN_LEN} characters"))
    } else if kinds.len() < MIN_KINDS {
        Some(format!("it has only {} different characters", kinds.len()))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_secret_is_strong_and_no_two_are_the_same() {
        let none = BTreeSet::new();
        let one = Secret::generate().unwrap();
        let two = Secret::generate().unwrap();
        assert_ne!(one, two);
        assert_eq!(one.reveal().len(), 48);
        assert!(one.reveal().chars().all(|c| c.is_ascii_hexdigit()));
        assert_eq!(weakness(one.reveal(), &none), None);
        assert_eq!(format!("{one:?}"), "***");
    }

    #[test]
    fn weak_secrets_are_told_by_their_reason() {
        let known = BTreeSet::from(["a-default-that-is-long-enough".to_owned()]);
        for (value, reason) in [
            ("", "fewer than 20"),
            ("postgres123", "fewer than 20"),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "1 different"),
            ("a-default-that-is-long-enough", "everybody knows"),
        ] {
            let why = weakness(value, &known).unwrap();
            assert!(why.contains(reason), "{value}: {why}");
        }
        assert_eq!(weakness("correct-horse-battery-staple", &known), None);
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in [
            "POSTGRES_PASSWORD",
            "RABBITMQ_ERLANG_COOKIE",
            "GRAFANA_SECRET_KEY",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["POSTGRES_USER", "POSTGRES_PASSWORD_FILE", "PGADMIN_EMAIL"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
