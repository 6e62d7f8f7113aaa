//! `collective agent run`: one agent in the foreground.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use collective_api::agents::CreateKey;
use collective_client::{Client, Token};
use collective_core::agent::{AgentSpec, Transport};
use collective_core::limits::DEFAULT_LEASE;
use collective_core::role::Role;
use collective_core::task::TaskState;
use collective_core::{AgentName, Code, KeyId, QueueName, Span, TeamName};
use collective_runner::worker::News;
use collective_team::{AgentEntry, Program};
use serde_json::Value;

use crate::commands::run::WORK_FOLDER;
use crate::commands::task::spec::label as key_value;
use crate::commands::task::state_tone;
use crate::commands::{role, span};
use crate::connect::Found;
use crate::context::Context;
use crate::crew::{self, Crew, Said};
use crate::errors::CliError;
use crate::output::Output;
use crate::signals::Signals;
use crate::work::Book;

const EXAMPLES: &str = "\
Examples:
  collective agent run --name ada -- ./work.sh
  collective agent run --name bob --queue rust --queue review --slots 2 -- sh -c 'claude -p'
  collective agent run --name eve --preset claude --option model=opus --worktree
  collective agent run --name ci --token-file ci.key --server http://127.0.0.1:7420 -- make

The command gets the prompt on standard input and the rest in its environment
(COLLECTIVE_INPUT, COLLECTIVE_RESULT, COLLECTIVE_FEEDBACK and so on). Its
standard output is the result, unless it writes one to COLLECTIVE_RESULT.

Ctrl-C or SIGTERM lets it finish what it holds and takes nothing new; once more
gives back what it holds; a third time ends it at once.";

/// What the label of the key of an agent starts with.
const KEY_LABEL: &str = "agent run ";

/// Which agent.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunArgs {
    /// Its name, unique in the team [default: the preset's or the program's]
    #[arg(long, value_name = "NAME")]
    name: Option<AgentName>,
    /// What it is in the team: leader, worker, collaborator, coordinator, monitor
    #[arg(long, value_parser = role, default_value = "worker")]
    role: Role,
    /// A queue that it serves; may be repeated [default: default]
    #[arg(long = "queue", value_name = "QUEUE")]
    queues: Vec<QueueName>,
    /// How many tasks it holds at once
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    slots: u32,
    /// What it is for, for people to read
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
    /// A known agent CLI instead of a command
    #[arg(long, value_name = "PRESET", conflicts_with = "command")]
    preset: Option<String>,
    /// An option of the preset; may be repeated
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = key_value, requires = "preset")]
    options: Vec<(String, String)>,
    /// Give each attempt its own git worktree and branch
    #[arg(long)]
    worktree: bool,
    /// The repository for worktrees [default: the current folder's]
    #[arg(long, value_name = "FOLDER", requires = "worktree")]
    repository: Option<PathBuf>,
    /// The folder that the command starts in [default: the current one]
    #[arg(long, value_name = "FOLDER", conflicts_with = "worktree")]
    workdir: Option<PathBuf>,
    /// A variable to set for the command; may be repeated
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = key_value)]
    env: Vec<(String, String)>,
    /// How long a lease lasts without a heartbeat
    #[arg(long, value_name = "TIME", value_parser = span, default_value_t = DEFAULT_LEASE)]
    lease: Span,
    /// The program and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Who the agent is to the server.
struct Key {
    token: Token,
    /// Made for this run, to be revoked after it.
    made: Option<KeyId>,
}

/// Runs it until a signal comes.
pub(super) async fn run(args: RunArgs, context: &Context) -> Result<(), CliError> {
    let entry = entry(args)?;
    let mut signals = Signals::listen()?;
    let found = context.server.find()?;
    let client = context.server.client_of(&found)?;
    let team = client.status().await?.team;
    let root = context.server.folder()?.path().join(WORK_FOLDER);
    for said in crew::clean_up(&root).await {
        context.out.warn(said);
    }
    let key = key(&client, &entry, &found, &context.out).await?;
    let outcome = serve(&entry, &client, &team, &key, &root, context, &mut signals).await;
    if let Some(id) = key.made
        && let Err(error) = client.revoke_key(id).await
    {
        tracing::warn!(%error, key = %id, "the key of the agent stays valid");
    }
    outcome
}

fn entry(args: RunArgs) -> Result<AgentEntry, CliError> {
    let folder = |path: Option<PathBuf>| {
        let path = path.unwrap_or_else(|| PathBuf::from("."));
        path.canonicalize()
            .map_err(|error| CliError::file(format!("the folder {}", path.display()), error))
    };
    let program = match args.preset {
        Some(name) => Program::Preset {
            name,
            options: args
                .options
                .into_iter()
                .map(|(name, text)| (name, option_value(text)))
                .collect(),
        },
        None if args.command.is_empty() => {
            return Err(CliError::usage(
                "nothing says what the agent runs",
                "add `-- COMMAND ...`, or --preset NAME",
            ));
        }
        None => Program::Argv(args.command),
    };
    let name = match args.name {
        Some(name) => name,
        None => default_name(&program)?,
    };
    let mut queues = args.queues;
    if queues.is_empty() {
        queues.push(QueueName::default_queue());
    }
    let repository = match args.worktree {
        true => Some(folder(args.repository)?),
        false => None,
    };
    Ok(AgentEntry {
        name,
        spec: AgentSpec {
            role: args.role,
            queues,
            slots: args.slots,
            description: args.description,
            transport: Transport::Http,
        },
        program,
        worktree: args.worktree,
        repository,
        workdir: folder(args.workdir)?,
        env: args.env.into_iter().collect(),
        lease: args.lease,
    })
}

