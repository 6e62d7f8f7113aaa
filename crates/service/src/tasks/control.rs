//! Controlling tasks: call off, put away, give a new start.

use std::collections::VecDeque;

use collective_api::tasks::{CreatedTask, Revived};
use collective_core::event::Fact;
use collective_core::ports::store::{Failed, Tx};
use collective_core::role::{Permission, Principal};
use collective_core::task::{FailureClass, Task, TaskState, Transition};
use collective_core::{Rejection, TaskId, TeamName, Timestamp};

use super::create::{created, satisfied};
use super::read::find;
use crate::Hub;
use crate::access::require;
use crate::ledger::Ledger;

/// `POST /v1/tasks/{task}/cancel`.
pub async fn cancel(
    hub: &Hub,
    who: &Principal,
    task: &str,
    reason: &str,
) -> Result<CreatedTask, Rejection> {
    let reason = if reason.is_empty() {
        "called off".to_owned()
    } else {
        reason.to_owned()
    };
    control(hub, who, task, move |task, now| task.cancel(&reason, now)).await
}

/// `POST /v1/tasks/{task}/discard`.
pub async fn discard(
    hub: &Hub,
    who: &Principal,
    task: &str,
    reason: &str,
) -> Result<CreatedTask, Rejection> {
    let reason = reason.to_owned();
    control(hub, who, task, move |task, now| task.discard(&reason, now)).await
}

async fn control<F>(
    hub: &Hub,
    who: &Principal,
    task: &str,
    command: F,
) -> Result<CreatedTask, Rejection>
where
    F: FnOnce(&mut Task, Timestamp) -> Result<Transition, Rejection> + Send + 'static,
{
    require(hub, who, Permission::ControlTasks).await?;
    let id = find(&mut *hub.read().await?, &who.team, task).await?.id;
    let (team, actor, now) = (who.team.clone(), who.to_string(), hub.now());
    hub.write(&who.team, move |tx| {
        Box::pin(async move {
            let mut task = lock(tx, &team, id).await?;
            let transition = command(&mut task, now)?;
            let answer = created(&task);
            let mut ledger = Ledger::new(team, actor, now);
            ledger.moved(task, transition);
            ledger.commit(tx).await?;
            Ok(answer)
        })
    })
    .await
}

pub(crate) async fn lock(tx: &mut dyn Tx, team: &TeamName, id: TaskId) -> Result<Task, Failed> {
    let found = tx.lock_tasks(team, &[id]).await?.pop();
    found.ok_or_else(|| Failed::Rejected(Rejection::not_found("task", id)))
}

/// `POST /v1/tasks/{task}/retry`: a new start for it, and for everything that died of it.
pub async fn retry(hub: &Hub, who: &Principal, task: &str) -> Result<Revived, Rejection> {
    require(hub, who, Permission::ControlTasks).await?;
    let id = find(&mut *hub.read().await?, &who.team, task).await?.id;
    let (team, actor, now) = (who.team.clone(), who.to_string(), hub.now());
    hub.write(&who.team, move |tx| {
        Box::pin(async move {
            let mut facts: Vec<Fact> = Vec::new();
            let first = revive(tx, &team, id, now, &mut facts).await?;
            let mut revived = vec![created(&first)];
            let mut open = VecDeque::from([first.id]);
            while let Some(on) = open.pop_front() {
                for edge in tx.dependents(&team, &[on]).await? {
                    let Some(dependent) = tx.task(&team, edge.task).await? else {
                        continue;
                    };
                    if edge.met || !died_of_a_dependency(&dependent) {
                        continue;
                    }
                    // One that also waits for another dead task stays dead until that one is retried.
                    if let Ok(dependent) = revive(tx, &team, edge.task, now, &mut facts).await {
                        revived.push(created(&dependent));
                        open.push_back(dependent.id);
                    }
                }
            }
            tx.append(&team, &actor, now, facts).await?;
            Ok(Revived { tasks: revived })
        })
    })
    .await
}

fn died_of_a_dependency(task: &Task) -> bool {
    matches!(task.state, TaskState::Dead | TaskState::Cancelled)
        && task
            .failure
            .as_ref()
            .is_some_and(|failure| failure.class == FailureClass::Dependency)
}

async fn revive(
    tx: &mut dyn Tx,
    team: &TeamName,
    id: TaskId,
    now: Timestamp,
    facts: &mut Vec<Fact>,
) -> Result<Task, Failed> {
    let mut task = lock(tx, team, id).await?;
    let mut met = Vec::new();
    let mut waiting_on = 0;
    for edge in tx
        .dependencies(team, id)
        .await?
        .into_iter()
        .filter(|edge| !edge.met)
    {
        let on = lock(tx, team, edge.on).await?;
        if satisfied(&on, edge.when)? {
            met.push(edge.on);
        } else {
            waiting_on += 1;
        }
    }
    let transition = task.revive(waiting_on, now)?;
    for on in met {
        tx.set_edge_met(team, id, on, true).await?;
    }
    tx.update_tasks(team, std::slice::from_ref(&task)).await?;
    facts.extend(transition.facts);
    Ok(task)
}
