//! The settings of a server: flags before environment before file before
//! defaults, checked as a whole, every mistake told at once and at its place.
//!
//! This crate must never know a server or an adapter, and never prints a
//! secret: secrets come from the environment or from files, and flags can't
//! hold any, because other people of a machine can read command lines.

mod assemble;
mod environment;
mod file;
mod given;
mod key;
mod mistake;
mod near;
mod secret;
mod settings;
mod url;
mod value;

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use key::{For, KEYS, Key};
pub use mistake::{Mistake, MistakeCode, Mistakes, Origin};
pub use secret::Secret;
pub use settings::{
    Distributed, Engine, Log, LogFormat, Postgres, PostgresHost, PostgresTls, RabbitMq, Redis,
    Server, Settings, Sqlite, Tls, Trace,
};
pub use value::{Kind, Ratio};

use assemble::Merged;
use given::{Given, Notes};

/// Most that is read of a file, one byte beyond what is taken.
const MAX_READ: u64 = 1024 * 1024 + 1;

/// A flag that was given.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The flag with its dashes, such as `--listen`.
    pub name: &'static str,
    /// The key that it sets, such as `server.listen`.
    pub key: &'static str,
    /// Its value.
    pub value: String,
}

/// All that settings come from.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The flags.
    pub flags: Vec<Flag>,
}

/// One setting as it counts, for people to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its key.
    pub key: &'static str,
    /// Its value, a secret as stars; none if nothing is said and there is no default.
    pub value: Option<String>,
    /// Where it was said.
    pub from: Origin,
}

/// Settings that are as they should be.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Each of them, with where it was said: those that count for the engine.
    pub entries: Vec<Entry>,
    /// What is allowed, but should be looked at.
    pub warnings: Vec<String>,
}

/// Reads and checks everything.
///
/// # Errors
///
/// Every mistake that there is.
pub fn load(inputs: &Inputs) -> Result<Loaded, Mistakes> {
    let mut notes = Notes::default();
    let file = match &inputs.file {
        Some(path) => read_file(path, &mut notes.mistakes),
        None => Vec::new(),
    };
    let flags = flags(&inputs.flags, &mut notes.mistakes);
    let environment = &inputs.environment;
    environment::unknown(environment, &mut notes.mistakes);

    // What the environment says of PostgreSQL is somebody else's matter until
    // this server is told to use it.
    let mut variables = environment::read(
        environment,
        |key| key.engine == For::Any,
        &mut notes.mistakes,
    );
    let distributed = is_distributed([&file, &variables, &flags]);
    let of_engine = |key: &Key| key.engine != For::Any && key.counts_for(distributed);
    variables.extend(environment::read(
        environment,
        of_engine,
        &mut notes.mistakes,
    ));

    let layers = [file, variables, flags]
        .into_iter()
        .map(|given| {
            let (counts, others): (Vec<Given>, Vec<Given>) = given
                .into_iter()
                .partition(|given| given.key.counts_for(distributed));
            notes.warnings.extend(others.iter().map(unused));
            given::layer(counts, &mut notes)
        })
        .collect();
    let merged = Merged::of(layers);
    let settings = assemble::settings(&merged, &mut notes.mistakes);
    match settings {
        Some(settings) if notes.mistakes.is_empty() => Ok(Loaded {
            settings,
            entries: entries(&merged, distributed),
            warnings: notes.warnings,
        }),
        _ => Err(Mistakes::new(notes.mistakes)),
    }
}

fn read_file(path: &Path, mistakes: &mut Vec<Mistake>) -> Vec<Given> {
    let read = std::fs::File::open(path).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(MAX_READ).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    match read {
        Ok(bytes) => file::read(path, &bytes, mistakes),
        Err(error) => {
            let at = Origin::File {
                file: path.display().to_string(),
                line: 0,
                column: 0,
            };
            let message = format!("can't be read: {error}");
            mistakes.push(Mistake::new(MistakeCode::Unreadable, at, message));
            Vec::new()
        }
    }
}

fn flags(flags: &[Flag], mistakes: &mut Vec<Mistake>) -> Vec<Given> {
    let mut given = Vec::new();
    for flag in flags {
        let Some(key) = key::find(flag.key).filter(|key| !key.is_secret()) else {
            debug_assert!(false, "{} sets no key that a flag may set", flag.name);
            continue;
        };
        let at = Origin::Flag { name: flag.name };
        match value::from_text(key.kind, &flag.value) {
            Ok(value) => given.push(Given { key, value, at }),
            Err((code, message)) => {
                let hint = format!("it is {}", key.kind.describe());
                mistakes.push(Mistake::new(code, at, message).key(key.name).hint(hint));
            }
        }
    }
    given
}

/// Whether the highest layer that says something of the engine names the distributed one.
fn is_distributed(layers: [&Vec<Given>; 3]) -> bool {
    let said = layers
        .into_iter()
        .rev()
        .flat_map(|layer| layer.iter().filter(|given| given.key.name == "engine.kind"));
    said.take(1)
        .any(|given| given.value == value::Value::Text("distributed".to_owned()))
}

fn unused(given: &Given) -> String {
    let engine = match given.key.engine {
        For::Embedded => "embedded",
        For::Any | For::Distributed => "distributed",
    };
    format!(
        "{}: {} is not used: it is for engine.kind = \"{engine}\"",
        given.at, given.key.name
    )
}

fn entries(merged: &Merged, distributed: bool) -> Vec<Entry> {
    KEYS.iter()
        .filter(|key| key.counts_for(distributed))
        .map(|key| {
            let given = merged.get(key.name);
            Entry {
                key: key.name,
                value: given.map(|given| given.value.to_string()),
                from: given.map_or(Origin::Default, |given| given.at.clone()),
            }
        })
        .collect()
}