/// An option's value: JSON where it is JSON (a number, a truth value, a list), else text.
fn option_value(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

fn default_name(program: &Program) -> Result<AgentName, CliError> {
    let word = match program {
        Program::Preset { name, .. } => name.as_str(),
        Program::Argv(words) => words.first().map_or("", String::as_str),
        Program::Shell(_) => "sh",
    };
    let word = word.rsplit('/').next().unwrap_or_default();
    AgentName::new(word).map_err(|rejection| {
        CliError::usage(
            format!("the agent needs a name: {}", rejection.message()),
            "name it with --name",
        )
    })
}

/// A key that is this agent's own. Whoever may make keys gets one made; else
/// the key that was given is taken for it.
async fn key(
    client: &Client,
    entry: &AgentEntry,
    found: &Found,
    out: &Output,
) -> Result<Key, CliError> {
    // A key can only be made for an agent that is registered.
    client.register_agent(&entry.name, &entry.spec).await?;
    let request = CreateKey {
        label: format!("{KEY_LABEL}{}", entry.name),
        role: Some(entry.spec.role),
        agent: Some(entry.name.clone()),
        admin: false,
    };
    match (client.create_key(&request).await, &found.token) {
        (Ok(made), _) => Ok(Key {
            made: Some(made.key.id),
            token: Token::new(made.token),
        }),
        (Err(error), Some(token)) if error.is(Code::Forbidden) => {
            out.remark(
                "the given key makes no keys: it is the agent's own, and its commands get it",
            );
            Ok(Key {
                token: token.clone(),
                made: None,
            })
        }
        (Err(error), _) => Err(error.into()),
    }
}

async fn serve(
    entry: &AgentEntry,
    client: &Client,
    team: &TeamName,
    key: &Key,
    root: &std::path::Path,
    context: &Context,
    signals: &mut Signals,
) -> Result<(), CliError> {
    let out = &context.out;
    let book = Book::open()?;
    let options = book.options(
        entry,
        &BTreeMap::new(),
        client.url(),
        team,
        key.token.clone(),
    )?;
    let mut crew = Crew::new(root)?;
    crew.add(options)?;
    let queues: Vec<&str> = entry
        .spec
        .queues
        .iter()
        .map(|queue| queue.as_str())
        .collect();
    out.remark(format!(
        "agent {} ({}) of team {team} serves {} with {} slots",
        entry.name,
        entry.spec.role,
        queues.join(", "),
        entry.spec.slots
    ));
    let mut asked = 0;
    let outcome = loop {
        tokio::select! {
                   said = crew.next() => match said {
                       Said::News(_, news) => show(out, &news),
                       Said::Ended(_, Ok(())) => {}
                       Said::Ended(_, Err(error)) => break Err(CliError::Worker(error)),
                       Said::Broken(why) => break Err(CliError::Bug(format!("the agent broke off: {why}"))),
                       Said::AllEnded => break Ok(()),
                   },
                   exit = signals.next() => {
                       asked += 1;
                       match asked {
                           1 => {
                               out.remark("draining: what runs may finish; once more to give it back");
                               crew.drain();
                           }
                           2 => {
                               out.remark("giving back what runs; once more to end at once");
                               crew.stop_now();
                           }
                           // The guards end what still runs, as soon as this process is gone.
                           _ => return Err(CliError::CutShort {
        what: "ended at once; leases that were held run out by themselves",
                               hint: None,
                               exit,
                           }),
                       }
                   }
               }
    };
    crew.stop_now();
    crew.end();
    outcome
}

fn show(out: &Output, news: &News) {
    match news {
        News::Started {
            number,
            title,
            attempt,
            ..
        } => out.remark(format!(
            "#{number} starts (attempt {attempt}): {}",
            crate::text::short(title, 80)
        )),
        News::Ended {
            number,
            attempt,
            state,
            reason,
            ..
        } => {
            let state = match state {
                Some(state @ TaskState::Succeeded) => {
                    out.paint_remark(state_tone(*state), state.as_str())
                }
                Some(state) => format!("attempt {attempt} ended; it is {state}"),
                None => format!("attempt {attempt} lost its lease; nothing was recorded"),
            };
            let reason = reason
                .as_deref()
                .map(|text| format!(": {}", crate::text::short(text, 160)));
            out.remark(format!("#{number} {state}{}", reason.unwrap_or_default()));
        }
        News::Warning(text) => out.warn(crate::text::line(text)),
        News::ServerAway(why) => {
            out.warn(format!("the server is away: {}", crate::text::line(why)));
        }
        News::ServerBack => out.remark("the server is back"),
    }
}
