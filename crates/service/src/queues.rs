//! Queues: declare, list, pause, resume.

use std::collections::BTreeMap;

use collective_api::agents::{AgentView, QueueView};
use collective_core::event::Fact;
use collective_core::ports::store::LaneCount;
use collective_core::queue::{MAX_QUEUES, Queue};
use collective_core::role::{Permission, Principal};
use collective_core::task::{Lane, TaskState};
use collective_core::{Code, QueueName, Rejection};

use crate::access::require;
use crate::ledger::Ledger;
use crate::{Hub, agents};

/// `PUT /v1/queues/{queue}`: declares it; an existing one stays as it is.
pub async fn declare(hub: &Hub, who: &Principal, name: &QueueName) -> Result<QueueView, Rejection> {
    change(hub, who, name, None).await
}

/// `POST /v1/queues/{queue}/pause` and `/resume`. Running tasks go on.
pub async fn set_paused(
    hub: &Hub,
    who: &Principal,
    name: &QueueName,
    paused: bool,
) -> Result<QueueView, Rejection> {
    change(hub, who, name, Some(paused)).await
}

async fn change(
    hub: &Hub,
    who: &Principal,
    name: &QueueName,
    paused: Option<bool>,
) -> Result<QueueView, Rejection> {
    require(hub, who, Permission::ManageQueues).await?;
    let (team, actor, now, key) = (who.team.clone(), who.to_string(), hub.now(), name.clone());
    hub.write(&who.team, move |tx| {
        Box::pin(async move {
            let mut ledger = Ledger::new(team.clone(), actor, now);
            let mut queue = match (tx.queue(&team, &key).await?, paused) {
                (Some(queue), _) => queue,
                (None, Some(_)) => return Err(Rejection::not_found("queue", &key).into()),
                (None, None) => {
                    if tx.queues(&team).await?.len() >= MAX_QUEUES {
                        return Err(Rejection::new(
                            Code::LimitReached,
                            format!("the team has {MAX_QUEUES} queues"),
                        )
                        .into());
                    }
                    let queue = Queue {
                        name: key.clone(),
                        paused: false,
                        created_at: now,
                    };
                    tx.put_queue(&team, &queue).await?;
                    ledger.fact(Fact::QueueDeclared { queue: key.clone() });
                    queue
                }
            };
            if let Some(paused) = paused.filter(|paused| *paused != queue.paused) {
                queue.paused = paused;
                tx.put_queue(&team, &queue).await?;
                ledger.fact(Fact::QueuePaused { queue: key, paused });
            }
            ledger.commit(tx).await
        })
    })
    .await?;
    let all = list(hub, who).await?;
    all.into_iter()
        .find(|queue| queue.name == *name)
        .ok_or_else(|| Rejection::not_found("queue", name))
}

/// `GET /v1/queues`.
pub async fn list(hub: &Hub, who: &Principal) -> Result<Vec<QueueView>, Rejection> {
    require(hub, who, Permission::Read).await?;
    let agents = agents::views(hub, &who.team).await?;
    let mut query = hub.read().await?;
    let queues = query.queues(&who.team).await?;
    let counts = query.lane_counts(&who.team).await?;
    Ok(views(queues, &counts, &agents))
}

pub(crate) fn views(
    queues: Vec<Queue>,
    counts: &[LaneCount],
    agents: &[AgentView],
) -> Vec<QueueView> {
    let mut by_queue: BTreeMap<&QueueName, ([u64; 4], u64)> = BTreeMap::new();
    for count in counts {
        let Lane::Queue(name) = &count.lane else {
            continue;
        };
        let (queued, running) = by_queue.entry(name).or_default();
        match count.state {
            TaskState::Queued => queued[usize::from(count.priority.rank())] += count.count,
            _ => *running += count.count,
        }
    }
    queues
        .into_iter()
        .map(|queue| {
            let (queued, running) = by_queue.get(&queue.name).copied().unwrap_or_default();
            let agents = agents
                .iter()
                .filter(|view| view.present && view.agent.spec.queues.contains(&queue.name))
                .map(|view| view.agent.name.clone())
                .collect();
            QueueView {
                name: queue.name,
                paused: queue.paused,
                queued,
                running,
                agents,
            }
        })
        .collect()
}
