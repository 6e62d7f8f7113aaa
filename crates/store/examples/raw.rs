//! How many task lives a second the store carries, beside SQLite alone.
//!
//! A life is created, claimed and completed in batches of 64: through the port
//! with one and with eight callers, and then by a bare loop that reads and
//! writes the same rows with plain statements, no rules and no port. A second
//! part measures a claim while ever more tasks are queued.
//!
//! `cargo run --release -p collective-store --example raw [-- --seconds 5 --queued 1000000 --folder DIR]`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use collective_core::ports::store::write;
use collective_core::ports::{Entropy, Failed, Store};
use collective_core::task::{Lane, LeaseToken, Task, TaskResult, TaskSpec};
use collective_core::{AgentName, QueueName, Span, TaskId, TeamName, Timestamp};
use collective_store::{SqliteOptions, SqliteStore};
use rusqlite::{Connection, params};

/// Tasks per command.
const BATCH: usize = 64;
/// Callers at once in the second run.
const CALLERS: usize = 8;
const TTL: Span = Span::from_secs(30);
const SCHEMA: &str = include_str!("../src/sqlite/schema/0001_initial.sql");

struct Settings {
    seconds: u64,
    queued: u64,
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Some(settings) = read_settings() else {
        eprintln!("usage: raw [--seconds N] [--queued N] [--folder DIR]");
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
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => settings.seconds = arguments.next()?.parse().ok()?,
            "--queued" => settings.queued = arguments.next()?.parse().ok()?,
            "--folder" => settings.folder = Some(arguments.next()?.into()),
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
    let time = Duration::from_secs(settings.seconds);
    let folder = match &settings.folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    println!("task lives per second, batches of {BATCH}, synchronous=FULL");
    println!("                          lives/s   of SQLite   CPU/life   written/life");
    let bare = measure(|| bare_lives(&folder.path().join("bare"), time))?;
    bare.print("SQLite alone", &bare);
    for callers in [1, CALLERS] {
        let port = || runtime.block_on(port_lives(&folder.path().join("port"), callers, time));
        measure(port)?.print(&format!("the port, callers: {callers}"), &bare);
    }
    println!("a claim of {BATCH} with so many queued, median and worst of 50");
    runtime.block_on(claims_by_backlog(
        &folder.path().join("backlog"),
        settings.queued,
    ))
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

/// Identifiers and secrets as the server makes them.
struct Random(AtomicU64);

impl Entropy for Random {
    /// SplitMix64, twice: quick, and good enough to spread the rows.
    fn secret(&self) -> u128 {
        let half = || {
            let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            u128::from(z ^ (z >> 31))
        };
        (half() << 64) | half()
    }

    fn chance(&self) -> f64 {
        0.5
    }
}

fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = elapsed.map_or(0, |elapsed| elapsed.as_micros());
    Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

fn spec() -> TaskSpec {
    TaskSpec {
        prompt: "Say what the module does, in two sentences, and name its invariants.".to_owned(),
        ..TaskSpec::new("describe a module")
    }
}

fn result() -> TaskResult {
    TaskResult {
        text: "It keeps the tasks. Nothing acknowledged is ever lost.".to_owned(),
        ..TaskResult::default()
    }
}

async fn found(store: &SqliteStore) -> Result<TeamName, Failed> {
    let work = write(store, None, |tx| {
        Box::pin(async move {
            let team = TeamName::default_team();
            tx.insert_team(&team, now()).await?;
            Ok(team)
        })
    });
    work.await.map(|(team, _)| team)
}

async fn create(
    store: &SqliteStore,
    team: &TeamName,
    random: &Arc<Random>,
    count: usize,
) -> Result<(), Failed> {
    let (team, random) = (team.clone(), Arc::clone(random));
    let work = write(store, None, move |tx| {
        Box::pin(async move {
            let now = now();
            let (mut tasks, facts): (Vec<_>, Vec<_>) = (0..count)
                .map(|_| {
                    let id = TaskId(random.id(now));
                    Task::create(id, spec(), "admin".to_owned(), 0, now)
                })
                .unzip();
            let first = tx.append(&team, "admin", now, facts).await?;
            for (number, task) in (first..).zip(&mut tasks) {
                task.number = number;
            }
            Ok(tx.insert_tasks(&team, &tasks).await?)
        })
    });
    work.await.map(drop)
}

async fn claim(
    store: &SqliteStore,
    team: &TeamName,
    random: &Arc<Random>,
) -> Result<Vec<(TaskId, LeaseToken)>, Failed> {
    let (team, random) = (team.clone(), Arc::clone(random));
    let work = write(store, None, move |tx| {
        Box::pin(async move {
            let now = now();
            let agent = AgentName::new("ada")?;
            let lane = Lane::Queue(QueueName::default_queue());
            let heads = tx.lock_heads(&team, &[lane], BATCH).await?;
            let ids: Vec<TaskId> = heads.iter().take(BATCH).map(|head| head.id).collect();
            let mut tasks = tx.lock_tasks(&team, &ids).await?;
            let (mut held, mut facts) = (Vec::new(), Vec::new());
            for task in &mut tasks {
                let (token, transition) = task.claim(&agent, random.secret(), TTL, now)?;
                held.push((task.id, token));
                facts.extend(transition.facts);
            }
            tx.update_tasks(&team, &tasks).await?;
            tx.append(&team, "agent:ada", now, facts).await?;
            Ok(held)
        })
    });
    work.await.map(|(held, _)| held)
}

async fn complete(
    store: &SqliteStore,
    team: &TeamName,
    held: Vec<(TaskId, LeaseToken)>,
) -> Result<(), Failed> {
    let team = team.clone();
    let work = write(store, None, move |tx| {
        Box::pin(async move {
            let now = now();
            let ids: Vec<TaskId> = held.iter().map(|(id, _)| *id).collect();
            let mut tasks = tx.lock_tasks(&team, &ids).await?;
            let (mut attempts, mut facts) = (Vec::new(), Vec::new());
            for (task, (_, token)) in tasks.iter_mut().zip(&held) {
                let transition = task.complete(*token, result(), now, 0.5)?;
                attempts.extend(transition.attempt.map(|attempt| (task.id, attempt)));
                facts.extend(transition.facts);
            }
            tx.update_tasks(&team, &tasks).await?;
            tx.insert_attempts(&team, &attempts).await?;
            tx.append(&team, "agent:ada", now, facts).await?;
            Ok(())
        })
    });
    work.await.map(drop)
}

async fn port_lives(folder: &Path, callers: usize, time: Duration) -> Outcome<usize> {
    let store = Arc::new(SqliteStore::open(folder, SqliteOptions::default())?);
    let random = Arc::new(Random(AtomicU64::new(now().micros().unsigned_abs())));
    let team = found(&store).await?;
    let started = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (store, random, team) = (Arc::clone(&store), Arc::clone(&random), team.clone());
        running.spawn(async move {
            let mut lives = 0;
            while started.elapsed() < time {
                create(&store, &team, &random, BATCH).await?;
                let held = claim(&store, &team, &random).await?;
                lives += held.len();
                complete(&store, &team, held).await?;
            }
            Ok::<_, Failed>(lives)
        });
    }
    let mut lives = 0;
    while let Some(ended) = running.join_next().await {
        lives += ended??;
    }
    store.close().await;
    std::fs::remove_dir_all(folder)?;
    Ok(lives)
}

async fn claims_by_backlog(folder: &Path, most: u64) -> Outcome<()> {
    let store = SqliteStore::open(folder, SqliteOptions::default())?;
    let random = Arc::new(Random(AtomicU64::new(1)));
    let team = found(&store).await?;
    let mut queued = 0;
    let mut wanted = 1_000;
    while wanted <= most {
        while queued < wanted {
            let count = usize::try_from(wanted - queued).unwrap_or(1_000).min(1_000);
            create(&store, &team, &random, count).await?;
            queued += count as u64;
        }
        let mut times = Vec::new();
        for _ in 0..50 {
            let started = Instant::now();
            let held = claim(&store, &team, &random).await?;
            times.push(started.elapsed());
            complete(&store, &team, held).await?;
            create(&store, &team, &random, BATCH).await?;
        }
        times.sort_unstable();
        println!("  {wanted:>9}   {:>8.2?}   {:>8.2?}", times[25], times[49]);
        wanted *= 10;
    }
    store.close().await;
    Ok(())
}

fn bare_lives(folder: &Path, time: Duration) -> Outcome<usize> {
    std::fs::create_dir_all(folder)?;
    let connection = Connection::open(folder.join("bare.db"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "cache_size", -6 * 1024)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    connection.execute_batch(SCHEMA)?;
    let random = Random(AtomicU64::new(now().micros().unsigned_abs()));
    let started = Instant::now();
    let (mut lives, mut number) = (0_usize, 0_i64);
    while started.elapsed() < time {
        bare_create(&connection, &random, &mut number)?;
        let ids = bare_claim(&connection, &mut number)?;
        bare_complete(&connection, &ids, &mut number)?;
        lives += ids.len();
    }
    drop(connection);
    std::fs::remove_dir_all(folder)?;
    Ok(lives)
}

const FACT: &str = r#"{"type":"task.claimed","task":"018f0a3c-0000-7000-8000-000000000000","agent":"ada","epoch":1,"ttl":"30s","lane":"queue/default"}"#;
const EVENT: &str =
    "INSERT INTO events (row, at, actor, task, fact) VALUES ((1 << 44) + ?1, ?2, ?3, ?4, ?5)";

fn bare_create(c: &Connection, random: &Random, number: &mut i64) -> rusqlite::Result<()> {
    let spec = r#"{"title":"describe a module","prompt":"Say what the module does, in two sentences, and name its invariants.","priority":"normal","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h"}"#;
    let at = now().micros();
    c.execute_batch("BEGIN IMMEDIATE")?;
    let mut task = c.prepare_cached(
        "INSERT INTO tasks (id, row, team, lane, priority, state, waiting_on, ready_at, epoch,
             attempts_used, poisonings, created_by, created_at)
         VALUES (?1, (1 << 44) + ?2, 1, 'queue/default', 2, 'queued', 0, ?3, 0, 0, 0, 'admin', ?3)",
    )?;
    let mut specs =
        c.prepare_cached("INSERT INTO task_specs (row, spec) VALUES ((1 << 44) + ?1, ?2)")?;
    let mut event = c.prepare_cached(EVENT)?;
    for _ in 0..BATCH {
        let id = *random.id(now()).as_bytes();
        *number += 1;
        event.execute(params![*number, at, "admin", id, FACT])?;
        task.execute(params![id, *number, at])?;
        specs.execute(params![*number, spec])?;
    }
    c.execute_batch("COMMIT")
}

fn bare_read(c: &Connection, ids: &[[u8; 16]]) -> rusqlite::Result<()> {
    let mut task =
        c.prepare_cached("SELECT * FROM tasks JOIN task_specs USING (row) WHERE id = ?1")?;
    for id in ids {
        task.query_row([id], |row| row.get::<_, i64>(0))?;
    }
    Ok(())
}

fn bare_claim(c: &Connection, number: &mut i64) -> rusqlite::Result<Vec<[u8; 16]>> {
    let at = now().micros();
    c.execute_batch("BEGIN IMMEDIATE")?;
    let ids: Vec<[u8; 16]> = c
        .prepare_cached(
            "SELECT id FROM tasks WHERE state = 'queued' AND team = 1
             AND lane = 'queue/default' AND priority = 2 ORDER BY ready_at, row LIMIT ?1",
        )?
        .query_map([BATCH as i64], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    bare_read(c, &ids)?;
    let mut task = c.prepare_cached(
        "UPDATE tasks SET state = 'running', epoch = epoch + 1, started_at = ?2, due_at = ?2,
             lease_agent = 'ada', lease_secret = ?1, lease_ttl = 30000000, lease_expires_at = ?2
         WHERE id = ?1",
    )?;
    let mut event = c.prepare_cached(EVENT)?;
    for id in &ids {
        *number += 1;
        task.execute(params![id, at])?;
        event.execute(params![*number, at, "agent:ada", id, FACT])?;
    }
    c.execute_batch("COMMIT")?;
    Ok(ids)
}

fn bare_complete(c: &Connection, ids: &[[u8; 16]], number: &mut i64) -> rusqlite::Result<()> {
    let result = r#"{"text":"It keeps the tasks. Nothing acknowledged is ever lost.","usage":{"input_tokens":0,"output_tokens":0,"cost_micro_usd":0,"seconds":0.0}}"#;
    let at = now().micros();
    c.execute_batch("BEGIN IMMEDIATE")?;
    bare_read(c, ids)?;
    let mut task = c.prepare_cached(
        "UPDATE tasks SET state = 'succeeded', attempts_used = 1, finished_at = ?2, due_at = NULL,
             lease_agent = NULL, lease_secret = NULL, lease_ttl = NULL, lease_expires_at = NULL,
             result = ?3
         WHERE id = ?1",
    )?;
    let mut attempt = c.prepare_cached(
        "INSERT INTO attempts (task, epoch, team, agent, secret, started_at, ended_at, outcome)
         VALUES (?1, 1, 'default', 'ada', ?1, ?2, ?2, 'succeeded')",
    )?;
    let mut event = c.prepare_cached(EVENT)?;
    for id in ids {
        *number += 1;
        task.execute(params![id, at, result])?;
        attempt.execute(params![id, at])?;
        event.execute(params![*number, at, "agent:ada", id, FACT])?;
    }
    c.execute_batch("COMMIT")
}
