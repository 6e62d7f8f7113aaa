//! The same rows by a bare loop on SQLite: no rules, no port.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use collective_core::ports::Entropy;
use rusqlite::{Connection, params};

use crate::lives::{Random, now};
use crate::{BATCH, Outcome};

const SCHEMA: &str = include_str!("../../src/sqlite/schema/0001_initial.sql");

/// How many lives one connection carried through in the time.
pub(crate) fn bare_lives(folder: &Path, time: Duration) -> Outcome<usize> {
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
