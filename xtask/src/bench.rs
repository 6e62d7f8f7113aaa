//! `cargo xtask bench`: builds the benchmark in the release profile and hands
//! it the rest of the command line.
//!
//! The benchmark is a program of its own, because a load driver built without
//! optimisation measures itself.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::cargo;

/// Everything behind `bench`, as it was typed.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Arguments of the benchmark; `cargo xtask bench --help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds and runs the benchmark, and ends as it ends.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let status = cargo::command()
        .args([
            "run",
            "--quiet",
            "--locked",
            "--release",
            "--package",
            "collective-bench",
            "--",
        ])
        .args(&options.arguments)
        .status()
        .context("cannot start cargo")?;
    Ok(cargo::exit_code(status))
}
