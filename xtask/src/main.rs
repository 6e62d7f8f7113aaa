//! Chores of the repository, run as `cargo xtask <chore>`.
//!
//! It knows how to call tools and nothing of what they build, so that it
//! compiles in seconds before anything else does.

mod bench;
mod cargo;
mod drill;
mod gate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Chores of the repository", version)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Check and test everything: format, lints, tests, documentation, policy
    Test(gate::Options),
    /// Measure the server, or its peers, in an optimised build
    Bench(bench::Options),
    /// Kill parts of a team under load and check that nothing was lost
    Drill(drill::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match arguments.chore {
        Chore::Test(options) => gate::run(&options),
        Chore::Bench(options) => bench::run(&options),
        Chore::Drill(options) => drill::run(&options),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
