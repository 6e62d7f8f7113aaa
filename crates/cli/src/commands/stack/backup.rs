//! `collective stack backup`: take, list, prove, schedule.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use collective_stack::Stack;
use collective_stack::backup::schedule::Job;
use collective_stack::backup::{self, BackupPlan, Key, Part, PartProof, TakenPart};

use super::{WhichArgs, heed_signals, outcome};
use crate::context::Context;
use crate::errors::CliError;
use crate::output::{Grid, Tone, number};

const TAKE: &str = "\
Examples:
  collective stack backup
  collective stack backup --to /backups --key /etc/collective/backup.key --keep 30
  collective stack backup --part postgres --part redis
  age-keygen -o backup.key              makes a key; with its public half alone
                                        a backup can be made and not be read

The stack goes on working. PostgreSQL gives a base backup, its archived WAL and a
dump; Redis a snapshot; RabbitMQ its definitions and, if messages wait, its data,
for which it stands still some seconds; volumes are packed. A backup appears whole
or not at all.";
const LIST: &str = "\
Examples:
  collective stack backup list
  collective stack backup list --json | jq -r '.[-1].name'";
const VERIFY: &str = "\
Examples:
  collective stack backup verify
  collective stack backup verify 2026-11-25T02-00-00Z --key backup.key

Each part is restored into a throw-away server without a network, and what is in
it is compared with what was counted when it was taken. The stack isn't touched.";
const SCHEDULE: &str = "\
Examples:
  collective stack backup schedule                 the units and the cron lines
  collective stack backup schedule --write /etc/systemd/system

A backup every night at 2, a proof every Sunday at 4.";

/// Takes a backup, unless a command says another thing.
#[derive(Args, Debug)]
#[command(after_help = TAKE, args_conflicts_with_subcommands = true)]
pub(crate) struct BackupArgs {
    #[command(subcommand)]
    command: Option<BackupCommand>,
    #[command(flatten)]
    take: TakeArgs,
}

#[derive(Subcommand, Debug)]
enum BackupCommand {
    /// List the backups that are there
    #[command(after_help = LIST)]
    List(ListArgs),
    /// Prove a backup by restoring it into throw-away servers
    #[command(after_help = VERIFY)]
    Verify(VerifyArgs),
    /// Print a systemd timer and cron lines, or write the timer
    #[command(after_help = SCHEDULE)]
    Schedule(ScheduleArgs),
}

/// Where backups are.
#[derive(Args, Clone, Debug)]
struct ShelfArgs {
    /// The folder of backups, or BACKUP_DIR [default: backups, in the project]
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// A file with an age key, to encrypt or to open with
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The metrics' file [default: where the node exporter of the stack reads]
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
}

impl ShelfArgs {
    fn folder(&self, stack: &Stack) -> PathBuf {
        stack.backup_folder(self.to.as_deref())
    }

    fn key(&self) -> Result<Option<Key>, CliError> {
        Ok(self.key.as_deref().map(Key::at).transpose()?)
    }

    fn metrics(&self, stack: &Stack) -> PathBuf {
        stack.backup_metrics(self.metrics.as_deref())
    }
}

#[derive(Args, Debug)]
struct TakeArgs {
    #[command(flatten)]
    shelf: ShelfArgs,
    /// How many backups stay; older ones go when a new one is whole
    #[arg(long, value_name = "COUNT", default_value = "14", value_parser = clap::value_parser!(u16).range(1..))]
    keep: u16,
    /// Only this part: postgres, redis, rabbitmq or volumes; may be repeated
    #[arg(long = "part", value_name = "PART")]
    parts: Vec<Part>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    which: WhichArgs,
}

#[derive(Args, Debug)]
struct ListArgs {
    #[command(flatten)]
    shelf: ShelfArgs,
    #[command(flatten)]
    which: WhichArgs,
}

#[derive(Args, Debug)]
struct VerifyArgs {
    /// Its name [default: the newest]
    name: Option<String>,
    #[command(flatten)]
    shelf: ShelfArgs,
    #[command(flatten)]
    which: WhichArgs,
}

#[derive(Args, Debug)]
struct ScheduleArgs {
    #[command(flatten)]
    shelf: ShelfArgs,
    /// How many backups stay
    #[arg(long, value_name = "COUNT", default_value = "14", value_parser = clap::value_parser!(u16).range(1..))]
    keep: u16,
    /// Write the units into this folder
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
    #[command(flatten)]
    which: WhichArgs,
}

/// Does it.
pub(super) fn run(args: BackupArgs, context: &Context) -> Result<(), CliError> {
    match args.command {
        None => take(&args.take, context),
        Some(BackupCommand::List(args)) => list(&args, context),
        Some(BackupCommand::Verify(args)) => verify(&args, context),
        Some(BackupCommand::Schedule(args)) => schedule(&args, context),
    }
}

fn take(args: &TakeArgs, context: &Context) -> Result<(), CliError> {
    let stack = args.which.open(args.dry_run, context)?;
    let plan = BackupPlan {
        folder: args.shelf.folder(&stack),
        key: args.shelf.key()?,
        keep: usize::from(args.keep),
        metrics: args.shelf.metrics(&stack),
        parts: args.parts.clone(),
    };
    if args.dry_run {
        return show_plan(&plan, context);
    }
    heed_signals(&stack)?;
    let taken = backup::take(&stack, &plan, |part| tell(part, context))?;
    context.out.show(&taken, |out| {
        out.line(format!(
            "{} is whole, in {}",
            taken.name,
            taken.folder.display()
        ))?;
        match taken.removed.len() {
            0 => Ok(()),
            count => out.line(format!("{count} older went: {}", taken.removed.join(", "))),
        }
    })?;
    context
        .out
        .remark("prove it with `collective stack backup verify`");
    Ok(())
}

