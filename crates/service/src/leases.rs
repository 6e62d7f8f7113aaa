//! Leases: claim, keep alive, complete, fail, give back.
//!
//! Batches share one commit; each item stands for itself. A report that is
//! repeated with the same token gets the answer that the first one got.

use std::collections::{HashMap, HashSet};

use collective_api::leases::{
    AppendLog, BeatAnswer, Claim, ClaimAnswer, ClaimRequest, CompleteRequest, Completion,
    DependencyResult, FailRequest, HeartbeatAnswer, HeartbeatRequest, ReleaseRequest, Settled,
};
use collective_api::tasks::Progress;
use collective_api::{Item, Items};
use collective_core::agent::Agent;
use collective_core::explain::{Hold, open_lanes};
use collective_core::limits::{
    MAX_BATCH, MAX_DEPENDENCY_RESULTS_LEN, MAX_LEASE, MAX_LOG_CHUNK, MAX_PAGE, MAX_REASON_LEN,
    MIN_LEASE,
};
use collective_core::ports::Topic;
use collective_core::ports::store::{Failed, LogChunk, TaskFilter, Tx};
use collective_core::question::QuestionState;
use collective_core::role::{Permission, Principal};
use collective_core::task::order::sort_candidates;
use collective_core::task::{
    AttemptOutcome, LeaseToken, Task, TaskRef, TaskResult, TaskState, Transition,
};
use collective_core::{AgentName, Code, Rejection, Span, TaskId, TeamName, Timestamp};

use crate::access::{require, require_agent};
use crate::ledger::{Ledger, SERVER};
use crate::{Hub, agents, artifacts, schemas, tasks, wait};

/// How long an agent's word on its progress is kept.
const PROGRESS_TTL: Span = Span::from_secs(300);
/// Longest note on progress.
const MAX_NOTE_LEN: usize = 500;

/// `POST /v1/leases/claim`.
pub async fn claim(
    hub: &Hub,
    who: &Principal,
    request: &ClaimRequest,
) -> Result<ClaimAnswer, Rejection> {
    require(hub, who, Permission::ClaimTasks).await?;
    require_agent(hub, who, &request.agent).await?;
    if request.max == 0 || request.max as usize > MAX_BATCH {
        return Err(Rejection::new(
            Code::InvalidField,
            format!("must be 1 to {MAX_BATCH}, not {}", request.max),
        )
        .at("max"));
    }
    if request.lease < MIN_LEASE || request.lease > MAX_LEASE {
        return Err(Rejection::new(
            Code::InvalidField,
            format!("must be {MIN_LEASE} to {MAX_LEASE}, not {}", request.lease),
        )
        .at("lease"));
    }
    if hub.draining() {
        return Err(draining());
    }
    agents::seen(hub, &who.team, &request.agent).await;
    let first = claim_now(hub, who, request).await?;
    if !first.claims.is_empty() || request.wait == Span::ZERO {
        return Ok(first);
    }
    let agent = hub
        .read()
        .await?
        .agent(&who.team, &request.agent)
        .await?
        .ok_or_else(|| unregistered(&request.agent))?;
    let mut topics: Vec<Topic> = agent
        .lanes()
        .into_iter()
        .map(|lane| Topic::Lane(who.team.clone(), lane))
        .collect();
    topics.push(Topic::Agent(who.team.clone(), request.agent.clone()));
    let claimed = wait::until(hub, &topics, request.wait, || async move {
        let answer = claim_now(hub, who, request).await?;
        Ok((!answer.claims.is_empty()).then_some(answer))
    })
    .await?;
    Ok(claimed.unwrap_or(first))
}

fn draining() -> Rejection {
    Rejection::new(
        Code::Draining,
        "the server is stopping and hands out nothing",
    )
    .hint("try again in a moment")
}

fn unregistered(agent: &AgentName) -> Rejection {
    Rejection::not_found("agent", agent).hint(format!("register it first: PUT /v1/agents/{agent}"))
}

