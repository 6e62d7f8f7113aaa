//! `collective stack up` and `down`.

use std::time::Duration;

use clap::Args;
use collective_core::Span;
use collective_stack::backup::restore;
use collective_stack::{
    Container, DownPlan, Level, Stack, StackError, UpPlan, check, wait_until_healthy,
};

use super::{WhichArgs, heed_signals, outcome, show_finding, verdict};
use crate::commands::span;
use crate::context::Context;
use crate::errors::{CliError, NOT_ENDED};

const UP: &str = "\
Examples:
  collective stack up --env dev
  collective stack up --env production --monitoring --dry-run
  collective stack up --env test --attach        exit code 1 if the tests fail

First it looks as `collective stack check` does, and starts nothing if something
needs mending. Then it waits until every container is well.";
const DOWN: &str = "\
Examples:
  collective stack down
  collective stack down --volumes --yes          the data too; there is no way back

Without --volumes the data stays.";

/// How it is started.
#[derive(Args, Debug)]
#[command(after_help = UP)]
pub(crate) struct UpArgs {
    /// Only these services, and what they need
    services: Vec<String>,
    /// Build our own images first
    #[arg(long)]
    build: bool,
    /// Stay in the foreground, with what the services say
    #[arg(long)]
    attach: bool,
    /// How long to wait until every container is well; 0s doesn't wait
    #[arg(long, value_name = "TIME", value_parser = span, default_value = "5m", conflicts_with = "attach")]
    wait: Span,
    /// Start it whatever the look says
    #[arg(long)]
    no_check: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    which: WhichArgs,
}

/// How it is stopped.
#[derive(Args, Debug)]
#[command(after_help = DOWN)]
pub(crate) struct DownArgs {
    /// Remove the data too; needs --yes, or an answer
    #[arg(long)]
    volumes: bool,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    which: WhichArgs,
}

/// Starts it.
pub(super) fn up(args: &UpArgs, context: &Context) -> Result<(), CliError> {
    let stack = args.which.open(args.dry_run, context)?;
    if !args.dry_run && !args.no_check {
        look_first(&stack, context)?;
    }
    refuse_half_a_restore(&stack)?;
    heed_signals(&stack)?;
    let plan = UpPlan {
        build: args.build,
        attach: args.attach,
        services: args.services.clone(),
    };
    let call = stack.up_call(&plan)?;
    match stack.runner().act(&call) {
        Err(StackError::Failed { ending, .. }) if args.attach => {
            return Err(outcome(format!("the stack ended badly ({ending})"), None));
        }
        done => done?,
    }
    let limit = args.wait.as_duration();
    if args.dry_run || args.attach || limit.is_zero() {
        return Ok(());
    }
    wait(&stack, limit, context)
}

/// Whatever the look says: servers that start on half of a restore would make
/// something new of it.
fn refuse_half_a_restore(stack: &Stack) -> Result<(), CliError> {
    let Some(source) = restore::unfinished(stack) else {
        return Ok(());
    };
    Err(outcome(
        format!("nothing was started: the restore of {source} is unfinished"),
        Some(
            "`collective stack restore` finishes it, `collective stack restore --undo` goes back"
                .to_owned(),
        ),
    ))
}

/// Only what needs mending is told: the rest is for `check`.
fn look_first(stack: &Stack, context: &Context) -> Result<(), CliError> {
    let findings = check::look(stack);
    let wrong: Vec<_> = findings
        .iter()
        .filter(|finding| finding.level == Level::Wrong)
        .collect();
    if !wrong.is_empty() {
        context
            .out
            .show(&serde_json::json!({ "findings": wrong }), |out| {
                wrong
                    .iter()
                    .try_for_each(|finding| show_finding(out, finding))
            })?;
    }
    verdict(&findings, "nothing was started")
}

fn wait(stack: &Stack, limit: Duration, context: &Context) -> Result<(), CliError> {
    let mut told = String::new();
    let containers = wait_until_healthy(stack, limit, |containers| {
        let waiting: Vec<&str> = containers
            .iter()
            .filter(|container| !container.is_good())
            .map(|container| container.name.as_str())
            .collect();
        let line = format!("waiting for {}", waiting.join(", "));
        if !waiting.is_empty() && line != told {
            context.out.remark(&line);
            told = line;
        }
    })?;
    super::look::show(&containers, context)?;
    let bad: Vec<&Container> = containers.iter().filter(|one| !one.is_good()).collect();
    let Some(first) = bad.first() else {
        return Ok(());
    };
    Err(CliError::Outcome {
        what: format!(
            "{} of {} containers aren't well",
            bad.len(),
            containers.len()
        ),
        hint: Some(format!(
            "what it says: collective stack logs {}",
            first.service
        )),
        exit: NOT_ENDED,
    })
}

/// Stops it.
pub(super) fn down(args: &DownArgs, context: &Context) -> Result<(), CliError> {
    let stack = args.which.open(args.dry_run, context)?;
    let plan = DownPlan {
        volumes: args.volumes,
    };
    if args.volumes && !args.dry_run {
        let question = format!(
            "Remove the stack `{}` with all its data",
            stack.project_name()
        );
        context.confirm(&question, args.yes)?;
    }
    heed_signals(&stack)?;
    let call = stack.down_call(plan)?;
    Ok(stack.runner().act(&call)?)
}
