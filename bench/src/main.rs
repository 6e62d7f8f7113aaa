//! Benchmarks, run as `cargo xtask bench`.
//!
//! Every figure is printed beside the facts of the machine that made it, and
//! peers are measured in the same run: figures drift between machines and
//! hours, their ratios less so. Nothing here is a test, and nothing here is
//! part of the product.

mod machine;
mod peers;
mod ratios;
mod report;
mod server;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use collective_testkit::interrupt;
use tokio::runtime::Runtime;

use crate::machine::Machine;
use crate::report::Report;

#[derive(Parser)]
#[command(
    name = "cargo xtask bench",
    about = "Benchmarks of Collective and of its peers"
)]
struct Arguments {
    #[command(subcommand)]
    subject: Subject,
    /// Write the figures as JSON to this file
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Subject {
    /// The server, its peers and the ratios between them, in one run
    All(All),
    /// The server and the limit of the machine under it
    Server(server::Options),
    /// graphile-worker and Celery
    Peers(peers::Options),
}

#[derive(Args)]
struct All {
    #[command(flatten)]
    server: server::Options,
    #[command(flatten)]
    peers: peers::Options,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(report) if report.missing.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Report> {
    let runtime = Runtime::new().context("cannot start the load driver")?;
    interrupt::listen(&runtime)?;
    let mut report = Report::new(Machine::look(&env::temp_dir())?);
    match &arguments.subject {
        Subject::All(all) => {
            server::measure(&all.server, &runtime, &mut report)?;
            peers::measure(&all.peers, &mut report)?;
        }
        Subject::Server(options) => server::measure(options, &runtime, &mut report)?,
        Subject::Peers(options) => peers::measure(options, &mut report)?,
    }
    ratios::add(&mut report);
    report.publish(arguments.json.as_deref())?;
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_can_be_asked_for() {
        for line in [
            "all",
            "server --part limit",
            "peers --peer-tasks 100 --only celery",
        ] {
            let words = ["bench"].into_iter().chain(line.split(' '));
            Arguments::try_parse_from(words).unwrap();
        }
    }
}
