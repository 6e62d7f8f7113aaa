//! What a claim costs as the store grows: it should not depend on how many
//! tasks wait.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use collective_core::Span;

use super::binary::Server;
use super::latency::{histogram, quantile, record};
use super::team::{self, Agent};
use super::{BATCH, Bench, NAME};
use crate::report::{Figure, Target, Unit};

/// The store grows by this factor from step to step.
const FACTOR: u64 = 10;
/// The first step.
const FIRST: u64 = 1_000;
/// Claims at each step.
const CLAIMS: u64 = 200;
/// Tasks in one request when only their number matters.
const BIG_BATCH: usize = 1_000;
/// How much dearer a claim may be in the largest store than in the smallest.
const TARGET: Target = Target::AtMost(2.0);

pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    let server = Server::start(bench, "growth")?;
    let leader = server.client()?;
    let mut figures = Vec::new();
    let mut medians = Vec::new();
    bench.block_on(async {
        let agent = Agent::register(&leader, "worker", 0, BATCH as u32).await?;
        let mut queued = 0;
        let mut size = FIRST;
        while size <= bench.options.grow_to {
            team::create(&leader, size - queued, BIG_BATCH).await?;
            queued = size;
            let mut times = histogram()?;
            for _ in 0..CLAIMS {
                let asked = Instant::now();
                let claims = agent.claim(Span::ZERO).await?;
                record(&mut times, asked.elapsed())?;
                ensure!(
                    claims.len() == BATCH,
                    "{} tasks instead of {BATCH}",
                    claims.len()
                );
                agent.complete(&claims).await?;
                // The store stays as large as it was.
                team::create(&leader, BATCH as u64, BATCH).await?;
            }
            let what = format!("claim of {BATCH}, {size} queued, p50");
            let figure = quantile(&what, &times, 0.5);
            medians.push(figure.value);
            figures.push(figure);
            let what = format!("resident, {size} queued");
            let memory = server.resident_mib()?;
            figures.push(Figure::new(NAME, &what, memory, Unit::Mebibytes, 1));
            size *= FACTOR;
        }
        anyhow::Ok(())
    })?;
    let (first, last) = medians
        .first()
        .zip(medians.last())
        .context("nothing was measured")?;
    let what = "claim cost, largest store to smallest";
    figures.push(Figure::new(NAME, what, last / first, Unit::Times, CLAIMS).with_target(TARGET));
    Ok(figures)
}
