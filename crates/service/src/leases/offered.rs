//! A claim of one task that was offered on the broker.
//!
//! An offer may be old, repeated or in the wrong hands; the store decides here,
//! by the same rule that hands out tasks over HTTP.

use collective_api::leases::Claim;
use collective_core::agent::Agent;
use collective_core::explain::{Hold, offer};
use collective_core::ports::store::{Failed, Tx};
use collective_core::role::{Permission, Principal};
use collective_core::task::{LeaseToken, Task};
use collective_core::{AgentName, Code, Rejection, Span, TaskId, TeamName};

use super::claim::{check_length, describe, draining, paused, unregistered};
use crate::access::{denied, require, require_agent};
use crate::ledger::Ledger;
use crate::memory::Memory;
use crate::{Hub, agents};

/// The report `started`: claims this very task for this agent.
///
/// Repeated with the same idempotency key it gives the same claim, as long as
/// its lease lives; without a key a repeat is refused like anybody else's.
pub async fn claim_offered(
    hub: &Hub,
    who: &Principal,
    task: TaskId,
    agent: &AgentName,
    lease: Span,
    idempotency_key: Option<&str>,
) -> Result<Claim, Rejection> {
    require(hub, who, Permission::ClaimTasks).await?;
    require_agent(hub, who, agent).await?;
    check_length(lease)?;
    if hub.draining() {
        return Err(draining());
    }
    let memory = idempotency_key
        .map(|key| Memory::of(who, "started", key, &(task, agent, lease)))
        .transpose()?;
    agents::seen(hub, &who.team, agent).await;
    match claim(hub, who, task, agent.clone(), lease, memory).await {
        Err(rejection) if rejection.code() == Code::Forbidden => {
            Err(denied(hub, who, rejection).await)
        }
        answer => answer,
    }
}

async fn claim(
    hub: &Hub,
    who: &Principal,
    id: TaskId,
    name: AgentName,
    lease: Span,
    memory: Option<Memory>,
) -> Result<Claim, Rejection> {
    let (team, actor, now) = (who.team.clone(), who.to_string(), hub.now());
    let hub_of_work = hub.clone();
    hub.write(&who.team, move |tx| {
        Box::pin(async move {
            let mut task = tx
                .lock_tasks(&team, &[id])
                .await?
                .pop()
                .ok_or_else(|| Rejection::not_found("task", id))?;
            if let Some(memory) = &memory
                && let Some(token) = memory.recall::<LeaseToken>(tx, &team, now).await?
            {
                task.check_lease(token)?;
                return describe(tx, &team, &task, token).await;
            }
            let agent = tx
                .agent(&team, &name)
                .await?
                .ok_or_else(|| unregistered(&name))?;
            may_take(tx, &team, &agent, &task).await?;
            let secret = hub_of_work.entropy().secret();
            let (token, transition) = task.claim(&name, secret, lease, now)?;
            if let Some(memory) = memory {
                memory.keep(tx, &team, &token, now).await?;
            }
            let claim = describe(tx, &team, &task, token).await?;
            let mut ledger = Ledger::new(team, actor, now);
            ledger.moved(task, transition);
            ledger.commit(tx).await?;
            Ok(claim)
        })
    })
    .await
}

/// Refuses what the rule that dispatches would not give this agent now.
async fn may_take(
    tx: &mut dyn Tx,
    team: &TeamName,
    agent: &Agent,
    task: &Task,
) -> Result<(), Failed> {
    let held = tx.held_by(team, &agent.name).await?;
    let paused = paused(tx, team).await?;
    let lane = task.lane();
    let Err(hold) = offer(agent, held, &paused, &lane) else {
        return Ok(());
    };
    let (number, name) = (task.number, &agent.name);
    let refused = |why: String| {
        Rejection::new(
            Code::WrongState,
            format!("task {number} isn't handed out: {why}"),
        )
        .hint("drop the offer; it is made again when that has changed")
    };
    Err(match hold {
        Hold::DoesNotServe => Rejection::new(
            Code::Forbidden,
            format!("agent `{name}` doesn't serve {lane}, where task {number} waits"),
        )
        .hint("register with the queues that the agent consumes"),
        Hold::QueuePaused => refused(format!("{lane} is paused")),
        Hold::Draining => refused(format!("agent `{name}` is draining")),
        Hold::SlotsFull => refused(format!("agent `{name}` holds {held} tasks, its slots")),
    }
    .into())
}
