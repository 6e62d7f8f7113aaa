//! The binary `collective`: arguments in, tables or JSON out.
//!
//! This crate parses, calls and shows. It must never decide anything about
//! tasks: rules are core's, and the server applies them.

mod args;
mod commands;
mod connect;
mod context;
mod crew;
mod engine;
mod errors;
mod folder;
mod host;
mod names;
mod output;
mod settings;
mod signals;
mod text;
mod trace;
mod when;
mod work;
mod world;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use collective_config::Loaded;
use collective_runner::{guard, scripted};
use collective_server::telemetry;

use args::{Cli, Command};
use commands::agent::AgentCommand;
use commands::{
    agent, completions, config, dead, doctor, events, key, message, migrate, queue, reserve, run,
    schedule, stack, status, task, up,
};
use context::Context;
use errors::CliError;

/// How long the end waits for a collector of traces. Nobody who stops a process
/// should wait longer for what is only of use if it arrives.
const FLUSH: Duration = Duration::from_secs(3);

/// The log lines of an agent that makes traces and wasn't asked to log.
const TRACES_ONLY: &str = "collective_server::telemetry=info";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        // Before any thread: what the guard starts belongs to the one that lives longest.
        Some(first) if first == guard::SUBCOMMAND => return guard::main(arguments),
        Some(first) if first == scripted::SUBCOMMAND => return scripted::main(arguments),
        _ => {}
    }
    let cli = Cli::parse();
    let context = Context::new(&cli.global);
    let loaded = match prepare(&cli.command, &context) {
        Ok(loaded) => loaded,
        Err(error) => {
            context.out.error(&error);
            return ExitCode::from(error.exit_code());
        }
    };
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| CliError::file("can't start the runtime", error))?;
        let outcome = runtime.block_on(dispatch(cli.command, loaded.as_ref(), &context));
        telemetry::flush(FLUSH);
        // What still waits for standard input can't be woken; it goes with the process.
        runtime.shutdown_background();
        outcome
    }))
    // The message of the panic was printed where it happened.
    .unwrap_or_else(|_| Err(CliError::Bug("the command broke off".to_owned())));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            context.out.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Reads the settings of a server and sets logging up: a server logs, other
/// commands only if they are asked to.
fn prepare(command: &Command, context: &Context) -> Result<Option<Loaded>, CliError> {
    let color = context.out.colors_errors();
    match (command, std::env::var("COLLECTIVE_LOG")) {
        (Command::Up(args), _) => {
            let loaded = args.load(context)?;
            up::start_log_of(&loaded.settings, color)?;
            Ok(Some(loaded))
        }
        (command, filter) => {
            let traces = match command {
                Command::Agent(AgentCommand::Run(_)) => trace::options()?,
                _ => None,
            };
            let filter = filter.ok().filter(|filter| !filter.is_empty());
            // What goes wrong with traces is said even where nothing else is.
            let filter = filter.or_else(|| traces.is_some().then(|| TRACES_ONLY.to_owned()));
            if let Some(filter) = filter {
                up::start_log(filter, color, traces.as_ref())?;
            }
            Ok(None)
        }
    }
}

async fn dispatch(
    command: Command,
    loaded: Option<&Loaded>,
    context: &Context,
) -> Result<(), CliError> {
    match command {
        Command::Up(_) => match loaded {
            Some(loaded) => up::run(loaded, context).await,
            None => Err(CliError::Bug("the settings were not read".to_owned())),
        },
        Command::Config(command) => config::run(&command, context).await,
        Command::Stack(command) => stack::run(command, context).await,
        Command::Migrate(args) => migrate::run(args, context).await,
        Command::Run(args) => run::run(args, context).await,
        Command::Status(args) => status::run(&args, context).await,
        Command::Doctor(args) => doctor::run(&args, context).await,
        Command::Task(command) => task::run(command, context).await,
        Command::Dead(command) => dead::run(command, context).await,
        Command::Agent(command) => agent::run(command, context).await,
        Command::Queue(command) => queue::run(command, context).await,
        Command::Message(command) => message::run(command, context).await,
        Command::Reserve(args) => reserve::run(args, context).await,
        Command::Schedule(command) => schedule::run(command, context).await,
        Command::Key(command) => key::run(command, context).await,
        Command::Events(args) => events::run(&args, context).await,
        Command::Completions(args) => completions::run(&args, context),
    }
}
