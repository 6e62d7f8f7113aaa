//! From sending a task to an agent having it, when little else happens.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use collective_core::Span;
use hdrhistogram::Histogram;

use super::binary::Server;
use super::team::{Agent, task};
use super::{Bench, NAME};
use crate::report::{Figure, Target, Unit};

/// Tasks sent one after the other: enough for a 99th percentile.
const SAMPLES: u64 = 1_000;
/// Not measured; they open connections and fill caches.
const WARM_UP: u64 = 50;
/// Pause between two tasks, in which the agent begins to wait.
const PAUSE: Duration = Duration::from_millis(10);
/// Longest wait of one claim.
const CLAIM_WAIT: Span = Span::from_secs(10);
/// What the 99th percentile should stay under.
const TARGET: Target = Target::AtMost(10.0);
/// The same with a database in another process.
const DISTRIBUTED_TARGET: Target = Target::AtMost(25.0);

pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    let server = Server::start(bench, "latency")?;
    let leader = server.client()?;
    let times = bench.block_on(async {
        let agent = Agent::register(&leader, "worker", 0, 1).await?;
        let mut times = histogram()?;
        for number in 0..WARM_UP + SAMPLES {
            let waiting = tokio::spawn({
                let agent = agent.clone();
                async move {
                    let claims = agent.claim(CLAIM_WAIT).await;
                    (claims, Instant::now())
                }
            });
            tokio::time::sleep(PAUSE).await;
            let sent = Instant::now();
            leader
                .create_task(&task(number))
                .await
                .context("cannot create a task")?;
            let (claims, at) = waiting.await.context("an agent panicked")?;
            let claims = claims?;
            ensure!(claims.len() == 1, "a waiting agent got no task");
            agent.complete(&claims).await?;
            if number >= WARM_UP {
                record(&mut times, at - sent)?;
            }
        }
        anyhow::Ok(times)
    })?;
    Ok(vec![
        quantile("create to claim, idle, p50", &times, 0.5),
        quantile("create to claim, idle, p99", &times, 0.99).with_target(
            if bench.engine.is_some() {
                DISTRIBUTED_TARGET
            } else {
                TARGET
            },
        ),
    ])
}

/// Microseconds up to a minute, to three digits.
pub(super) fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_max(60_000_000, 3).context("no histogram")
}

pub(super) fn record(times: &mut Histogram<u64>, time: Duration) -> Result<()> {
    let micros = u64::try_from(time.as_micros()).context("a time beyond all bounds")?;
    times.record(micros).context("a time beyond the histogram")
}

pub(super) fn quantile(what: &str, times: &Histogram<u64>, quantile: f64) -> Figure {
    let value = times.value_at_quantile(quantile) as f64 / 1e3;
    Figure::new(NAME, what, value, Unit::Milliseconds, times.len())
}
