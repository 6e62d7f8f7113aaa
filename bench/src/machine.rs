//! The facts of the machine that a figure depends on.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use collective_testkit::process::read_text;

/// How many synchronous appends measure the disk; about a second on a slow one.
const SYNCS: usize = 500;
/// One append: less than a disk's page, as a commit of one row is.
const SYNC_BYTES: usize = 512;

/// What this machine is.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    /// Median time of an append that waits for the disk.
    pub(crate) sync_p50_ms: f64,
}

impl Machine {
    /// Looks at this machine; the disk is that of `folder`.
    pub(crate) fn look(folder: &Path) -> Result<Self> {
        let memory_kib: u64 = field("/proc/meminfo", "MemTotal")?
            .trim_end_matches(" kB")
            .parse()
            .context("cannot read the size of the memory")?;
        Ok(Self {
            cores: thread::available_parallelism()?.get(),
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|_| "unknown".into()),
            memory_mib: memory_kib / 1024,
            kernel: read_text(Path::new("/proc/sys/kernel/osrelease"))?
                .trim()
                .to_owned(),
            sync_p50_ms: median_sync(folder)?.as_secs_f64() * 1e3,
        })
    }
}

/// The value behind `name:` in a file of the system.
fn field(path: &str, name: &str) -> Result<String> {
    read_text(Path::new(path))?
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
        .with_context(|| format!("{path} has no {name}"))
}

fn median_sync(folder: &Path) -> Result<Duration> {
    let path = folder.join("sync");
    let mut file = File::create(&path).context("cannot create a file to measure the disk")?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all(&[0; SYNC_BYTES])?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    std::fs::remove_file(&path)?;
    times.sort_unstable();
    Ok(times[SYNCS / 2])
}
