//! `collective stack check`: what would keep the stack from working.

use clap::Args;
use collective_stack::check;

use super::{WhichArgs, show_finding, verdict};
use crate::context::Context;
use crate::errors::CliError;

const EXAMPLES: &str = "\
Examples:
  collective stack check
  collective stack check --env production --monitoring
  collective stack check --json | jq -r '.findings[] | select(.level == \"wrong\") | .mend'

It only looks. Exit code 1 says that something needs mending.";

/// Which stack.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    which: WhichArgs,
}

/// Looks.
pub(super) fn run(args: &CheckArgs, context: &Context) -> Result<(), CliError> {
    let stack = args.which.open(false, context)?;
    let findings = check::look(&stack);
    context
        .out
        .show(&serde_json::json!({ "findings": findings }), |out| {
            findings
                .iter()
                .try_for_each(|finding| show_finding(out, finding))
        })?;
    verdict(&findings, "before the stack is started")
}
