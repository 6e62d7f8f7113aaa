//! From what a team file or a command line says of an agent to what its worker is given.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use collective_client::Token;
use collective_core::{Rejection, TeamName};
use collective_runner::attempt::Delivery;
use collective_runner::preset::failure::Rules;
use collective_runner::preset::reading::Reading;
use collective_runner::preset::{Preset, PresetCommand, Presets};
use collective_runner::worker::{Work, WorkerOptions};
use collective_team::{AgentEntry, PresetBook, Program};
use serde_json::Value;

use crate::errors::CliError;
use crate::trace;

/// How long a command may take to end once it was asked to. What is cancelled
/// is gone within seconds, and a language model's CLI has time to save its session.
const GRACE: Duration = Duration::from_secs(5);

/// The presets that are known here: the built-in ones and the user's own.
pub(crate) struct Book(Presets);

impl Book {
    /// Reads the user's own presets: `presets/NAME.yaml` in the folder for settings.
    pub(crate) fn open() -> Result<Self, CliError> {
        let built_in = Presets::built_in();
        let Some(folder) = folder() else {
            return Ok(Self(built_in));
        };
        built_in
            .with_folder(&folder)
            .map(Self)
            .map_err(CliError::Presets)
    }

    /// All of them, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Preset> {
        self.0.iter()
    }

    fn command(
        &self,
        name: &str,
        own: Option<&Value>,
        options: &BTreeMap<String, Value>,
    ) -> Result<PresetCommand, Rejection> {
        if let Some(definition) = own {
            return self.0.define(name, definition)?.command(options);
        }
        match self.0.get(name) {
            Some(preset) => preset.command(options),
            None => Err(Rejection::not_found("preset", name)
                .hint(format!("known are {}", self.0.names().join(", ")))),
        }
    }

    /// The command that this agent runs, with the prompt's place still in it.
    pub(crate) fn command_line(
        &self,
        program: &Program,
        own: &BTreeMap<String, Value>,
    ) -> Result<Vec<String>, Rejection> {
        Ok(self.known(program, own)?.command)
    }

    fn known(
        &self,
        program: &Program,
        own: &BTreeMap<String, Value>,
    ) -> Result<PresetCommand, Rejection> {
        match program {
            Program::Shell(text) => Ok(plain(vec!["sh".to_owned(), "-c".to_owned(), text.clone()])),
            Program::Argv(words) => Ok(plain(words.clone())),
            Program::Preset { name, options } => self.command(name, own.get(name), options),
        }
    }

    /// What the worker of this agent is given. `own` are the presets of its team file.
    pub(crate) fn options(
        &self,
        agent: &AgentEntry,
        own: &BTreeMap<String, Value>,
        url: &str,
        team: &TeamName,
        token: Token,
    ) -> Result<WorkerOptions, CliError> {
        let preset = self.known(&agent.program, own)?;
        let mut env = preset.env;
        env.extend(agent.env.clone());
        let workdir = match (&agent.repository, agent.worktree) {
            (Some(repository), true) => repository.clone(),
            _ => agent.workdir.clone(),
        };
        let work = Work {
            command: preset.command,
            delivery: preset.delivery,
            briefing: preset.briefing,
            reading: preset.reading,
            rules: preset.rules,
            env,
            drop_env: preset.drop_env,
            workdir,
            worktree: agent.worktree,
            grace: GRACE,
        };
        Ok(WorkerOptions {
            url: url.to_owned(),
            token,
            team: team.clone(),
            agent: agent.name.clone(),
            spec: agent.spec.clone(),
            lease: agent.lease,
            work,
            open_span: trace::attempt,
        })
    }
}

impl PresetBook for Book {
    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn check_definition(&self, name: &str, definition: &Value) -> Result<(), Rejection> {
        self.0.define(name, definition).map(drop)
    }

    fn check_options(
        &self,
        name: &str,
        own: Option<&Value>,
        options: &BTreeMap<String, Value>,
    ) -> Result<(), Rejection> {
        self.command(name, own, options).map(drop)
    }
}

/// A command of which nothing is known: the prompt comes on standard input, and
/// what it prints is its result.
fn plain(command: Vec<String>) -> PresetCommand {
    PresetCommand {
        command,
        delivery: Delivery::Stdin,
        briefing: false,
        reading: Arc::new(Reading::default()),
        rules: Arc::new(Rules::default()),
        env: Vec::new(),
        drop_env: Vec::new(),
    }
}

/// Where the user's own presets are (XDG Base Directory Specification). Without a home there are none.
pub(crate) fn folder() -> Option<PathBuf> {
    let variable = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let settings = variable("XDG_CONFIG_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".config")))?;
    Some(settings.join("collective/presets"))
}
