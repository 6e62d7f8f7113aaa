//! Heartbeats: leases kept alive, progress kept for a while, reasons to stop handed back.

use std::collections::HashSet;

use collective_api::Item;
use collective_api::leases::{BeatAnswer, HeartbeatAnswer, HeartbeatRequest};
use collective_api::tasks::Progress;
use collective_core::limits::MAX_PAGE;
use collective_core::ports::Topic;
use collective_core::ports::store::TaskFilter;
use collective_core::role::{Permission, Principal};
use collective_core::task::{LeaseToken, Task, TaskState};
use collective_core::{AgentName, Code, Rejection, Span, TaskId, TeamName};

use super::claim::unregistered;
use super::{bounded_batch, lock_all};
use crate::access::{require, require_agent};
use crate::ledger::{Ledger, SERVER};
use crate::{Hub, agents, wait};

/// How long an agent's word on its progress is kept.
const PROGRESS_TTL: Span = Span::from_secs(300);
/// Longest note on progress.
const MAX_NOTE_LEN: usize = 500;

/// `POST /v1/leases/heartbeat`.
#[tracing::instrument(
    name = "keep leases",
    skip_all,
    fields(collective.agent = %request.agent, collective.leases = crate::trace::count(request.beats.len()))
)]
pub async fn heartbeat(
    hub: &Hub,
    who: &Principal,
    request: &HeartbeatRequest,
) -> Result<HeartbeatAnswer, Rejection> {
    require(hub, who, Permission::ClaimTasks).await?;
    require_agent(hub, who, &request.agent).await?;
    bounded_batch(request.beats.len(), "beats")?;
    agents::seen(hub, &who.team, &request.agent).await;
    for beat in &request.beats {
        if let Some(progress) = &beat.progress {
            keep_progress(hub, &who.team, beat.task, progress).await;
        }
    }
    let mut topics: Vec<Topic> = request
        .beats
        .iter()
        .map(|beat| Topic::Task(beat.task))
        .collect();
    topics.push(Topic::Agent(who.team.clone(), request.agent.clone()));
    let stop_at = hub.now() + request.wait;
    let answer = wait::until(hub, &topics, request.wait, || async move {
        let answer = beat_now(hub, who, request).await?;
        let news = answer.draining
            || answer
                .items
                .iter()
                .any(|item| item.ok.as_ref().is_none_or(|beat| beat.cancel.is_some()));
        Ok((news || hub.now() >= stop_at).then_some(answer))
    })
    .await?;
    match answer {
        Some(answer) => Ok(answer),
        None => beat_now(hub, who, request).await,
    }
}

async fn beat_now(
    hub: &Hub,
    who: &Principal,
    request: &HeartbeatRequest,
) -> Result<HeartbeatAnswer, Rejection> {
    let (team, actor, now) = (who.team.clone(), who.to_string(), hub.now());
    let name = request.agent.clone();
    let beats: Vec<(TaskId, LeaseToken)> = request
        .beats
        .iter()
        .map(|beat| (beat.task, beat.token))
        .collect();
    hub.write(&who.team, move |tx| {
        Box::pin(async move {
            let agent = tx
                .agent(&team, &name)
                .await?
                .ok_or_else(|| unregistered(&name))?;
            let mut locked = lock_all(tx, &team, beats.iter().map(|(task, _)| *task)).await?;
            let mut ledger = Ledger::new(team, actor, now);
            let mut items = Vec::with_capacity(beats.len());
            let mut alive = HashSet::new();
            for (id, token) in beats {
                let result = match locked.get_mut(&id) {
                    None => Err(Rejection::not_found("task", id)),
                    // A task may be named again: by a repeated beat, or by an old token before the good one.
                    Some(task) => held_by(task, token, &name)
                        .and_then(|()| task.heartbeat(token, now))
                        .map(|beat| {
                            alive.insert(id);
                            BeatAnswer {
                                expires_at: beat.expires_at,
                                cancel: beat.cancel,
                            }
                        }),
                };
                items.push(Item::from_result(result));
            }
            for (id, task) in locked {
                if alive.contains(&id) {
                    ledger.touched(task);
                }
            }
            ledger.commit(tx).await?;
            Ok(HeartbeatAnswer {
                items,
                draining: agent.draining,
            })
        })
    })
    .await
}

/// An agent can only touch leases that it holds.
fn held_by(task: &Task, token: LeaseToken, agent: &AgentName) -> Result<(), Rejection> {
    let lease = task.check_lease(token)?;
    if lease.agent == *agent {
        return Ok(());
    }
    Err(Rejection::new(
        Code::Forbidden,
        format!("agent `{agent}` doesn't hold task {}", task.number),
    ))
}

/// Gives every running task's lease its full length; see [`Hub::recover`].
pub(crate) async fn recover(hub: &Hub) -> Result<(), Rejection> {
    let filter = TaskFilter {
        states: vec![TaskState::Running],
        ..TaskFilter::default()
    };
    let teams = hub.read().await?.teams().await?;
    for team in teams {
        let mut before = None;
        loop {
            let page = hub
                .read()
                .await?
                .list_tasks(&team, &filter, before, MAX_PAGE)
                .await?;
            let Some(last) = page.last() else { break };
            before = Some(last.number);
            let ids: Vec<TaskId> = page.iter().map(|task| task.id).collect();
            let (of, now) = (team.clone(), hub.now());
            hub.write(&team, move |tx| {
                Box::pin(async move {
                    let mut ledger = Ledger::new(of.clone(), SERVER.to_owned(), now);
                    for mut task in tx.lock_tasks(&of, &ids).await? {
                        if task.grant_grace(now) {
                            ledger.touched(task);
                        }
                    }
                    ledger.commit(tx).await
                })
            })
            .await?;
        }
    }
    Ok(())
}

fn progress_key(team: &TeamName, task: TaskId) -> String {
    format!("progress/{team}/{task}")
}

async fn keep_progress(hub: &Hub, team: &TeamName, task: TaskId, progress: &Progress) {
    let progress = Progress {
        percent: progress
            .percent
            .filter(|percent| percent.is_finite())
            .map(|percent| percent.clamp(0.0, 100.0)),
        note: collective_core::text::head(&progress.note, MAX_NOTE_LEN).to_owned(),
    };
    let Ok(bytes) = serde_json::to_vec(&progress) else {
        return;
    };
    if let Err(error) = hub
        .cache()
        .put(&progress_key(team, task), &bytes, PROGRESS_TTL, hub.now())
        .await
    {
        tracing::debug!(%error, "progress was not kept");
    }
}

/// What the holder of a task said last of its progress, if the cache still knows.
pub(crate) async fn progress(hub: &Hub, team: &TeamName, task: &Task) -> Option<Progress> {
    let bytes = hub
        .cache()
        .get(&progress_key(team, task.id), hub.now())
        .await
        .ok()
        .flatten()?;
    serde_json::from_slice(&bytes).ok()
}
