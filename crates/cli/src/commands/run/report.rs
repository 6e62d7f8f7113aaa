//! What a run gave: a table of its tasks, what they made, and the result.

use std::collections::HashSet;

use collective_api::tasks::ListTasks;
use collective_client::Client;
use collective_core::TaskId;
use collective_core::task::{Task, TaskRef, TaskState};
use serde_json::json;

use super::board::{Board, Row};
use crate::commands::task::{artifact_line, result_text, state_tone};
use crate::errors::{CliError, NOT_SUCCEEDED};
use crate::output::{Grid, Output, number, toned};
use crate::when;

/// What a run gave.
pub(super) struct Report {
    /// The run's id, as its tasks are labelled.
    pub(super) run: String,
    tasks: Vec<Task>,
    /// The key of the task whose result is the run's.
    summary: Option<String>,
}

impl Report {
    /// Fetches how the tasks of the run ended.
    pub(super) async fn fetch(
        client: &Client,
        run: &str,
        most: usize,
        summary: Option<String>,
    ) -> Result<Self, CliError> {
        let query = ListTasks {
            label: Some(super::label(run)),
            ..ListTasks::default()
        };
        let mut tasks = client.list_tasks_up_to(&query, most).await?.items;
        tasks.sort_by_key(|task| task.number);
        Ok(Self {
            run: run.to_owned(),
            tasks,
            summary,
        })
    }

    /// Shows it.
    pub(super) fn show(&self, out: &Output, board: &Board) -> Result<(), CliError> {
        if out.json {
            return out.json(&json!({
                "run": self.run,
                "succeeded": self.failed().is_empty(),
                "results": self.results().iter().map(|task| &task.id).collect::<Vec<_>>(),
                "tasks": self.tasks,
            }));
        }
        table(out, board)?;
        self.artifacts(out)?;
        let results = self.results();
        for task in &results {
            let Some(result) = &task.result else {
                continue;
            };
            let text = result_text(result);
            if !text.is_empty() {
                out.heading(&crate::text::line(&task.spec.title))?;
                out.line(crate::text::clean(&text).trim_end())?;
            }
        }
        Ok(())
    }

    /// An error that names the tasks that didn't succeed, if there are any.
    pub(super) fn verdict(&self) -> Result<(), CliError> {
        let failed = self.failed();
        let Some(first) = failed.first() else {
            return Ok(());
        };
        let names: Vec<String> = failed
            .iter()
            .map(|task| format!("#{} {}", task.number, task.state))
            .collect();
        Err(CliError::Outcome {
            what: format!(
                "{} of {} tasks didn't succeed: {}",
                failed.len(),
                self.tasks.len(),
                crate::text::short(&names.join(", "), 200)
            ),
            hint: Some(format!(
                "with a server (`collective up`), `collective task show {0}` says why and `collective task logs {0}` what it printed",
                first.number
            )),
            exit: NOT_SUCCEEDED,
        })
    }

    fn failed(&self) -> Vec<&Task> {
        let failed = |task: &&Task| task.state != TaskState::Succeeded;
        self.tasks.iter().filter(failed).collect()
    }

    /// The tasks whose results are the run's: the one for the summary, else
    /// every one that no other task builds on.
    fn results(&self) -> Vec<&Task> {
        if let Some(key) = &self.summary {
            let is_summary = |task: &&Task| task.spec.key.as_ref() == Some(key);
            return self.tasks.iter().filter(is_summary).collect();
        }
        let built_on: HashSet<TaskId> = self
            .tasks
            .iter()
            .flat_map(|task| &task.spec.depends_on)
            .filter_map(|dependency| match &dependency.task {
                TaskRef::Id(id) => Some(*id),
                TaskRef::Key(_) => None,
            })
            .collect();
        self.tasks
            .iter()
            .filter(|task| !built_on.contains(&task.id))
            .collect()
    }

    fn artifacts(&self, out: &Output) -> Result<(), CliError> {
        let made: Vec<String> = self
            .tasks
            .iter()
            .filter_map(|task| Some((task, task.result.as_ref()?)))
            .flat_map(|(task, result)| {
                result.artifacts.iter().map(|artifact| {
                    format!("#{} {}", task.number, artifact_line(task.number, artifact))
                })
            })
            .collect();
        if made.is_empty() {
            return Ok(());
        }
        out.heading("Artifacts")?;
        made.iter().try_for_each(|line| out.line(line))
    }
}

fn table(out: &Output, board: &Board) -> Result<(), CliError> {
    let mut grid = Grid::new(
        [
            "TASK", "NAME", "STATE", "ATTEMPTS", "AGENT", "TOOK", "REASON",
        ],
        "no tasks",
    );
    for row in board.rows() {
        grid.row(cells(row));
    }
    out.grid(&grid)
}

fn cells(row: &Row) -> [crate::output::Piece; 7] {
    let agent = row.agent.as_ref().map(ToString::to_string);
    [
        number(format!("#{}", row.number)),
        crate::text::short(&row.name, 40).into(),
        toned(state_tone(row.state), row.state.as_str()),
        number(row.attempt),
        agent.unwrap_or_default().into(),
        number(when::run_time(row.worked)),
        crate::text::short(row.reason.as_deref().unwrap_or_default(), 90).into(),
    ]
}
