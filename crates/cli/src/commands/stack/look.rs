//! `collective stack status` and `logs`.

use clap::Args;
use collective_stack::{Container, Health, LogsPlan, StackError};

use super::{WhichArgs, heed_signals, outcome};
use crate::context::Context;
use crate::errors::CliError;
use crate::output::{Grid, Tone, number, toned};

const STATUS: &str = "\
Examples:
  collective stack status
  collective stack status --json | jq -r '.[] | select(.health == \"unhealthy\") | .name'

Exit code 1 says that a container isn't well, or that there is none.";
const LOGS: &str = "\
Examples:
  collective stack logs
  collective stack logs postgres rabbitmq --follow --tail 100";

/// Which stack.
#[derive(Args, Debug)]
#[command(after_help = STATUS)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    which: WhichArgs,
}

/// Which lines.
#[derive(Args, Debug)]
#[command(after_help = LOGS)]
pub(crate) struct LogsArgs {
    /// Only these services
    services: Vec<String>,
    /// Go on as they say more
    #[arg(long, short)]
    follow: bool,
    /// Only the last lines of each service
    #[arg(long, value_name = "LINES")]
    tail: Option<u32>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    which: WhichArgs,
}

/// Shows the containers.
pub(super) fn status(args: &StatusArgs, context: &Context) -> Result<(), CliError> {
    let stack = args.which.open(false, context)?;
    let containers = stack.containers()?;
    show(&containers, context)?;
    if containers.is_empty() {
        return Err(outcome(
            "the stack has no containers",
            Some("start it with `collective stack up`".to_owned()),
        ));
    }
    let bad = containers.iter().filter(|one| !one.is_good()).count();
    if bad > 0 {
        return Err(outcome(
            format!("{bad} of {} containers aren't well", containers.len()),
            None,
        ));
    }
    Ok(())
}

/// The table of containers.
pub(super) fn show(containers: &[Container], context: &Context) -> Result<(), CliError> {
    context.out.show(&containers, |out| {
        let header = ["CONTAINER", "STATE", "RESTARTS", "IMAGE", "SAYS"];
        let mut grid = Grid::new(header, "no containers");
        for container in containers {
            let tone = if container.is_good() {
                Tone::Good
            } else if container.health == Health::Starting {
                Tone::Busy
            } else {
                Tone::Bad
            };
            grid.row([
                container.name.as_str().into(),
                toned(tone, container.state_in_words()),
                number(container.restarts),
                container.image.as_str().into(),
                toned(Tone::Faint, says(container)),
            ]);
        }
        out.grid(&grid)
    })
}

/// The last line of what the health check complains of.
fn says(container: &Container) -> String {
    let complaint = container.complaint.as_deref().unwrap_or_default();
    crate::text::line(complaint.lines().last().unwrap_or_default())
}

/// Shows what the services say.
pub(super) fn logs(args: &LogsArgs, context: &Context) -> Result<(), CliError> {
    let stack = args.which.open(args.dry_run, context)?;
    heed_signals(&stack)?;
    let plan = LogsPlan {
        follow: args.follow,
        tail: args.tail,
        services: args.services.clone(),
    };
    let call = stack.logs_call(&plan)?;
    match stack.runner().act(&call) {
        // Following ends when a person has seen enough.
        Err(StackError::Interrupted) if args.follow => Ok(()),
        done => Ok(done?),
    }
}
