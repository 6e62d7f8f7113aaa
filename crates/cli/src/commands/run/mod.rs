//! `collective run`: a team file from its first task to its last.
//!
//! The server is the one that runs on the data folder, or one in this process.
//! Agents work in this process. The tasks are durable: a run that is killed can
//! be resumed, from any process.

mod board;
mod follow;
mod plan;
mod progress;
mod report;
mod setup;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use clap::Args;
use collective_client::{Client, ClientError, Token};
use collective_core::{AgentName, Code, Rejection};
use collective_team::TeamFile;

use crate::commands::task::spec::label as key_value;
use crate::context::Context;
use crate::crew::{self, Crew};
use crate::errors::CliError;
use crate::host::{self, HostOptions};
use crate::signals::Signals;
use crate::when;
use crate::work::Book;

use board::{Board, Row};
use follow::{Ending, Following};
use progress::Progress;
use report::Report;
use setup::AgentKey;

const EXAMPLES: &str = "\
Examples:
  collective run team.yaml
  collective run team.yaml --set repository=../other --set depth=5
  collective run team.yaml --check                only look for mistakes
  collective run team.yaml --plan                 what it would do
  collective run team.yaml --resume               go on with a run that was interrupted
  collective run team.yaml --json > result.json

Ctrl-C calls the tasks off and ends the run; a second one ends it at once.
SIGTERM gives running tasks back and ends; --resume goes on with them.

Exit codes: 0 all tasks succeeded, 1 one didn't, 2 a mistake in the file,
4 an earlier run is unfinished, 130 called off.";

/// The label of the tasks of a run.
const RUN_LABEL: &str = "run";
/// Where private files of attempts and worktrees lie in the data folder.
pub(crate) const WORK_FOLDER: &str = "worktrees";

/// Which team to run.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunArgs {
    /// The team file
    #[arg(value_name = "TEAM.yaml")]
    file: PathBuf,
    /// Set a parameter of the file; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Only look for mistakes in the file
    #[arg(long, conflicts_with = "plan")]
    check: bool,
    /// Only show what it would do
    #[arg(long, visible_alias = "dry-run")]
    plan: bool,
    /// Go on with the tasks of a run that was interrupted
    #[arg(long, conflicts_with = "fresh")]
    resume: bool,
    /// Call off what is left of earlier runs, and start anew
    #[arg(long)]
    fresh: bool,
    /// Call the other tasks off as soon as one is dead
    #[arg(long)]
    fail_fast: bool,
    /// Keep agents and schedules going when the tasks have ended, until interrupted
    #[arg(long)]
    stay: bool,
}

/// Who serves.
enum Host {
    /// This process.
    Own(Box<host::Host>),
    /// Another one.
    Other,
}

/// Runs it.
pub(crate) async fn run(args: RunArgs, context: &Context) -> Result<(), CliError> {
    let book = Book::open()?;
    let file = read(&args, &book)?;
    if args.check {
        return plan::fine(&context.out, &args.file, &file);
    }
    if args.plan {
        return plan::show(&context.out, &file, &book);
    }
    let signals = Signals::listen()?;
    let (host, client) = host(context).await?;
    let client = client.with_team(file.team.clone());
    let outcome = Running {
        args: &args,
        context,
        file: &file,
        book: &book,
        client: &client,
    }
    .finish(signals)
    .await;
    match (host, &outcome) {
        // Whoever doesn't want to wait doesn't wait for the server either;
        // what it acknowledged is on the disk.
        (_, Err(CliError::CutShort { .. })) | (Host::Other, _) => {}
        (Host::Own(server), _) => server.stop().await,
    }
    outcome
}

fn at_once(exit: u8) -> CliError {
    CliError::CutShort {
        what: "the run was ended at once",
        hint: Some("`collective run --resume` goes on with it"),
        exit,
    }
}

/// The label that finds the tasks of a run.
fn label(run: &str) -> String {
    format!("{RUN_LABEL}={run}")
}

fn read(args: &RunArgs, book: &Book) -> Result<TeamFile, CliError> {
    let mut set: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &args.set {
        if set.insert(name.clone(), value.clone()).is_some() {
            return Err(CliError::usage(
                format!(
                    "the parameter `{}` is set twice",
                    collective_core::text::shown(name)
                ),
                "set it once",
            ));
        }
    }
    Ok(collective_team::load(&args.file, set, when::now(), book)?)
}

/// The server that runs already, or one of our own.
async fn host(context: &Context) -> Result<(Host, Client), CliError> {
    match context.server.find() {
        Ok(found) => {
            let client = context.server.client_of(&found)?;
            match client.health().await {
                // The note's process number may be another process's by now; the
                // folder's lock knows better.
                Err(ClientError::Unreachable { sent: false, .. }) if found.by_note => {
                    own_server(context).await
                }
                Err(error) => Err(error.into()),
                Ok(()) => {
                    let url = client.url();
                    context.out.remark(format!("using the server at {url}"));
                    Ok((Host::Other, client))
                }
            }
        }
        Err(CliError::NoServer { .. } | CliError::ServerGone { .. }) => own_server(context).await,
        Err(error) => Err(error),
    }
}

