//! `collective queue`: look after queues.

use clap::Subcommand;
use collective_api::agents::QueueView;
use collective_core::QueueName;

use crate::context::Context;
use crate::errors::CliError;
use crate::output::{Grid, Output, Tone, number, toned};

const LIST: &str = "\
Examples:
  collective queue list
  collective queue list --json | jq '.items[] | select(.agents == []) | .name'";
const ADD: &str = "\
Examples:
  collective queue add review

Agents declare the queues that they serve by themselves; this is for a queue
that tasks come to before its first agent does.";
const PAUSE: &str = "\
Examples:
  collective queue pause rust      running tasks go on, nothing new is handed out
  collective queue resume rust";

/// What to do with queues.
#[derive(Subcommand, Debug)]
pub(crate) enum QueueCommand {
    /// List queues with what waits in them
    #[command(after_help = LIST)]
    List,
    /// Declare a queue
    #[command(after_help = ADD)]
    Add {
        /// Its name
        queue: QueueName,
    },
    /// Hand nothing out from a queue any more
    #[command(after_help = PAUSE)]
    Pause {
        /// Its name
        queue: QueueName,
    },
    /// Hand out from it again
    #[command(after_help = PAUSE)]
    Resume {
        /// Its name
        queue: QueueName,
    },
}

/// Carries it out.
pub(crate) async fn run(command: QueueCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let out = &context.out;
    match command {
        QueueCommand::List => {
            let page = client.list_queues().await?;
            out.show(&page, |out| table(out, &page.items))
        }
        QueueCommand::Add { queue } => {
            let view = client.declare_queue(&queue).await?;
            out.show(&view, |out| out.line(format!("queue {queue} is there")))
        }
        QueueCommand::Pause { queue } => {
            let view = client.pause_queue(&queue).await?;
            out.show(&view, |out| {
                out.line(format!(
                    "queue {queue} is paused; {} in it go on",
                    crate::text::count(view.running, "running task")
                ))
            })
        }
        QueueCommand::Resume { queue } => {
            let view = client.resume_queue(&queue).await?;
            out.show(&view, |out| {
                out.line(format!("queue {queue} hands out again"))
            })
        }
    }
}

/// Queues as a table.
pub(crate) fn table(out: &Output, queues: &[QueueView]) -> Result<(), CliError> {
    let mut grid = Grid::new(
        [
            "QUEUE", "CRITICAL", "HIGH", "NORMAL", "LOW", "RUNNING", "AGENTS",
        ],
        "no queues",
    );
    for queue in queues {
        let [critical, high, normal, low] = queue.queued;
        let waiting: u64 = queue.queued.iter().sum();
        let agents = match (queue.paused, queue.agents.is_empty()) {
            (true, _) => toned(Tone::Warn, "paused"),
            (false, true) if waiting > 0 => toned(Tone::Bad, "none present"),
            (false, true) => toned(Tone::Faint, "none present"),
            (false, false) => names(queue).into(),
        };
        grid.row([
            queue.name.to_string().into(),
            number(critical),
            number(high),
            number(normal),
            number(low),
            number(queue.running),
            agents,
        ]);
    }
    out.grid(&grid)
}

fn names(queue: &QueueView) -> String {
    let names: Vec<&str> = queue.agents.iter().map(|name| name.as_str()).collect();
    names.join(", ")
}
