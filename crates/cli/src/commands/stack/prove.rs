//! `collective stack doctor` and `verify`.

use clap::Args;
use collective_stack::doctor;
use collective_stack::verify::{Outcome, Proof, verify};

use super::{WhichArgs, heed_signals, outcome, show_finding, verdict};
use crate::context::Context;
use crate::errors::CliError;
use crate::output::{Output, Tone};

const DOCTOR: &str = "\
Examples:
  collective stack doctor
  collective stack doctor --json | jq -r '.findings[] | .mend // empty'

It looks for: a port in use, a container that exits, a database that can't be
connected to, a management page that isn't there, lack of memory. It only looks.
Exit code 1 says that something needs mending.";
const VERIFY: &str = "\
Examples:
  collective stack verify
  collective stack verify --json | jq '.[] | select(.outcome == \"failed\")'

After a deploy: every container is well, every password opens its door, exchanges
and queues are there, the schema is the newest, Prometheus reaches its targets and
has its rules, and one real task goes through it all. Exit code 1 says that
something failed.";

/// Which stack.
#[derive(Args, Debug)]
#[command(after_help = DOCTOR)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    which: WhichArgs,
}

/// Which stack.
#[derive(Args, Debug)]
#[command(after_help = VERIFY)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    which: WhichArgs,
}

/// Looks for the known troubles.
pub(super) fn examine(args: &DoctorArgs, context: &Context) -> Result<(), CliError> {
    let stack = args.which.open(false, context)?;
    heed_signals(&stack)?;
    let findings = doctor::look(&stack);
    context
        .out
        .show(&serde_json::json!({ "findings": findings }), |out| {
            findings
                .iter()
                .try_for_each(|finding| show_finding(out, finding))
        })?;
    verdict(&findings, "the stack")
}

/// Proves that it works.
pub(super) fn prove(args: &VerifyArgs, context: &Context) -> Result<(), CliError> {
    let stack = args.which.open(false, context)?;
    heed_signals(&stack)?;
    let mut said = Ok(());
    let proofs = verify(&stack, |proof| {
        if !context.out.json && said.is_ok() {
            said = show(&context.out, proof);
        }
    })?;
    said?;
    if context.out.json {
        context.out.json(&proofs)?;
    }
    let failed = proofs
        .iter()
        .filter(|proof| proof.outcome == Outcome::Failed)
        .count();
    if failed > 0 {
        let what = format!("{failed} of {} failed", proofs.len());
        return Err(outcome(
            what,
            Some("collective stack doctor says more".to_owned()),
        ));
    }
    Ok(())
}

fn show(out: &Output, proof: &Proof) -> Result<(), CliError> {
    let (word, tone) = match proof.outcome {
        Outcome::Passed => ("passed ", Tone::Good),
        Outcome::Failed => ("failed ", Tone::Bad),
        Outcome::Skipped => ("skipped", Tone::Faint),
    };
    out.line(format!(
        "{}  {:<36} {}",
        out.paint(tone, word),
        proof.what,
        crate::text::line(&proof.seen)
    ))
}
