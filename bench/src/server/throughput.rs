//! Durable tasks per second, from create to complete.

use std::time::Duration;

use anyhow::{Context, Result};

use super::binary::Server;
use super::team::{self, Agent};
use super::{BATCH, BATCHED, Bench, NAME};
use crate::report::{Figure, Target, Unit};
use collective_testkit::process::cpu_time;
use collective_testkit::servers::Postgres;

/// How many agents work at once.
const AGENTS: [usize; 3] = [1, 8, 64];
/// What the runs with batches should reach on two cores.
const TARGET: Target = Target::AtLeast(10_000.0);
/// The same where a broker and a database run beside it on those cores.
const DISTRIBUTED_TARGET: Target = Target::AtLeast(3_000.0);
/// How often one and two replicas take turns: rates drift more than they differ.
const TURNS: usize = 3;
/// What a second replica on the same cores may cost.
const REPLICA_TARGET: Target = Target::AtLeast(0.9);
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
    let asked = &bench.options.agents;
    let wanted = |agents| asked.is_empty() || asked.contains(&agents);
    let mut figures = Vec::new();
    for (batch, tasks) in [(BATCH as u32, tasks), (1, tasks / FEWER)] {
        for agents in AGENTS {
            if !wanted(agents) {
                continue;
            }
            let run = Run {
                agents,
                batch,
                tasks,
                sync: FULL,
                replicas: 1,
                turn: 0,
            };
            let measured = run.measure(bench)?;
            let rate = measured.rate(&run);
            figures.push(if batch == 1 {
                rate
            } else {
                rate.with_target(if bench.engine.is_some() {
                    DISTRIBUTED_TARGET
                } else {
                    TARGET
                })
            });
            if agents == USUAL {
                figures.extend(measured.cpu(&run));
                figures.extend(measured.written(&run));
            }
        }
    }
    if asked.is_empty() && bench.engine.is_none() {
        let run = Run {
            sync: NORMAL,
            ..Run::usual(tasks)
        };
        figures.push(run.measure(bench)?.rate(&run));
    }
    Ok(figures)
}

/// What a second server on the same engine and the same cores costs or gives.
pub(super) fn measure_replicas(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let tasks = bench.options.tasks;
    let mut run = Run::usual(tasks);
    let (mut alone, mut both) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        for (replicas, rates) in [(1, &mut alone), (2, &mut both)] {
            (run.turn, run.replicas) = (turn, replicas);
            let measured = run.measure(bench)?;
            rates.push(measured.rate(&run));
            if turn + 1 == TURNS {
                figures.extend(measured.cpu(&run));
                figures.extend(measured.written(&run));
            }
        }
    }
    let (alone, both) = (middle(alone), middle(both));
    if let (Some(alone), Some(both)) = (alone, both) {
        let what = format!("two replicas to one, middle of {TURNS} runs of each");
        let ratio = Figure::new(NAME, &what, both.value / alone.value, Unit::Times, tasks);
        figures.push(ratio.with_target(REPLICA_TARGET));
        figures.extend([alone, both]);
    }
    Ok(figures)
}

/// The figure in the middle.
fn middle(mut figures: Vec<Figure>) -> Option<Figure> {
    figures.sort_by(|one, other| one.value.total_cmp(&other.value));
    let middle = figures.len() / 2;
    (middle < figures.len()).then(|| figures.swap_remove(middle))
}

/// One run on a new server.
struct Run {
    agents: usize,
    /// Tasks that each agent claims and completes with one request.
    batch: u32,
    tasks: u64,
    sync: &'static str,
    /// Servers that the agents are spread over.
    replicas: usize,
    /// The number of the run, of those that are alike.
    turn: usize,
}

