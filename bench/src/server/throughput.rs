//! Durable tasks per second, from create to complete.

use anyhow::Result;

use super::binary::Server;
use super::team::{self, Agent};
use super::{BATCH, BATCHED, Bench, NAME};
use crate::report::{Figure, Target};

/// How many agents work at once.
const AGENTS: [usize; 3] = [1, 8, 64];
/// What the best run with batches should reach on two cores.
const TARGET: Target = Target::AtLeast(10_000.0);
/// A run that claims one by one has a fraction of the tasks.
const FEWER: u64 = 10;

pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for agents in AGENTS {
        let figure = one(bench, agents, BATCH as u32, bench.options.tasks)?;
        figures.push(figure.with_target(TARGET));
    }
    for agents in AGENTS {
        figures.push(one(bench, agents, 1, bench.options.tasks / FEWER)?);
    }
    Ok(figures)
}

/// One run on a new server: agents of so many slots claim as many at once.
fn one(bench: &Bench<'_>, agents: usize, slots: u32, tasks: u64) -> Result<Figure> {
    let server = Server::start(bench, &format!("throughput-{agents}-{slots}"))?;
    let leader = server.client()?;
    let took = bench.runtime.block_on(async {
        let mut team = Vec::with_capacity(agents);
        for number in 0..agents {
            team.push(Agent::register(&leader, "worker", number, slots).await?);
        }
        team::run(&leader, &team, tasks, BATCH).await
    })?;
    let plural = if agents == 1 { "" } else { "s" };
    let what = match slots {
        1 => format!("created to completed, one by one, {agents} agent{plural}"),
        _ => format!("{BATCHED}, {agents} agent{plural}"),
    };
    Ok(Figure::rate(NAME, &what, tasks, took.as_secs_f64() * 1e3))
}
