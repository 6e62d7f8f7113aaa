//! `collective stack restore`.

use std::path::PathBuf;

use clap::Args;
use collective_stack::backup::{Key, Moment, Part, RestorePlan, occupied, restore};

use super::{WhichArgs, heed_signals};
use crate::context::Context;
use crate::errors::CliError;

const EXAMPLES: &str = "\
Examples:
  collective stack down
  collective stack restore --yes                               the newest backup
  collective stack restore --to 2026-11-25T09:30:00Z --yes     up to that moment
  collective stack restore --to latest --part postgres --yes   all that was archived
  collective stack up && collective stack verify

A stack that runs is refused. Checksums are compared, and PostgreSQL and RabbitMQ
are brought to life beside, before what is there is replaced.";

/// What is put back.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RestoreArgs {
    /// The backup [default: the newest before the moment]
    name: Option<String>,
    /// Bring PostgreSQL up to this time (RFC 3339), or to the `latest` that is archived
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Moment>,
    /// The folder of backups, or BACKUP_DIR [default: backups, in the project]
    #[arg(long, value_name = "FOLDER")]
    from: Option<PathBuf>,
    /// The file with the key that opens it
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Only this part: postgres, redis, rabbitmq or volumes; may be repeated
    #[arg(long = "part", value_name = "PART")]
    parts: Vec<Part>,
    /// Replace what is there without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    which: WhichArgs,
}

fn moment(text: &str) -> Result<Moment, String> {
    if text == "latest" {
        return Ok(Moment::Latest);
    }
    text.parse()
        .map(Moment::At)
        .map_err(|_| "write it as 2026-11-25T09:30:00Z, or `latest`".to_owned())
}

/// Puts it back.
pub(super) fn run(args: RestoreArgs, context: &Context) -> Result<(), CliError> {
    let stack = args.which.open(false, context)?;
    let plan = RestorePlan {
        folder: stack.backup_folder(args.from.as_deref()),
        name: args.name,
        moment: args.to.unwrap_or(Moment::Backup),
        key: args.key.as_deref().map(Key::at).transpose()?,
        parts: args.parts,
    };
    let full = occupied(&stack, &plan)?;
    if !full.is_empty() {
        context.confirm(&format!("Replace what is in {}", full.join(", ")), args.yes)?;
    }
    heed_signals(&stack)?;
    let restored = restore(&stack, &plan, |one| {
        context.out.remark(format!("{}: {}", one.part, one.seen));
    })?;
    context.out.show(&restored, |out| {
        out.line("it is all back; start it with `collective stack up`")
    })
}
