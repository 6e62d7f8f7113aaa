//! `collective task`: create, find, follow and control tasks.

mod add;
mod ask;
mod control;
mod list;
mod logs;
mod render;
mod show;
pub(crate) mod spec;
mod wait;

use clap::Subcommand;

use crate::context::Context;
use crate::errors::CliError;

pub(crate) use control::{TargetArgs, discard_all, retry_all};
pub(crate) use list::{live, rows, states_text};
pub(crate) use render::{result_text, state_tone};
pub(crate) use show::{ShowArgs, artifact_line, show};

/// What to do with tasks.
#[derive(Subcommand, Debug)]
pub(crate) enum TaskCommand {
    /// Create a task, or several from a file
    Add(Box<add::AddArgs>),
    /// List tasks, newest first
    List(list::ListArgs),
    /// Show one task: what was asked, where it stands, what it gave
    Show(ShowArgs),
    /// Show what its attempts print
    Logs(logs::LogsArgs),
    /// Say what a task waits for, and what would free it
    Explain(show::ExplainArgs),
    /// Wait until tasks have ended
    Wait(wait::WaitArgs),
    /// Fetch something that a task made
    Artifact(show::ArtifactArgs),
    /// Call tasks off
    Cancel(control::CancelArgs),
    /// Give dead or cancelled tasks a new start
    Retry(control::RetryArgs),
    /// Put dead letters away
    Discard(control::DiscardArgs),
    /// List the questions that running tasks ask
    Questions(ask::QuestionsArgs),
    /// Answer a question of a task
    Answer(ask::AnswerArgs),
    /// Ask something, from inside of an attempt
    Ask(ask::AskArgs),
}

/// Carries it out.
pub(crate) async fn run(command: TaskCommand, context: &Context) -> Result<(), CliError> {
    match command {
        TaskCommand::Add(args) => add::run(*args, context).await,
        TaskCommand::List(args) => list::run(&args, context).await,
        TaskCommand::Show(args) => show(&args, context).await,
        TaskCommand::Logs(args) => logs::run(&args, context).await,
        TaskCommand::Explain(args) => show::explain(&args, context).await,
        TaskCommand::Wait(args) => wait::run(&args, context).await,
        TaskCommand::Artifact(args) => show::artifact(&args, context).await,
        TaskCommand::Cancel(args) => control::cancel(args, context).await,
        TaskCommand::Retry(args) => control::retry(args, context).await,
        TaskCommand::Discard(args) => control::discard(args, context).await,
        TaskCommand::Questions(args) => ask::questions(&args, context).await,
        TaskCommand::Answer(args) => ask::answer(args, context).await,
        TaskCommand::Ask(args) => ask::ask(args, context).await,
    }
}
