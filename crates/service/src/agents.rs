//! Agents: register, list, drain, remove; presence is the cache's.

use collective_api::agents::{AgentView, Drain};
use collective_core::agent::{Agent, AgentSpec, MAX_AGENTS, Transport};
use collective_core::event::Fact;
use collective_core::limits::PRESENCE_TTL;
use collective_core::queue::{MAX_QUEUES, Queue};
use collective_core::role::{Permission, Principal};
use collective_core::{AgentName, Code, Rejection, TeamName, Timestamp};

use crate::Hub;
use crate::access::{require, require_agent};
use crate::ledger::Ledger;

/// `PUT /v1/agents/{agent}`: registers, or registers anew under the same name.
/// An agent that restarts has its identity back at once: whatever it held
/// before stays its own until the leases run out.
pub async fn register(
    hub: &Hub,
    who: &Principal,
    name: &AgentName,
    spec: AgentSpec,
) -> Result<AgentView, Rejection> {
    require(hub, who, Permission::ClaimTasks).await?;
    require_agent(hub, who, name).await?;
    spec.validate()?;
    if let collective_core::role::Grant::Agent(_, role) = &who.grant
        && *role != spec.role
    {
        return Err(Rejection::new(
            Code::Forbidden,
            format!("the key of agent `{name}` is for the role {role}"),
        )
        .at("role"));
    }
    if spec.transport == Transport::Amqp && hub.shared().is_none() {
        return Err(Rejection::new(
            Code::InvalidField,
            "this server has no broker that tasks could be offered on",
        )
        .hint("leave the transport at `http`, or run the server on RabbitMQ")
        .at("transport"));
    }
    let (team, actor, now) = (who.team.clone(), who.to_string(), hub.now());
    let key = name.clone();
    let agent = hub
        .write(&who.team, move |tx| {
            Box::pin(async move {
                let mut ledger = Ledger::new(team.clone(), actor, now);
                let known = tx.agent(&team, &key).await?;
                if known.is_none() && tx.agents(&team).await?.len() >= MAX_AGENTS {
                    return Err(Rejection::new(
                        Code::LimitReached,
                        format!("the team has {MAX_AGENTS} agents"),
                    )
                    .hint("remove agents that are gone: collective agent remove NAME")
                    .into());
                }
                for queue in &spec.queues {
                    if tx.queue(&team, queue).await?.is_none() {
                        if tx.queues(&team).await?.len() >= MAX_QUEUES {
                            return Err(Rejection::new(
                                Code::LimitReached,
                                format!("the team has {MAX_QUEUES} queues"),
                            )
                            .into());
                        }
                        tx.put_queue(
                            &team,
                            &Queue {
                                name: queue.clone(),
                                paused: false,
                                created_at: now,
                            },
                        )
                        .await?;
                        ledger.fact(Fact::QueueDeclared {
                            queue: queue.clone(),
                        });
                    }
                }
                let changed = known
                    .as_ref()
                    .is_none_or(|known| known.spec != spec || known.draining);
                let agent = Agent {
                    name: key.clone(),
                    spec: spec.clone(),
                    draining: false,
                    created_at: known.map_or(now, |known| known.created_at),
                    registered_at: now,
                };
                tx.put_agent(&team, &agent).await?;
                if changed {
                    ledger.fact(Fact::AgentRegistered { agent: key, spec });
                }
                ledger.commit(tx).await?;
                Ok(agent)
            })
        })
        .await?;
    seen(hub, &who.team, name).await;
    view(hub, &who.team, agent).await
}

/// `GET /v1/agents`.
pub async fn list(hub: &Hub, who: &Principal) -> Result<Vec<AgentView>, Rejection> {
    require(hub, who, Permission::Read).await?;
    views(hub, &who.team).await
}

pub(crate) async fn views(hub: &Hub, team: &TeamName) -> Result<Vec<AgentView>, Rejection> {
    let mut query = hub.read().await?;
    let agents = query.agents(team).await?;
    let held = query.held(team).await?;
    drop(query);
    let seen = last_seen(hub, team, &agents).await;
    Ok(agents
        .into_iter()
        .zip(seen)
        .map(|(agent, seen_at)| AgentView {
            held: held.get(&agent.name).copied().unwrap_or(0),
            present: seen_at.is_some(),
            seen_at,
            agent,
        })
        .collect())
}

