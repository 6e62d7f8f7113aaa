//! All presets that are known: the built-in ones, those of a folder, and what a
//! team file defines on top of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use collective_core::rejection::{Code, Rejection};
use collective_core::text::{nearest, shown};
use serde_json::Value;

use super::{Definition, Preset};

/// The built-in presets: name and file.
const BUILT_IN: [(&str, &str); 7] = [
    ("aider", include_str!("built_in/aider.yaml")),
    ("claude", include_str!("built_in/claude.yaml")),
    ("codex", include_str!("built_in/codex.yaml")),
    ("gemini", include_str!("built_in/gemini.yaml")),
    ("opencode", include_str!("built_in/opencode.yaml")),
    ("scripted", include_str!("built_in/scripted.yaml")),
    ("shell", include_str!("built_in/shell.yaml")),
];

/// Largest file of a preset: a hundred times the largest built-in one.
const MAX_FILE_LEN: u64 = 512 * 1024;

/// Most presets in one folder.
const MAX_FILES: usize = 200;

/// Longest chain of presets that extend each other.
const MAX_DEPTH: usize = 8;

/// What is wrong with a preset, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", place(file, *line, *column))]
pub struct PresetError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1, where it is known.
    pub line: Option<u64>,
    /// The column, from 1.
    pub column: Option<u64>,
    /// What is wrong.
    pub message: String,
}

fn place(file: &Path, line: Option<u64>, column: Option<u64>) -> String {
    match (line, column) {
        (Some(line), Some(column)) => format!("{}:{line}:{column}: ", file.display()),
        _ => format!("{}: ", file.display()),
    }
}

impl PresetError {
    fn of(file: &Path, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            column: None,
            message: message.into(),
        }
    }
}

/// The presets that are known.
#[derive(Clone, Debug)]
pub struct Presets {
    presets: BTreeMap<String, Preset>,
}

impl Presets {
    /// The built-in ones.
    pub fn built_in() -> Self {
        let presets = BUILT_IN.map(|(name, text)| {
            let preset = parse(Path::new(name), text)
                .and_then(|definition| {
                    Preset::new(name, definition)
                        .map_err(|message| PresetError::of(Path::new(name), message))
                })
                .expect("a built-in preset is right: a test reads each of them");
            (name.to_owned(), preset)
        });
        Self {
            presets: BTreeMap::from(presets),
        }
    }

    /// These, and those of a folder: each file `NAME.yaml` is the preset `NAME`,
    /// which may extend, or replace, one that is known. A folder that isn't there
    /// has none. All mistakes are told, not only the first.
    pub fn with_folder(mut self, folder: &Path) -> Result<Self, Vec<PresetError>> {
        let (files, mut errors) = read_folder(folder);
        let mut open = BTreeMap::new();
        for (name, file, text) in files {
            match parse(&file, &text) {
                Ok(definition) => drop(open.insert(name, (file, definition))),
                Err(error) => errors.push(error),
            }
        }
        let mut added = BTreeMap::new();
        for (name, (file, _)) in &open {
            let preset = self
                .resolve(name, &open, 0)
                .and_then(|definition| Preset::new(name, definition));
            match preset {
                Ok(preset) => drop(added.insert(name.clone(), preset)),
                Err(message) => errors.push(PresetError::of(file, message)),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        self.presets.extend(added);
        Ok(self)
    }

    /// The whole definition of a preset that is being read, with what it extends.
    fn resolve(
        &self,
        name: &str,
        open: &BTreeMap<String, (PathBuf, Definition)>,
        depth: usize,
    ) -> Result<Definition, String> {
        let known = |name: &str| self.get(name).map(|preset| preset.definition.clone());
        let Some((_, definition)) = open.get(name) else {
            return known(name).ok_or_else(|| self.unknown(name));
        };
        let Some(base) = definition.extends.clone() else {
            return Ok(definition.clone());
        };
        if depth == MAX_DEPTH {
            return Err(format!(
                "extends `{}`, which leads on for ever",
                shown(&base)
            ));
        }
        // A preset that extends its own name extends the one that it replaces.
        let base = if base == name {
            known(&base).ok_or_else(|| self.unknown(&base))?
        } else {
            self.resolve(&base, open, depth + 1)?
        };
        Ok(definition.clone().over(base))
    }

    fn unknown(&self, name: &str) -> String {
        let names = self.presets.keys().map(String::as_str);
        match nearest(name, names) {
            Some(near) => format!(
                "no preset is named `{}`; did you mean `{near}`?",
                shown(name)
            ),
            None => format!("no preset is named `{}`", shown(name)),
        }
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.presets.keys().cloned().collect()
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&Preset> {
        self.presets.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Preset> {
        self.presets.values()
    }

    /// A preset that a team file defines for itself. The rejection's field is
    /// relative to the definition.
    pub fn define(&self, name: &str, definition: &Value) -> Result<Preset, Rejection> {
        let bad = |message: String| Rejection::new(Code::InvalidField, message);
        if !definition.is_object() {
            return Err(bad("a preset is a mapping".to_owned()));
        }
        let definition: Definition =
            serde_path_to_error::deserialize(definition).map_err(|error| {
                match error.path().to_string() {
                    path if path == "." => bad(error.inner().to_string()),
                    path => bad(error.inner().to_string()).at(path),
                }
            })?;
        let open = BTreeMap::from([(name.to_owned(), (PathBuf::new(), definition))]);
        self.resolve(name, &open, 0)
            .map_err(|message| bad(message).at("extends"))
            .and_then(|whole| Preset::new(name, whole).map_err(bad))
    }
}

type Files = Vec<(String, PathBuf, String)>;

/// The YAML files of a folder, by name.
fn read_folder(folder: &Path) -> (Files, Vec<PresetError>) {
    let mut files = Vec::new();
    let mut errors = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return (files, errors),
        Err(error) => return (files, vec![PresetError::of(folder, error.to_string())]),
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|end| end == "yaml" || end == "yml")
    });
    paths.sort();
    if paths.len() > MAX_FILES {
        let message = format!("{} presets, the bound is {MAX_FILES}", paths.len());
        errors.push(PresetError::of(folder, message));
    }
    for path in paths.into_iter().take(MAX_FILES) {
        let name = path.file_stem().and_then(|stem| stem.to_str());
        match (name, read_file(&path)) {
            (Some(name), Ok(text)) => files.push((name.to_owned(), path, text)),
            (None, _) => errors.push(PresetError::of(&path, "its name is not UTF-8")),
            (_, Err(message)) => errors.push(PresetError::of(&path, message)),
        }
    }
    (files, errors)
}

fn read_file(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if length > MAX_FILE_LEN {
        return Err(format!(
            "has a size of {length}, the bound is {MAX_FILE_LEN}"
        ));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn parse(file: &Path, text: &str) -> Result<Definition, PresetError> {
    serde_saphyr::from_str(text).map_err(|error| {
        let location = error.location();
        PresetError {
            file: file.to_owned(),
            line: location.map(|location| location.line()),
            column: location.map(|location| location.column()),
            message: message(&error),
        }
    })
}

/// What the reader says is wrong, without the place and the picture.
fn message(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let first = text.lines().next().unwrap_or_default();
    let end = first.rfind(" at line ").unwrap_or(first.len());
    first[..end].to_owned()
}
