//! Celery on RabbitMQ: two worker processes, late acknowledgement, results
//! ignored.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::{Bench, RUN_LIMIT, Span, WHOLE, source_folder, start};
use crate::report::Figure;
use collective_testkit::process::{self, Process};
use collective_testkit::servers::{RabbitMq, find};

pub(super) const NAME: &str = "celery";
/// One for each core of the machine that the targets are set for.
const WORKER_PROCESSES: &str = "2";
/// Publishing with confirms is so slow that a fraction of the tasks makes a run
/// as long as the others'.
const FEWER: u64 = 4;
/// How long the worker may take to connect.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Size of the file in which the worker processes count; see `tasks.py`.
const COUNTER_BYTES: usize = 64 * 8;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let python = install(bench)?;
    let rabbitmq = start(bench, "rabbitmq-server", RabbitMq::start)?;
    let counter = bench.scratch.path().join("celery-counter");
    let tasks = (bench.tasks / FEWER).max(1);
    let driver = Driver {
        bench,
        tasks,
        python,
        url: rabbitmq.url(),
        counter,
    };
    let mut figures = Vec::new();

    let added = Span::read(&driver.role("celery-add", "add")?.finish(RUN_LIMIT)?)?;
    figures.push(Figure::rate(NAME, "add alone", tasks, added.length()));
    driver.reset()?;
    let watch = driver.role("celery-watch", "watch")?;
    let worker = driver.worker()?;
    let worked = Span::read(&watch.finish(RUN_LIMIT)?)?;
    figures.push(Figure::rate(NAME, "work alone", tasks, worked.length()));
    drop(worker);

    driver.reset()?;
    let mut worker = driver.worker()?;
    worker.wait_until(START_LIMIT, |worker| worker.output().contains(" ready."))?;
    let watch = driver.role("celery-watch", "watch")?;
    let added = Span::read(&driver.role("celery-add", "add")?.finish(RUN_LIMIT)?)?;
    let worked = Span::read(&watch.finish(RUN_LIMIT)?)?;
    let whole = worked.ended - added.began;
    figures.push(Figure::rate(NAME, WHOLE, tasks, whole));
    Ok(figures)
}

struct Driver<'a> {
    bench: &'a Bench,
    tasks: u64,
    python: PathBuf,
    url: String,
    counter: PathBuf,
}

impl Driver<'_> {
    /// Begins to count anew.
    fn reset(&self) -> Result<()> {
        fs::write(&self.counter, [0; COUNTER_BYTES]).context("cannot reset the counter")
    }

    fn role(&self, name: &'static str, role: &str) -> Result<Process> {
        let mut command = self.python();
        command.args(["bench.py", role, &self.tasks.to_string()]);
        Process::start(name, command, self.bench.scratch.path(), Signal::TERM)
    }

    fn worker(&self) -> Result<Process> {
        let mut command = self.python();
        command.args([
            "-m",
            "celery",
            "--app",
            "tasks",
            "worker",
            "--loglevel",
            "INFO",
        ]);
        command.args([
            "--concurrency",
            WORKER_PROCESSES,
            "--hostname",
            "bench@localhost",
        ]);
        command.args([
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]);
        Process::start(
            "celery-worker",
            command,
            self.bench.scratch.path(),
            Signal::TERM,
        )
    }

    fn python(&self) -> Command {
        let mut command = Command::new(&self.python);
        command
            .current_dir(source_folder(NAME))
            .env("CELERY_BROKER_URL", &self.url)
            .env("BENCH_COUNTER", &self.counter)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1");
        command
    }
}

/// Installs the pinned packages once; changed pins install again.
fn install(bench: &Bench) -> Result<PathBuf> {
    let pins = fs::read(source_folder(NAME).join("requirements.txt"))
        .context("cannot read the pins of Celery")?;
    let folder = bench.cache.join(NAME);
    let stamp = folder.join("requirements.txt");
    let python = folder.join("bin/python");
    if fs::read(&stamp).is_ok_and(|installed| installed == pins) && python.is_file() {
        return Ok(python);
    }
    find("python3", []).context("python3 is not installed")?;
    let mut create = Command::new("python3");
    create.args(["-m", "venv", "--clear"]).arg(&folder);
    process::run(create).context("cannot create a virtual environment")?;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
    ]);
    pip.arg(source_folder(NAME).join("requirements.txt"));
    process::run(pip).context("cannot install Celery")?;
    fs::write(&stamp, pins).context("cannot note what is installed")?;
    Ok(python)
}
