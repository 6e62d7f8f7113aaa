//! Claims: the next tasks for an agent, under leases, with all that their attempts need.

use std::collections::HashSet;

use collective_api::leases::{Claim, ClaimAnswer, ClaimRequest, DependencyResult};
use collective_core::agent::Agent;
use collective_core::explain::{Hold, open_lanes};
use collective_core::limits::{
    MAX_BATCH, MAX_DEPENDENCY_RESULTS_LEN, MAX_LEASE, MAX_PAGE, MIN_LEASE,
};
use collective_core::ports::store::{Failed, Tx};
use collective_core::ports::{StoreError, Topic};
use collective_core::question::QuestionState;
use collective_core::role::{Permission, Principal};
use collective_core::task::order::sort_candidates;
use collective_core::task::{Lane, LeaseToken, Priority, Task, TaskRef};
use collective_core::{AgentName, Code, QueueName, Rejection, Span, TaskId, TeamName, Timestamp};

use crate::access::{require, require_agent};
use crate::ledger::Ledger;
use crate::wait::{LOOK_AGAIN, Waiting, Woken, check_bound};
use crate::{Hub, agents, trace};

/// `POST /v1/leases/claim`.
#[tracing::instrument(
    name = "claim leases",
    skip_all,
    fields(
        collective.agent = %request.agent,
        collective.wait = %request.wait,
        collective.claims = tracing::field::Empty,
    )
)]
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
    check_length(request.lease)?;
    if hub.draining() {
        return Err(draining());
    }
    agents::seen(hub, &who.team, &request.agent).await;
    check_bound(request.wait)?;
    if request.wait == Span::ZERO {
        return Ok(claim_now(hub, who, request).await?.answer);
    }
    if let Some(lanes) = idle_lanes(hub, who, request).await? {
        return match wait_for_work(hub, who, request, &lanes).await? {
            Some(claimed) => Ok(claimed),
            // It may say what holds the agent back.
            None => Ok(claim_now(hub, who, request).await?.answer),
        };
    }
    let first = claim_now(hub, who, request).await?;
    if !first.answer.claims.is_empty() {
        return Ok(first.answer);
    }
    let claimed = wait_for_work(hub, who, request, &first.lanes).await?;
    Ok(claimed.unwrap_or(first.answer))
}

/// Looks again whenever there is news of the agent or of a lane that it serves.
async fn wait_for_work(
    hub: &Hub,
    who: &Principal,
    request: &ClaimRequest,
    lanes: &[Lane],
) -> Result<Option<ClaimAnswer>, Rejection> {
    /// The place of what wakes others too.
    const SHARED: usize = 0;
    let topic = |lane: &Lane| Topic::Lane(who.team.clone(), lane.clone());
    let is_own = |lane: &&Lane| matches!(lane, Lane::Agent(_));
    let (own, shared): (Vec<&Lane>, Vec<&Lane>) = lanes.iter().partition(is_own);
    let shared: Vec<Lane> = shared.into_iter().cloned().collect();
    let shared_topics: Vec<Topic> = shared.iter().map(topic).collect();
    let mut own_topics: Vec<Topic> = own.into_iter().map(topic).collect();
    own_topics.push(Topic::Agent(who.team.clone(), request.agent.clone()));

    let turns = hub.turns().of(&who.team);
    let topics = [&shared_topics[..], &own_topics[..]];
    let mut waiting = Waiting::start(hub, &topics, request.wait, LOOK_AGAIN).await?;
    // Something may have come between the first look and the listening.
    let mut woken = Woken::ByTime;
    loop {
        let turn = match woken {
            Woken::Over => return Ok(None),
            Woken::By(SHARED) => match turns.take(&shared, turns.moment()).await {
                None => {
                    woken = waiting.woken().await?;
                    continue;
                }
                turn => turn,
            },
            Woken::By(_) | Woken::ByTime => None,
        };
        // News of the agent itself needn't be of tasks.
        let asks_first = turn.is_some() || woken == Woken::ByTime;
        if asks_first && hub.shared().is_some() && !is_any_queued(hub, who, lanes).await? {
            if let Some(turn) = turn {
                turn.ended(Some(&shared));
            }
            woken = waiting.woken().await?;
            continue;
        }
        let looked = claim_now(hub, who, request).await?;
        if let Some(turn) = turn {
            turn.ended(looked.emptied.then_some(&shared));
        }
        // An agent that drains gets nothing however long it waits.
        if !looked.answer.claims.is_empty() || looked.answer.hold == Some(Hold::Draining) {
            return Ok(Some(looked.answer));
        }
        woken = waiting.woken().await?;
    }
}

/// The lanes of an agent that waits for tasks and has nothing queued in them.
/// Nothing if there is something to be had, or to be said.
async fn idle_lanes(
    hub: &Hub,
    who: &Principal,
    request: &ClaimRequest,
) -> Result<Option<Vec<Lane>>, Rejection> {
    if hub.shared().is_none() {
        return Ok(None);
    }
    let agent = hub.read().await?.agent(&who.team, &request.agent).await?;
    let Some(agent) = agent.filter(|agent| !agent.draining) else {
        return Ok(None);
    };
    let lanes = agent.lanes();
    let is_any_queued = is_any_queued(hub, who, &lanes).await?;
    Ok((!is_any_queued).then_some(lanes))
}

