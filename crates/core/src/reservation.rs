//! Reservations: an agent's advisory claim on paths, so that two don't edit the same files.
//!
//! A path is relative to the repository's root, `/`-separated; a trailing `/**`
//! or a folder's own name covers everything below it.

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_PATH_LEN, MAX_PATHS, MAX_RESERVATION};
use crate::rejection::{Code, Rejection};
use crate::task::Epoch;
use crate::{AgentName, ReservationId, Span, TaskId, Timestamp};

/// Most live reservations of one team.
pub const MAX_RESERVATIONS: usize = 10_000;

/// A live claim on paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reservation {
    /// Its id.
    pub id: ReservationId,
    /// Who holds it.
    pub agent: AgentName,
    /// The task it is for; it ends with that task's attempt.
    pub task: Option<TaskId>,
    /// The attempt's epoch, so that a zombie's reservation is refused.
    pub epoch: Option<Epoch>,
    /// Which repository: a name that the team agrees on.
    pub repository: String,
    /// The paths.
    pub paths: Vec<String>,
    /// Whether others may hold the same paths if they too say so (reading, reviewing).
    pub shared: bool,
    /// Why.
    pub reason: String,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Reads a path into its normal form; refuses what leaves the repository.
pub fn normal_path(text: &str) -> Result<String, Rejection> {
    let bad = |why: &str| {
        Rejection::new(
            Code::InvalidField,
            format!("path `{}` {why}", crate::text::shown(text)),
        )
        .hint("use a path relative to the repository's root, for example src/api or src/api/**")
    };
    if text.len() > MAX_PATH_LEN {
        return Err(Rejection::too_large("a path", text.len(), MAX_PATH_LEN));
    }
    if text.starts_with('/') {
        return Err(bad("is absolute"));
    }
    let text_without_glob = text.strip_suffix("/**").unwrap_or(text);
    let mut parts = Vec::new();
    for part in text_without_glob.split('/') {
        match part {
            "" | "." => {}
            "**" if text == "**" => {}
            ".." => return Err(bad("leaves the repository")),
            part if part.contains('*') => return Err(bad("has a `*` that is not a final `/**`")),
            part if part.chars().any(char::is_control) => {
                return Err(bad("has a control character"));
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// Checks a reservation's bounds and brings its paths to their normal form.
pub fn validate(repository: &str, paths: &[String], ttl: Span) -> Result<Vec<String>, Rejection> {
    if repository.len() > MAX_PATH_LEN {
        return Err(
            Rejection::too_large("the repository's name", repository.len(), MAX_PATH_LEN)
                .at("repository"),
        );
    }
    if paths.is_empty() {
        return Err(Rejection::new(Code::InvalidField, "no path is named").at("paths"));
    }
    if paths.len() > MAX_PATHS {
        return Err(Rejection::too_large("paths", paths.len(), MAX_PATHS).at("paths"));
    }
    if ttl == Span::ZERO || ttl > MAX_RESERVATION {
        return Err(Rejection::new(
            Code::InvalidField,
            format!("ttl must be above 0 and at most {MAX_RESERVATION}"),
        )
        .at("ttl"));
    }
    paths
        .iter()
        .enumerate()
        .map(|(i, path)| normal_path(path).map_err(|rejection| rejection.at(format!("paths[{i}]"))))
        .collect()
}

/// Whether two normal paths cover a common file: equal, or one is a folder above the other.
pub fn overlap(a: &str, b: &str) -> bool {
    let below = |folder: &str, path: &str| {
        folder.is_empty()
            || path
                .strip_prefix(folder)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    below(a, b) || below(b, a)
}

/// The first live reservation of another agent that stands in the way, with the path that does.
pub fn conflict<'a>(
    agent: &AgentName,
    repository: &str,
    paths: &[String],
    shared: bool,
    live: &'a [Reservation],
    now: Timestamp,
) -> Option<(&'a Reservation, &'a str)> {
    live.iter()
        .filter(|held| {
            held.expires_at > now && held.repository == repository && held.agent != *agent
        })
        .filter(|held| !(shared && held.shared))
        .find_map(|held| {
            held.paths
                .iter()
                .find(|theirs| paths.iter().any(|ours| overlap(ours, theirs)))
                .map(|path| (held, path.as_str()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_overlap_by_folder_not_by_prefix() {
        for (a, b, expected) in [
            ("src", "src/a.rs", true),
            ("src/a.rs", "src", true),
            ("src", "src2/a.rs", false),
            ("", "anything", true),
            ("src/a.rs", "src/b.rs", false),
            ("src/a.rs", "src/a.rs", true),
        ] {
            assert_eq!(overlap(a, b), expected, "{a:?} {b:?}");
        }
    }

    #[test]
    fn paths_are_brought_to_one_form_or_refused() {
        assert_eq!(normal_path("./src//api/**").unwrap(), "src/api");
        assert_eq!(normal_path("**").unwrap(), "");
        for bad in ["/etc", "../x", "a/../../b", "src/*.rs", "a\u{7}b"] {
            assert!(normal_path(bad).is_err(), "{bad:?}");
        }
    }
}
