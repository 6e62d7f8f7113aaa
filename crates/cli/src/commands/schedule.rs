//! `collective schedule`: tasks that are created again and again.

use clap::{Args, Subcommand};
use collective_api::messages::CreateSchedule;
use collective_client::Client;
use collective_core::schedule::{Overlap, Schedule};
use collective_core::{Rejection, ScheduleId};

use super::task::spec::SpecArgs;
use crate::context::Context;
use crate::errors::CliError;
use crate::output::{Grid, Tone, toned};
use crate::when;

const ADD: &str = "\
Examples:
  collective schedule add nightly '0 3 * * *' 'run the slow tests' --queue rust
  collective schedule add standup '0 9 * * mon-fri' 'write the summary' --time-zone Europe/Berlin
  collective schedule add poll '*/10 * * * * *' 'look for news' --overlap allow

The expression has five fields (minute hour day-of-month month weekday), or six
with seconds first. Times that pass while no server runs are made up by one task.";
const LIST: &str = "\
Examples:
  collective schedule list";
const CHANGE: &str = "\
Examples:
  collective schedule pause nightly
  collective schedule resume nightly
  collective schedule remove nightly --yes";

/// What to do with schedules.
#[derive(Subcommand, Debug)]
pub(crate) enum ScheduleCommand {
    /// Create a schedule
    #[command(after_help = ADD)]
    Add(Box<AddArgs>),
    /// List schedules
    #[command(after_help = LIST)]
    List,
    /// Create no tasks for a while
    #[command(after_help = CHANGE)]
    Pause {
        /// Its name or id
        schedule: String,
    },
    /// Create tasks again
    #[command(after_help = CHANGE)]
    Resume {
        /// Its name or id
        schedule: String,
    },
    /// Remove a schedule; the tasks that it created stay
    #[command(after_help = CHANGE)]
    Remove {
        /// Its name or id
        schedule: String,
        /// Don't ask
        #[arg(long, short)]
        yes: bool,
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
    },
}

/// Which schedule to create.
#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    /// Its name
    name: String,
    /// When: a cron expression
    cron: String,
    /// The title of the task that it creates
    title: String,
    /// An IANA time zone
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    time_zone: String,
    /// What happens if its last task hasn't ended: skip or allow
    #[arg(long, value_parser = overlap, default_value = "skip")]
    overlap: Overlap,
    #[command(flatten)]
    spec: SpecArgs,
}

/// Carries it out.
pub(crate) async fn run(command: ScheduleCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let out = &context.out;
    match command {
        ScheduleCommand::Add(args) => add(*args, &client, context).await,
        ScheduleCommand::List => list(&client, context).await,
        ScheduleCommand::Pause { schedule } => {
            let found = find(&client, &schedule).await?;
            let paused = client.pause_schedule(found.id).await?;
            out.show(&paused, |out| {
                out.line(format!("{} is paused", name(&paused)))
            })
        }
        ScheduleCommand::Resume { schedule } => {
            let found = find(&client, &schedule).await?;
            let resumed = client.resume_schedule(found.id).await?;
            out.show(&resumed, |out| out.line(next(&resumed)))
        }
        ScheduleCommand::Remove {
            schedule,
            yes,
            dry_run,
        } => {
            let found = find(&client, &schedule).await?;
            if dry_run {
                return out.show(&found, |out| {
                    out.line(format!("would remove {}", name(&found)))
                });
            }
            context.confirm(&format!("remove {}", name(&found)), yes)?;
            client.remove_schedule(found.id).await?;
            if out.json {
                return out.json(&serde_json::json!({ "removed": found.id }));
            }
            out.line(format!("{} is removed", name(&found)))
        }
    }
}

async fn add(args: AddArgs, client: &Client, context: &Context) -> Result<(), CliError> {
    let request = CreateSchedule {
        name: args.name,
        cron: args.cron,
        time_zone: args.time_zone,
        overlap: args.overlap,
        task: args.spec.build(args.title, client).await?,
    };
    let created = client.create_schedule(&request).await?;
    context.out.show(&created, |out| out.line(next(&created)))
}

async fn list(client: &Client, context: &Context) -> Result<(), CliError> {
    let page = client.list_schedules().await?;
    context.out.show(&page, |out| {
        let now = when::now();
        let mut grid = Grid::new(["SCHEDULE", "CRON", "ZONE", "NEXT", "TASK"], "no schedules");
        for schedule in &page.items {
            let next = if schedule.paused {
                toned(Tone::Warn, "paused")
            } else {
                when::ahead(schedule.next_at, now).into()
            };
            grid.row([
                crate::text::short(&schedule.name, 40).into(),
                crate::text::line(&schedule.cron).into(),
                crate::text::line(&schedule.time_zone).into(),
                next,
                crate::text::short(&schedule.spec.title, 60).into(),
            ]);
        }
        out.grid(&grid)
    })
}

/// The schedule with this name or id.
async fn find(client: &Client, text: &str) -> Result<Schedule, CliError> {
    let id = text.parse::<ScheduleId>().ok();
    let all = client.list_schedules().await?.items;
    let found = all
        .into_iter()
        .find(|schedule| Some(schedule.id) == id || schedule.name == text);
    found.ok_or_else(|| {
        Rejection::not_found("schedule", text)
            .hint("`collective schedule list` shows what there is")
            .into()
    })
}

fn name(schedule: &Schedule) -> String {
    format!("schedule {}", crate::text::line(&schedule.name))
}

fn next(schedule: &Schedule) -> String {
    format!(
        "{} creates its next task at {}",
        name(schedule),
        when::local(schedule.next_at)
    )
}

fn overlap(text: &str) -> Result<Overlap, String> {
    match text {
        "skip" => Ok(Overlap::Skip),
        "allow" => Ok(Overlap::Allow),
        _ => Err("known are skip and allow".to_owned()),
    }
}