/// Whether there is anything in these lanes. Where servers share a store, a look
/// in vain holds up all of them, and what one is told of another has mostly taken
/// by then: to ask first opens no transaction and waits for nobody.
async fn is_any_queued(hub: &Hub, who: &Principal, lanes: &[Lane]) -> Result<bool, Rejection> {
    let behind_all = (Priority::Low, Timestamp::from_micros(i64::MAX), u64::MAX);
    let mut query = hub.read().await?;
    for lane in lanes {
        if query.count_ahead(&who.team, lane, behind_all, 1).await? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A lease's length must be within its bounds.
pub(super) fn check_length(lease: Span) -> Result<(), Rejection> {
    if lease < MIN_LEASE || lease > MAX_LEASE {
        return Err(Rejection::new(
            Code::InvalidField,
            format!("must be {MIN_LEASE} to {MAX_LEASE}, not {lease}"),
        )
        .at("lease"));
    }
    Ok(())
}

pub(super) fn draining() -> Rejection {
    Rejection::new(
        Code::Draining,
        "the server is stopping and hands out nothing",
    )
    .hint("try again in a moment")
}

pub(super) fn unregistered(agent: &AgentName) -> Rejection {
    Rejection::not_found("agent", agent).hint(format!("register it first: PUT /v1/agents/{agent}"))
}

/// What a look for tasks has found.
struct Looked {
    answer: ClaimAnswer,
    /// The lanes that the agent serves.
    lanes: Vec<Lane>,
    /// Whether nothing that can be claimed is left in them.
    emptied: bool,
}

async fn claim_now(
    hub: &Hub,
    who: &Principal,
    request: &ClaimRequest,
) -> Result<Looked, Rejection> {
    let (team, actor, now) = (who.team.clone(), who.to_string(), hub.now());
    let (name, max, ttl) = (request.agent.clone(), request.max, request.lease);
    let hub_of_work = hub.clone();
    let span = tracing::Span::current();
    hub.write(&who.team, move |tx| {
        Box::pin(async move {
            let agent = tx
                .agent(&team, &name)
                .await?
                .ok_or_else(|| unregistered(&name))?;
            let lanes = agent.lanes();
            match pick(tx, &team, &agent, max, now).await? {
                Err(hold) => Ok(Looked {
                    answer: ClaimAnswer {
                        claims: Vec::new(),
                        hold: Some(hold),
                    },
                    lanes,
                    emptied: false,
                }),
                Ok(Picked { tasks, emptied }) => {
                    let mut ledger = Ledger::new(team.clone(), actor, now);
                    let mut claims = Vec::with_capacity(tasks.len());
                    for mut task in tasks {
                        let (token, transition) =
                            task.claim(&name, hub_of_work.entropy().secret(), ttl, now)?;
                        claims.push(describe(tx, &team, &task, token).await?);
                        ledger.moved(task, transition);
                    }
                    ledger.commit(tx).await?;
                    Ok(Looked {
                        answer: ClaimAnswer { claims, hold: None },
                        lanes,
                        emptied,
                    })
                }
            }
        })
    })
    .await
    .inspect(|looked| {
        span.record(
            "collective.claims",
            trace::count(looked.answer.claims.len()),
        );
    })
}

/// What there is for an agent.
struct Picked {
    tasks: Vec<Task>,
    /// Whether its lanes hold nothing else.
    emptied: bool,
}

/// The tasks that the agent gets now, or what holds it back.
async fn pick(
    tx: &mut dyn Tx,
    team: &TeamName,
    agent: &Agent,
    max: u32,
    now: Timestamp,
) -> Result<Result<Picked, Hold>, Failed> {
    let held = tx.held_by(team, &agent.name).await?;
    let paused = paused(tx, team).await?;
    let lanes = match open_lanes(agent, held, &paused) {
        Ok(lanes) => lanes,
        Err(hold) => return Ok(Err(hold)),
    };
    let free = agent.spec.slots.saturating_sub(held).min(max) as usize;
    // One more than is taken tells whether anything is left.
    let mut heads = tx.lock_heads(team, &lanes, free + 1).await?;
    let emptied = heads.len() <= free;
    sort_candidates(&mut heads, now);
    heads.truncate(free);
    let ids: Vec<TaskId> = heads.into_iter().map(|head| head.id).collect();
    let tasks = if ids.is_empty() {
        Vec::new()
    } else {
        tx.lock_tasks(team, &ids).await?
    };
    Ok(Ok(Picked { tasks, emptied }))
}

/// The team's paused queues.
pub(super) async fn paused(
    tx: &mut dyn Tx,
    team: &TeamName,
) -> Result<HashSet<QueueName>, StoreError> {
    let queues = tx.queues(team).await?.into_iter();
    Ok(queues
        .filter(|queue| queue.paused)
        .map(|queue| queue.name)
        .collect())
}

/// A claimed task with what its attempt needs.
pub(super) async fn describe(
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
