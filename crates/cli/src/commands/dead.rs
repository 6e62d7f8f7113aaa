//! `collective dead`: dead letters, the tasks that no attempt is left for.

use clap::{Args, Subcommand};
use collective_api::tasks::ListTasks;
use collective_core::QueueName;
use collective_core::task::{Lane, TaskState};

use super::task::{self, ShowArgs, TargetArgs};
use crate::context::Context;
use crate::errors::CliError;
use crate::output::{Grid, Tone, number, toned};
use crate::when;

const LIST: &str = "\
Examples:
  collective dead list
  collective dead list --queue rust --json | jq -r '.items[].failure.reason'";
const RETRY: &str = "\
Examples:
  collective dead retry 12
  collective dead retry --queue rust --dry-run

A task starts anew with fresh attempts, and so does everything that died of it.";
const DISCARD: &str = "\
Examples:
  collective dead discard 12 --reason 'fixed by hand'
  collective dead discard --label run=018f4e0e --yes";

/// What to do with dead letters.
#[derive(Subcommand, Debug)]
pub(crate) enum DeadCommand {
    /// List dead letters, newest first, with what they died of
    List(ListArgs),
    /// Show one, with its attempts
    Show(ShowArgs),
    /// Give dead letters a new start
    #[command(after_help = RETRY)]
    Retry {
        #[command(flatten)]
        targets: TargetArgs,
    },
    /// Put dead letters away; their history stays
    #[command(after_help = DISCARD)]
    Discard {
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
    },
}

/// Which dead letters.
#[derive(Args, Debug)]
#[command(after_help = LIST)]
pub(crate) struct ListArgs {
    /// Of this queue
    #[arg(long)]
    queue: Option<QueueName>,
    /// How many at most
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Carries it out.
pub(crate) async fn run(command: DeadCommand, context: &Context) -> Result<(), CliError> {
    match command {
        DeadCommand::List(args) => list(args, context).await,
        DeadCommand::Show(args) => task::show(&args, context).await,
        DeadCommand::Retry { targets } => task::retry_all(&targets, context).await,
        DeadCommand::Discard { targets, reason } => {
            task::discard_all(&targets, &reason, context).await
        }
    }
}

async fn list(args: ListArgs, context: &Context) -> Result<(), CliError> {
    let query = ListTasks {
        state: Some(TaskState::Dead.as_str().to_owned()),
        lane: args.queue.map(|queue| Lane::Queue(queue).to_string()),
        ..ListTasks::default()
    };
    let limit = args.limit as usize;
    let page = context.client()?.list_tasks_up_to(&query, limit).await?;
    context.out.show(&page, |out| {
        let now = when::now();
        let mut grid = Grid::new(
            ["TASK", "DIED", "CLASS", "TITLE", "REASON"],
            "no dead letters",
        );
        for task in &page.items {
            let failure = task.failure.as_ref();
            let died = task
                .finished_at
                .map(|at| format!("{} ago", when::ago(at, now)));
            grid.row([
                number(format!("#{}", task.number)),
                toned(Tone::Faint, died.unwrap_or_default()),
                failure.map_or("", |failure| failure.class.as_str()).into(),
                crate::text::short(&task.spec.title, 50).into(),
                crate::text::short(failure.map_or("", |failure| &failure.reason), 90).into(),
            ]);
        }
        out.grid(&grid)?;
        if page.next.is_some() {
            out.remark(format!(
                "there are more than {limit}: add --limit to see them"
            ));
        }
        Ok(())
    })
}
