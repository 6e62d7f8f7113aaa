//! `collective task wait`, and waiting for what was just created.

use std::time::{Duration, Instant};

use clap::Args;
use collective_client::{Client, TaskName};
use collective_core::Span;
use collective_core::task::{Task, TaskState};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::render::{result_text, state_tone};
use crate::commands::span;
use crate::context::Context;
use crate::errors::{CliError, NOT_ENDED, NOT_SUCCEEDED};
use crate::{names, when};

const EXAMPLES: &str = "\
Examples:
  collective task wait 12                      prints its result
  collective task wait 12 13 14 --for 10m
  collective task wait build && deploy

Exit codes: 0 all succeeded, 1 one didn't, 7 the time was over before all had ended.";

/// How many tasks are waited for at once: each holds a connection.
const AT_ONCE: usize = 32;

/// Which tasks to wait for.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WaitArgs {
    /// Their numbers, ids or keys
    #[arg(required = true, value_name = "TASK")]
    tasks: Vec<String>,
    #[command(flatten)]
    patience: Patience,
}

/// How long to wait.
#[derive(Args, Clone, Debug)]
pub(crate) struct Patience {
    /// Wait this long at most [default: as long as it takes]
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    limit: Option<Span>,
}

impl Patience {
    fn until(&self) -> Option<Instant> {
        let limit = self.limit?.as_duration();
        // Past what a clock can tell, it is as long as it takes.
        Instant::now().checked_add(limit)
    }
}

/// Waits.
pub(crate) async fn run(args: &WaitArgs, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let mut tasks = Vec::with_capacity(args.tasks.len());
    for text in &args.tasks {
        tasks.push(names::task(&client, text).await?);
    }
    wait_for(tasks, &args.patience, context).await
}

/// Waits for these tasks and shows what they gave: the result of one, a line for each of many.
pub(crate) async fn wait_for(
    tasks: Vec<TaskName>,
    patience: &Patience,
    context: &Context,
) -> Result<(), CliError> {
    let client = context.client()?;
    let until = patience.until();
    let alone = tasks.len() == 1;
    let mut ended: Vec<Task> = Vec::with_capacity(tasks.len());
    let mut waiting = stream::iter(tasks)
        .map(|task| wait_one(&client, task, until))
        .buffer_unordered(AT_ONCE);
    while let Some(task) = waiting.try_next().await? {
        if !context.out.json && (!alone || task.state != TaskState::Succeeded) {
            context.out.line(sentence(context, &task))?;
        }
        ended.push(task);
    }
    if context.out.json {
        match ended.as_slice() {
            [task] if alone => context.out.json(task)?,
            tasks => context.out.json(&serde_json::json!({ "items": tasks }))?,
        }
    } else if let ([task], true) = (ended.as_slice(), alone)
        && let Some(result) = &task.result
    {
        let text = result_text(result);
        if !text.is_empty() {
            context.out.line(crate::text::clean(&text).trim_end())?;
        }
    }
    verdict(&ended)
}

async fn wait_one(
    client: &Client,
    task: TaskName,
    until: Option<Instant>,
) -> Result<Task, CliError> {
    loop {
        match client.wait_for_result(task, until).await {
            Ok(task) => return Ok(task),
            // A server that restarts is waited for too, as long as there is time.
            Err(error) if error.is_passing() && until.is_none_or(|end| Instant::now() < end) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn sentence(context: &Context, task: &Task) -> String {
    let state = context
        .out
        .paint(state_tone(task.state), task.state.as_str());
    let title = crate::text::short(&task.spec.title, 60);
    let mut text = format!("#{} {state} {title}", task.number);
    if let (Some(from), Some(to)) = (task.started_at, task.finished_at) {
        text.push_str(&format!(" ({})", when::run_time(to.since(from))));
    }
    // One that was given a new start still keeps what it failed of before.
    let tells = task.state.is_terminal() && task.state != TaskState::Succeeded;
    if let (true, Some(failure)) = (tells, &task.failure) {
        text.push_str(&format!(": {}", crate::text::short(&failure.reason, 100)));
    }
    text
}

fn verdict(tasks: &[Task]) -> Result<(), CliError> {
    let numbers = |wanted: fn(&Task) -> bool| {
        let numbers: Vec<String> = tasks
            .iter()
            .filter(|task| wanted(task))
            .map(|task| format!("#{}", task.number))
            .collect();
        (!numbers.is_empty()).then(|| numbers.join(", "))
    };
    if let Some(open) = numbers(|task| !task.state.is_terminal()) {
        return Err(CliError::Outcome {
            what: format!("not ended in time: {open}"),
            hint: Some("`collective task explain TASK` says what it waits for".to_owned()),
            exit: NOT_ENDED,
        });
    }
    match numbers(|task| task.state != TaskState::Succeeded) {
        Some(failed) => Err(CliError::Outcome {
            what: format!("not succeeded: {failed}"),
            hint: Some("`collective task show TASK` says why".to_owned()),
            exit: NOT_SUCCEEDED,
        }),
        None => Ok(()),
    }
}