async fn claim_now(
    hub: &Hub,
    who: &Principal,
    request: &ClaimRequest,
) -> Result<ClaimAnswer, Rejection> {
    let (team, actor, now) = (who.team.clone(), who.to_string(), hub.now());
    let (name, max, ttl) = (request.agent.clone(), request.max, request.lease);
    let hub_of_work = hub.clone();
    hub.write(move |tx| {
        Box::pin(async move {
            let agent = tx
                .agent(&team, &name)
                .await?
                .ok_or_else(|| unregistered(&name))?;
            match pick(tx, &team, &agent, max, now).await? {
                Err(hold) => Ok(ClaimAnswer {
                    claims: Vec::new(),
                    hold: Some(hold),
                }),
                Ok(picked) => {
                    let mut ledger = Ledger::new(team.clone(), actor, now);
                    let mut claims = Vec::with_capacity(picked.len());
                    for mut task in picked {
                        let (token, transition) =
                            task.claim(&name, hub_of_work.entropy().secret(), ttl, now)?;
                        claims.push(describe(tx, &team, &task, token).await?);
                        ledger.moved(task, transition);
                    }
                    ledger.commit(tx).await?;
                    Ok(ClaimAnswer { claims, hold: None })
                }
            }
        })
    })
    .await
}

/// The tasks that the agent gets now, or what holds it back.
async fn pick(
    tx: &mut dyn Tx,
    team: &TeamName,
    agent: &Agent,
    max: u32,
    now: Timestamp,
) -> Result<Result<Vec<Task>, Hold>, Failed> {
    let held = tx.held_by(team, &agent.name).await?;
    let paused: HashSet<_> = tx
        .queues(team)
        .await?
        .into_iter()
        .filter(|queue| queue.paused)
        .map(|queue| queue.name)
        .collect();
    let lanes = match open_lanes(agent, held, &paused) {
        Ok(lanes) => lanes,
        Err(hold) => return Ok(Err(hold)),
    };
    let free = agent.spec.slots.saturating_sub(held).min(max) as usize;
    let mut heads = tx.lock_heads(team, &lanes, free).await?;
    sort_candidates(&mut heads, now);
    heads.truncate(free);
    let ids: Vec<TaskId> = heads.into_iter().map(|head| head.id).collect();
    Ok(Ok(if ids.is_empty() {
        Vec::new()
    } else {
        tx.lock_tasks(team, &ids).await?
    }))
}

/// A claimed task with what its attempt needs.
async fn describe(
    tx: &mut dyn Tx,
    team: &TeamName,
    task: &Task,
    token: LeaseToken,
) -> Result<Claim, Failed> {
    let mut budget = MAX_DEPENDENCY_RESULTS_LEN;
    let mut dependencies = Vec::with_capacity(task.spec.depends_on.len());
    for dependency in &task.spec.depends_on {
        if let TaskRef::Id(id) = dependency.task
            && let Some(on) = tx.task(team, id).await?
        {
            dependencies.push(dependency_result(on, &mut budget));
        }
    }
    let answers = if task.epoch.0 > 1 {
        tx.questions(team, Some(QuestionState::Answered), Some(task.id), MAX_PAGE)
            .await?
    } else {
        Vec::new()
    };
    let expires_at = task
        .lease
        .as_ref()
        .map_or(task.ready_at, |lease| lease.expires_at);
    Ok(Claim {
        task: task.clone(),
        token,
        expires_at,
        dependencies,
        answers,
    })
}

/// What a dependency gave, as far as the budget of bytes allows.
fn dependency_result(on: Task, budget: &mut usize) -> DependencyResult {
    let (text, json) = match (on.result, on.failure) {
        (Some(result), _) => (result.text, result.json),
        (None, Some(failure)) => (failure.reason, None),
        (None, None) => (String::new(), None),
    };
    let json_size = json.as_ref().map_or(0, |json| json.to_string().len());
    let cut = text.len() + json_size > *budget;
    let (text, json) = if cut {
        (collective_core::text::tail(&text, *budget).to_owned(), None)
    } else {
        (text, json)
    };
    *budget = budget.saturating_sub(text.len() + if json.is_some() { json_size } else { 0 });
    DependencyResult {
        task: on.id,
        number: on.number,
        key: on.spec.key,
        title: on.spec.title,
        state: on.state,
        text,
        json,
        cut,
    }
}

