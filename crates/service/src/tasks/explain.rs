//! What a task waits for, from what surrounds it.

use collective_core::explain::{Explanation, OpenDependency, Surroundings, Witness, explain};
use collective_core::ports::store::Query;
use collective_core::role::{Permission, Principal};
use collective_core::task::order::bounds_ahead;
use collective_core::task::{Priority, Task, TaskState};
use collective_core::{Rejection, TeamName, Timestamp};

use super::read::find;
use crate::access::require;
use crate::{Hub, agents};

/// How far an explanation counts the tasks before one.
const MAX_AHEAD_COUNTED: u64 = 10_000;

/// `GET /v1/tasks/{task}/explain`.
pub async fn explain_task(
    hub: &Hub,
    who: &Principal,
    task: &str,
) -> Result<Explanation, Rejection> {
    require(hub, who, Permission::Read).await?;
    let mut query = hub.read().await?;
    let task = find(&mut *query, &who.team, task).await?;
    let mut around = Surroundings::default();
    if task.state == TaskState::Blocked {
        for edge in query.dependencies(&who.team, task.id).await? {
            if let (false, Some(on)) = (edge.met, query.task(&who.team, edge.on).await?) {
                around.open_dependencies.push(OpenDependency {
                    task: on.id,
                    number: on.number,
                    title: on.spec.title,
                    state: on.state,
                });
            }
        }
    }
    if task.state == TaskState::Queued {
        around.paused = query
            .queues(&who.team)
            .await?
            .into_iter()
            .filter(|queue| queue.paused)
            .map(|queue| queue.name)
            .collect();
        let held = query.held(&who.team).await?;
        let registered = query.agents(&who.team).await?;
        let seen = agents::last_seen(hub, &who.team, &registered).await;
        around.agents = registered
            .into_iter()
            .zip(seen)
            .map(|(agent, seen)| Witness {
                held: held.get(&agent.name).copied().unwrap_or(0),
                present: seen.is_some(),
                agent,
            })
            .collect();
        around.ahead = ahead(&mut *query, &who.team, &task, hub.now()).await?;
    }
    Ok(explain(&task, &around))
}

/// How many tasks of its lane are handed out before it, ageing included.
async fn ahead(
    query: &mut dyn Query,
    team: &TeamName,
    task: &Task,
    now: Timestamp,
) -> Result<u64, Rejection> {
    const PAST_ALL: (Timestamp, u64) = (Timestamp::from_micros(i64::MAX), i64::MAX as u64);
    let lane = task.lane();
    let bounds = bounds_ahead((task.spec.priority, task.ready_at, task.number), now);
    let mut total = 0;
    let mut better = 0;
    for (priority, bound) in Priority::ALL.into_iter().zip(bounds) {
        // The store counts this priority up to a place together with all better ones.
        let (at, number) = bound.unwrap_or(PAST_ALL);
        let up_to = query
            .count_ahead(team, &lane, (priority, at, number), MAX_AHEAD_COUNTED)
            .await?;
        total += up_to.saturating_sub(better);
        better = query
            .count_ahead(
                team,
                &lane,
                (priority, PAST_ALL.0, PAST_ALL.1),
                MAX_AHEAD_COUNTED,
            )
            .await?;
    }
    Ok(total)
}
