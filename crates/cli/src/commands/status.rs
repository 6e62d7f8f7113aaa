//! `collective status`: the team at a glance.

use std::time::Duration;

use clap::Args;
use collective_api::operations::Status;
use collective_core::Span;
use collective_core::task::TaskState;

use super::{agent, queue, span, task};
use crate::context::Context;
use crate::errors::CliError;
use crate::output::{Output, Tone};
use crate::when;

const EXAMPLES: &str = "\
Examples:
  collective status
  collective status --watch
  collective status --json | jq .tasks.dead";

/// Moves the cursor home and clears what is below (ECMA-48 CUP, ED).
const CLEAR: &[u8] = b"\x1b[H\x1b[J";

/// How often.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {
    /// Show it again and again, until interrupted
    #[arg(long, short)]
    watch: bool,
    /// How often with --watch
    #[arg(long, value_name = "TIME", value_parser = span, default_value = "2s", requires = "watch")]
    every: Span,
}

/// Shows it.
pub(crate) async fn run(args: &StatusArgs, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let out = &context.out;
    if !args.watch {
        let status = client.status().await?;
        return out.show(&status, |out| show(out, &status));
    }
    // Faster than this, a terminal only flickers.
    let pause = args.every.as_duration().max(Duration::from_millis(200));
    loop {
        match client.status().await {
            Ok(status) if out.json => out.json_line(&status)?,
            Ok(status) => {
                if out.width().is_some() {
                    out.raw(CLEAR)?;
                }
                show(out, &status)?;
            }
            Err(error) if error.is_passing() => out.warn(error.to_string()),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(pause).await;
    }
}

fn show(out: &Output, status: &Status) -> Result<(), CliError> {
    let up = Span::from_secs(status.uptime_seconds.max(0.0) as u64);
    out.line(format!(
        "team {}, server {} up for {}, {}",
        status.team,
        status.version,
        when::brief(up),
        crate::text::count(status.last_event, "event")
    ))?;
    let counts: Vec<String> = TaskState::ALL
        .into_iter()
        .filter_map(|state| Some((state, *status.tasks.get(&state)?)))
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| {
            out.paint(
                task::state_tone(state),
                &format!("{count} {}", state.as_str()),
            )
        })
        .collect();
    match counts.is_empty() {
        true => out.line("no tasks")?,
        false => out.line(format!("tasks: {}", counts.join(", ")))?,
    }
    if status.open_questions > 0 {
        let text = format!(
            "{}: collective task questions",
            crate::text::count(status.open_questions, "open question")
        );
        out.line(out.paint(Tone::Warn, &text))?;
    }
    out.heading("Queues")?;
    queue::table(out, &status.queues)?;
    out.heading("Agents")?;
    agent::table(out, &status.agents)
}
