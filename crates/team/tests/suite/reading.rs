//! Reading team files in tests: fixed time, fixed folders, a small book of presets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use collective_core::{Code, Rejection, Timestamp};
use collective_team::{PresetBook, Problems, Settings, TeamFile};
use serde_json::Value;

/// Knows `claude` with the option `model`, and `scripted` with any option.
pub(crate) struct Book;

impl PresetBook for Book {
    fn names(&self) -> Vec<String> {
        ["claude", "codex", "gemini", "aider", "opencode", "scripted"]
            .map(str::to_owned)
            .to_vec()
    }

    fn check_definition(&self, _: &str, definition: &Value) -> Result<(), Rejection> {
        match definition.get("command") {
            Some(_) => Ok(()),
            None => Err(Rejection::new(Code::InvalidField, "has no command")),
        }
    }

    fn check_options(
        &self,
        name: &str,
        _: Option<&Value>,
        options: &BTreeMap<String, Value>,
    ) -> Result<(), Rejection> {
        match options
            .keys()
            .find(|key| *key != "model" && name != "scripted")
        {
            Some(key) => Err(Rejection::new(Code::InvalidField, "unknown option").at(key)),
            None => Ok(()),
        }
    }
}

pub(crate) fn read_with(file: &str, set: &[(&str, &str)]) -> Result<TeamFile, Problems> {
    reading(file.as_bytes(), set)
}

pub(crate) fn read(file: &str) -> Result<TeamFile, Problems> {
    reading(file.as_bytes(), &[])
}

pub(crate) fn read_bytes(bytes: &[u8]) -> Result<TeamFile, Problems> {
    reading(bytes, &[])
}

fn reading(bytes: &[u8], set: &[(&str, &str)]) -> Result<TeamFile, Problems> {
    let set = set
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let settings = Settings {
        set: set.collect(),
        folder: PathBuf::from("/home/ada/team"),
        current: PathBuf::from("/home/ada/work"),
        now: now(),
        presets: &Book,
        look_at_disk: false,
    };
    collective_team::read(bytes, Path::new("team.yaml"), &settings)
}

/// The time that every test reads its file at.
pub(crate) fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

/// The file as an editor sees it; nothing if it isn't YAML.
pub(crate) fn yaml_to_json(file: &str) -> Option<Value> {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(file, options).ok()
}
