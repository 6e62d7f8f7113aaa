//! The command line: global options and the nouns.

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    agent, completions, config, dead, doctor, events, key, message, migrate, queue, reserve, run,
    schedule, stack, status, task, up,
};
use crate::connect::ServerArgs;
use crate::output::ColorChoice;

const EXAMPLES: &str = "\
Examples:
  collective up                               start a server on this machine
  collective run team.yaml                    run a team of agents until its tasks have ended
  collective task add 'count the lines' --queue rust --wait
  collective task list --state running
  collective task explain 12                  what does task 12 wait for?

Exit codes: 0 done, 1 a task didn't succeed, 2 bad usage or input, 3 not found,
4 refused or in conflict, 5 not allowed, 6 no server or not able now,
7 not ended in time, 70 a bug, 130 interrupted.";

/// One team of many coding agents: durable tasks, leases, checks, on one machine or many.
#[derive(Parser, Debug)]
#[command(name = "collective", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print JSON, as the API gives it
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// When to use colour; NO_COLOR is respected
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        help_heading = "Output"
    )]
    pub(crate) color: ColorChoice,
    /// No remarks and no progress
    #[arg(long, short, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,
}

/// The nouns.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Start a server on this machine
    Up(up::UpArgs),
    /// Run a team of agents from a file until its tasks have ended
    Run(run::RunArgs),
    /// Show the team at a glance
    Status(status::StatusArgs),
    /// Look for what is wrong here, and say how to mend it
    Doctor(doctor::DoctorArgs),
    /// Create, find, follow and control tasks
    #[command(subcommand)]
    Task(task::TaskCommand),
    /// Look after dead letters: tasks that no attempt is left for
    #[command(subcommand)]
    Dead(dead::DeadCommand),
    /// Run and look after agents
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// Look after queues
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Send and read messages
    #[command(subcommand)]
    Message(message::MessageCommand),
    /// Reserve paths of a repository, so that two agents don't edit the same files
    Reserve(reserve::ReserveArgs),
    /// Create tasks again and again, by a cron expression
    #[command(subcommand)]
    Schedule(schedule::ScheduleCommand),
    /// Make and revoke API keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Read or follow the team's events
    Events(events::EventsArgs),
    /// Show and check the settings of a server
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Move everything from one engine to the other
    Migrate(migrate::MigrateArgs),
    /// Run the Docker infrastructure: a thin layer over Compose
    #[command(subcommand)]
    Stack(stack::StackCommand),
    /// Print completions for a shell
    Completions(completions::CompletionsArgs),
}
