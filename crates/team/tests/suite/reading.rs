//! Reading team files in tests: fixed time, fixed folders, a small book of presets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use collective_core::text::nearest;
use collective_core::{Code, Rejection, Timestamp};
use collective_team::{PresetBook, Problems, Settings, TeamFile};
use serde_json::Value;

/// Stands for the book of presets, and speaks like it: a name and the options that it has.
pub(crate) struct Book;

const PRESETS: [(&str, &[&str]); 7] = [
    ("aider", &["model"]),
    ("claude", &["model", "permission_mode", "max_budget_usd"]),
    ("codex", &["model", "sandbox"]),
    ("gemini", &["model"]),
    ("opencode", &["model"]),
    (
        "scripted",
        &[
            "personality",
            "seconds",
            "failures",
            "signal",
            "file",
            "text",
        ],
    ),
    ("shell", &["strict", "trace"]),
];

impl PresetBook for Book {
    fn names(&self) -> Vec<String> {
        PRESETS.map(|(name, _)| name.to_owned()).to_vec()
    }

    fn check_definition(&self, _: &str, definition: &Value) -> Result<(), Rejection> {
        let runs = ["program", "extends"].map(|part| definition.get(part).is_some());
        if runs.contains(&true) {
            return Ok(());
        }
        let message = "neither `program` nor `extends` says what it runs";
        Err(Rejection::new(Code::InvalidField, message))
    }

    fn check_options(
        &self,
        name: &str,
        own: Option<&Value>,
        options: &BTreeMap<String, Value>,
    ) -> Result<(), Rejection> {
        let base = own.and_then(|own| own["extends"].as_str()).unwrap_or(name);
        let (_, known) = PRESETS
            .into_iter()
            .find(|(known, _)| *known == base)
            .unwrap_or(("", &[]));
        let Some(unknown) = options.keys().find(|key| !known.contains(&key.as_str())) else {
            return Ok(());
        };
        let message = format!("preset `{name}` has no option `{unknown}`");
        let rejection = Rejection::new(Code::InvalidField, message);
        let hint = match nearest(unknown, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it has {}", known.join(", ")),
        };
        Err(rejection.hint(hint).at(unknown.clone()))
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
