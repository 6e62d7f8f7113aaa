//! The real server binary under load, over HTTP, with the client that agents
//! use: an optimised build, a data folder on the real disk, durable commits.

mod alone;
mod binary;
mod growth;
mod latency;
mod limit;
mod resources;
mod team;
mod throughput;

pub(crate) use alone::POSTGRES;

use std::future::Future;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::report::{Figure, Report};
use collective_testkit::interrupt;
use collective_testkit::servers::Engine;

/// The subject of the server's figures.
pub(crate) const NAME: &str = "collective";
/// The same where the server stands on a distributed engine.
pub(crate) const DISTRIBUTED: &str = "collective on PostgreSQL, RabbitMQ and Redis";
/// What the headline figures begin with: batches of 64 throughout.
pub(crate) const BATCHED: &str = "created to completed, batches of 64";
/// The subject of what the machine allows at most.
pub(crate) const LIMIT: &str = "SQLite alone";
/// Its figure to compare with.
pub(crate) const LIMIT_WHAT: &str = "created to completed";

/// Tasks in one request, as in the peers' benchmark.
const BATCH: usize = 64;

/// What to measure of the server.
#[derive(Args)]
#[group(id = "server_options")]
pub(crate) struct Options {
    /// The server's binary; the one built beside this program if not given
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Tasks in each run with batches; a run without has a tenth
    #[arg(long, value_name = "TASKS", default_value_t = 64_000)]
    tasks: u64,
    /// Grow the store to this many queued tasks
    #[arg(long, value_name = "TASKS", default_value_t = 1_000_000)]
    grow_to: u64,
    /// What the server stands on
    #[arg(long, value_enum, default_value = "embedded")]
    engine: Kind,
    /// Throughput only with so many agents at once
    #[arg(long, value_name = "AGENTS")]
    agents: Vec<usize>,
    /// Measure only this
    #[arg(long = "part", value_name = "PART")]
    parts: Vec<Part>,
}

/// What a server stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// SQLite, bus and cache in the process
    Embedded,
    /// PostgreSQL, RabbitMQ and Redis, started for the run
    Distributed,
}

/// One kind of measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// What SQLite, or PostgreSQL and RabbitMQ, do alone on this machine
    Limit,
    /// Tasks per second, created to completed
    Throughput,
    /// Two servers on one engine beside one
    Replicas,
    /// Time from create to claim when little happens
    Latency,
    /// Start-up time and memory
    Resources,
    /// Cost of a claim as the store grows
    Growth,
}

impl Part {
    const ALL: [Self; 6] = [
        Self::Limit,
        Self::Throughput,
        Self::Replicas,
        Self::Latency,
        Self::Resources,
        Self::Growth,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Limit => "the machine's limit",
            Self::Throughput => "throughput",
            Self::Replicas => "two replicas",
            Self::Latency => "latency",
            Self::Resources => "start and memory",
            Self::Growth => "growth",
        }
    }
}

/// What every part is given.
struct Bench<'a> {
    options: &'a Options,
    server: PathBuf,
    /// Removed when the run ends.
    scratch: TempDir,
    /// Nothing for a server that has everything embedded.
    engine: Option<Engine>,
    runtime: &'a Runtime,
}

impl Bench<'_> {
    /// Runs a load to its end, unless the run is called off.
    fn block_on<T>(&self, load: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(interrupt::or(load))
    }
}

/// Measures the parts one after the other, each on a server of its own.
pub(crate) fn measure(options: &Options, runtime: &Runtime, report: &mut Report) -> Result<()> {
    let bench = Bench {
        options,
        server: binary::find(options.server.as_deref())?,
        scratch: tempfile::Builder::new()
            .prefix("collective-bench-")
            .tempdir()
            .context("cannot create a temporary folder")?,
        engine: match options.engine {
            Kind::Embedded => None,
            Kind::Distributed => Some(Engine::start()?),
        },
        runtime,
    };
    let name = if bench.engine.is_some() {
        DISTRIBUTED
    } else {
        NAME
    };
    for part in Part::ALL {
        if !options.parts.is_empty() && !options.parts.contains(&part) {
            continue;
        }
        if part == Part::Replicas && bench.engine.is_none() {
            continue;
        }
        interrupt::check()?;
        eprintln!("measuring {name}: {}", part.name());
        let measured = run(part, &bench).map(|mut figures| {
            for figure in figures.iter_mut().filter(|figure| figure.subject == NAME) {
                name.clone_into(&mut figure.subject);
            }
            figures
        });
        report.take(&format!("{name}: {}", part.name()), measured);
    }
    Ok(())
}

fn run(part: Part, bench: &Bench<'_>) -> Result<Vec<Figure>> {
    match part {
        Part::Limit => match &bench.engine {
            None => limit::measure(bench),
            Some(engine) => alone::measure(bench, engine),
        },
        Part::Throughput => throughput::measure(bench),
        Part::Replicas => throughput::measure_replicas(bench),
        Part::Latency => latency::measure(bench),
        Part::Resources => resources::measure(bench),
        Part::Growth => growth::measure(bench),
    }
}
