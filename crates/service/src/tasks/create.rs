//! Creating tasks: all of a batch, or none.

use std::collections::{BTreeSet, HashMap};

use collective_api::tasks::{CreateTasks, CreatedTask, CreatedTasks};
use collective_core::limits::MAX_BATCH;
use collective_core::ports::store::{Edge, Failed, Tx};
use collective_core::role::{Permission, Principal};
use collective_core::task::{
    Dependency, DependencyCondition, Lane, Task, TaskRef, TaskSpec, TaskState, graph,
};
use collective_core::{Code, Rejection, TaskId, TeamName, Timestamp};

use crate::access::require;
use crate::memory::Memory;
use crate::{Hub, schemas};

/// `POST /v1/tasks`.
pub async fn create(
    hub: &Hub,
    who: &Principal,
    spec: TaskSpec,
    idempotency_key: Option<&str>,
) -> Result<CreatedTask, Rejection> {
    let mut created = create_all(hub, who, vec![spec], idempotency_key, false).await?;
    created
        .tasks
        .pop()
        .ok_or_else(|| Rejection::new(Code::Internal, "a created task is missing"))
}

/// `POST /v1/tasks/batch`: all of them, or none.
pub async fn create_batch(
    hub: &Hub,
    who: &Principal,
    request: CreateTasks,
    idempotency_key: Option<&str>,
) -> Result<CreatedTasks, Rejection> {
    create_all(hub, who, request.tasks, idempotency_key, true).await
}

async fn create_all(
    hub: &Hub,
    who: &Principal,
    mut specs: Vec<TaskSpec>,
    idempotency_key: Option<&str>,
    batch: bool,
) -> Result<CreatedTasks, Rejection> {
    require(hub, who, Permission::CreateTasks).await?;
    if specs.is_empty() {
        return Err(Rejection::new(Code::InvalidField, "no task is given").at("tasks"));
    }
    if specs.len() > MAX_BATCH {
        return Err(Rejection::new(
            Code::BatchTooLarge,
            format!("{} tasks, the bound is {MAX_BATCH}", specs.len()),
        )
        .hint("send several batches")
        .at("tasks"));
    }
    let now = hub.now();
    let remember = idempotency_key
        .map(|key| Memory::of(who, "tasks", key, &untraced(&specs)))
        .transpose()?;
    let ids: Vec<TaskId> = specs
        .iter()
        .map(|_| TaskId(hub.entropy().id(now)))
        .collect();
    let valid = validate(&mut specs, &ids, now, batch);
    if remember.is_none() {
        valid.clone()?;
    }

    let (team, actor) = (who.team.clone(), who.to_string());
    hub.write(&who.team, move |tx| {
        Box::pin(async move {
            if let Some(memory) = &remember
                && let Some(answer) = memory.recall(tx, &team, now).await?
            {
                return Ok(answer);
            }
            // Judged after the memory: what was accepted once may have a deadline that has passed since.
            valid?;
            let created = insert(tx, &team, &actor, specs, &ids, now, batch).await?;
            if let Some(memory) = remember {
                memory.keep(tx, &team, &created, now).await?;
            }
            Ok(created)
        })
    })
    .await
}

/// The request as far as it is the same request when it is sent again: each try may have a span of its own.
fn untraced(specs: &[TaskSpec]) -> Vec<TaskSpec> {
    let untraced = |spec: &TaskSpec| TaskSpec {
        traceparent: None,
        ..spec.clone()
    };
    specs.iter().map(untraced).collect()
}

/// Checks each spec and names the tasks of the batch by their ids.
fn validate(
    specs: &mut [TaskSpec],
    ids: &[TaskId],
    now: Timestamp,
    batch: bool,
) -> Result<(), Rejection> {
    for (i, spec) in specs.iter().enumerate() {
        spec.validate(now)
            .and_then(|()| schemas::validate(spec))
            .map_err(|rejection| placed(rejection, batch, i))?;
    }
    let resolved = graph::resolve(specs, ids).map_err(|rejection| {
        if batch {
            rejection
        } else {
            rejection.within("tasks[0]")
        }
    });
    resolved.map(drop)
}

fn placed(rejection: Rejection, batch: bool, i: usize) -> Rejection {
    if batch {
        rejection.at(format!("tasks[{i}]"))
    } else {
        rejection
    }
}