/// What a run took.
struct Measured {
    wall: Duration,
    /// CPU time by whose it is.
    cpu: Vec<(&'static str, Duration)>,
    /// What PostgreSQL wrote, if it was there.
    written: Option<Written>,
}

/// What PostgreSQL has written so far: bytes, and how many transactions.
#[derive(Clone, Copy)]
struct Written {
    log: f64,
    database: f64,
    transactions: f64,
}

impl Written {
    fn by(postgres: &Postgres, database: &str) -> Result<Self> {
        let asked = postgres.sql(
            database,
            "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0');
             SELECT pg_database_size(current_database());
             SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()",
        )?;
        let mut numbers = asked.split_whitespace().map(str::parse);
        let mut next = || -> Result<f64> {
            let number = numbers.next().context("PostgreSQL told no size")?;
            Ok(number?)
        };
        Ok(Self {
            log: next()?,
            database: next()?,
            transactions: next()?,
        })
    }
}

/// CPU time so far of everything that takes part.
fn spent(bench: &Bench<'_>, servers: &[Server]) -> Result<Vec<(&'static str, Duration)>> {
    let mut all = Duration::ZERO;
    for server in servers {
        all += server.cpu_time()?;
    }
    let mut spent = vec![("the server", all), ("the load driver", cpu_time("self")?)];
    if let Some(engine) = &bench.engine {
        spent.push(("PostgreSQL", engine.postgres.cpu_time()?));
        spent.push(("RabbitMQ", engine.rabbitmq.cpu_time()?));
        spent.push(("Redis", engine.redis.cpu_time()?));
    }
    Ok(spent)
}

impl Run {
    /// What most figures are of.
    fn usual(tasks: u64) -> Self {
        Self {
            agents: USUAL,
            batch: BATCH as u32,
            tasks,
            sync: FULL,
            replicas: 1,
            turn: 0,
        }
    }

    fn measure(&self, bench: &Bench<'_>) -> Result<Measured> {
        let Self {
            agents,
            batch,
            tasks,
            sync,
            replicas,
            turn,
        } = *self;
        let folder = format!("throughput-{agents}-{batch}-{sync}-{replicas}-{turn}");
        let sync_arguments = ["--sync", sync];
        let arguments: &[&str] = if bench.engine.is_some() {
            &[]
        } else {
            &sync_arguments
        };
        let server = Server::start_with(bench, &folder, arguments)?;
        let mut servers = vec![server];
        for number in 1..replicas {
            servers.push(Server::start_beside(
                bench,
                &folder,
                &format!("{folder}-{number}"),
            )?);
        }
        let clients: Vec<_> = servers.iter().map(Server::client).collect::<Result<_>>()?;
        let leader = clients[0].clone();
        bench.block_on(async {
            let mut team = Vec::with_capacity(agents);
            for number in 0..agents {
                let client = &clients[number % clients.len()];
                team.push(Agent::register(client, "worker", number, batch).await?);
            }
            let engine = bench.engine.as_ref();
            let written = || engine.map(|engine| Written::by(&engine.postgres, &folder));
            let before_written = written().transpose()?;
            let before = spent(bench, &servers)?;
            let wall = team::run(&leader, &team, tasks, BATCH).await?;
            let mut cpu = spent(bench, &servers)?;
            for ((_, time), (_, before)) in cpu.iter_mut().zip(before) {
                *time = time.saturating_sub(before);
            }
            let after_written = written().transpose()?;
            let written = before_written.zip(after_written);
            Ok(Measured {
                wall,
                cpu,
                written: written.map(|(before, after)| Written {
                    log: after.log - before.log,
                    database: after.database - before.database,
                    transactions: after.transactions - before.transactions,
                }),
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
        let replicas = if self.replicas == 1 {
            String::new()
        } else {
            format!(", {} replicas", self.replicas)
        };
        format!("{how}, {} agent{plural}{replicas}", self.agents)
    }
}

impl Measured {
    fn rate(&self, run: &Run) -> Figure {
        Figure::rate(NAME, &run.what(), run.tasks, self.wall.as_secs_f64() * 1e3)
    }

    /// Where the time goes; steadier than rates on a machine that does other
    /// things too.
    fn cpu(&self, run: &Run) -> impl Iterator<Item = Figure> {
        self.cpu.iter().map(|(whose, time)| {
            let what = format!("CPU of {whose} for each task; {}", run.what());
            let micros = time.as_secs_f64() * 1e6 / run.tasks as f64;
            Figure::new(NAME, &what, micros, Unit::Microseconds, run.tasks)
        })
    }

    fn written(&self, run: &Run) -> Vec<Figure> {
        let Some(written) = self.written else {
            return Vec::new();
        };
        let each = |what: &str, bytes: f64| {
            let what = format!("{what} for each task; {}", run.what());
            let kibibytes = bytes / 1024.0 / run.tasks as f64;
            Figure::new(NAME, &what, kibibytes, Unit::Kibibytes, run.tasks)
        };
        let what = format!("transactions of PostgreSQL; {}", run.what());
        let rate = written.transactions / self.wall.as_secs_f64();
        vec![
            each("write-ahead log of PostgreSQL", written.log),
            each("growth of the database", written.database),
            Figure::new(NAME, &what, rate, Unit::PerSecond, run.tasks),
        ]
    }
}