fn tell(part: &TakenPart, context: &Context) {
    let size = collective_stack::size(part.bytes);
    context
        .out
        .remark(format!("{}: {size} in {:.1} s", part.part, part.seconds));
}

fn show_plan(plan: &BackupPlan, context: &Context) -> Result<(), CliError> {
    let parts = if plan.parts.is_empty() {
        Part::ALL.to_vec()
    } else {
        plan.parts.clone()
    };
    let json = serde_json::json!({
        "folder": plan.folder, "parts": parts, "keep": plan.keep, "encrypted": plan.key.is_some(),
    });
    context.out.show(&json, |out| {
        let names: Vec<&str> = parts.iter().map(|part| part.as_str()).collect();
        let sealed = if plan.key.is_some() {
            "encrypted"
        } else {
            "not encrypted"
        };
        out.line(format!(
            "{} would go to {}, {sealed}; {} would stay",
            names.join(", "),
            plan.folder.display(),
            plan.keep
        ))
    })
}

fn list(args: &ListArgs, context: &Context) -> Result<(), CliError> {
    let stack = args.which.open(false, context)?;
    let all = backup::list(&args.shelf.folder(&stack))?;
    let json: Vec<_> = all
        .iter()
        .map(|one| serde_json::json!({ "name": one.name, "folder": one.folder, "manifest": one.manifest }))
        .collect();
    context.out.show(&json, |out| {
        let header = ["NAME", "WHOLE AT", "PARTS", "BYTES", "ENCRYPTED"];
        let mut grid = Grid::new(header, "no backups");
        for one in &all {
            let parts = one.manifest.parts();
            let names: Vec<&str> = parts.iter().map(|part| part.as_str()).collect();
            let bytes: u64 = parts.iter().map(|part| one.manifest.size(*part)).sum();
            grid.row([
                one.name.as_str().into(),
                one.manifest.ended_at.as_str().into(),
                names.join(", ").into(),
                number(bytes),
                if one.manifest.encrypted { "yes" } else { "no" }.into(),
            ]);
        }
        out.grid(&grid)
    })
}

fn verify(args: &VerifyArgs, context: &Context) -> Result<(), CliError> {
    let stack = args.which.open(false, context)?;
    let backup = backup::pick(&args.shelf.folder(&stack), args.name.as_deref())?;
    let key = args.shelf.key()?;
    heed_signals(&stack)?;
    let metrics = args.shelf.metrics(&stack);
    let mut said = Ok(());
    let proofs = backup::prove(stack.runner(), &backup, key.as_ref(), &metrics, |proof| {
        if !context.out.json && said.is_ok() {
            said = show_proof(proof, context);
        }
    })?;
    said?;
    if context.out.json {
        context.out.json(&proofs)?;
    }
    let bad = proofs.iter().filter(|proof| !proof.good).count();
    if bad > 0 {
        return Err(outcome(
            format!(
                "{bad} of {} parts of {} don't hold",
                proofs.len(),
                backup.name
            ),
            Some("take a new backup now: collective stack backup".to_owned()),
        ));
    }
    Ok(())
}

fn show_proof(proof: &PartProof, context: &Context) -> Result<(), CliError> {
    let (word, tone) = if proof.good {
        ("good", Tone::Good)
    } else {
        ("bad ", Tone::Bad)
    };
    context.out.line(format!(
        "{}  {:<9} {}",
        context.out.paint(tone, word),
        proof.part.as_str(),
        crate::text::line(&proof.seen)
    ))
}

fn schedule(args: &ScheduleArgs, context: &Context) -> Result<(), CliError> {
    let stack = args.which.open(false, context)?;
    let program = std::env::current_exe()
        .map_err(|error| CliError::file("can't find the program itself", error))?;
    let folder = args.shelf.folder(&stack);
    let absolute = |path: &Path| {
        std::path::absolute(path)
            .map_err(|error| CliError::file(format!("can't find {}", path.display()), error))
    };
    let folder = absolute(&folder)?;
    let key = args.shelf.key.as_deref().map(absolute).transpose()?;
    let job = Job {
        program: &program,
        root: stack.place.root(),
        env_file: &stack.env_path,
        folder: &folder,
        key: key.as_deref(),
        keep: usize::from(args.keep),
    };
    let units = job.systemd();
    if let Some(folder) = &args.write {
        for unit in &units {
            let path = folder.join(unit.name);
            std::fs::write(&path, &unit.text).map_err(|error| {
                CliError::file(format!("can't write {}", path.display()), error)
            })?;
        }
        context.out.remark("systemctl daemon-reload && systemctl enable --now collective-backup.timer collective-backup-verify.timer");
    }
    let json = serde_json::json!({ "systemd": units, "cron": job.cron() });
    context.out.show(&json, |out| {
        for unit in &units {
            out.line(format!("# {}", unit.name))?;
            out.line(&unit.text)?;
        }
        out.line("# or, in a crontab")?;
        out.line(job.cron().trim_end())
    })
}
