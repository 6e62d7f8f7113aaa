//! `collective stack restore`.

use std::path::PathBuf;

use clap::Args;
use collective_stack::backup::restore::{
    self, Done, Moment, Restored, Resumed, Undo, Wish, look, rehearse, resume, undo, undoable,
};
use collective_stack::backup::{Key, Part};
use collective_stack::{Finding, Level, Stack};

use super::{WhichArgs, heed_signals, show_finding, verdict};
use crate::context::Context;
use crate::errors::CliError;
use crate::output::Tone;

const EXAMPLES: &str = "\
Examples:
  collective stack down                                   it must stand still
  collective stack restore --from /backups --key backup.key --dry-run
  collective stack restore --from /backups --key backup.key --yes
  collective stack restore latest --from /backups --key backup.key \\
      --until 2026-11-25T09:30:00Z --part postgres --yes
  collective stack up && collective stack verify
  collective stack restore --undo --yes                   back to what was there

First it looks, and changes nothing if something is wrong. Then everything is made
ready beside: PostgreSQL recovers and is told the passwords of the file of
variables, RabbitMQ starts on its messages, Redis loads its snapshot. Only then
what is there is set aside, in volumes of its own, and what comes takes its place.
A restore that was interrupted is finished by the next one, or taken back by
--undo.";

/// The name that means the newest backup, and the newest WAL.
const LATEST: &str = "latest";

/// What is put back.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RestoreArgs {
    /// The backup's name, or latest [default: the newest that was whole before --until]
    #[arg(value_name = "BACKUP")]
    backup: Option<String>,
    /// The folder of backups, or BACKUP_DIR [default: backups, in the project]
    #[arg(long, value_name = "FOLDER")]
    from: Option<PathBuf>,
    /// The file with the age key that opens it
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Bring PostgreSQL up to this time (RFC 3339), or `latest`: as far as its WAL
    /// reaches [default: the end of the backup]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Moment>,
    /// Only these parts: postgres, redis, rabbitmq, volumes
    #[arg(long = "part", value_name = "PARTS", value_delimiter = ',')]
    parts: Vec<Part>,
    /// Take back a restore that was interrupted, or bring back what the last one set aside
    #[arg(long, conflicts_with_all = ["backup", "from", "key", "until", "parts"])]
    undo: bool,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    which: WhichArgs,
}

fn moment(text: &str) -> Result<Moment, String> {
    if text == LATEST {
        return Ok(Moment::Latest);
    }
    text.parse()
        .map(Moment::At)
        .map_err(|_| "write it as 2026-11-25T09:30:00Z, or `latest`".to_owned())
}

/// Puts it back.
pub(super) fn run(args: &RestoreArgs, context: &Context) -> Result<(), CliError> {
    let stack = args.which.open(args.dry_run, context)?;
    if args.undo {
        return go_back(&stack, args, context);
    }
    let wish = Wish {
        folder: stack.backup_folder(args.from.as_deref()),
        name: args.backup.clone().filter(|name| name != LATEST),
        moment: args.until.clone().unwrap_or(Moment::Backup),
        key: args.key.as_deref().map(Key::at).transpose()?,
        parts: args.parts.clone(),
    };
    if !args.dry_run
        && let Some(source) = restore::unfinished(&stack)
    {
        context.confirm(&format!("Finish the restore of {source}"), args.yes)?;
        heed_signals(&stack)?;
        match resume(&stack)? {
            // It had changed nothing: what was asked for now is what counts.
            Some(Resumed::Cleared(source)) => context.out.remark(format!(
                "an interrupted restore of {source} had changed nothing; what it left is removed"
            )),
            Some(ended) => return show_resumed(&ended, &stack, context),
            None => {}
        }
    }
    let (findings, plan) = look(&stack, &wish)?;
    show_look(&findings, args.dry_run, context)?;
    verdict(&findings, "nothing was changed")?;
    let Some(plan) = plan else {
        return Ok(());
    };
    if args.dry_run {
        return Ok(rehearse(&stack, &plan)?);
    }
    let parts: Vec<&str> = plan.parts.iter().map(|part| part.as_str()).collect();
    let occupied = plan.occupied();
    let aside = if occupied.is_empty() {
        String::new()
    } else {
        format!(", and set aside what is in {}", occupied.join(", "))
    };
    let question = format!(
        "Restore {} of {}{aside}",
        parts.join(", "),
        plan.backup.name
    );
    context.confirm(&question, args.yes)?;
    heed_signals(&stack)?;
    let done = restore::restore(&stack, &plan, |part| tell(part, context));
    if done.is_err() && restore::unfinished(&stack).is_some() {
        context.out.remark(
            "it is unfinished: `collective stack restore` finishes it, `collective stack restore \
             --undo` goes back",
        );
    }
    let done = done?;
    show(&done, &stack, context)
}

fn tell(part: &Restored, context: &Context) {
    context.out.remark(format!(
        "{}: {}, ready in {:.1} s",
        part.part, part.seen, part.seconds
    ));
}

/// What is wrong, and what to know; a rehearsal tells all of it. JSON has one
/// answer: the findings where they end it, else what was done.
fn show_look(findings: &[Finding], is_all: bool, context: &Context) -> Result<(), CliError> {
    let told: Vec<&Finding> = findings
        .iter()
        .filter(|finding| is_all || finding.level != Level::Fine)
        .collect();
    let is_wrong = findings.iter().any(|one| one.level == Level::Wrong);
    if context.out.json {
        if is_wrong || is_all {
            context
                .out
                .json_line(&serde_json::json!({ "findings": told }))?;
        }
        return Ok(());
    }
    told.into_iter()
        .try_for_each(|finding| show_finding(&context.out, finding))
}

fn go_back(stack: &Stack, args: &RestoreArgs, context: &Context) -> Result<(), CliError> {
    let question = match undoable(stack)? {
        Undo::Unfinished(source) => format!("Take back the interrupted restore of {source}"),
        Undo::Aside { at, volumes } => format!(
            "Bring back what was set aside at {at} into {}, and set aside what is there now",
            volumes.join(", ")
        ),
    };
    if args.dry_run {
        return context
            .out
            .show(&serde_json::json!({ "would": question }), |out| {
                out.line(format!("would: {question}"))
            });
    }
    context.confirm(&question, args.yes)?;
    heed_signals(stack)?;
    let ended = undo(stack)?;
    show_resumed(&ended, stack, context)
}

fn show_resumed(ended: &Resumed, stack: &Stack, context: &Context) -> Result<(), CliError> {
    let (source, what) = match ended {
        Resumed::Finished(done) => return show(done, stack, context),
        Resumed::Undone(source) => (source, "is taken back; everything is as it was"),
        Resumed::Cleared(source) => (source, "had changed nothing; what it left is removed"),
    };
    context
        .out
        .show(&serde_json::json!({ "undone": source }), |out| {
            out.line(format!("the restore of {source} {what}"))
        })
}

fn show(done: &Done, stack: &Stack, context: &Context) -> Result<(), CliError> {
    context.out.show(done, |out| {
        out.line(format!(
            "{} is in its place, after {:.1} s",
            out.paint(Tone::Good, &done.source),
            done.seconds
        ))?;
        if !done.aside.is_empty() {
            out.line(format!("kept      {}", done.aside.join(", ")))?;
            out.line("go back   collective stack restore --undo")?;
            out.line(format!(
                "drop it   docker volume rm {}",
                done.aside.join(" ")
            ))?;
        }
        out.line(format!(
            "start it  collective stack up --env {}",
            stack.environment
        ))?;
        out.line("then      collective stack backup: points in time count from a backup on")
    })
}
