//! `collective config`: show and check the settings of a server.

use std::path::Path;

use clap::{Args, Subcommand};
use collective_config::{Entry, Loaded};
use serde::Serialize;

use crate::context::Context;
use crate::errors::CliError;
use crate::output::{Grid, Tone, toned};
use crate::settings::ConfigArgs;

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

Every mistake is told at once, with its place. Exits with 2 if there is one.";

/// What to do with the settings.
#[derive(Subcommand, Debug)]
pub(crate) enum ConfigCommand {
    /// Show each setting that counts, and where it was said
    #[command(after_help = SHOW)]
    Show(Source),
    /// Look for mistakes
    #[command(after_help = CHECK)]
    Check(Source),
}

/// What is looked at.
#[derive(Args, Debug)]
pub(crate) struct Source {
    #[command(flatten)]
    config: ConfigArgs,
}

/// What is shown as JSON.
#[derive(Serialize)]
struct Shown<'l> {
    file: Option<&'l Path>,
    settings: &'l [Entry],
    warnings: &'l [String],
}

/// Does it.
pub(crate) fn run(command: &ConfigCommand, context: &Context) -> Result<(), CliError> {
    let (ConfigCommand::Show(source) | ConfigCommand::Check(source)) = command;
    let file = source.config.file(context)?;
    let loaded = source.config.load(context, Vec::new())?;
    if !context.out.json {
        for warning in &loaded.warnings {
            context.out.warn(warning);
        }
    }
    let shown = Shown {
        file: file.as_deref(),
        settings: &loaded.entries,
        warnings: &loaded.warnings,
    };
    context.out.show(&shown, |out| match command {
        ConfigCommand::Show(_) => out.grid(&grid(&loaded)),
        ConfigCommand::Check(_) => out.line(match &file {
            Some(file) => format!("the settings are sound; the file is {}", file.display()),
            None => "the settings are sound; there is no file".to_owned(),
        }),
    })
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
