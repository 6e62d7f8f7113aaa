//! Benchmarks, run as `cargo xtask bench`.
//!
//! Every figure is printed beside the facts of the machine that made it, and
//! peers are measured in the same run: figures drift between machines and
//! hours, their ratios less so. Nothing here is a test, and nothing here is
//! part of the product.

mod machine;
mod peers;
mod process;
mod report;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask bench",
    about = "Benchmarks of Collective and of its peers"
)]
struct Arguments {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Subcommand)]
enum Subject {
    /// Measure graphile-worker and Celery on this machine
    Peers(peers::Options),
}

fn main() -> ExitCode {
    let ended = match Arguments::parse().subject {
        Subject::Peers(options) => peers::run(&options),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
