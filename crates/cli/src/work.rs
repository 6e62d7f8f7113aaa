//! From what a team file or a command line says of an agent to what its worker is given.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use collective_client::Token;
use collective_core::TeamName;
use collective_runner::attempt::Delivery;
use collective_runner::preset::failure::Rules;
use collective_runner::preset::reading::Reading;
use collective_runner::worker::{Work, WorkerOptions};
use collective_team::{AgentEntry, NoPresets, Program};
use serde_json::Value;

use crate::errors::CliError;

/// The presets that are known.
pub(crate) type Book = NoPresets;
/// The book of presets.
pub(crate) const BOOK: Book = NoPresets;

/// How long a command may take to end once it was asked to.
const GRACE: Duration = Duration::from_secs(5);

/// What the worker of this agent is given. `own` are the presets of its team file.
pub(crate) fn options(
    agent: &AgentEntry,
    own: &BTreeMap<String, Value>,
    url: &str,
    team: &TeamName,
    token: Token,
) -> Result<WorkerOptions, CliError> {
    let mut work = work(&agent.program, own)?;
    work.env.extend(
        agent
            .env
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    work.worktree = agent.worktree;
    work.workdir = match (&agent.repository, agent.worktree) {
        (Some(repository), true) => repository.clone(),
        _ => agent.workdir.clone(),
    };
    Ok(WorkerOptions {
        url: url.to_owned(),
        token,
        team: team.clone(),
        agent: agent.name.clone(),
        spec: agent.spec.clone(),
        lease: agent.lease,
        work,
    })
}

fn work(program: &Program, _own: &BTreeMap<String, Value>) -> Result<Work, CliError> {
    let command = match program {
        Program::Shell(text) => vec!["sh".to_owned(), "-c".to_owned(), text.clone()],
        Program::Argv(words) => words.clone(),
        Program::Preset { name, .. } => {
            return Err(CliError::usage(
                format!(
                    "no preset is named `{}`",
                    collective_core::text::shown(name)
                ),
                "give a command",
            ));
        }
    };
    Ok(Work {
        command,
        delivery: Delivery::Stdin,
        briefing: false,
        reading: Arc::new(Reading::default()),
        rules: Arc::new(Rules::default()),
        env: Vec::new(),
        drop_env: Vec::new(),
        workdir: std::path::PathBuf::new(),
        worktree: false,
        grace: GRACE,
    })
}
