//! `collective task list`.

use clap::Args;
use collective_api::tasks::ListTasks;
use collective_core::role::Role;
use collective_core::task::{Lane, Priority, Task, TaskState};
use collective_core::{AgentName, QueueName};

use super::render::{attempts, state_tone};
use super::spec::label;
use crate::commands::role;
use crate::context::Context;
use crate::errors::CliError;
use crate::output::{Grid, Output, Tone, number, toned};
use crate::when;

const EXAMPLES: &str = "\
Examples:
  collective task list
  collective task list --state queued,running --queue rust
  collective task list --label run=018f4e0e --limit 500
  collective task list --held-by ada --json | jq -r '.items[].spec.title'";

/// Which tasks.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListArgs {
    /// In one of these states, separated by commas
    #[arg(long, value_delimiter = ',', value_parser = state)]
    state: Vec<TaskState>,
    /// Only what hasn't ended
    #[arg(long, conflicts_with = "state")]
    live: bool,
    /// In this queue
    #[arg(long, conflicts_with_all = ["role", "agent"])]
    queue: Option<QueueName>,
    /// For any agent of this role
    #[arg(long, value_parser = role, conflicts_with = "agent")]
    role: Option<Role>,
    /// For this agent
    #[arg(long)]
    agent: Option<AgentName>,
    /// Held by this agent
    #[arg(long, value_name = "AGENT")]
    held_by: Option<AgentName>,
    /// With this label
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Option<(String, String)>,
    /// How many at most
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Go on where an earlier page ended: its `next`
    #[arg(long)]
    cursor: Option<String>,
}

/// Lists them.
pub(crate) async fn run(args: &ListArgs, context: &Context) -> Result<(), CliError> {
    let states: Vec<TaskState> = if args.live {
        live().collect()
    } else {
        args.state.clone()
    };
    let lane = match (&args.queue, args.role, &args.agent) {
        (Some(queue), _, _) => Some(Lane::Queue(queue.clone())),
        (None, Some(role), _) => Some(Lane::Role(role)),
        (None, None, Some(agent)) => Some(Lane::Agent(agent.clone())),
        (None, None, None) => None,
    };
    let query = ListTasks {
        state: states_text(&states),
        lane: lane.map(|lane| lane.to_string()),
        agent: args.held_by.as_ref().map(AgentName::to_string),
        label: args
            .label
            .as_ref()
            .map(|(key, value)| format!("{key}={value}")),
        cursor: args.cursor.clone(),
        limit: None,
    };
    let limit = args.limit as usize;
    let page = context.client()?.list_tasks_up_to(&query, limit).await?;
    context.out.show(&page, |out| {
        rows(out, &page.items)?;
        if page.next.is_some() {
            out.remark(format!(
                "there are more than {limit}: add --limit to see them"
            ));
        }
        Ok(())
    })
}

/// Tasks as a table.
pub(crate) fn rows(out: &Output, tasks: &[Task]) -> Result<(), CliError> {
    let now = when::now();
    let mut grid = Grid::new(
        ["TASK", "STATE", "LANE", "AGENT", "TRIES", "AGE", "TITLE"],
        "no tasks",
    );
    for task in tasks {
        let agent = task.lease.as_ref().map(|lease| lease.agent.to_string());
        let lane = task.lane().to_string();
        let lane = lane.strip_prefix("queue/").unwrap_or(&lane);
        let lane = match task.spec.priority {
            Priority::Normal => lane.to_owned(),
            priority => format!("{lane} ({})", priority.as_str()),
        };
        grid.row([
            number(format!("#{}", task.number)),
            toned(state_tone(task.state), task.state.as_str()),
            lane.into(),
            agent.unwrap_or_default().into(),
            number(attempts(task)),
            toned(Tone::Faint, when::ago(task.created_at, now)),
            crate::text::short(&task.spec.title, 70).into(),
        ]);
    }
    out.grid(&grid)
}

/// The states that a task leaves again.
pub(crate) fn live() -> impl Iterator<Item = TaskState> {
    TaskState::ALL
        .into_iter()
        .filter(|state| !state.is_terminal())
}

/// States as the API takes them; `None` is all.
pub(crate) fn states_text(states: &[TaskState]) -> Option<String> {
    let words: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    (!words.is_empty()).then(|| words.join(","))
}

fn state(text: &str) -> Result<TaskState, String> {
    let words = || TaskState::ALL.into_iter().map(TaskState::as_str);
    TaskState::from_text(text).ok_or_else(|| match collective_core::text::nearest(text, words()) {
        Some(near) => format!("no such state; did you mean `{near}`?"),
        None => format!(
            "no such state; known are {}",
            words().collect::<Vec<_>>().join(", ")
        ),
    })
}
