//! The environment: the variables that are settings, and those that only look like it.

use std::collections::HashMap;
use std::ffi::OsString;

use collective_core::text::shown;

use crate::given::Given;
use crate::key::{KEYS, Key, OTHERS};
use crate::mistake::{Mistake, MistakeCode, Origin};
use crate::near::did_you_mean;
use crate::value;

/// What our own variables start with.
/// How the settings' own variables go on, by section.
const SECTIONS: [&str; 6] = ["SERVER_", "ENGINE_", "STORE_", "BUS_", "CACHE_", "LOG_"];

const OURS: &str = "COLLECTIVE_";

/// What the environment says of these keys. A variable that is empty says nothing,
/// as Compose gives `${NAME:-}`.
pub(crate) fn read(
    variables: &[(OsString, OsString)],
    keys: impl Fn(&Key) -> bool,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Given> {
    let variables: HashMap<&str, &OsString> = variables
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, value)| Some((name.to_str()?, value)))
        .collect();
    let mut given = Vec::new();
    for key in KEYS.iter().filter(|key| keys(key)) {
        let own = key.own_variable();
        let names = std::iter::once(own.as_str()).chain(key.variables.iter().copied());
        for name in names {
            if let Some(value) = variables.get(name) {
                given.extend(one(key, name, value.to_str(), mistakes));
            }
        }
    }
    given
}

fn one(
    key: &'static Key,
    name: &str,
    text: Option<&str>,
    mistakes: &mut Vec<Mistake>,
) -> Option<Given> {
    let at = Origin::Variable {
        name: name.to_owned(),
    };
    let read = match text {
        Some(text) => value::from_text(key.kind, text),
        None => Err((MistakeCode::BadValue, "is not UTF-8".to_owned())),
    };
    match read {
        Ok(value) => Some(Given { key, value, at }),
        Err((code, message)) => {
            let hint = format!("it is {}", key.kind.describe());
            mistakes.push(Mistake::new(code, at, message).key(key.name).hint(hint));
            None
        }
    }
}

/// Notes every variable that looks like a setting and is none: one of a section,
/// or one that is near a setting's name. Other variables that begin like ours
/// are somebody else's, a script's or an agent's.
pub(crate) fn unknown(variables: &[(OsString, OsString)], mistakes: &mut Vec<Mistake>) {
    let own: Vec<String> = KEYS.iter().map(Key::own_variable).collect();
    let short = KEYS.iter().flat_map(|key| key.variables.iter().copied());
    let settings: Vec<&str> = own
        .iter()
        .map(String::as_str)
        .chain(short.filter(|name| name.starts_with(OURS)))
        .collect();
    let mut unknown: Vec<String> = variables
        .iter()
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with(OURS))
        .filter(|name| !settings.contains(&name.as_str()) && !OTHERS.contains(&name.as_str()))
        .collect();
    unknown.sort();
    for name in unknown {
        // What all of them begin with says nothing about how alike they are.
        let bare = name.trim_start_matches(OURS);
        let near = did_you_mean(
            bare,
            settings.iter().map(|known| known.trim_start_matches(OURS)),
        );
        let of_a_section = SECTIONS.iter().any(|section| bare.starts_with(section));
        let hint = match near {
            Some(near) => near.replacen('`', &format!("`{OURS}"), 1),
            None if of_a_section => "the variables are listed in docs/configuration.md".to_owned(),
            None => continue,
        };
        let at = Origin::Variable { name: shown(&name) };
        let message = "there is no such variable";
        mistakes.push(Mistake::new(MistakeCode::UnknownVariable, at, message).hint(hint));
    }
}
