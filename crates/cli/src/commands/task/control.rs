//! `collective task cancel`, `retry` and `discard`, and the same for dead letters.

use clap::Args;
use collective_api::tasks::{CreatedTask, ListTasks};
use collective_client::{Client, TaskName};
use collective_core::QueueName;
use collective_core::task::{Lane, Task, TaskState};

use super::list::{live, states_text};
use super::render::state_tone;
use super::spec::label;
use crate::context::Context;
use crate::errors::CliError;
use crate::names;

const CANCEL: &str = "\
Examples:
  collective task cancel 12 --reason 'not needed any more'
  collective task cancel --label run=018f4e0e --dry-run
  collective task cancel --queue rust --yes

A task that an agent holds is stopped by its agent within seconds.";
const RETRY: &str = "\
Examples:
  collective task retry 12
  collective task retry --label run=018f4e0e --dry-run

A task starts anew with fresh attempts, and so does everything that died of it.";
const DISCARD: &str = "\
Examples:
  collective task discard 12 --reason 'fixed by hand'
  collective task discard --queue rust --dry-run

A discarded task keeps its history and leaves the dead letters.";

/// Most tasks that one command goes through.
const MAX_TARGETS: usize = 10_000;

/// Which tasks.
#[derive(Args, Clone, Debug)]
pub(crate) struct TargetArgs {
    /// Their numbers, ids or keys
    #[arg(value_name = "TASK", required_unless_present_any = ["label", "queue"])]
    tasks: Vec<String>,
    /// Every task with this label
    #[arg(long, value_name = "KEY=VALUE", value_parser = label, conflicts_with = "tasks")]
    label: Option<(String, String)>,
    /// Every task of this queue
    #[arg(long, conflicts_with = "tasks")]
    queue: Option<QueueName>,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
    /// Only say which tasks it would be
    #[arg(long)]
    dry_run: bool,
}

/// Which tasks to call off.
#[derive(Args, Debug)]
#[command(after_help = CANCEL)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// Why
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
}

/// Which tasks to give a new start.
#[derive(Args, Debug)]
#[command(after_help = RETRY)]
pub(crate) struct RetryArgs {
    #[command(flatten)]
    targets: TargetArgs,
}

/// Which dead letters to put away.
#[derive(Args, Debug)]
#[command(after_help = DISCARD)]
pub(crate) struct DiscardArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// Why
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
}

/// What is done to each.
enum Deed<'r> {
    Cancel(&'r str),
    Retry,
    Discard(&'r str),
}

impl Deed<'_> {
    fn verb(&self) -> &'static str {
        match self {
            Deed::Cancel(_) => "cancel",
            Deed::Retry => "retry",
            Deed::Discard(_) => "discard",
        }
    }

    /// The states that it applies to, for targets that are found by a filter.
    fn states(&self) -> Vec<TaskState> {
        match self {
            Deed::Cancel(_) => live().collect(),
            Deed::Retry => vec![TaskState::Dead, TaskState::Cancelled],
            Deed::Discard(_) => vec![TaskState::Dead],
        }
    }

    async fn carry_out(
        &self,
        client: &Client,
        task: TaskName,
    ) -> Result<Vec<CreatedTask>, CliError> {
        Ok(match self {
            Deed::Cancel(reason) => vec![client.cancel_task(task, reason).await?],
            Deed::Retry => client.retry_task(task).await?.tasks,
            Deed::Discard(reason) => vec![client.discard_task(task, reason).await?],
        })
    }
}

/// `task cancel`.
pub(super) async fn cancel(args: CancelArgs, context: &Context) -> Result<(), CliError> {
    all(&args.targets, &Deed::Cancel(&args.reason), context).await
}

/// `task retry`.
pub(super) async fn retry(args: RetryArgs, context: &Context) -> Result<(), CliError> {
    retry_all(&args.targets, context).await
}

/// `task discard`.
pub(super) async fn discard(args: DiscardArgs, context: &Context) -> Result<(), CliError> {
    discard_all(&args.targets, &args.reason, context).await
}

/// Gives these tasks a new start.
pub(crate) async fn retry_all(targets: &TargetArgs, context: &Context) -> Result<(), CliError> {
    all(targets, &Deed::Retry, context).await
}

/// Puts these dead letters away.
pub(crate) async fn discard_all(
    targets: &TargetArgs,
    reason: &str,
    context: &Context,
) -> Result<(), CliError> {
    all(targets, &Deed::Discard(reason), context).await
}

async fn all(targets: &TargetArgs, deed: &Deed<'_>, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let tasks = find(targets, deed, &client).await?;
    let out = &context.out;
    if targets.dry_run {
        return out.show(&serde_json::json!({ "items": tasks }), |out| {
            super::rows(out, &tasks)?;
            out.remark(format!("would {} {}", deed.verb(), amount(&tasks)));
            Ok(())
        });
    }
    if tasks.len() > 1 {
        context.confirm(&format!("{} {}", deed.verb(), amount(&tasks)), targets.yes)?;
    }
    let mut done = Vec::new();
    let mut refused = Vec::new();
    for task in &tasks {
        match deed.carry_out(&client, task.id.into()).await {
            Ok(touched) => done.extend(touched),
            // One that a rule refuses doesn't stop the others; no server does.
            Err(error @ CliError::Client(_)) if tasks.len() > 1 && is_refusal(&error) => {
                refused.push((task.number, error));
            }
            Err(error) => return Err(error),
        }
    }
    out.show(&serde_json::json!({ "tasks": done }), |out| {
        if done.is_empty() && refused.is_empty() {
            return out.line("no tasks");
        }
        done.iter().try_for_each(|task| {
            let state = out.paint(state_tone(task.state), task.state.as_str());
            let note = match (deed, task.state.is_leased()) {
                (Deed::Cancel(_), true) => ": its agent is told to stop",
                _ => "",
            };
            out.line(format!("#{} {state}{note}", task.number))
        })
    })?;
    for (task, error) in &refused {
        out.warn(format!("#{task}: {error}"));
    }
    match refused.into_iter().next() {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

fn amount(tasks: &[Task]) -> String {
    crate::text::count(tasks.len() as u64, "task")
}

fn is_refusal(error: &CliError) -> bool {
    matches!(error.exit_code(), 3 | 4)
}

async fn find(
    targets: &TargetArgs,
    deed: &Deed<'_>,
    client: &Client,
) -> Result<Vec<Task>, CliError> {
    let mut tasks = Vec::new();
    for text in &targets.tasks {
        let name = names::task(client, text).await?;
        tasks.push(client.task(name).await?.task);
    }
    if targets.tasks.is_empty() {
        let query = ListTasks {
            state: states_text(&deed.states()),
            lane: targets
                .queue
                .as_ref()
                .map(|queue| Lane::Queue(queue.clone()).to_string()),
            label: targets
                .label
                .as_ref()
                .map(|(key, value)| format!("{key}={value}")),
            ..ListTasks::default()
        };
        let page = client.list_tasks_up_to(&query, MAX_TARGETS).await?;
        tasks = page.items;
    }
    Ok(tasks)
}
