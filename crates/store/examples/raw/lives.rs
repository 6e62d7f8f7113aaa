//! A task's life through the port: created, claimed and completed in batches,
//! by the rules of core.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use collective_core::ports::store::write;
use collective_core::ports::{Entropy, Failed, Store};
use collective_core::task::{Lane, LeaseToken, Task, TaskResult, TaskSpec};
use collective_core::{AgentName, QueueName, Span, TaskId, TeamName, Timestamp};

use crate::{BATCH, Outcome};

const TTL: Span = Span::from_secs(30);

/// Identifiers and secrets as the server makes them.
pub(crate) struct Random(pub(crate) AtomicU64);

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

pub(crate) fn now() -> Timestamp {
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

pub(crate) async fn found(store: &dyn Store, team: &TeamName) -> Result<(), Failed> {
    let of = team.clone();
    let work = write(store, Some(team), move |tx| {
        Box::pin(async move { Ok(tx.insert_team(&of, now()).await?) })
    });
    work.await.map(drop)
}

pub(crate) async fn create(
    store: &dyn Store,
    team: &TeamName,
    random: &Arc<Random>,
    count: usize,
) -> Result<(), Failed> {
    let (of, team, random) = (team.clone(), team.clone(), Arc::clone(random));
    let work = write(store, Some(&of), move |tx| {
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

pub(crate) async fn claim(
    store: &dyn Store,
    team: &TeamName,
    random: &Arc<Random>,
) -> Result<Vec<(TaskId, LeaseToken)>, Failed> {
    let (of, team, random) = (team.clone(), team.clone(), Arc::clone(random));
    let work = write(store, Some(&of), move |tx| {
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

pub(crate) async fn complete(
    store: &dyn Store,
    team: &TeamName,
    held: Vec<(TaskId, LeaseToken)>,
) -> Result<(), Failed> {
    let (of, team) = (team.clone(), team.clone());
    let work = write(store, Some(&of), move |tx| {
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

/// How many lives the callers carried through in the time.
pub(crate) async fn live(
    store: &Arc<dyn Store>,
    teams: &[TeamName],
    callers: usize,
    time: Duration,
) -> Outcome<usize> {
    let random = Arc::new(Random(AtomicU64::new(now().micros().unsigned_abs())));
    for team in teams {
        found(&**store, team).await?;
    }
    let started = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for caller in 0..callers {
        let (store, random) = (Arc::clone(store), Arc::clone(&random));
        let team = teams[caller % teams.len()].clone();
        running.spawn(async move {
            let mut lives = 0;
            while started.elapsed() < time {
                create(&*store, &team, &random, BATCH).await?;
                let held = claim(&*store, &team, &random).await?;
                lives += held.len();
                complete(&*store, &team, held).await?;
            }
            Ok::<_, Failed>(lives)
        });
    }
    let mut lives = 0;
    while let Some(ended) = running.join_next().await {
        lives += ended??;
    }
    Ok(lives)
}

/// Prints how long a claim takes while ever more tasks are queued.
pub(crate) async fn claims_by_backlog(store: &dyn Store, most: u64) -> Outcome<()> {
    println!("a claim of {BATCH} with so many queued, median and worst of 50");
    let random = Arc::new(Random(AtomicU64::new(1)));
    let team = TeamName::new("backlog")?;
    found(store, &team).await?;
    let mut queued = 0;
    let mut wanted = 1_000;
    while wanted <= most {
        while queued < wanted {
            let count = usize::try_from(wanted - queued).unwrap_or(1_000).min(1_000);
            create(store, &team, &random, count).await?;
            queued += count as u64;
        }
        let mut times = Vec::new();
        for _ in 0..50 {
            let started = Instant::now();
            let held = claim(store, &team, &random).await?;
            times.push(started.elapsed());
            complete(store, &team, held).await?;
            create(store, &team, &random, BATCH).await?;
        }
        times.sort_unstable();
        println!("  {wanted:>9}   {:>8.2?}   {:>8.2?}", times[25], times[49]);
        wanted *= 10;
    }
    Ok(())
}