/// Writes valid, resolved specs as new tasks.
pub(crate) async fn insert(
    tx: &mut dyn Tx,
    team: &TeamName,
    actor: &str,
    specs: Vec<TaskSpec>,
    ids: &[TaskId],
    now: Timestamp,
    batch: bool,
) -> Result<CreatedTasks, Failed> {
    let own: HashMap<TaskId, usize> = ids.iter().enumerate().map(|(i, id)| (*id, i)).collect();
    let mut checked = BTreeSet::new();
    let mut tasks = Vec::with_capacity(specs.len());
    let mut facts = Vec::with_capacity(specs.len());
    let mut edges = Vec::new();
    for (i, spec) in specs.into_iter().enumerate() {
        let lane = spec.lane();
        if checked.insert(lane.clone()) {
            lane_exists(tx, team, &lane)
                .await?
                .map_err(|rejection| placed(rejection, batch, i))?;
        }
        let mut waiting_on = 0;
        for (d, dependency) in spec.depends_on.iter().enumerate() {
            let met = dependency_met(tx, team, dependency, &own)
                .await?
                .map_err(|rejection| placed(rejection.at(format!("depends_on[{d}]")), batch, i))?;
            waiting_on += u32::from(!met);
            if let TaskRef::Id(on) = dependency.task {
                edges.push(Edge {
                    task: ids[i],
                    on,
                    when: dependency.when,
                    met,
                });
            }
        }
        let (task, fact) = Task::create(ids[i], spec, actor.to_owned(), waiting_on, now);
        tasks.push(task);
        facts.push(fact);
    }
    let first = tx.append(team, actor, now, facts).await?;
    for (task, number) in tasks.iter_mut().zip(first..) {
        task.number = number;
    }
    tx.insert_tasks(team, &tasks).await?;
    if !edges.is_empty() {
        tx.insert_edges(team, &edges).await?;
    }
    Ok(CreatedTasks {
        tasks: tasks.iter().map(created).collect(),
    })
}

/// A typo in a queue's or an agent's name would wait for ever, so both must be known.
async fn lane_exists(
    tx: &mut dyn Tx,
    team: &TeamName,
    lane: &Lane,
) -> Result<Result<(), Rejection>, Failed> {
    Ok(match lane {
        Lane::Queue(queue) if tx.queue(team, queue).await?.is_none() => {
            let queues = tx.queues(team).await?;
            let near = collective_core::text::nearest(
                queue.as_str(),
                queues.iter().map(|q| q.name.as_str()),
            );
            Err(Rejection::new(
                Code::UnknownQueue,
                format!("no queue `{queue}` in team `{team}`"),
            )
            .hint(match near {
                Some(near) => {
                    format!("did you mean `{near}`? A new one: collective queue add {queue}")
                }
                None => format!(
                    "declare it: collective queue add {queue}, or start an agent that serves it"
                ),
            })
            .at("queue"))
        }
        Lane::Agent(agent) if tx.agent(team, agent).await?.is_none() => {
            let agents = tx.agents(team).await?;
            let near = collective_core::text::nearest(
                agent.as_str(),
                agents.iter().map(|a| a.name.as_str()),
            );
            Err(Rejection::new(
                Code::UnknownAgent,
                format!("no agent `{agent}` in team `{team}`"),
            )
            .hint(match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "an agent is known once it has registered".to_owned(),
            })
            .at("agent"))
        }
        _ => Ok(()),
    })
}

async fn dependency_met(
    tx: &mut dyn Tx,
    team: &TeamName,
    dependency: &Dependency,
    own: &HashMap<TaskId, usize>,
) -> Result<Result<bool, Rejection>, Failed> {
    let TaskRef::Id(on) = dependency.task else {
        return Ok(Err(Rejection::new(
            Code::Internal,
            "a dependency was not resolved",
        )));
    };
    if own.contains_key(&on) {
        return Ok(Ok(false));
    }
    // Locked, so that it can't end between this look and the edge's commit.
    let Some(task) = tx.lock_tasks(team, &[on]).await?.pop() else {
        return Ok(Err(Rejection::new(
            Code::UnknownDependency,
            format!("no task `{on}` in team `{team}`"),
        )
        .at("task")));
    };
    Ok(satisfied(&task, dependency.when).map_err(|rejection| rejection.at("task")))
}

/// Whether a dependency is met; refused if it never will be.
pub(super) fn satisfied(on: &Task, when: DependencyCondition) -> Result<bool, Rejection> {
    match (on.state, when) {
        (TaskState::Succeeded, _) => Ok(true),
        (state, DependencyCondition::Ended) => Ok(state.is_terminal()),
        (state, DependencyCondition::Succeeded) if state.is_terminal() => Err(Rejection::new(
            Code::WrongState,
            format!("task {} is {state} and will not succeed", on.number),
        )
        .hint(format!(
            "retry it first: collective task retry {}",
            on.number
        ))),
        _ => Ok(false),
    }
}

pub(crate) fn created(task: &Task) -> CreatedTask {
    CreatedTask {
        id: task.id,
        number: task.number,
        key: task.spec.key.clone(),
        state: task.state,
    }
}
