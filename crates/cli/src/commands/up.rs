//! `collective up`: a server in the foreground.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use collective_config::{Flag, Loaded, Settings};
use collective_server::telemetry::{self, LogError, LogOptions, LogTarget, TraceOptions};
use serde::Serialize;

use crate::context::Context;
use crate::errors::CliError;
use crate::folder::{DataFolder, ServerNote};
use crate::host::Host;
use crate::output::{Facts, Output};
use crate::settings::{self, ConfigArgs};
use crate::signals::Signals;

const EXAMPLES: &str = "\
Examples:
  collective up
  collective up --listen 127.0.0.1:0 --data ./team-data      any free port, data kept here
  collective up --sync normal                                faster; see below
  collective up --log-format json 2> server.log
  collective up --config server.toml                         every setting: docs/configuration.md

--sync full writes every acknowledged command to the disk before it is answered.
--sync normal leaves that to the kernel: a killed process loses nothing, a power
cut may lose the newest commands.

SIGINT or SIGTERM stops the server after it has answered what is in flight; a
second one stops it at once.";

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

/// What a server keeps its data in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// SQLite in the data folder
    Embedded,
    /// PostgreSQL, RabbitMQ and Redis
    Distributed,
}

/// How to serve. What isn't said here comes from the environment, the file, the defaults.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Address and port; port 0 is any free one [default: 127.0.0.1:7420]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Listen on an address that other machines can reach. There is no TLS: put a proxy before it
    #[arg(long)]
    allow_remote: bool,
    /// A host name that requests may be sent to, beside the loopback names; may be repeated
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// What the data is kept in: embedded or distributed [default: embedded]
    #[arg(long, value_name = "KIND", value_enum, hide_possible_values = true)]
    engine: Option<Kind>,
    /// When a command counts as durable, embedded: full or normal [default: full]
    #[arg(long, value_name = "MODE", value_enum, hide_possible_values = true)]
    sync: Option<Sync>,
    /// Largest size of the database in bytes, embedded; beyond it, writing is refused
    #[arg(long, value_name = "BYTES")]
    max_size: Option<u64>,
    /// What log lines look like: text or json [default: text]
    #[arg(long, value_name = "FORMAT", value_enum, hide_possible_values = true)]
    log_format: Option<Format>,
    /// Which log lines, such as warn or collective_server=debug,info, or COLLECTIVE_LOG [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

impl UpArgs {
    /// Reads the settings, these flags above all.
    pub(crate) fn load(&self, context: &Context) -> Result<Loaded, CliError> {
        self.config.load(context, self.flags())
    }

    /// What was said by flags. None of them can hold a secret.
    fn flags(&self) -> Vec<Flag> {
        let mut flags = Vec::new();
        let mut say = |name, key, value: Option<String>| {
            if let Some(value) = value {
                flags.push(Flag { name, key, value });
            }
        };
        let word = |said: &str| said.to_owned();
        say(
            "--listen",
            "server.listen",
            self.listen.map(|listen| listen.to_string()),
        );
        say(
            "--allow-remote",
            "server.allow_remote",
            self.allow_remote.then(|| word("true")),
        );
        let hosts = (!self.hosts.is_empty()).then(|| self.hosts.join(","));
        say("--host", "server.hosts", hosts);
        let engine = self.engine.map(|kind| match kind {
            Kind::Embedded => word("embedded"),
            Kind::Distributed => word("distributed"),
        });
        say("--engine", "engine.kind", engine);
        let sync = self.sync.map(|sync| match sync {
            Sync::Full => word("full"),
            Sync::Normal => word("normal"),
        });
        say("--sync", "store.sync", sync);
        let max_size = self.max_size.map(|bytes| bytes.to_string());
        say("--max-size", "store.max_size", max_size);
        let format = self.log_format.map(|format| match format {
            Format::Text => word("text"),
            Format::Json => word("json"),
        });
        say("--log-format", "log.format", format);
        say("--log", "log.filter", self.log.clone());
        flags
    }
}

/// Sets logging up as the settings say.
pub(crate) fn start_log_of(settings: &Settings, color: bool) -> Result<(), CliError> {
    let options = LogOptions {
        format: settings::log_format(settings),
        filter: settings.log.filter.clone(),
        ..log_options(color)
    };
    start(&options, settings::trace_options(settings).as_ref())
}

/// What is said once it listens.
#[derive(Serialize)]
struct Listening<'n> {
    #[serde(flatten)]
    note: &'n ServerNote,
    data: &'n std::path::Path,
}

/// Serves with these settings until a signal comes.
pub(crate) async fn run(loaded: &Loaded, context: &Context) -> Result<(), CliError> {
    for warning in &loaded.warnings {
        context.out.warn(warning);
    }
    let mut signals = Signals::listen()?;
    let folder = context.server.folder()?;
    let options = settings::host_options(&loaded.settings);
    let server = Host::start(folder.clone(), options).await?;
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

/// Sets logging up for a command that is no server.
pub(crate) fn start_log(
    filter: String,
    color: bool,
    traces: Option<&TraceOptions>,
) -> Result<(), CliError> {
    let options = LogOptions {
        filter,
        ..log_options(color)
    };
    start(&options, traces)
}

fn log_options(color: bool) -> LogOptions {
    LogOptions {
        target: LogTarget::Stderr,
        color,
        ..LogOptions::default()
    }
}

fn start(options: &LogOptions, traces: Option<&TraceOptions>) -> Result<(), CliError> {
    telemetry::init(options, traces).map_err(|error| {
        let hint = match error {
            LogError::Trace(_) => "mend trace.endpoint or trace.headers: collective config show",
            _ => "write a filter such as `info` or `collective_server=debug,info`",
        };
        CliError::usage(error.to_string(), hint)
    })
}
