//! `collective agent`: run and look after agents.

mod run;

use clap::{Args, Subcommand};
use collective_api::agents::AgentView;
use collective_core::{AgentName, Timestamp};

use crate::context::Context;
use crate::errors::CliError;
use crate::output::{Facts, Grid, Output, Tone, number, toned};
use crate::when;
use crate::work::Book;

const PRESETS: &str = "\
Examples:
  collective agent presets
  collective agent run --preset claude --option model=opus

Your own are YAML files in ~/.config/collective/presets; docs/agents.md says how
they are written.";
const LIST: &str = "\
Examples:
  collective agent list
  collective agent list --json | jq -r '.items[] | select(.present) | .name'";
const SHOW: &str = "\
Examples:
  collective agent show ada";
const DRAIN: &str = "\
Examples:
  collective agent drain ada          it finishes what it holds and takes nothing new
  collective agent drain ada --off    it takes tasks again";
const REMOVE: &str = "\
Examples:
  collective agent remove ada --dry-run
  collective agent remove ada --yes

Its history stays. An agent that runs registers again by itself: stop it first.";

/// What to do with agents.
#[derive(Subcommand, Debug)]
pub(crate) enum AgentCommand {
    /// Run an agent: it takes tasks and runs a command for each
    Run(Box<run::RunArgs>),
    /// List the agent CLIs that are known, with their options
    #[command(after_help = PRESETS)]
    Presets,
    /// List agents
    #[command(after_help = LIST)]
    List,
    /// Show one agent
    #[command(after_help = SHOW)]
    Show {
        /// Its name
        agent: AgentName,
    },
    /// Let an agent take no new tasks
    #[command(after_help = DRAIN)]
    Drain {
        /// Its name
        agent: AgentName,
        /// Let it take tasks again
        #[arg(long)]
        off: bool,
    },
    /// Remove an agent from the team
    #[command(after_help = REMOVE)]
    Remove(RemoveArgs),
}

/// Which agent to remove.
#[derive(Args, Debug)]
pub(crate) struct RemoveArgs {
    /// Its name
    agent: AgentName,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

/// Carries it out.
pub(crate) async fn run(command: AgentCommand, context: &Context) -> Result<(), CliError> {
    let out = &context.out;
    match command {
        AgentCommand::Run(args) => run::run(*args, context).await,
        AgentCommand::Presets => presets(out),
        AgentCommand::List => {
            let page = context.client()?.list_agents().await?;
            out.show(&page, |out| table(out, &page.items))
        }
        AgentCommand::Show { agent } => {
            let view = context.client()?.agent(&agent).await?;
            out.show(&view, |out| detail(out, &view))
        }
        AgentCommand::Drain { agent, off } => {
            let view = context.client()?.drain_agent(&agent, !off).await?;
            out.show(&view, |out| match (off, view.held) {
                (true, _) => out.line(format!("agent {agent} takes tasks again")),
                (false, 0) => out.line(format!("agent {agent} takes no tasks; it holds none")),
                (false, held) => out.line(format!(
                    "agent {agent} takes no new tasks; it still holds {held}"
                )),
            })
        }
        AgentCommand::Remove(args) => remove(&args, context).await,
    }
}

fn presets(out: &Output) -> Result<(), CliError> {
    let book = Book::open()?;
    if out.json {
        let items: Vec<_> = book
            .iter()
            .map(|preset| {
                let options = preset.options().iter();
                serde_json::json!({
                    "name": preset.name(),
                    "about": preset.about(),
                    "program": preset.program(),
                    "options": options.map(|choice| &choice.name).collect::<Vec<_>>(),
                })
            })
            .collect();
        return out.json(&serde_json::json!({ "items": items }));
    }
    let mut grid = Grid::new(["PRESET", "ABOUT", "OPTIONS"], "no presets");
    for preset in book.iter() {
        let options: Vec<&str> = preset
            .options()
            .iter()
            .map(|choice| choice.name.as_str())
            .collect();
        grid.row([
            preset.name().into(),
            crate::text::short(preset.about(), 70).into(),
            crate::text::short(&options.join(", "), 80).into(),
        ]);
    }
    out.grid(&grid)
}

async fn remove(args: &RemoveArgs, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let out = &context.out;
    let view = client.agent(&args.agent).await?;
    let name = &args.agent;
    if args.dry_run {
        return out.show(&view, |out| {
            out.line(format!(
                "would remove agent {name} ({}), which holds {} tasks",
                presence(&view, when::now()).0,
                view.held
            ))
        });
    }
    context.confirm(&format!("remove agent {name}"), args.yes)?;
    client.remove_agent(name).await?;
    if out.json {
        return out.json(&serde_json::json!({ "removed": name }));
    }
    out.line(format!("agent {name} is removed"))
}

/// Agents as a table.
pub(crate) fn table(out: &Output, agents: &[AgentView]) -> Result<(), CliError> {
    let now = when::now();
    let mut grid = Grid::new(
        ["AGENT", "ROLE", "STATE", "TASKS", "QUEUES", "DESCRIPTION"],
        "no agents",
    );
    for view in agents {
        let (state, tone) = presence(view, now);
        grid.row([
            view.agent.name.to_string().into(),
            view.agent.spec.role.to_string().into(),
            toned(tone, state),
            number(format!("{}/{}", view.held, view.agent.spec.slots)),
            crate::text::short(&queues(view), 60).into(),
            crate::text::short(&view.agent.spec.description, 40).into(),
        ]);
    }
    out.grid(&grid)
}

fn detail(out: &Output, view: &AgentView) -> Result<(), CliError> {
    let now = when::now();
    let (state, tone) = presence(view, now);
    let agent = &view.agent;
    let mut facts = Facts::default();
    facts.add("agent", agent.name.to_string());
    facts.add("role", agent.spec.role.to_string());
    facts.add("state", toned(tone, state));
    facts.add(
        "tasks",
        format!("{} of {} slots", view.held, agent.spec.slots),
    );
    facts.add("queues", queues(view));
    if !agent.spec.description.is_empty() {
        facts.add("description", crate::text::line(&agent.spec.description));
    }
    facts.add("registered", when::local(agent.registered_at));
    facts.add("first seen", when::local(agent.created_at));
    out.facts(&facts)
}

/// A word for the agent's state, with its tone.
fn presence(view: &AgentView, now: Timestamp) -> (String, Tone) {
    match (view.present, view.agent.draining, view.seen_at) {
        (true, true, _) => ("draining".to_owned(), Tone::Warn),
        (true, false, _) if view.held > 0 => ("busy".to_owned(), Tone::Busy),
        (true, false, _) => ("idle".to_owned(), Tone::Good),
        (false, _, Some(at)) => (format!("away for {}", when::ago(at, now)), Tone::Faint),
        (false, _, None) => ("away".to_owned(), Tone::Faint),
    }
}

fn queues(view: &AgentView) -> String {
    let names: Vec<&str> = view
        .agent
        .spec
        .queues
        .iter()
        .map(|name| name.as_str())
        .collect();
    names.join(", ")
}