async fn own_server(context: &Context) -> Result<(Host, Client), CliError> {
    let folder = context.server.folder()?;
    let server = host::Host::start(folder, HostOptions::default()).await?;
    let client = server.client()?;
    Ok((Host::Own(Box::new(server)), client))
}

/// A run, with what it needs.
struct Running<'r> {
    args: &'r RunArgs,
    context: &'r Context,
    file: &'r TeamFile,
    book: &'r Book,
    client: &'r Client,
}

impl Running<'_> {
    async fn finish(&self, signals: Signals) -> Result<(), CliError> {
        setup::register(self.client, self.file).await?;
        let (run, board) = self.tasks().await?;
        self.schedules().await?;
        let root = self.context.server.folder()?.path().join(WORK_FOLDER);
        for said in crew::clean_up(&root).await {
            self.context.out.warn(said);
        }
        let keys = setup::keys(self.client, &self.file.agents, &run).await?;
        let mut crew = Crew::new(&root)?;
        let followed = match self.crew(&mut crew, &keys) {
            Ok(()) => self.follow(&mut crew, board, signals).await,
            Err(error) => Err(error),
        };
        if let Ok((_, Ending::AtOnce(exit))) = followed {
            return Err(at_once(exit));
        }
        crew.stop_now();
        crew.end();
        for key in keys.values() {
            if let Err(error) = self.client.revoke_key(key.id).await {
                tracing::warn!(%error, key = %key.id, "the key of an agent stays valid");
            }
        }
        let (board, ending) = followed?;
        self.report(&run, &board, ending).await
    }

    /// The tasks of this run: those that an earlier one left, or new ones.
    async fn tasks(&self) -> Result<(String, Board), CliError> {
        let out = &self.context.out;
        let earlier = setup::interrupted(self.client).await?;
        if let (Some((run, left)), true) = (earlier.last(), self.args.resume) {
            let tasks = setup::tasks_of(self.client, run).await?;
            out.remark(format!(
                "going on with run {run}: {left} of {} left",
                crate::text::count(tasks.len() as u64, "task")
            ));
            return Ok((run.clone(), Board::new(tasks.iter().map(Row::found))));
        }
        if self.args.resume {
            out.remark("no earlier run is unfinished; starting anew");
        }
        if let Some((run, left)) = earlier.last() {
            if !self.args.fresh {
                return Err(Rejection::new(
                    Code::WrongState,
                    format!(
                        "run {run} of team {} is unfinished: {} left",
                        self.file.team,
                        crate::text::count(*left as u64, "task")
                    ),
                )
                .hint("--resume goes on with it, --fresh calls it off and starts anew; or wait for it, if it still runs")
                .into());
            }
            for (run, _) in &earlier {
                for task in setup::tasks_of(self.client, run).await? {
                    if !task.state.is_terminal() {
                        self.client
                            .cancel_task(task.id, "a new run starts anew")
                            .await?;
                    }
                }
            }
        }
        let run = uuid::Uuid::now_v7().to_string();
        let board = setup::create(self.client, self.file, &run).await?;
        Ok((run, board))
    }

    /// Schedules outlive their run, so that they are only made for one that stays.
    async fn schedules(&self) -> Result<(), CliError> {
        let count = self.file.schedules.len();
        if self.args.stay {
            setup::schedules(self.client, self.file).await?;
        } else if count > 0 {
            self.context.out.remark(format!(
                "{} left out: --stay makes them",
                crate::text::count(count as u64, "schedule")
            ));
        }
        Ok(())
    }

    fn crew(&self, crew: &mut Crew, keys: &HashMap<AgentName, AgentKey>) -> Result<(), CliError> {
        for agent in &self.file.agents {
            let token: Token = match keys.get(&agent.name) {
                Some(key) => key.token.clone(),
                None => return Err(CliError::Bug(format!("agent {} has no key", agent.name))),
            };
            let options = self.book.options(
                agent,
                &self.file.presets,
                self.client.url(),
                &self.file.team,
                token,
            )?;
            crew.add(options)?;
        }
        Ok(())
    }

    async fn follow(
        &self,
        crew: &mut Crew,
        board: Board,
        signals: Signals,
    ) -> Result<(Board, Ending), CliError> {
        let progress = Progress::new(&self.context.out, &board);
        let mut following = Following {
            client: self.client,
            crew,
            board,
            progress,
            signals,
            fail_fast: self.args.fail_fast,
            stay: self.args.stay,
        };
        let ending = following.finish().await;
        let Following {
            board, progress, ..
        } = following;
        progress.end();
        Ok((board, ending?))
    }

    async fn report(&self, run: &str, board: &Board, ending: Ending) -> Result<(), CliError> {
        let most = board.rows().len();
        let report = Report::fetch(self.client, run, most, self.file.summary.clone()).await?;
        report.show(&self.context.out, board)?;
        match ending {
            Ending::Done => report.verdict(),
            Ending::CalledOff(exit) => Err(CliError::Outcome {
                what: "the run was called off".to_owned(),
                hint: None,
                exit,
            }),
            Ending::AtOnce(exit) => Err(at_once(exit)),
            Ending::GivenBack(exit) => Err(CliError::Outcome {
                what: format!("run {run} was stopped before its tasks had ended"),
                hint: Some("`collective run --resume` goes on with it".to_owned()),
                exit,
            }),
        }
    }
}
