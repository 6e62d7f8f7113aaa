//! `collective stack rotate`.

use clap::Args;
use collective_stack::rotate::{RotatePlan, Rotated, plan, rotate};

use super::{WhichArgs, heed_signals};
use crate::context::Context;
use crate::errors::CliError;

const EXAMPLES: &str = "\
Examples:
  collective stack rotate --dry-run
  collective stack rotate --yes
  collective stack rotate COLLECTIVE_DB_PASSWORD REDIS_PASSWORD --yes

New passwords for PostgreSQL, RabbitMQ and Redis, and for pgAdmin, Grafana, Redis
Commander, Elasticsearch and the APM server where they run, in the servers and in
the file of variables. Connections that are open stay open; services that were told
a password when they started are started anew with the new one, replicas one after
the other. An interrupted run is finished by the next one. What it doesn't change:
RABBITMQ_ERLANG_COOKIE, GRAFANA_SECRET_KEY, KIBANA_ENCRYPTION_KEY.";

/// Which passwords.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RotateArgs {
    /// Only these variables
    variables: Vec<String>,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    /// Say what would be changed, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    which: WhichArgs,
}

/// Changes them.
pub(super) fn run(args: RotateArgs, context: &Context) -> Result<(), CliError> {
    let mut stack = args.which.open(args.dry_run, context)?;
    let wanted = RotatePlan {
        variables: args.variables,
    };
    let planned = plan(&stack, &wanted)?;
    for one in &planned.left {
        context.out.remark(format!(
            "{} stays as it is: {} doesn't run",
            one.variable, one.service
        ));
    }
    if args.dry_run {
        return show(&planned.changed, "would change", context);
    }
    let question = format!("Change {} passwords", planned.changed.len());
    context.confirm(&question, args.yes)?;
    heed_signals(&stack)?;
    let done = rotate(&mut stack, &args.which.choice(), &wanted, |one| {
        context
            .out
            .remark(format!("{} {}: changed", one.service, one.user));
    })?;
    show(&done, "changed", context)
}

fn show(all: &[Rotated], verb: &str, context: &Context) -> Result<(), CliError> {
    context.out.show(&all, |out| {
        all.iter().try_for_each(|one| {
            out.line(format!(
                "{verb}  {:<15} {:<20} {}",
                one.service, one.user, one.variable
            ))
        })
    })
}
