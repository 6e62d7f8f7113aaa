//! `collective task add`.

use std::path::PathBuf;

use clap::Args;
use collective_api::tasks::{CreateTasks, CreatedTask, CreatedTasks};
use collective_core::task::{TaskSpec, TaskState};
use serde::Deserialize;

use super::spec::{SpecArgs, json_file};
use super::wait::{self, Patience};
use crate::context::Context;
use crate::errors::CliError;

const EXAMPLES: &str = "\
Examples:
  collective task add 'fix the login test' --prompt 'It fails one time in ten.' --queue rust
  collective task add 'write the report' --after 12 --after 13 --check-file report.md
  collective task add review --prompt-file - --agent ada --wait < prompt.md
  collective task add nightly --run-at 2026-11-25T03:00:00Z --check 'cargo test'
  collective task add --file tasks.json
  jq -n '{title: \"x\", queue: \"rust\"}' | collective task add --file -

A file holds one task in the form of the API, a list of tasks, or {\"tasks\": [...]};
in a list, dependencies may name the `key` of another task. All are created, or none.";

/// Which task to create.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AddArgs {
    /// One line for people
    #[arg(required_unless_present = "file")]
    title: Option<String>,
    /// Read tasks as JSON from this file, `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["title", "SpecArgs"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    spec: SpecArgs,
    /// Within a day, the same key gives the same task instead of a second one
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Only print what would be sent
    #[arg(long)]
    dry_run: bool,
    /// Wait until it has ended, and print its result
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    patience: Patience,
}

/// What a file of tasks may hold.
#[derive(Deserialize)]
#[serde(untagged)]
enum Tasks {
    Batch { tasks: Vec<serde_json::Value> },
    List(Vec<serde_json::Value>),
    One(serde_json::Value),
}

/// Creates them.
pub(crate) async fn run(args: AddArgs, context: &Context) -> Result<(), CliError> {
    let (specs, one) = match args.file {
        Some(path) => read(&path)?,
        None => {
            let client = context.client()?;
            let title = args.title.unwrap_or_default();
            (vec![args.spec.build(title, &client).await?], true)
        }
    };
    if args.dry_run {
        return match specs.as_slice() {
            [spec] if one => context.out.json(spec),
            specs => context.out.json(&serde_json::json!({ "tasks": specs })),
        };
    }
    let client = context.client()?;
    let created = if let ([spec], true) = (specs.as_slice(), one) {
        let task = match &args.idempotency_key {
            Some(key) => client.create_task_once(spec, key).await?,
            None => client.create_task(spec).await?,
        };
        if !args.wait {
            return context.out.show(&task, |out| out.line(sentence(&task)));
        }
        vec![task]
    } else {
        let request = CreateTasks { tasks: specs };
        let CreatedTasks { tasks } = match &args.idempotency_key {
            Some(key) => client.create_tasks_once(&request, key).await?,
            None => client.create_tasks(&request).await?,
        };
        if !args.wait {
            let answer = CreatedTasks { tasks };
            return context.out.show(&answer, |out| {
                answer
                    .tasks
                    .iter()
                    .try_for_each(|task| out.line(sentence(task)))
            });
        }
        tasks
    };
    if !context.out.json {
        for task in &created {
            context.out.remark(sentence(task));
        }
    }
    let names = created.iter().map(|task| task.id.into()).collect();
    wait::wait_for(names, &args.patience, context).await
}

fn sentence(task: &CreatedTask) -> String {
    let key = match &task.key {
        Some(key) => format!(" ({})", crate::text::short(key, 40)),
        None => String::new(),
    };
    let state = match task.state {
        TaskState::Blocked => "waits for other tasks".to_owned(),
        TaskState::Scheduled => "waits for its time".to_owned(),
        TaskState::Queued => "waits for an agent".to_owned(),
        state => format!("is {state}"),
    };
    format!("task #{}{key} {state}", task.number)
}

/// The tasks of a file, and whether it is one task rather than a list.
fn read(path: &std::path::Path) -> Result<(Vec<TaskSpec>, bool), CliError> {
    let tasks: Tasks = json_file(path)?;
    let (values, one) = match tasks {
        Tasks::Batch { tasks } | Tasks::List(tasks) => (tasks, false),
        Tasks::One(task) => (vec![task], true),
    };
    let mut specs = Vec::with_capacity(values.len());
    for (i, value) in values.into_iter().enumerate() {
        let spec = serde_json::from_value(value).map_err(|error| {
            let rejection = collective_core::Rejection::new(
                collective_core::Code::InvalidField,
                error.to_string(),
            )
            .hint("the fields of a task are in `collective task add --help` and in the API's docs");
            if one {
                rejection
            } else {
                rejection.at(format!("tasks[{i}]"))
            }
        })?;
        specs.push(spec);
    }
    Ok((specs, one))
}
