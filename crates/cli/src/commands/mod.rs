//! The commands, one file per noun.

pub(crate) mod agent;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod dead;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod key;
pub(crate) mod message;
pub(crate) mod migrate;
pub(crate) mod queue;
pub(crate) mod reserve;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod stack;
pub(crate) mod status;
pub(crate) mod task;
pub(crate) mod up;

use collective_core::role::Role;
use collective_core::{Rejection, Span};

/// Reads a role.
pub(crate) fn role(text: &str) -> Result<Role, String> {
    let words = || Role::ALL.into_iter().map(Role::as_str);
    Role::from_text(text).ok_or_else(|| match collective_core::text::nearest(text, words()) {
        Some(near) => format!("no such role; did you mean `{near}`?"),
        None => format!(
            "no such role; known are {}",
            words().collect::<Vec<_>>().join(", ")
        ),
    })
}

/// Reads a length of time.
pub(crate) fn span(text: &str) -> Result<Span, String> {
    text.parse()
        .map_err(|rejection: Rejection| said(&rejection))
}

/// A rejection with its hint, in one line, for clap to show.
pub(crate) fn said(rejection: &Rejection) -> String {
    match rejection.hint_text() {
        Some(hint) => format!("{}; {hint}", rejection.message()),
        None => rejection.message().to_owned(),
    }
}
