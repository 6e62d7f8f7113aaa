//! How soon the server is ready, and how much memory it takes.

use anyhow::{Context, Result};

use super::binary::Server;
use super::{Bench, NAME, team};
use crate::report::{Figure, Target, Unit};

/// Starts of which the median is given.
const STARTS: usize = 5;
/// Tasks that wait while the memory is looked at.
const QUEUED: u64 = 100_000;
/// Tasks in one request when only their number matters.
const BIG_BATCH: usize = 1_000;
/// What a start should take at most.
const READY_TARGET: Target = Target::AtMost(200.0);
/// What an idle server should take at most.
const IDLE_TARGET: Target = Target::AtMost(40.0);

pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut starts = Vec::with_capacity(STARTS);
    for number in 0..STARTS {
        let server = Server::start(bench, &format!("start-{number}"))?;
        starts.push(milliseconds(&server));
    }
    figures.push(median("ready after start, new folder", starts).with_target(READY_TARGET));

    let server = Server::start(bench, "memory")?;
    let client = server.client()?;
    bench
        .runtime
        .block_on(client.status())
        .context("cannot ask for the status")?;
    let idle = Figure::new(
        NAME,
        "resident, idle",
        server.resident_mib()?,
        Unit::Mebibytes,
        1,
    );
    figures.push(match bench.engine {
        None => idle.with_target(IDLE_TARGET),
        Some(_) => idle,
    });

    bench
        .runtime
        .block_on(team::create(&client, QUEUED, BIG_BATCH))?;
    let full = server.resident_mib()?;
    figures.push(Figure::new(
        NAME,
        "resident, 100,000 queued",
        full,
        Unit::Mebibytes,
        1,
    ));
    drop(server);

    let mut starts = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        starts.push(milliseconds(&Server::start(bench, "memory")?));
    }
    figures.push(median("ready after start, 100,000 queued", starts).with_target(READY_TARGET));
    Ok(figures)
}

fn milliseconds(server: &Server) -> f64 {
    server.ready_after.as_secs_f64() * 1e3
}

fn median(what: &str, mut values: Vec<f64>) -> Figure {
    values.sort_by(f64::total_cmp);
    Figure::new(
        NAME,
        what,
        values[values.len() / 2],
        Unit::Milliseconds,
        values.len() as u64,
    )
}
