//! `collective migrate`: everything from one engine to the other.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use collective_config::Flag;
use collective_core::ports::{Clock, Duty, Outbox, Post, Store};
use collective_core::{Code, Rejection, TeamName};
use collective_service::migrate::{self, Digest, Progress, TeamPlan};
use collective_store::{PgStore, SqliteOptions, SqliteStore};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::context::Context;
use crate::errors::CliError;
use crate::host::StartError;
use crate::output::{Grid, number};
use crate::settings::{self, ConfigArgs};
use crate::world::SystemClock;

const EXAMPLES: &str = "\
Examples:
  collective migrate --to distributed --config server.toml --dry-run
  collective migrate --to distributed --config server.toml
  collective migrate --to embedded --data ./team-data        and back

Stop the servers of both sides first. The target must be empty, or hold the copy
that was begun before: an interrupted migration goes on where it was. Nothing is
changed in the source, and both sides are compared at the end.";

/// How often a duty that a server just gave up is asked for again: PostgreSQL
/// tells nobody that an advisory lock is free.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// How long a stopped server's duties may take to become free.
const DUTY_WAIT: Duration = Duration::from_secs(3);

/// Where everything goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// From the data folder to PostgreSQL
    Distributed,
    /// From PostgreSQL to the data folder
    Embedded,
}

/// What is moved where.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct MigrateArgs {
    /// Where everything goes: distributed or embedded; it comes from the other
    #[arg(long, value_name = "ENGINE", value_enum, hide_possible_values = true)]
    to: Target,
    /// Say what would be copied, and copy nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// One team, as JSON says it.
#[derive(Serialize)]
struct Moved {
    team: TeamName,
    #[serde(flatten)]
    digest: Digest,
}

/// One team of a dry run, as JSON says it.
#[derive(Serialize)]
struct Planned {
    team: TeamName,
    events: u64,
    copied: u64,
}

/// Copies and compares.
pub(crate) async fn run(args: MigrateArgs, context: &Context) -> Result<(), CliError> {
    let distributed = Flag {
        name: "--to",
        key: "engine.kind",
        value: "distributed".to_owned(),
    };
    let loaded = args.config.load(context, vec![distributed])?;
    let collective_config::Engine::Distributed(parts) = &loaded.settings.engine else {
        return Err(CliError::Bug("the settings name another engine".to_owned()));
    };
    let options = settings::distributed(parts);
    let postgres = Arc::new(PgStore::open(&options.postgres).await.map_err(start)?);
    let mut duties = alone(&postgres).await?;
    let folder = context.server.folder()?;
    let path = folder.path().to_owned();
    // Opening it would make an empty one, and an empty source is never meant.
    if args.to == Target::Distributed && !SqliteStore::is_in(&path) {
        return Err(CliError::usage(
            format!("there is no store in {}", path.display()),
            "name the data folder of the embedded server with --data",
        ));
    }
    let sqlite =
        tokio::task::spawn_blocking(move || SqliteStore::open(&path, SqliteOptions::default()))
            .await
            .map_err(|error| CliError::Bug(format!("opening the folder broke off: {error}")))?
            .map_err(start)?;
    let (from, to): (&dyn Store, &dyn Store) = match args.to {
        Target::Distributed => (&sqlite, &*postgres),
        Target::Embedded => (&*postgres, &sqlite),
    };
    let outcome = if args.dry_run {
        let plans = migrate::plan(from, to).await?;
        show_plan(&plans, context)
    } else {
        let bar = bar(context);
        let moved = migrate::run(from, to, |progress| tell(&bar, progress)).await;
        bar.finish_and_clear();
        let moved = moved?;
        if args.to == Target::Distributed {
            silence(&mut duties, to, &moved).await?;
        }
        show(moved, context)
    };
    sqlite.close().await;
    drop(duties);
    postgres.close().await;
    outcome
}

fn start(error: collective_core::ports::StoreError) -> CliError {
    CliError::from(StartError::from(error))
}

/// Takes what only running servers have. As long as it is held, a server that
/// starts does nothing by itself, and says so.
async fn alone(postgres: &PgStore) -> Result<Vec<Box<dyn Post>>, CliError> {
    let deadline = tokio::time::Instant::now() + DUTY_WAIT;
    let mut held = Vec::new();
    for duty in [Duty::Relay, Duty::Reaper] {
        loop {
            let taken = postgres.take(duty, SystemClock.now()).await;
            if let Some(post) = taken.map_err(Rejection::from)? {
                held.push(post);
                break;
            }
            if tokio::time::Instant::now() > deadline {
                return Err(
                    Rejection::new(Code::WrongState, "a server runs on that database")
                        .hint("stop every server of both sides, then migrate again")
                        .into(),
                );
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
    Ok(held)
}

/// The history is no news: the bus needn't be told of it.
async fn silence(
    duties: &mut [Box<dyn Post>],
    store: &dyn Store,
    moved: &[(TeamName, Digest)],
) -> Result<(), CliError> {
    let mut up_to = Vec::with_capacity(moved.len());
    for (team, _) in moved {
        let mut query = store.reader().await.map_err(Rejection::from)?;
        let last = query.last_seq(team).await.map_err(Rejection::from)?;
        up_to.push((team.clone(), last));
    }
    // The relay's duty was taken first.
    if let Some(relay) = duties.first_mut() {
        relay.told(&up_to).await.map_err(Rejection::from)?;
    }
    Ok(())
}

fn bar(context: &Context) -> ProgressBar {
    if !context.out.draws_progress() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length();
    let template = "{prefix} [{bar:30}] {human_pos}/{human_len} events, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

fn tell(bar: &ProgressBar, progress: &Progress) {
    bar.set_prefix(progress.team.to_string());
    bar.set_length(progress.total);
    bar.set_position(progress.done);
}

fn show_plan(plans: &[TeamPlan], context: &Context) -> Result<(), CliError> {
    if context.out.json {
        let planned: Vec<Planned> = plans
            .iter()
            .map(|plan| Planned {
                team: plan.team.clone(),
                events: plan.events,
                copied: plan.copied,
            })
            .collect();
        return context.out.json(&planned);
    }
    let mut grid = Grid::new(["TEAM", "EVENTS", "COPIED"], "the source is empty");
    for plan in plans {
        grid.row([
            plan.team.to_string().into(),
            number(plan.events),
            number(plan.copied),
        ]);
    }
    context.out.grid(&grid)?;
    context.out.remark("nothing was copied");
    Ok(())
}

fn show(moved: Vec<(TeamName, Digest)>, context: &Context) -> Result<(), CliError> {
    if context.out.json {
        let moved: Vec<Moved> = moved
            .into_iter()
            .map(|(team, digest)| Moved { team, digest })
            .collect();
        return context.out.json(&moved);
    }
    let header = ["TEAM", "EVENTS", "TASKS", "ATTEMPTS", "MESSAGES", "BYTES"];
    let mut grid = Grid::new(header, "the source is empty");
    for (team, digest) in &moved {
        grid.row([
            team.to_string().into(),
            number(digest.events.count),
            number(digest.tasks.count),
            number(digest.attempts.count),
            number(digest.messages.count),
            number(digest.bytes.count),
        ]);
    }
    context.out.grid(&grid)?;
    context
        .out
        .remark("both sides hold the same; the source is as it was");
    Ok(())
}
