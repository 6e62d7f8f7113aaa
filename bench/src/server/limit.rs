//! What SQLite alone does on this machine: the least that a durable queue must
//! write, in one thread, with batched commits, without HTTP, rules or history.
//!
//! Each task costs one inserted row with the index that finds it, one update
//! that claims it and one that completes it, as in the server; each of the
//! three commits with a batch. Both wait for the disk as the server does.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use rusqlite::{Connection, TransactionBehavior, params};

use super::{BATCH, Bench, LIMIT, LIMIT_WHAT};
use crate::report::Figure;

const SCHEMA: &str = "
    CREATE TABLE tasks (
        id     INTEGER NOT NULL PRIMARY KEY,
        state  TEXT    NOT NULL,
        spec   TEXT    NOT NULL,
        result TEXT
    ) STRICT;
    CREATE INDEX tasks_queued ON tasks (id) WHERE state = 'queued';
";
const INSERT: &str = "INSERT INTO tasks (id, state, spec) VALUES (?1, 'queued', ?2)";
const CLAIM: &str = "
    UPDATE tasks SET state = 'running'
    WHERE id IN (SELECT id FROM tasks WHERE state = 'queued' ORDER BY id LIMIT ?1)
    RETURNING id, spec";
const COMPLETE: &str = "UPDATE tasks SET state = 'succeeded', result = ?2 WHERE id = ?1";
/// As large as what the server keeps of a no-op task.
const SPEC: &str = r#"{"title":"noop","input":1,"priority":"normal","retry":{},"timeout":"1h"}"#;

pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    let mut database = open(&bench.scratch.path().join("limit.db"))?;
    let batch = BATCH as u64;
    let rounds = bench.options.tasks.div_ceil(batch);
    let began = Instant::now();
    for round in 0..rounds {
        insert(&mut database, round * batch..(round + 1) * batch)?;
        let claimed = claim(&mut database)?;
        complete(&mut database, &claimed)?;
    }
    let milliseconds = began.elapsed().as_secs_f64() * 1e3;
    let what = format!("{LIMIT_WHAT}, batches of {BATCH}, one thread");
    Ok(vec![Figure::rate(
        LIMIT,
        &what,
        rounds * batch,
        milliseconds,
    )])
}

fn open(path: &Path) -> Result<Connection> {
    let database = Connection::open(path).context("cannot create a database")?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.execute_batch(SCHEMA)?;
    Ok(database)
}

fn insert(database: &mut Connection, ids: std::ops::Range<u64>) -> Result<()> {
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut statement = transaction.prepare_cached(INSERT)?;
        for id in ids {
            statement.execute(params![id.cast_signed(), SPEC])?;
        }
    }
    Ok(transaction.commit()?)
}

fn claim(database: &mut Connection) -> Result<Vec<i64>> {
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let claimed = transaction
        .prepare_cached(CLAIM)?
        .query_map(params![BATCH as i64], |row| row.get(0))?
        .collect::<Result<Vec<i64>, _>>()?;
    transaction.commit()?;
    Ok(claimed)
}

fn complete(database: &mut Connection, claimed: &[i64]) -> Result<()> {
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut statement = transaction.prepare_cached(COMPLETE)?;
        for id in claimed {
            statement.execute(params![id, r#"{"text":"done"}"#])?;
        }
    }
    Ok(transaction.commit()?)
}
