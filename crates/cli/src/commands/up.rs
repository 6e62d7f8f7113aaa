//! `collective up`: the embedded server in the foreground.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use collective_server::ServerOptions;
use collective_server::telemetry::{self, LogFormat, LogOptions, LogTarget};
use collective_store::{SqliteOptions, Synchronous};
use serde::Serialize;

use crate::context::Context;
use crate::embedded::{Embedded, EmbeddedOptions};
use crate::errors::CliError;
use crate::folder::{DataFolder, ServerNote};
use crate::output::{Facts, Output};
use crate::signals::Signals;

const EXAMPLES: &str = "\
Examples:
  collective up
  collective up --listen 127.0.0.1:0 --data ./team-data      any free port, data kept here
  collective up --sync normal                                faster; see below
  collective up --log-format json 2> server.log

--sync full writes every acknowledged command to the disk before it is answered.
--sync normal leaves that to the kernel: a killed process loses nothing, a power
cut may lose the newest commands.

SIGINT or SIGTERM stops the server after it has answered what is in flight; a
second one stops it at once.";

/// Which lines are logged if nothing is said.
const DEFAULT_FILTER: &str = "info";

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sync {
    /// When it is on the disk
    Full,
    /// When the kernel has it
    Normal,
}

/// What log lines look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// How to serve.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UpArgs {
    /// Address and port; port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7420")]
    listen: SocketAddr,
    /// Listen on an address that other machines can reach. There is no TLS: put a proxy before it
    #[arg(long)]
    allow_remote: bool,
    /// A host name that requests may be sent to, beside the loopback names; may be repeated
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// When a command counts as durable: full or normal
    #[arg(
        long,
        value_name = "MODE",
        value_enum,
        default_value = "full",
        hide_possible_values = true
    )]
    sync: Sync,
    /// Largest size of the database in bytes; beyond it, writing is refused
    #[arg(long, value_name = "BYTES")]
    max_size: Option<u64>,
    /// What log lines look like: text or json
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value = "text",
        hide_possible_values = true
    )]
    log_format: Format,
    /// Which log lines, such as warn or collective_server=debug,info
    #[arg(
        long,
        value_name = "FILTER",
        env = "COLLECTIVE_LOG",
        hide_env_values = true
    )]
    log: Option<String>,
}

impl UpArgs {
    /// Sets logging up as it was asked for.
    pub(crate) fn start_log(&self, color: bool) -> Result<(), CliError> {
        let format = match self.log_format {
            Format::Text => LogFormat::Text,
            Format::Json => LogFormat::Json,
        };
        let filter = self
            .log
            .clone()
            .unwrap_or_else(|| DEFAULT_FILTER.to_owned());
        start_log(format, filter, color)
    }
}

/// What is said once it listens.
#[derive(Serialize)]
struct Listening<'n> {
    #[serde(flatten)]
    note: &'n ServerNote,
    data: &'n std::path::Path,
}

/// Serves until a signal comes.
pub(crate) async fn run(args: UpArgs, context: &Context) -> Result<(), CliError> {
    if !args.listen.ip().is_loopback() && !args.allow_remote {
        return Err(CliError::usage(
            format!("{} can be reached from other machines", args.listen),
            "listen on 127.0.0.1, or say --allow-remote and put a proxy with TLS before it",
        ));
    }
    let mut signals = Signals::listen()?;
    let folder = context.server.folder()?;
    let options = EmbeddedOptions {
        server: ServerOptions {
            listen: args.listen,
            allowed_hosts: args.hosts,
            ..ServerOptions::default()
        },
        store: SqliteOptions {
            synchronous: match args.sync {
                Sync::Full => Synchronous::Full,
                Sync::Normal => Synchronous::Normal,
            },
            max_size: args.max_size,
        },
    };
    let server = Embedded::start(folder.clone(), options).await?;
    let said = say(&context.out, server.note(), &folder);
    if said.is_ok() {
        signals.next().await;
        context
            .out
            .remark("stopping: what is in flight is answered first");
    }
    tokio::select! {
        () = server.stop() => said,
        exit = signals.next() => Err(CliError::CutShort {
            what: "stopped at once; nothing acknowledged is lost",
            hint: None,
            exit,
        }),
    }
}

fn say(out: &Output, note: &ServerNote, folder: &DataFolder) -> Result<(), CliError> {
    let data = folder.path();
    if out.json {
        return out.json_line(&Listening { note, data });
    }
    let mut facts = Facts::default();
    facts.add("listens", note.url.clone());
    facts.add("data", data.display().to_string());
    facts.add("docs", format!("{}/docs", note.url));
    facts.add("try", "collective status");
    out.facts(&facts)
}

/// Sets logging up, to standard error.
pub(crate) fn start_log(format: LogFormat, filter: String, color: bool) -> Result<(), CliError> {
    let options = LogOptions {
        format,
        target: LogTarget::Stderr,
        filter,
        color,
    };
    telemetry::init(&options).map_err(|error| {
        CliError::usage(
            error.to_string(),
            "write a filter such as `info` or `collective_server=debug,info`",
        )
    })
}