/// `GET /v1/agents/{agent}`.
pub async fn show(hub: &Hub, who: &Principal, name: &AgentName) -> Result<AgentView, Rejection> {
    require(hub, who, Permission::Read).await?;
    let agent = hub
        .read()
        .await?
        .agent(&who.team, name)
        .await?
        .ok_or_else(|| Rejection::not_found("agent", name))?;
    view(hub, &who.team, agent).await
}

async fn view(hub: &Hub, team: &TeamName, agent: Agent) -> Result<AgentView, Rejection> {
    let held = hub.read().await?.held_by(team, &agent.name).await?;
    let seen_at = last_seen(hub, team, std::slice::from_ref(&agent))
        .await
        .pop()
        .flatten();
    Ok(AgentView {
        present: seen_at.is_some(),
        seen_at,
        held,
        agent,
    })
}

/// `POST /v1/agents/{agent}/drain`: no new tasks for it, or new ones again.
pub async fn drain(
    hub: &Hub,
    who: &Principal,
    name: &AgentName,
    drain: Drain,
) -> Result<AgentView, Rejection> {
    require(hub, who, Permission::Read).await?;
    require_agent(hub, who, name).await?;
    let (team, actor, now) = (who.team.clone(), who.to_string(), hub.now());
    let key = name.clone();
    let agent = hub
        .write(&who.team, move |tx| {
            Box::pin(async move {
                let mut agent = tx
                    .agent(&team, &key)
                    .await?
                    .ok_or_else(|| Rejection::not_found("agent", &key))?;
                if agent.draining != drain.draining {
                    agent.draining = drain.draining;
                    tx.put_agent(&team, &agent).await?;
                    let mut ledger = Ledger::new(team, actor, now);
                    ledger.fact(Fact::AgentDraining {
                        agent: key,
                        draining: drain.draining,
                    });
                    ledger.commit(tx).await?;
                }
                Ok(agent)
            })
        })
        .await?;
    view(hub, &who.team, agent).await
}

/// `DELETE /v1/agents/{agent}`. Refused while it holds tasks.
pub async fn remove(hub: &Hub, who: &Principal, name: &AgentName) -> Result<(), Rejection> {
    require(hub, who, Permission::Read).await?;
    require_agent(hub, who, name).await?;
    let (team, actor, now, key) = (who.team.clone(), who.to_string(), hub.now(), name.clone());
    hub.write(&who.team, move |tx| {
        Box::pin(async move {
            if tx.agent(&team, &key).await?.is_none() {
                return Err(Rejection::not_found("agent", &key).into());
            }
            let held = tx.held_by(&team, &key).await?;
            if held > 0 {
                return Err(Rejection::new(
                    Code::WrongState,
                    format!("agent `{key}` holds {held} tasks"),
                )
                .hint("drain it and wait, or cancel its tasks")
                .into());
            }
            tx.remove_agent(&team, &key).await?;
            let mut ledger = Ledger::new(team, actor, now);
            ledger.fact(Fact::AgentRemoved { agent: key });
            ledger.commit(tx).await
        })
    })
    .await
}

fn presence_key(team: &TeamName, agent: &AgentName) -> String {
    format!("presence/{team}/{agent}")
}

/// Notes a sign of life. A cache that is down costs presence, not the command.
pub(crate) async fn seen(hub: &Hub, team: &TeamName, agent: &AgentName) {
    let now = hub.now();
    let value = now.micros().to_be_bytes();
    if let Err(error) = hub
        .cache()
        .put(&presence_key(team, agent), &value, PRESENCE_TTL, now)
        .await
    {
        tracing::debug!(%error, %agent, "presence was not noted");
    }
}

/// The last sign of life of each agent, within [`PRESENCE_TTL`].
pub(crate) async fn last_seen(
    hub: &Hub,
    team: &TeamName,
    agents: &[Agent],
) -> Vec<Option<Timestamp>> {
    let keys: Vec<String> = agents
        .iter()
        .map(|agent| presence_key(team, &agent.name))
        .collect();
    match hub.cache().get_many(&keys, hub.now()).await {
        Ok(values) => values
            .into_iter()
            .map(|value| {
                value.and_then(|bytes| {
                    Some(Timestamp::from_micros(i64::from_be_bytes(
                        bytes.try_into().ok()?,
                    )))
                })
            })
            .collect(),
        Err(error) => {
            tracing::debug!(%error, "presence is not known");
            vec![None; agents.len()]
        }
    }
}
