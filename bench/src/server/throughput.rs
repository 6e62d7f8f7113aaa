//! Durable tasks per second, from create to complete.

use std::time::Duration;

use anyhow::Result;

use super::binary::Server;
use super::team::{self, Agent};
use super::{BATCH, BATCHED, Bench, NAME};
use crate::report::{Figure, Target, Unit};
use collective_testkit::process::cpu_time;

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

/// The run whose CPU time is told too.
const USUAL: usize = 8;

pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    let tasks = bench.options.tasks;
    let mut figures = Vec::new();
    for (batch, tasks) in [(BATCH as u32, tasks), (1, tasks / FEWER)] {
        for agents in AGENTS {
            let run = Run {
                agents,
                batch,
                tasks,
                sync: FULL,
            };
            let measured = run.measure(bench)?;
            let rate = measured.rate(&run);
            figures.push(if batch == 1 {
                rate
            } else {
                rate.with_target(TARGET)
            });
            if agents == USUAL {
                figures.extend(measured.cpu(&run));
            }
        }
    }
    let run = Run {
        agents: USUAL,
        batch: BATCH as u32,
        tasks,
        sync: NORMAL,
    };
    figures.push(run.measure(bench)?.rate(&run));
    Ok(figures)
}

/// One run on a new server.
struct Run {
    agents: usize,
    /// Tasks that each agent claims and completes with one request.
    batch: u32,
    tasks: u64,
    sync: &'static str,
}

/// What a run took.
struct Measured {
    wall: Duration,
    server_cpu: Duration,
    driver_cpu: Duration,
}

impl Run {
    fn measure(&self, bench: &Bench<'_>) -> Result<Measured> {
        let Self {
            agents,
            batch,
            tasks,
            sync,
        } = *self;
        let folder = format!("throughput-{agents}-{batch}-{sync}");
        let server = Server::start_with(bench, &folder, &["--sync", sync])?;
        let leader = server.client()?;
        bench.block_on(async {
            let mut team = Vec::with_capacity(agents);
            for number in 0..agents {
                team.push(Agent::register(&leader, "worker", number, batch).await?);
            }
            let (server_cpu, driver_cpu) = (server.cpu_time()?, cpu_time("self")?);
            let wall = team::run(&leader, &team, tasks, BATCH).await?;
            Ok(Measured {
                wall,
                server_cpu: server.cpu_time()?.saturating_sub(server_cpu),
                driver_cpu: cpu_time("self")?.saturating_sub(driver_cpu),
            })
        })
    }

    /// A run that isn't durable has a name that no ratio is taken of.
    fn what(&self) -> String {
        let plural = if self.agents == 1 { "" } else { "s" };
        let how = match (self.batch, self.sync) {
            (_, NORMAL) => "not waiting for the disk, batches of 64".to_owned(),
            (1, _) => "created to completed, one by one".to_owned(),
            _ => BATCHED.to_owned(),
        };
        format!("{how}, {} agent{plural}", self.agents)
    }
}

impl Measured {
    fn rate(&self, run: &Run) -> Figure {
        Figure::rate(NAME, &run.what(), run.tasks, self.wall.as_secs_f64() * 1e3)
    }

    /// Where the time goes; steadier than rates on a machine that does other
    /// things too.
    fn cpu(&self, run: &Run) -> [Figure; 2] {
        let each = |whose: &str, time: Duration| {
            let what = format!("CPU of the {whose} for each task; {}", run.what());
            let micros = time.as_secs_f64() * 1e6 / run.tasks as f64;
            Figure::new(NAME, &what, micros, Unit::Microseconds, run.tasks)
        };
        [
            each("server", self.server_cpu),
            each("load driver", self.driver_cpu),
        ]
    }
}
