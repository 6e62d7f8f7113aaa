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

/// Notes every variable that looks like one of ours and is none.
pub(crate) fn unknown(variables: &[(OsString, OsString)], mistakes: &mut Vec<Mistake>) {
    let own: Vec<String> = KEYS.iter().map(Key::own_variable).collect();
    let short = KEYS.iter().flat_map(|key| key.variables.iter().copied());
    let known: Vec<&str> = own
        .iter()
        .map(String::as_str)
        .chain(short.filter(|name| name.starts_with(OURS)))
        .chain(OTHERS.iter().copied())
        .collect();
    let mut unknown: Vec<String> = variables
        .iter()
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with(OURS) && !known.contains(&name.as_str()))
        .collect();
    unknown.sort();
    for name in unknown {
        let hint = did_you_mean(&name, known.iter().copied())
            .unwrap_or_else(|| "the variables are listed in docs/configuration.md".to_owned());
        let at = Origin::Variable { name: shown(&name) };
        let message = "there is no such variable";
        mistakes.push(Mistake::new(MistakeCode::UnknownVariable, at, message).hint(hint));
    }
}
