//! `cargo xtask bench`: builds the benchmark and the server in the release
//! profile, and hands the benchmark the rest of the command line.
//!
//! The benchmark is a program of its own, because a load driver built without
//! optimisation measures itself.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use crate::cargo;

/// The one subject that needs no server.
const PEERS: &str = "peers";

/// Everything behind `bench`, as it was typed.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Arguments of the benchmark; `cargo xtask bench --help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Options {
    fn needs_server(&self) -> bool {
        match self.arguments.first().map(String::as_str) {
            None | Some(PEERS | "help" | "--help" | "-h") => false,
            Some(_) => !self.arguments.iter().any(|argument| argument == "--help"),
        }
    }
}

/// Builds and runs the benchmark, and ends as it ends.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let mut build = cargo::command();
    build.args([
        "build",
        "--release",
        "--locked",
        "--bins",
        "--package",
        "collective-bench",
    ]);
    if options.needs_server() {
        eprintln!("building the server and the benchmark, optimised; the first time takes minutes");
        build.args(["--package", "collective-cli"]);
        build.args(["--package", "collective-store", "--example", "raw"]);
        build.args(["--package", "collective-bus", "--example", "rate"]);
    }
    let built = build.status().context("cannot start cargo")?;
    if !built.success() {
        return Ok(cargo::exit_code(built));
    }
    let program = cargo::folders()?.target.join("release/collective-bench");
    let ended = Command::new(&program)
        .args(&options.arguments)
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    Ok(cargo::exit_code(ended))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_built_only_for_what_measures_it() {
        for (line, needed) in [
            ("", false),
            ("--help", false),
            ("peers --peer-tasks 100", false),
            ("server --help", false),
            ("server --part limit", true),
            ("all --json out.json", true),
        ] {
            let arguments = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(Options { arguments }.needs_server(), needed, "{line:?}");
        }
    }
}
