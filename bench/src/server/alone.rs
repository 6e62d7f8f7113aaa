//! What PostgreSQL and RabbitMQ do alone on this machine: the same rows by
//! plain statements of pgbench, and confirmed messages without anything else.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use collective_testkit::process;
use collective_testkit::servers::{Engine, Postgres, RabbitMq};

use super::{BATCH, Bench, LIMIT_WHAT};
use crate::report::{Figure, Unit};

/// How long each of the loops runs.
const SECONDS: u64 = 10;
/// The database of pgbench.
const DATABASE: &str = "alone";
/// The subjects of these figures.
pub(crate) const POSTGRES: &str = "PostgreSQL alone";
const RABBITMQ: &str = "RabbitMQ alone";
/// One life of 64 tasks, and the tables that it needs.
const LIVES: &str = include_str!("alone.sql");
const SCHEMA: &str = include_str!("../../../crates/store/src/postgres/schema/0001_initial.sql");

pub(super) fn measure(bench: &Bench<'_>, engine: &Engine) -> Result<Vec<Figure>> {
    let mut figures = vec![lives(&engine.postgres, bench.scratch.path())?];
    figures.extend(messages(&engine.rabbitmq)?);
    Ok(figures)
}

fn lives(postgres: &Postgres, scratch: &Path) -> Result<Figure> {
    postgres.create_database(DATABASE)?;
    postgres.sql(DATABASE, SCHEMA)?;
    postgres.sql(
        DATABASE,
        "INSERT INTO teams (name, created_at) VALUES ('default', 1); CREATE SEQUENCE lives MINVALUE 0",
    )?;
    let script = scratch.join("alone.sql");
    fs::write(&script, LIVES).context("cannot write the script for pgbench")?;
    let mut pgbench = Command::new(postgres.programs().join("pgbench"));
    pgbench.args(["--no-vacuum", "--protocol=prepared", "--client=1"]);
    pgbench.arg(format!("--time={SECONDS}"));
    pgbench.arg("--file").arg(&script);
    pgbench.args(["-h", "127.0.0.1", "-U", "postgres"]);
    pgbench.arg("-p").arg(postgres.port().to_string());
    pgbench.arg(DATABASE).env("PGPASSWORD", postgres.password());
    let said = process::run(pgbench)?;
    let scripts = number_after(&said, "tps = ").context("pgbench told no rate")?;
    let what = format!("{LIMIT_WHAT}, batches of {BATCH}, one connection");
    Ok(rate(
        POSTGRES,
        &what,
        scripts * BATCH as f64,
        Unit::TasksPerSecond,
    ))
}

fn messages(rabbitmq: &RabbitMq) -> Result<Vec<Figure>> {
    let program = env::current_exe()
        .context("cannot find this program")?
        .with_file_name("examples")
        .join("rate");
    let mut command = Command::new(program);
    command.args(["--url", &rabbitmq.url()]);
    let said = process::run(command)?;
    let figure = |line: &str, what: &str| -> Result<Figure> {
        let rate = number_after(&said, line)
            .with_context(|| format!("the example `rate` printed no line {line:?}"))?;
        Ok(self::rate(RABBITMQ, what, rate, Unit::MessagesPerSecond))
    };
    Ok(vec![
        figure(
            "events, nobody else hears, one batch at a time: ",
            "confirmed events, batches of 192",
        )?,
        figure(
            "offers, one batch at a time: ",
            "confirmed offers into a quorum queue, batches of 192",
        )?,
    ])
}

fn rate(subject: &str, what: &str, value: f64, unit: Unit) -> Figure {
    let samples = (value * SECONDS as f64) as u64;
    Figure::new(subject, what, value, unit, samples)
}

/// The number that follows these words.
fn number_after(said: &str, words: &str) -> Option<f64> {
    let (_, rest) = said.split_once(words)?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
    rest[..end.unwrap_or(rest.len())].parse().ok()
}