/// `POST /v1/leases/heartbeat`.
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
    hub.write(move |tx| {
        Box::pin(async move {
            let agent = tx
                .agent(&team, &name)
                .await?
                .ok_or_else(|| unregistered(&name))?;
            let mut locked = lock_all(tx, &team, beats.iter().map(|(task, _)| *task)).await?;
            let mut ledger = Ledger::new(team, actor, now);
            let mut items = Vec::with_capacity(beats.len());
            for (id, token) in beats {
                let result = match locked.remove(&id) {
                    None => Err(Rejection::not_found("task", id)),
                    Some(mut task) => {
                        let beat =
                            held_by(&task, token, &name).and_then(|()| task.heartbeat(token, now));
                        if beat.is_ok() {
                            ledger.touched(task);
                        }
                        beat.map(|beat| BeatAnswer {
                            expires_at: beat.expires_at,
                            cancel: beat.cancel,
                        })
                    }
                };
                items.push(Item::from_result(result));
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

fn may_report(who: &Principal, agent: &AgentName, number: u64) -> Result<(), Rejection> {
    who.require_agent(agent).map_err(|rejection| {
        Rejection::new(
            rejection.code(),
            format!("{who} doesn't hold task {number}"),
        )
    })
}

fn bounded_batch(size: usize, field: &str) -> Result<(), Rejection> {
    if size > MAX_BATCH {
        return Err(Rejection::new(
            Code::BatchTooLarge,
            format!("{size} items, the bound is {MAX_BATCH}"),
        )
        .hint("send several batches")
        .at(field));
    }
    Ok(())
}

async fn lock_all(
    tx: &mut dyn Tx,
    team: &TeamName,
    ids: impl Iterator<Item = TaskId>,
) -> Result<HashMap<TaskId, Task>, Failed> {
    let mut ids: Vec<TaskId> = ids.collect();
    // One order for all, so that two batches can't wait for each other.
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    Ok(tx
        .lock_tasks(team, &ids)
        .await?
        .into_iter()
        .map(|task| (task.id, task))
        .collect())
}

/// `POST /v1/leases/complete`.
pub async fn complete(
    hub: &Hub,
    who: &Principal,
    request: CompleteRequest,
) -> Result<Items<Settled>, Rejection> {
    bounded_batch(request.completions.len(), "completions")?;
    let reports = request
        .completions
        .into_iter()
        .map(|completion| {
            let key = (completion.task, completion.token);
            (key, accept(completion))
        })
        .collect();
    report(hub, who, reports, |task, token, accepted, now, chance| {
        let (mut result, contents) = accepted?;
        result.evidence =
            schemas::complete_evidence(&task.spec, result.json.as_ref(), result.evidence);
        let transition = task.complete(token, result, now, chance)?;
        Ok((
            transition,
            if task.state == TaskState::Succeeded {
                contents
            } else {
                Vec::new()
            },
        ))
    })
    .await
}

/// A completion in core's words, with the bytes of its artifacts.
type Accepted = Result<(TaskResult, artifacts::Contents), Rejection>;

fn accept(completion: Completion) -> Accepted {
    let (artifacts, contents) = artifacts::accept(&completion.artifacts)?;
    let result = TaskResult {
        text: completion.text,
        json: completion.json,
        artifacts,
        usage: completion.usage,
        commit: completion.commit,
        evidence: completion.evidence,
    };
    Ok((result, contents))
}

/// `POST /v1/leases/fail`.
pub async fn fail(
    hub: &Hub,
    who: &Principal,
    request: FailRequest,
) -> Result<Items<Settled>, Rejection> {
    bounded_batch(request.failures.len(), "failures")?;
    let reports = request
        .failures
        .into_iter()
        .map(|failed| ((failed.task, failed.token), failed))
        .collect();
    report(hub, who, reports, |task, token, failed, now, chance| {
        Ok((
            task.fail(token, failed.outcome, failed.failure, now, chance)?,
            Vec::new(),
        ))
    })
    .await
}

/// `POST /v1/leases/release`.
pub async fn release(
    hub: &Hub,
    who: &Principal,
    request: ReleaseRequest,
) -> Result<Items<Settled>, Rejection> {
    bounded_batch(request.leases.len(), "leases")?;
    if request.reason.len() > MAX_REASON_LEN {
        return Err(
            Rejection::too_large("the reason", request.reason.len(), MAX_REASON_LEN).at("reason"),
        );
    }
    let reason = if request.reason.is_empty() {
        "given back".to_owned()
    } else {
        request.reason
    };
    let reports = request
        .leases
        .into_iter()
        .map(|lease| ((lease.task, lease.token), reason.clone()))
        .collect();
    report(hub, who, reports, |task, token, reason: String, now, _| {
        Ok((task.release(token, &reason, now)?, Vec::new()))
    })
    .await
}

type Told = Result<(Transition, artifacts::Contents), Rejection>;

/// Carries out reports on leases: one commit, each item for itself.
async fn report<R, F>(
    hub: &Hub,
    who: &Principal,
    reports: Vec<((TaskId, LeaseToken), R)>,
    decide: F,
) -> Result<Items<Settled>, Rejection>
where
    R: Send + Sync + 'static,
    F: Fn(&mut Task, LeaseToken, R, Timestamp, f64) -> Told + Send + 'static,
{
    require(hub, who, Permission::ClaimTasks).await?;
    let (who, now, hub_of_work) = (who.clone(), hub.now(), hub.clone());
    hub.write(move |tx| {
        Box::pin(async move {
            let team = who.team.clone();
            let mut locked =
                lock_all(tx, &team, reports.iter().map(|((task, _), _)| *task)).await?;
            let mut ledger = Ledger::new(team.clone(), who.to_string(), now);
            let mut items = Vec::with_capacity(reports.len());
            let mut settled: HashMap<TaskId, (LeaseToken, Settled)> = HashMap::new();
            for ((id, token), report) in reports {
                let result = match locked.remove(&id) {
                    Some(mut task) => {
                        let chance = hub_of_work.entropy().chance();
                        match held(&task, token, &who) {
                            Err(lost) => repeated(tx, &who, &task, token).await?.ok_or(lost),
                            Ok(()) => match decide(&mut task, token, report, now, chance) {
                                Err(rejection) => Err(rejection),
                                Ok((transition, contents)) => {
                                    for (name, bytes) in contents {
                                        tx.put_artifact(&team, id, &name, &bytes).await?;
                                    }
                                    let answer = answer(&task, &transition);
                                    settled.insert(id, (token, answer.clone()));
                                    ledger.moved(task, transition);
                                    Ok(answer)
                                }
                            },
                        }
                    }
                    // Twice in one batch: the second gets the answer of the first.
                    None => match settled.get(&id) {
                        Some((first, answer)) if *first == token => Ok(answer.clone()),
                        Some(_) => Err(Rejection::new(
                            Code::LeaseLost,
                            format!("the lease on task {id} has ended"),
                        )),
                        None => Err(Rejection::not_found("task", id)),
                    },
                };
                items.push(Item::from_result(result));
            }
            ledger.commit(tx).await?;
            Ok(Items { items })
        })
    })
    .await
}

fn held(task: &Task, token: LeaseToken, who: &Principal) -> Result<(), Rejection> {
    let lease = task.check_lease(token)?;
    may_report(who, &lease.agent, task.number)
}

fn answer(task: &Task, transition: &Transition) -> Settled {
    let outcome = transition
        .attempt
        .as_ref()
        .map_or(AttemptOutcome::Failed, |attempt| attempt.outcome);
    Settled {
        task: task.id,
        attempt: task.epoch,
        outcome,
        state: task.state,
    }
}

/// The answer of a report that was carried out before with this token.
async fn repeated(
    tx: &mut dyn Tx,
    who: &Principal,
    task: &Task,
    token: LeaseToken,
) -> Result<Option<Settled>, Failed> {
    let attempt = tx.attempt(&who.team, task.id, token.epoch).await?;
    Ok(attempt
        .filter(|attempt| attempt.token == Some(token) && who.require_agent(&attempt.agent).is_ok())
        // A lease that ran out was never reported on: its holder must learn that it is lost.
        .filter(|attempt| attempt.outcome != AttemptOutcome::Lost)
        .map(|attempt| Settled {
            task: task.id,
            attempt: attempt.epoch,
            outcome: attempt.outcome,
            state: task.state,
        }))
}

/// `POST /v1/tasks/{task}/log`.
pub async fn append_log(
    hub: &Hub,
    who: &Principal,
    task: &str,
    request: AppendLog,
) -> Result<(), Rejection> {
    require(hub, who, Permission::ClaimTasks).await?;
    let bytes = artifacts::decode(&request.content, MAX_LOG_CHUNK).map_err(|r| r.at("content"))?;
    if request.position == 0 || request.position > i64::MAX.unsigned_abs() {
        return Err(Rejection::new(Code::InvalidField, "positions start at 1").at("position"));
    }
    let id = tasks::id_of(hub, who, task).await?;
    let (who, now) = (who.clone(), hub.now());
    hub.write(move |tx| {
        Box::pin(async move {
            let task = tasks::lock(tx, &who.team, id).await?;
            held(&task, request.token, &who)?;
            let chunk = LogChunk {
                position: request.position,
                at: now,
                bytes,
            };
            let total = tx.append_log(&who.team, id, task.epoch, chunk).await?;
            if total > tasks::LOG_BOUND {
                return Err(Rejection::new(
                    Code::TooLarge,
                    "the attempt's output is over its bound",
                )
                .hint("keep the start and the end, leave out the middle")
                .into());
            }
            Ok(())
        })
    })
    .await
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
            let (team, now) = (team.clone(), hub.now());
            hub.write(move |tx| {
                Box::pin(async move {
                    let mut ledger = Ledger::new(team.clone(), SERVER.to_owned(), now);
                    for mut task in tx.lock_tasks(&team, &ids).await? {
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
