//! The reaper: does what is due. Leases that ran out, backoffs, schedules,
//! deadlines, expired questions and reservations, forgotten answers.

use std::collections::BTreeMap;
use std::future::Future;

use crate::ledger::{Ledger, SERVER};
use crate::{Hub, duty, schedules};
use collective_core::event::Fact;
use collective_core::limits::IDEMPOTENCY_TTL;
use collective_core::ports::{Duty, Post};
use collective_core::{Rejection, Span, TaskId, TeamName, Timestamp};

/// How many due things one commit takes.
const BATCH: usize = 500;
/// The longest the reaper sleeps: what it missed is late by this much at most.
const MAX_SLEEP: Span = Span::from_secs(1);
/// The shortest, so that a clock that stands still can't make it spin.
const MIN_SLEEP: Span = Span::from_millis(5);
/// How often remembered answers are swept.
const SWEEP_EVERY: Span = Span::from_secs(600);

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Tasks that were looked at.
    pub tasks: usize,
    /// Schedules that came due.
    pub schedules: usize,
    /// Reservations that ran out.
    pub reservations: usize,
}

/// A gap between two reapers that is no hand-over: for so long nobody could
/// renew a lease in time, because no server was there.
const ABSENCE: Span = Span::from_secs(10);

/// Does what is due. Where several servers share a store, one of them does.
/// Ends with `stop`.
pub async fn run(hub: Hub, stop: impl Future<Output = ()>) {
    let Some(shared) = hub.shared().cloned() else {
        tokio::select! {
            () = stop => {}
            _ = reap(&hub, None) => {}
        }
        return;
    };
    let work = |post: Box<dyn Post>| async {
        let absent = post
            .vacant_since()
            .is_none_or(|since| hub.now().since(since) > ABSENCE);
        if absent {
            crate::leases::recover(&hub).await?;
        }
        reap(&hub, Some(post)).await
    };
    tokio::select! {
        () = stop => {}
        () = duty::whenever_ours(&hub, &*shared.outbox, Duty::Reaper, work) => {}
    }
}

/// Does what is due until nothing is, then sleeps until something will be.
/// Ends when the duty is lost.
async fn reap(hub: &Hub, mut post: Option<Box<dyn Post>>) -> Result<(), Rejection> {
    let mut swept = Timestamp::default();
    loop {
        let now = hub.now();
        if let Some(post) = &mut post
            && !post.confirm(now).await?
        {
            return Ok(());
        }
        if now.since(swept) >= SWEEP_EVERY {
            swept = now;
            if let Err(error) = sweep(hub, now).await {
                tracing::warn!(%error, "remembered answers were not swept");
            }
        }
        let sleep = match round(hub).await {
            Ok(did) if did != Round::default() => Span::ZERO,
            Ok(_) => until_next(hub).await,
            Err(error) => {
                tracing::warn!(%error, "what is due was not done");
                MAX_SLEEP
            }
        };
        tokio::select! {
            () = tokio::time::sleep(sleep.as_duration()) => {}
            () = hub.due_sooner(), if sleep > Span::ZERO => {}
        }
    }
}

async fn until_next(hub: &Hub) -> Span {
    let next = match hub.read().await {
        Ok(mut query) => query.next_due().await.ok().flatten(),
        Err(_) => None,
    };
    match next {
        Some(at) => at.since(hub.now()).clamp(MIN_SLEEP, MAX_SLEEP),
        None => MAX_SLEEP,
    }
}

/// One round: what is due by now, up to a bound. Zeroes when nothing was.
pub async fn round(hub: &Hub) -> Result<Round, Rejection> {
    let now = hub.now();
    let mut query = hub.read().await?;
    let tasks = query.due_tasks(now, BATCH).await?;
    let due_schedules = query.due_schedules(now, BATCH).await?;
    let reservations = query.expired_reservations(now, BATCH).await?;
    drop(query);
    let did = Round {
        tasks: tasks.len(),
        schedules: due_schedules.len(),
        reservations: reservations.len(),
    };

    let mut by_team: BTreeMap<TeamName, Vec<TaskId>> = BTreeMap::new();
    for (team, task) in tasks {
        by_team.entry(team).or_default().push(task);
    }
    for (team, mut ids) in by_team {
        ids.sort_unstable();
        tick(hub, team, ids, now).await?;
    }
    for (team, id) in due_schedules {
        let task_id = TaskId(hub.entropy().id(now));
        hub.write(&team.clone(), move |tx| {
            Box::pin(async move { schedules::fire(tx, &team, id, task_id, now).await })
        })
        .await?;
    }
    for (team, id) in reservations {
        hub.write(&team.clone(), move |tx| {
            Box::pin(async move {
                let Some(held) = tx.reservation(&team, id).await? else {
                    return Ok(());
                };
                tx.remove_reservation(&team, id).await?;
                let mut ledger = Ledger::new(team, SERVER.to_owned(), now);
                let reason = "its time ran out".to_owned();
                ledger.fact(Fact::ReservationEnded {
                    reservation: id,
                    agent: held.agent,
                    reason,
                });
                ledger.commit(tx).await
            })
        })
        .await?;
    }
    Ok(did)
}

async fn tick(
    hub: &Hub,
    team: TeamName,
    ids: Vec<TaskId>,
    now: Timestamp,
) -> Result<(), Rejection> {
    let hub_of_work = hub.clone();
    hub.write(&team.clone(), move |tx| {
        Box::pin(async move {
            let mut ledger = Ledger::new(team.clone(), SERVER.to_owned(), now);
            for mut task in tx.lock_tasks(&team, &ids).await? {
                let transition = task.tick(now, hub_of_work.entropy().chance());
                if !transition.facts.is_empty() {
                    ledger.moved(task, transition);
                }
            }
            ledger.commit(tx).await
        })
    })
    .await
}

async fn sweep(hub: &Hub, now: Timestamp) -> Result<u64, Rejection> {
    hub.write_across_teams(move |tx| {
        Box::pin(async move { Ok(tx.forget(now - IDEMPOTENCY_TTL).await?) })
    })
    .await
}
