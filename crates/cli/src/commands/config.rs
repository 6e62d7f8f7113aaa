//! `collective config`: show and check the settings of a server.

mod look;

use std::path::Path;

use clap::{Args, Subcommand};
use collective_config::{Entry, Loaded};
use serde::Serialize;

use crate::context::Context;
use crate::errors::CliError;
use crate::output::{Grid, Tone, toned};
use crate::settings::ConfigArgs;
use look::Placed;

const SHOW: &str = "\
Examples:
  collective config show
  collective config show --config server.toml --json

Flags of `collective up` come before the environment, that before the file, that
before the defaults. Secrets are shown as ***.";
const CHECK: &str = "\
Examples:
  collective config check
  collective config check --config server.toml
  collective config check --connect                          before the first `collective up`

Every mistake is told at once, with its place. Exits with 2 if there is one.

--connect goes on to PostgreSQL, RabbitMQ and Redis as the settings name them:
whether each lets this server in, what it may do there, the schema, the clocks,
alarms and bounds. It changes nothing.";

/// What to do with the settings.
#[derive(Subcommand, Debug)]
pub(crate) enum ConfigCommand {
    /// Show each setting that counts, and where it was said
    #[command(after_help = SHOW)]
    Show(Source),
    /// Look for mistakes
    #[command(after_help = CHECK)]
    Check(Checked),
}

/// What is looked at.
#[derive(Args, Debug)]
pub(crate) struct Source {
    #[command(flatten)]
    config: ConfigArgs,
}

/// What is looked at, and how far.
#[derive(Args, Debug)]
pub(crate) struct Checked {
    #[command(flatten)]
    source: Source,
    /// Connect to each part that the settings name, and say what is wrong there
    #[arg(long)]
    connect: bool,
}

/// What is shown as JSON.
#[derive(Serialize)]
struct Shown<'l> {
    file: Option<&'l Path>,
    settings: &'l [Entry],
    warnings: &'l [String],
    /// What was found at the parts, if they were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    findings: Option<&'l [Placed]>,
}

/// Does it.
pub(crate) async fn run(command: &ConfigCommand, context: &Context) -> Result<(), CliError> {
    let (source, connect) = match command {
        ConfigCommand::Show(source) => (source, false),
        ConfigCommand::Check(checked) => (&checked.source, checked.connect),
    };
    let file = source.config.file(context)?;
    let loaded = source.config.load(context, Vec::new())?;
    if !context.out.json {
        for warning in &loaded.warnings {
            context.out.warn(warning);
        }
    }
    let found = match connect {
        true => Some(look::look(&loaded).await),
        false => None,
    };
    let shown = Shown {
        file: file.as_deref(),
        settings: &loaded.entries,
        warnings: &loaded.warnings,
        findings: found.as_deref(),
    };
    context.out.show(&shown, |out| {
        if matches!(command, ConfigCommand::Show(_)) {
            return out.grid(&grid(&loaded));
        }
        out.line(match &file {
            Some(file) => format!("the settings are sound; the file is {}", file.display()),
            None => "the settings are sound; there is no file".to_owned(),
        })?;
        match found.as_deref() {
            None => Ok(()),
            Some([]) => out.line("the engine is embedded: there is nothing to connect to"),
            Some(found) => found.iter().try_for_each(|it| look::show(out, it)),
        }
    })?;
    look::outcome(found.as_deref().unwrap_or_default())
}

fn grid(loaded: &Loaded) -> Grid {
    let mut grid = Grid::new(["KEY", "VALUE", "FROM"], "there are no settings");
    for entry in &loaded.entries {
        let value = entry.value.as_deref().unwrap_or("-");
        grid.row([
            entry.key.into(),
            value.into(),
            toned(Tone::Faint, entry.from.to_string()),
        ]);
    }
    grid
}
