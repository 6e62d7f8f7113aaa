//! `collective task logs`.

use clap::Args;
use collective_api::tasks::{LogPage, ReadLog};
use collective_client::{Client, TaskName};
use collective_core::Span;
use collective_core::limits::MAX_WAIT;
use serde::Serialize;

use crate::context::Context;
use crate::errors::CliError;
use crate::output::Tone;
use crate::{names, when};

const EXAMPLES: &str = "\
Examples:
  collective task logs 12
  collective task logs 12 --follow             goes on with the next attempts
  collective task logs 12 --attempt 1
  collective task logs 12 --timestamps";

/// How long to wait for the next attempt before looking at the task again.
const LOOK_AGAIN: Span = Span::from_secs(1);

/// Whose output.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LogsArgs {
    /// The task's number, id or key
    task: String,
    /// Go on until the task has ended
    #[arg(long, short)]
    follow: bool,
    /// Which attempt [default: the newest]
    #[arg(long, value_name = "NUMBER")]
    attempt: Option<u32>,
    /// Show when each piece came
    #[arg(long, short)]
    timestamps: bool,
}

/// A piece of output with the attempt that it belongs to.
#[derive(Serialize)]
struct PieceOfAttempt<'p> {
    attempt: u32,
    #[serde(flatten)]
    piece: &'p collective_api::tasks::LogPiece,
}

/// Shows it.
pub(crate) async fn run(args: &LogsArgs, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let task = names::task(&client, &args.task).await?;
    let mut attempt = args.attempt;
    loop {
        let shown = one_attempt(&client, task, attempt, args, context).await?;
        if !args.follow {
            if shown == 0 {
                context.out.remark("no attempt has started yet");
            }
            return Ok(());
        }
        if args.attempt.is_some() {
            return Ok(());
        }
        match next_attempt(&client, task, shown).await? {
            Some(next) => {
                if shown > 0 {
                    context.out.remark(format!("attempt {next}"));
                }
                attempt = Some(next);
            }
            None => return Ok(()),
        }
    }
}

/// Shows an attempt's output; returns its number, 0 if there is none.
async fn one_attempt(
    client: &Client,
    task: TaskName,
    attempt: Option<u32>,
    args: &LogsArgs,
    context: &Context,
) -> Result<u32, CliError> {
    let mut query = ReadLog {
        attempt,
        after: None,
        wait: args.follow.then_some(MAX_WAIT),
    };
    loop {
        let page = client.task_log(task, &query).await?;
        write(&page, args, context)?;
        let Some(last) = page.pieces.last() else {
            if page.ended || !args.follow || page.attempt == 0 {
                return Ok(page.attempt);
            }
            continue;
        };
        if page.ended {
            return Ok(page.attempt);
        }
        query.after = Some(last.position);
        // A newer attempt must not slip in between two pages.
        query.attempt = Some(page.attempt);
    }
}

fn write(page: &LogPage, args: &LogsArgs, context: &Context) -> Result<(), CliError> {
    let out = &context.out;
    for piece in &page.pieces {
        if out.json {
            out.json_line(&PieceOfAttempt {
                attempt: page.attempt,
                piece,
            })?;
        } else if args.timestamps {
            let at = out.paint(Tone::Faint, &when::clock(piece.at));
            for line in crate::text::clean(&piece.text).lines() {
                out.line(format!("{at} {line}"))?;
            }
        } else {
            out.raw(crate::text::clean(&piece.text).as_bytes())?;
        }
    }
    Ok(())
}

/// The attempt after `shown`, once it has started; none if the task has ended before.
async fn next_attempt(
    client: &Client,
    task: TaskName,
    shown: u32,
) -> Result<Option<u32>, CliError> {
    loop {
        let found = client.task_result(task, LOOK_AGAIN).await?;
        if found.epoch.0 > shown {
            return Ok(Some(shown + 1));
        }
        if found.state.is_terminal() {
            return Ok(None);
        }
    }
}
