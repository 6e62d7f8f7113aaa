//! `collective reserve`: claim paths, so that two agents don't edit the same files.

use clap::{Args, Subcommand};
use collective_api::messages::Reserve;
use collective_core::{AgentName, ReservationId, Span};

use super::span;
use crate::context::Context;
use crate::errors::CliError;
use crate::output::Grid;
use crate::when;

const RESERVE: &str = "\
Examples:
  collective reserve src/api --agent ada --for 30m --reason 'new routes'
  collective reserve docs/** --agent bob --shared
  collective reserve list
  collective reserve release 018f4e0e-7c1a-7000-8000-000000000001

A reservation is advice: it stops the reservations of others, not their editors.
It ends by itself. A path that is called `list` or `release` is written `./list`.";
const LIST: &str = "\
Examples:
  collective reserve list
  collective reserve list --json | jq '.items[].paths'";
const RELEASE: &str = "\
Examples:
  collective reserve release 018f4e0e-7c1a-7000-8000-000000000001";

/// What to reserve.
#[derive(Args, Debug)]
#[command(after_help = RESERVE, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct ReserveArgs {
    #[command(subcommand)]
    command: Option<ReserveCommand>,
    #[command(flatten)]
    paths: Option<PathArgs>,
}

/// What else to do with reservations.
#[derive(Subcommand, Debug)]
enum ReserveCommand {
    /// List live reservations
    #[command(after_help = LIST)]
    List,
    /// Give a reservation up
    #[command(after_help = RELEASE)]
    Release {
        /// Its id
        reservation: ReservationId,
    },
}

/// Which paths.
#[derive(Args, Debug)]
struct PathArgs {
    /// Paths relative to the repository's root; a folder covers what is below it
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// Who reserves
    #[arg(long, env = "COLLECTIVE_AGENT", hide_env_values = true)]
    agent: AgentName,
    /// Which repository: a name that the team agrees on
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    repository: String,
    /// How long, 24h at most
    #[arg(long = "for", value_name = "TIME", value_parser = span, default_value = "1h")]
    ttl: Span,
    /// Let others hold the same paths if they too say so
    #[arg(long)]
    shared: bool,
    /// Why
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
}

/// Carries it out.
pub(crate) async fn run(args: ReserveArgs, context: &Context) -> Result<(), CliError> {
    match (args.command, args.paths) {
        (Some(ReserveCommand::List), _) => list(context).await,
        (Some(ReserveCommand::Release { reservation }), _) => {
            context.client()?.release_reservation(reservation).await?;
            if context.out.json {
                return context
                    .out
                    .json(&serde_json::json!({ "released": reservation }));
            }
            context
                .out
                .line(format!("reservation {reservation} is given up"))
        }
        (None, Some(paths)) => reserve(paths, context).await,
        (None, None) => Err(CliError::usage(
            "no path is named",
            "name paths to reserve, or `list` or `release`",
        )),
    }
}

async fn reserve(args: PathArgs, context: &Context) -> Result<(), CliError> {
    let request = Reserve {
        agent: args.agent,
        repository: args.repository,
        paths: args.paths,
        ttl: args.ttl,
        shared: args.shared,
        reason: args.reason,
        task: None,
        token: None,
    };
    let made = context.client()?.reserve(&request).await?;
    context.out.show(&made, |out| {
        out.line(format!(
            "agent {} holds {} until {} (reservation {})",
            made.agent,
            crate::text::line(&made.paths.join(", ")),
            when::local(made.expires_at),
            made.id
        ))
    })
}

async fn list(context: &Context) -> Result<(), CliError> {
    let page = context.client()?.list_reservations().await?;
    context.out.show(&page, |out| {
        let now = when::now();
        let mut grid = Grid::new(
            [
                "AGENT",
                "REPOSITORY",
                "PATHS",
                "ENDS",
                "REASON",
                "RESERVATION",
            ],
            "no reservations",
        );
        for held in &page.items {
            let mut reason = crate::text::short(&held.reason, 40);
            if held.shared {
                reason = format!("shared; {reason}")
                    .trim_end_matches("; ")
                    .to_owned();
            }
            grid.row([
                held.agent.to_string().into(),
                crate::text::short(&held.repository, 30).into(),
                crate::text::short(&held.paths.join(", "), 60).into(),
                when::ahead(held.expires_at, now).into(),
                reason.into(),
                held.id.to_string().into(),
            ]);
        }
        out.grid(&grid)
    })
}
