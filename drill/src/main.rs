//! The kill drill: two servers on PostgreSQL, RabbitMQ and Redis serve a team
//! under load while servers, agents and engine parts are killed at random, by a
//! seed. Then everything is brought back, the team finishes, and the invariants
//! are checked against the event log and against what callers were told.

mod chaos;
mod cluster;
mod load;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use collective_core::ports::Entropy;
use collective_testkit::interrupt;
use collective_testkit::world::SeededEntropy;

use chaos::Chaos;
use cluster::Cluster;
use load::Load;

/// How long the team may take to finish once nothing is killed any more.
const FINISH_LIMIT: Duration = Duration::from_secs(180);

#[derive(Parser)]
#[command(
    name = "drill",
    about = "Kills parts of a team under load and checks that nothing was lost",
    version
)]
struct Arguments {
    /// How long parts are killed
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    seconds: u64,
    /// Decides what is killed and when; a random one if not given
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Agents that work
    #[arg(long, value_name = "AGENTS", default_value_t = 8)]
    agents: usize,
    /// The server's binary; the one built beside this program if not given
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether all invariants held.
fn run(arguments: &Arguments) -> Result<bool> {
    let seed = arguments.seed.unwrap_or_else(random_seed);
    println!(
        "seed {seed}, {} s of kills, {} agents",
        arguments.seconds, arguments.agents
    );
    let runtime = tokio::runtime::Runtime::new().context("cannot start the load")?;
    interrupt::listen(&runtime)?;
    let mut cluster = Cluster::start(arguments.server.as_deref())?;
    let clients = cluster.clients()?;
    let load = Arc::new(Load::new(clients, seed));
    runtime.block_on(load.found_team(arguments.agents))?;
    let running = runtime.block_on(async { load.start(arguments.agents) });

    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    let mut chaos = Chaos::new(SeededEntropy::new(seed));
    while Instant::now() < until {
        interrupt::check()?;
        chaos.strike(&mut cluster, &load, until)?;
    }
    cluster.bring_back()?;
    println!("{chaos}");

    load.stop_creating();
    let finished = Instant::now();
    let history = runtime.block_on(interrupt::or(async {
        load.finish(FINISH_LIMIT).await?;
        let told = running.end().await?;
        verify::read(&load, told).await
    }))?;
    println!(
        "finished {:.1} s after the last part was back",
        finished.elapsed().as_secs_f64()
    );
    Ok(history.judge(seed))
}

/// From the system's randomness, by way of a hash map's keys.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
        >> 16
}

/// A number below a bound, as a duration.
fn between(chance: &SeededEntropy, from: Duration, to: Duration) -> Duration {
    from + (to - from).mul_f64(chance.chance())
}
