//! Task queues that others use, doing no-op tasks on this machine: what a
//! reader compares our figures with.
//!
//! A peer runs with its own documentation's settings for many short tasks and
//! with the durability of its defaults. Each is measured three ways: adding
//! alone, working alone, and both at once, which is created to completed.

mod celery;
mod graphile;

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use collective_testkit::{interrupt, servers};
use serde::Deserialize;
use tempfile::TempDir;

use crate::report::{Figure, Report};

/// How the subject of a peer ends that fetches and reports in batches.
pub(crate) const BATCHED: &str = graphile::BATCHED;
/// The figure of each that is compared.
pub(crate) const WHOLE: &str = "created to completed";

/// A run that takes longer has hung.
const RUN_LIMIT: Duration = Duration::from_secs(300);

/// What to measure.
#[derive(Args)]
#[group(id = "peer_options")]
pub(crate) struct Options {
    /// No-op tasks in each run of a peer
    #[arg(long, value_name = "TASKS", default_value_t = 20_000)]
    peer_tasks: u64,
    /// Measure only this peer
    #[arg(long)]
    only: Option<Peer>,
    /// Install missing Debian packages with apt-get (needs root)
    #[arg(long)]
    install: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Peer {
    GraphileWorker,
    Celery,
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::GraphileWorker => graphile::NAME,
            Self::Celery => celery::NAME,
        }
    }

    fn measure(self, bench: &Bench) -> Result<Vec<Figure>> {
        match self {
            Self::GraphileWorker => graphile::measure(bench),
            Self::Celery => celery::measure(bench),
        }
    }
}

/// What every peer's measurement is given.
struct Bench {
    tasks: u64,
    install: bool,
    /// Emptied and removed when the run ends.
    scratch: TempDir,
    /// Keeps installed packages from run to run.
    cache: PathBuf,
}

/// When a role of a peer began and ended its work.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Span {
    began: f64,
    ended: f64,
}

impl Span {
    /// Reads the line of JSON that a role ends with.
    fn read(output: &str) -> Result<Self> {
        let line = output.lines().next_back().unwrap_or_default();
        serde_json::from_str(line).with_context(|| format!("not a span of time: {line:?}"))
    }

    fn length(self) -> f64 {
        self.ended - self.began
    }
}

/// Measures the peers one after the other; one that can't be had doesn't keep
/// the other from being measured.
pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let bench = Bench {
        tasks: options.peer_tasks,
        install: options.install,
        scratch: scratch_folder()?,
        cache: cache_folder()?,
    };
    for peer in [Peer::GraphileWorker, Peer::Celery] {
        if options.only.is_some_and(|only| only != peer) {
            continue;
        }
        interrupt::check()?;
        eprintln!("measuring {}", peer.name());
        report.take(peer.name(), peer.measure(&bench));
    }
    Ok(())
}

/// A folder that a service running as another user may pass through.
fn scratch_folder() -> Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("collective-bench-")
        .tempdir()
        .context("cannot create a temporary folder")?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711))?;
    Ok(folder)
}

fn cache_folder() -> Result<PathBuf> {
    let base = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    let folder = base.join("collective-bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// The folder of a peer's program in the repository.
fn source_folder(peer: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(peer)
}

/// Starts a peer's server; where it may, its Debian package is installed first.
fn start<S>(bench: &Bench, package: &str, start: impl Fn() -> Result<S>) -> Result<S> {
    match start() {
        Err(_) if bench.install => {
            servers::install(package)?;
            start()
        }
        started => started,
    }
}
