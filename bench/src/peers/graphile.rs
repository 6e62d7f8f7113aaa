//! graphile-worker on PostgreSQL.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::{Bench, RUN_LIMIT, Span, WHOLE, source_folder, start};
use crate::report::Figure;
use collective_testkit::process::{self, Process};
use collective_testkit::servers::{Postgres, find};

pub(super) const NAME: &str = "graphile-worker";
/// How its way with batches is called.
pub(super) const BATCHED: &str = "batched";
/// Jobs in one call of `add_jobs`, as in our own benchmark.
const BATCH: &str = "64";
/// Jobs at once in the worker: what its page on performance uses.
const CONCURRENCY: &str = "24";
/// How long the worker may take to connect.
const START_LIMIT: Duration = Duration::from_secs(30);
/// What makes up the program; it is copied beside its installed packages.
const FILES: [&str; 4] = [".npmrc", "bench.mjs", "package.json", "package-lock.json"];

/// How the worker fetches and completes jobs.
#[derive(Clone, Copy)]
enum Mode {
    /// One by one.
    Defaults,
    /// Many with one statement, as its page on performance advises.
    Batched,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Defaults => "defaults",
            Self::Batched => BATCHED,
        }
    }
}

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let program = install(bench)?;
    let postgres = start(bench, "postgresql", Postgres::start)?;
    let driver = Driver {
        bench,
        program,
        url: postgres.url("postgres"),
    };

    // Creates the schema, so that no run pays for it.
    driver.add(1)?.finish(RUN_LIMIT)?;
    driver.work(1, Mode::Defaults)?.finish(RUN_LIMIT)?;

    let mut figures = Vec::new();
    for mode in [Mode::Defaults, Mode::Batched] {
        let subject = format!("{NAME}, {}", mode.name());
        let added = Span::read(&driver.add(bench.tasks)?.finish(RUN_LIMIT)?)?;
        let worked = Span::read(&driver.work(bench.tasks, mode)?.finish(RUN_LIMIT)?)?;
        figures.push(Figure::rate(
            &subject,
            "add alone",
            bench.tasks,
            added.length(),
        ));
        figures.push(Figure::rate(
            &subject,
            "work alone",
            bench.tasks,
            worked.length(),
        ));

        let mut worker = driver.work(bench.tasks, mode)?;
        worker.wait_until(START_LIMIT, |worker| worker.output().contains("ready"))?;
        let added = Span::read(&driver.add(bench.tasks)?.finish(RUN_LIMIT)?)?;
        let worked = Span::read(&worker.finish(RUN_LIMIT)?)?;
        let whole = worked.ended - added.began;
        figures.push(Figure::rate(&subject, WHOLE, bench.tasks, whole));
    }
    Ok(figures)
}

struct Driver<'a> {
    bench: &'a Bench,
    program: PathBuf,
    url: String,
}

impl Driver<'_> {
    fn add(&self, jobs: u64) -> Result<Process> {
        self.start("graphile-add", &["add", &jobs.to_string(), BATCH])
    }

    fn work(&self, jobs: u64, mode: Mode) -> Result<Process> {
        self.start(
            "graphile-work",
            &["work", &jobs.to_string(), CONCURRENCY, mode.name()],
        )
    }

    fn start(&self, name: &'static str, arguments: &[&str]) -> Result<Process> {
        let mut command = Command::new("node");
        command
            .current_dir(&self.program)
            .arg("bench.mjs")
            .args(arguments);
        command
            .env("DATABASE_URL", &self.url)
            .env("NODE_ENV", "production");
        Process::start(name, command, self.bench.scratch.path(), Signal::TERM)
    }
}

/// Installs the locked packages once; a changed lock file installs again.
fn install(bench: &Bench) -> Result<PathBuf> {
    for needed in ["node", "npm"] {
        find(needed, []).with_context(|| format!("{needed} is not installed"))?;
    }
    let source = source_folder(NAME);
    let folder = bench.cache.join(NAME);
    let installed = folder.join("node_modules");
    if !same(&source, &folder, "package-lock.json") && installed.exists() {
        fs::remove_dir_all(&installed).context("cannot remove outdated packages")?;
    }
    fs::create_dir_all(&folder)?;
    for file in FILES {
        fs::copy(source.join(file), folder.join(file))
            .with_context(|| format!("cannot copy {file} of {NAME}"))?;
    }
    if !installed.exists() {
        let mut npm = Command::new("npm");
        npm.current_dir(&folder)
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        process::run(npm).with_context(|| format!("cannot install {NAME}"))?;
    }
    Ok(folder)
}

fn same(one: &Path, other: &Path, file: &str) -> bool {
    match (fs::read(one.join(file)), fs::read(other.join(file))) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}
