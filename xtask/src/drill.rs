//! `cargo xtask drill`: builds the drill and the server, and hands the drill the
//! rest of the command line.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use crate::cargo;

/// Everything behind `drill`, as it was typed.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Arguments of the drill; `cargo xtask drill --help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds and runs the drill, and ends as it ends.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let mut build = cargo::command();
    build.args(["build", "--locked"]);
    build.args([
        "--package",
        "collective-drill",
        "--package",
        "collective-cli",
    ]);
    let built = build.status().context("cannot start cargo")?;
    if !built.success() {
        return Ok(cargo::exit_code(built));
    }
    let program = cargo::folders()?.target.join("debug/collective-drill");
    let ended = Command::new(&program)
        .args(&options.arguments)
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    Ok(cargo::exit_code(ended))
}
