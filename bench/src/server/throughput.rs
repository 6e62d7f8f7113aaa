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
/// What `--sync` says: commits wait for the disk, as they do by default.
const FULL: &str = "full";
/// Commits wait for the kernel only.
const NORMAL: &str = "normal";

pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for agents in AGENTS {
        let run = Run {
            agents,
            slots: BATCH as u32,
            tasks: bench.options.tasks,
            sync: FULL,
        };
        figures.push(run.measure(bench)?.with_target(TARGET));
    }
    for agents in AGENTS {
        let run = Run {
            agents,
            slots: 1,
            tasks: bench.options.tasks / FEWER,
            sync: FULL,
        };
        figures.push(run.measure(bench)?);
    }
    let run = Run {
        agents: 8,
        slots: BATCH as u32,
        tasks: bench.options.tasks,
        sync: NORMAL,
    };
    figures.push(run.measure(bench)?);
    Ok(figures)
}

/// One run on a new server.
struct Run {
    agents: usize,
    /// Tasks that each agent claims and completes at once.
    slots: u32,
    tasks: u64,
    sync: &'static str,
}

impl Run {
    fn measure(&self, bench: &Bench<'_>) -> Result<Figure> {
        let Self {
            agents,
            slots,
            tasks,
            sync,
        } = *self;
        let folder = format!("throughput-{agents}-{slots}-{sync}");
        let server = Server::start_with(bench, &folder, &["--sync", sync])?;
        let leader = server.client()?;
        let took = bench.runtime.block_on(async {
            let mut team = Vec::with_capacity(agents);
            for number in 0..agents {
                team.push(Agent::register(&leader, "worker", number, slots).await?);
            }
            team::run(&leader, &team, tasks, BATCH).await
        })?;
        Ok(Figure::rate(
            NAME,
            &self.what(),
            tasks,
            took.as_secs_f64() * 1e3,
        ))
    }

    /// A run that isn't durable has a name that no ratio is taken of.
    fn what(&self) -> String {
        let plural = if self.agents == 1 { "" } else { "s" };
        let how = match (self.slots, self.sync) {
            (_, NORMAL) => "not waiting for the disk, batches of 64".to_owned(),
            (1, _) => "created to completed, one by one".to_owned(),
            _ => BATCHED.to_owned(),
        };
        format!("{how}, {} agent{plural}", self.agents)
    }
}
