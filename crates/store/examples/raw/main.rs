//! How many task lives a second the store carries, beside SQLite alone.
//!
//! A life is created, claimed and completed in batches of 64: through the port
//! with one and with eight callers, and then by a bare loop that reads and
//! writes the same rows with plain statements, no rules and no port. A second
//! part measures a claim while ever more tasks are queued. With `--postgres` it is
//! the port on PostgreSQL, on a server of its own with its default durability, or
//! on the empty database of `--url`.
//!
//! `cargo run --release -p collective-store --example raw
//! [-- --seconds 5 --queued 1000000 --folder DIR --postgres --url URL]`

mod bare;
mod lives;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use collective_core::TeamName;
use collective_core::ports::Store;
use collective_store::{PgOptions, PgStore, SqliteOptions, SqliteStore};
use collective_testkit::servers::Postgres;
use tokio::runtime::Runtime;

/// Tasks per command.
const BATCH: usize = 64;
/// Callers at once in the second run.
const CALLERS: usize = 8;
/// Teams in the run where callers don't share one.
const TEAMS: usize = 4;

struct Settings {
    seconds: u64,
    queued: u64,
    folder: Option<PathBuf>,
    postgres: bool,
    url: Option<String>,
}

fn main() -> ExitCode {
    let Some(settings) = read_settings() else {
        eprintln!("usage: raw [--seconds N] [--queued N] [--folder DIR] [--postgres] [--url URL]");
        return ExitCode::from(2);
    };
    match run(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read_settings() -> Option<Settings> {
    let mut settings = Settings {
        seconds: 5,
        queued: 100_000,
        folder: None,
        postgres: false,
        url: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => settings.seconds = arguments.next()?.parse().ok()?,
            "--queued" => settings.queued = arguments.next()?.parse().ok()?,
            "--folder" => settings.folder = Some(arguments.next()?.into()),
            "--postgres" => settings.postgres = true,
            "--url" => settings.url = Some(arguments.next()?),
            _ => return None,
        }
    }
    Some(settings)
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn run(settings: &Settings) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match settings.postgres || settings.url.is_some() {
        true => on_postgres(settings, &runtime),
        false => on_sqlite(settings, &runtime),
    }
}

fn on_sqlite(settings: &Settings, runtime: &Runtime) -> Outcome<()> {
    let time = Duration::from_secs(settings.seconds);
    let folder = match &settings.folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    println!("task lives per second, batches of {BATCH}, synchronous=FULL");
    println!("                          lives/s   of SQLite   CPU/life   written/life");
    let bare = measure(|| bare::bare_lives(&folder.path().join("bare"), time))?;
    bare.print("SQLite alone", &bare);
    for callers in [1, CALLERS] {
        let port = || runtime.block_on(port_lives(&folder.path().join("port"), callers, time));
        measure(port)?.print(&format!("the port, callers: {callers}"), &bare);
    }
    let store = SqliteStore::open(&folder.path().join("backlog"), SqliteOptions::default())?;
    runtime.block_on(lives::claims_by_backlog(&store, settings.queued))
}

fn on_postgres(settings: &Settings, runtime: &Runtime) -> Outcome<()> {
    let time = Duration::from_secs(settings.seconds);
    let mut server = None;
    let url = match &settings.url {
        Some(url) => url.clone(),
        None => server.insert(Postgres::start()?).create_database("raw")?,
    };
    let store = runtime.block_on(PgStore::open(&PgOptions::from_url(&url)?))?;
    let store: Arc<PgStore> = Arc::new(store);
    let port: Arc<dyn Store> = store.clone();
    println!("task lives per second on PostgreSQL, batches of {BATCH}, synchronous_commit=on");
    println!("                          lives/s   of the first   CPU/life   written/life");
    let mut first = None;
    for (callers, teams) in [(1, 1), (CALLERS, 1), (CALLERS, TEAMS)] {
        let teams: Vec<TeamName> = (0..teams)
            .map(|n| TeamName::new(&format!("team-{n}")))
            .collect::<Result<_, _>>()?;
        let before = store.counters();
        let run = measure(|| runtime.block_on(lives::live(&port, &teams, callers, time)))?;
        let what = format!("callers: {callers}, teams: {}", teams.len());
        run.print(&what, first.as_ref().unwrap_or(&run));
        let after = store.counters();
        println!(
            "  {:<20} {:>10.1} works in a transaction",
            "",
            (after.works - before.works) as f64
                / (after.transactions - before.transactions).max(1) as f64,
        );
        first.get_or_insert(run);
    }
    runtime.block_on(lives::claims_by_backlog(&*store, settings.queued))?;
    runtime.block_on(store.close());
    Ok(())
}

/// What a run gave.
struct Measured {
    lives: usize,
    wall: Duration,
    cpu: Duration,
    written: u64,
}

impl Measured {
    fn rate(&self) -> f64 {
        self.lives as f64 / self.wall.as_secs_f64()
    }

    fn print(&self, what: &str, bare: &Measured) {
        println!(
            "  {what:<20} {:>10.0}   {:>9.2}   {:>5.1} µs   {:>9.1} kB",
            self.rate(),
            self.rate() / bare.rate(),
            self.cpu.as_secs_f64() * 1e6 / self.lives.max(1) as f64,
            self.written as f64 / 1e3 / self.lives.max(1) as f64,
        );
    }
}

fn measure(run: impl FnOnce() -> Outcome<usize>) -> Outcome<Measured> {
    let (started, cpu, written) = (Instant::now(), cpu_time()?, written()?);
    let lives = run()?;
    Ok(Measured {
        lives,
        wall: started.elapsed(),
        cpu: cpu_time()?.saturating_sub(cpu),
        written: self::written()?.saturating_sub(written),
    })
}

/// CPU time of this process so far, from the kernel's ticks of 10 ms.
fn cpu_time() -> Outcome<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let ticks: u64 = stat
        .rsplit(')')
        .next()
        .into_iter()
        .flat_map(str::split_whitespace)
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// Bytes that this process has written so far.
fn written() -> Outcome<u64> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let written = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    Ok(written.unwrap_or("0").trim().parse()?)
}

async fn port_lives(folder: &Path, callers: usize, time: Duration) -> Outcome<usize> {
    let store = SqliteStore::open(folder, SqliteOptions::default())?;
    let store: Arc<dyn Store> = Arc::new(store);
    let lives = lives::live(&store, &[TeamName::default_team()], callers, time).await?;
    store.close().await;
    std::fs::remove_dir_all(folder)?;
    Ok(lives)
}
