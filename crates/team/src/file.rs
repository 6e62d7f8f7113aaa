//! What a team file says, in core's words, ready to be carried out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use collective_core::agent::AgentSpec;
use collective_core::schedule::Overlap;
use collective_core::task::{TaskSpec, graph};
use collective_core::{AgentName, Span, TaskId, TeamName};
use serde_json::Value;
use uuid::Uuid;

use crate::params::Param;

/// A team file that was read without a mistake.
#[derive(Clone, Debug)]
pub struct TeamFile {
    /// The team.
    pub team: TeamName,
    /// What it is for.
    pub description: String,
    /// The parameters and their values in this reading.
    pub params: Vec<Param>,
    /// Presets that the file defines for itself, as data.
    pub presets: BTreeMap<String, Value>,
    /// Who takes part, in the order of the file.
    pub agents: Vec<AgentEntry>,
    /// What is to be done, in the order of the file; a fan-out is unfolded. Every task has a
    /// key, and its dependencies name keys of this list.
    pub tasks: Vec<TaskSpec>,
    /// What is to be done again and again.
    pub schedules: Vec<ScheduleEntry>,
    /// The key of the task whose result is the result of the whole run.
    pub summary: Option<String>,
}

/// An agent of the team, and what it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentEntry {
    /// Its name.
    pub name: AgentName,
    /// What it says of itself.
    pub spec: AgentSpec,
    /// What it runs for each task.
    pub program: Program,
    /// Whether each attempt gets its own worktree and branch of the repository.
    pub worktree: bool,
    /// The repository, as an absolute path.
    pub repository: Option<PathBuf>,
    /// The folder that the program starts in, as an absolute path, if it has no worktree.
    pub workdir: PathBuf,
    /// What is added to the program's environment.
    pub env: BTreeMap<String, String>,
    /// How long a lease lasts without a heartbeat.
    pub lease: Span,
}

/// What an agent runs for each task.
#[derive(Clone, Debug, PartialEq)]
pub enum Program {
    /// A text for `sh -c`.
    Shell(String),
    /// A program and its arguments.
    Argv(Vec<String>),
    /// A known agent CLI.
    Preset {
        /// The preset's name.
        name: String,
        /// Its options, such as `model`.
        options: BTreeMap<String, Value>,
    },
}

/// A recurring task.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleEntry {
    /// Its name, unique in the team.
    pub name: String,
    /// When, as a cron expression.
    pub cron: String,
    /// In which IANA time zone.
    pub time_zone: String,
    /// What happens when the last one still runs.
    pub overlap: Overlap,
    /// The task that it creates.
    pub spec: TaskSpec,
}

impl TeamFile {
    /// The tasks in batches of at most `max`, each after those that it depends on. A
    /// dependency on an earlier batch still names its key: the id is known once that batch
    /// was created.
    pub fn batches(&self, max: usize) -> Vec<Vec<TaskSpec>> {
        if self.tasks.len() <= max {
            return vec![self.tasks.clone()];
        }
        let mut skeletons = skeletons(self.tasks.iter());
        // A file that was read has no cycle, so there is an order.
        let order = graph::resolve(&mut skeletons, &stand_in_ids(self.tasks.len()))
            .unwrap_or_else(|_| (0..self.tasks.len()).collect());
        order
            .chunks(max.max(1))
            .map(|chunk| chunk.iter().map(|i| self.tasks[*i].clone()).collect())
            .collect()
    }
}

/// The tasks with nothing but what their order depends on.
pub(crate) fn skeletons<'t>(tasks: impl Iterator<Item = &'t TaskSpec>) -> Vec<TaskSpec> {
    let bare = |task: &TaskSpec| TaskSpec {
        key: task.key.clone(),
        depends_on: task.depends_on.clone(),
        ..TaskSpec::new("")
    };
    tasks.map(bare).collect()
}

/// Ids that tell tasks apart until real ones are given.
pub(crate) fn stand_in_ids(count: usize) -> Vec<TaskId> {
    (1..=count as u128)
        .map(|n| TaskId(Uuid::from_u128(n)))
        .collect()
}
