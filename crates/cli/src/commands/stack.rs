//! `collective stack`: the Docker infrastructure, by Docker's own command line.
//!
//! What changes something is a command that is shown first; `--dry-run` only
//! shows it.

mod backup;
mod check;
mod init;
mod life;
mod look;
mod prove;
mod restore;
mod rotate;

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use clap::{Args, Subcommand};
use collective_stack::{Call, Choice, Environment, Finding, Level, Runner, Stack};

use crate::context::Context;
use crate::errors::{CliError, INTERRUPTED, NOT_SUCCEEDED};
use crate::output::{Output, Tone};
use crate::signals::Signals;

/// What to do with the stack.
#[derive(Subcommand, Debug)]
pub(crate) enum StackCommand {
    /// Write a file of variables with strong secrets
    Init(init::InitArgs),
    /// Look for what would keep the stack from working, before it is started
    Check(check::CheckArgs),
    /// Start the stack
    Up(life::UpArgs),
    /// Stop the stack
    Down(life::DownArgs),
    /// Show every container of the stack
    Status(look::StatusArgs),
    /// Show what the services say
    Logs(look::LogsArgs),
    /// Look for the known troubles of a stack that was started
    Doctor(prove::DoctorArgs),
    /// Prove that the stack does its work, by using it
    Verify(prove::VerifyArgs),
    /// Take a backup while the stack works; list, prove and schedule backups
    Backup(backup::BackupArgs),
    /// Put a backup back into a stack that stands still, up to a point in time
    Restore(restore::RestoreArgs),
    /// Change the passwords of the servers while clients are connected
    Rotate(rotate::RotateArgs),
}

/// Which stack.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Stack")]
pub(crate) struct WhichArgs {
    /// dev, test, staging or production [default: STACK_ENV of the file of variables]
    #[arg(long = "env", value_name = "ENV", value_parser = environment)]
    environment: Option<Environment>,
    /// With the monitoring part [default: STACK_MONITORING of the file of variables]
    #[arg(long)]
    monitoring: bool,
    /// With the reverse proxy [default: STACK_PROXY of the file of variables]
    #[arg(long)]
    proxy: bool,
    /// The folder of the project [default: the nearest one, upwards]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// The file of variables [default: .env of the project]
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

impl WhichArgs {
    fn choice(&self) -> Choice {
        Choice {
            dir: self.dir.clone(),
            env_file: self.env_file.clone(),
            environment: self.environment,
            monitoring: self.monitoring,
            proxy: self.proxy,
        }
    }

    /// The stack, with what it changes only told if it is `dry`.
    fn open(&self, dry: bool, context: &Context) -> Result<Stack, CliError> {
        Ok(Stack::open(&self.choice(), runner(dry, &context.out))?)
    }
}

fn environment(text: &str) -> Result<Environment, String> {
    text.parse()
}

/// A call that is only told is the result; one that is carried out is a remark.
fn runner(dry: bool, out: &Output) -> Runner {
    let out = out.clone();
    Runner::new(
        dry,
        Box::new(move |call: &Call| {
            if !dry {
                out.remark(format!("$ {call}"));
                return;
            }
            // A reader that is gone needs no more lines.
            let _ = if out.json {
                let words: Vec<&str> = call.words().collect();
                out.json_line(&serde_json::json!({ "command": words }))
            } else {
                out.line(call.to_string())
            };
        }),
    )
}

/// Does it. Everything waits for processes, so it has a thread of its own.
pub(crate) async fn run(command: StackCommand, context: &Context) -> Result<(), CliError> {
    let context = context.clone();
    let work = tokio::task::spawn_blocking(move || match command {
        StackCommand::Init(args) => init::run(args, &context),
        StackCommand::Check(args) => check::run(&args, &context),
        StackCommand::Up(args) => life::up(&args, &context),
        StackCommand::Down(args) => life::down(&args, &context),
        StackCommand::Status(args) => look::status(&args, &context),
        StackCommand::Logs(args) => look::logs(&args, &context),
        StackCommand::Doctor(args) => prove::examine(&args, &context),
        StackCommand::Verify(args) => prove::prove(&args, &context),
        StackCommand::Backup(args) => backup::run(args, &context),
        StackCommand::Restore(args) => restore::run(&args, &context),
        StackCommand::Rotate(args) => rotate::run(args, &context),
    });
    work.await
        .map_err(|error| CliError::Bug(format!("the command broke off: {error}")))?
}

/// From now on a signal ends what the stack's runner does, in order; a second
/// one ends it at once.
fn heed_signals(stack: &Stack) -> Result<(), CliError> {
    let stop = stack.runner().stop_switch();
    let runtime = tokio::runtime::Handle::current();
    let _guard = runtime.enter();
    let mut signals = Signals::listen()?;
    runtime.spawn(async move {
        signals.next().await;
        stop.store(true, Ordering::Relaxed);
        signals.next().await;
        std::process::exit(i32::from(INTERRUPTED));
    });
    Ok(())
}

/// One line of a finding, and below it how it is mended.
fn show_finding(out: &Output, finding: &Finding) -> Result<(), CliError> {
    let (word, tone) = match finding.level {
        Level::Fine => ("ok    ", Tone::Good),
        Level::Notice => ("notice", Tone::Warn),
        Level::Wrong => ("wrong ", Tone::Bad),
    };
    out.line(format!(
        "{}  {:<16} {}: {}",
        out.paint(tone, word),
        finding.code,
        finding.place,
        crate::text::line(&finding.seen)
    ))?;
    match &finding.mend {
        Some(mend) => out.line(format!(
            "        {:<16} {}",
            "",
            out.paint(Tone::Busy, mend)
        )),
        None => Ok(()),
    }
}

/// The exit code of findings: 1 if something needs mending.
fn verdict(findings: &[Finding], what: &str) -> Result<(), CliError> {
    let wrong = findings
        .iter()
        .filter(|finding| finding.level == Level::Wrong)
        .count();
    match wrong {
        0 => Ok(()),
        1 => Err(outcome(format!("{what}: 1 thing needs mending"), None)),
        count => Err(outcome(
            format!("{what}: {count} things need mending"),
            None,
        )),
    }
}

/// It was carried out, and the outcome is bad.
fn outcome(what: impl Into<String>, hint: Option<String>) -> CliError {
    CliError::Outcome {
        what: what.into(),
        hint,
        exit: NOT_SUCCEEDED,
    }
}
