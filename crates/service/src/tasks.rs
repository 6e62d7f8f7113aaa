//! Tasks: create, find, wait for, explain, call off, revive, put away.

use std::collections::{BTreeSet, HashMap, VecDeque};

use collective_api::Page;
use collective_api::tasks::{
    CreateTasks, CreatedTask, CreatedTasks, DependencyState, ListTasks, LogPage, LogPiece, ReadLog,
    Revived, TaskDetail,
};
use collective_core::event::Fact;
use collective_core::explain::{Explanation, OpenDependency, Surroundings, Witness, explain};
use collective_core::limits::{
    DEFAULT_PAGE, IDEMPOTENCY_TTL, MAX_BATCH, MAX_IDEMPOTENCY_KEY_LEN, MAX_LOG_LEN, MAX_PAGE,
};
use collective_core::ports::Topic;
use collective_core::ports::store::{Edge, Failed, Query, Remembered, TaskFilter, Tx};
use collective_core::role::{Permission, Principal};
use collective_core::task::order::bounds_ahead;
use collective_core::task::{
    Dependency, DependencyCondition, Epoch, FailureClass, Lane, Priority, Task, TaskRef, TaskSpec,
    TaskState, graph,
};
use collective_core::{Code, Rejection, Span, TaskId, TeamName, Timestamp};
use sha2::{Digest, Sha256};

use crate::access::require;
use crate::ledger::Ledger;
use crate::{Hub, agents, schemas, wait};

/// Most events that a task's history shows on one page.
const MAX_HISTORY: usize = 5_000;
/// How far an explanation counts the tasks before one.
const MAX_AHEAD_COUNTED: u64 = 10_000;
/// How soon a reader of a running attempt's output looks again; output is no event, so nothing wakes it.
const LOG_LOOK_AGAIN: Span = Span::from_millis(250);
/// Most pieces of output in one answer.
const LOG_PAGE: usize = 64;

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
        .map(|key| Memory::of(who, "tasks", key, &specs))
        .transpose()?;
    for (i, spec) in specs.iter().enumerate() {
        spec.validate(now)
            .and_then(|()| schemas::validate(spec))
            .map_err(|rejection| placed(rejection, batch, i))?;
    }
    let ids: Vec<TaskId> = specs
        .iter()
        .map(|_| TaskId(hub.entropy().id(now)))
        .collect();
    graph::resolve(&mut specs, &ids).map_err(|rejection| {
        if batch {
            rejection
        } else {
            unplaced(rejection)
        }
    })?;

    let (team, actor) = (who.team.clone(), who.to_string());
    hub.write(move |tx| {
        Box::pin(async move {
            if let Some(memory) = &remember
                && let Some(answer) = memory.recall(tx, &team, now).await?
            {
                return Ok(answer);
            }
            let created = insert(tx, &team, &actor, specs, &ids, now, batch).await?;
            if let Some(memory) = remember {
                memory.keep(tx, &team, &created, now).await?;
            }
            Ok(created)
        })
    })
    .await
}

fn placed(rejection: Rejection, batch: bool, i: usize) -> Rejection {
    if batch {
        rejection.at(format!("tasks[{i}]"))
    } else {
        rejection
    }
}

/// A rejection of the batch's only task, whose sender knows no batch.
fn unplaced(rejection: Rejection) -> Rejection {
    let field = rejection
        .field()
        .and_then(|field| field.strip_prefix("tasks[0]."))
        .map(str::to_owned);
    match field {
        Some(field) => {
            let plain = Rejection::new(rejection.code(), rejection.message()).at(field);
            match rejection.hint_text() {
                Some(hint) => plain.hint(hint),
                None => plain,
            }
        }
        None => rejection,
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
fn satisfied(on: &Task, when: DependencyCondition) -> Result<bool, Rejection> {
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

/// An idempotency key with the request that it stands for.
pub(crate) struct Memory {
    key: String,
    request_hash: [u8; 32],
}

impl Memory {
    pub(crate) fn of<R: serde::Serialize>(
        who: &Principal,
        what: &str,
        key: &str,
        request: &R,
    ) -> Result<Self, Rejection> {
        if key.is_empty()
            || key.len() > MAX_IDEMPOTENCY_KEY_LEN
            || key.chars().any(char::is_control)
        {
            return Err(Rejection::new(
                Code::InvalidField,
                format!("must have 1 to {MAX_IDEMPOTENCY_KEY_LEN} readable characters"),
            )
            .at("idempotency-key"));
        }
        let request = serde_json::to_vec(request)
            .map_err(|error| Rejection::new(Code::Internal, error.to_string()))?;
        Ok(Self {
            key: format!("{who}/{what}/{key}"),
            request_hash: Sha256::digest(&request).into(),
        })
    }

    pub(crate) async fn recall<A: serde::de::DeserializeOwned>(
        &self,
        tx: &mut dyn Tx,
        team: &TeamName,
        now: Timestamp,
    ) -> Result<Option<A>, Failed> {
        let Some(remembered) = tx
            .remembered(team, &self.key, now - IDEMPOTENCY_TTL)
            .await?
        else {
            return Ok(None);
        };
        if remembered.request_hash != self.request_hash {
            return Err(Rejection::new(
                Code::IdempotencyMismatch,
                "the key was used before with another request",
            )
            .hint("use a new key for a new request")
            .at("idempotency-key")
            .into());
        }
        serde_json::from_str(&remembered.answer)
            .map(Some)
            .map_err(|error| {
                Rejection::new(
                    Code::Internal,
                    format!("a remembered answer can't be read: {error}"),
                )
                .into()
            })
    }

    pub(crate) async fn keep<A: serde::Serialize + Sync>(
        self,
        tx: &mut dyn Tx,
        team: &TeamName,
        answer: &A,
        now: Timestamp,
    ) -> Result<(), Failed> {
        let answer = serde_json::to_string(answer)
            .map_err(|error| Rejection::new(Code::Internal, error.to_string()))?;
        let remembered = Remembered {
            request_hash: self.request_hash,
            answer,
        };
        Ok(tx.remember(team, &self.key, &remembered, now).await?)
    }
}

/// A task by what people type: its id, or its number with or without `#`.
pub(crate) async fn find(
    query: &mut dyn Query,
    team: &TeamName,
    text: &str,
) -> Result<Task, Rejection> {
    let number = text.strip_prefix('#').unwrap_or(text).parse::<u64>();
    let found = match (text.parse::<TaskId>(), number) {
        (Ok(id), _) => query.task(team, id).await?,
        (_, Ok(number)) => query.task_by_number(team, number).await?,
        _ => {
            return Err(Rejection::new(
                Code::InvalidField,
                format!(
                    "`{}` is neither a task's number nor its id",
                    collective_core::text::shown(text)
                ),
            )
            .at("task"));
        }
    };
    found.ok_or_else(|| Rejection::not_found("task", text))
}

/// The id of a task by what people type.
pub async fn id_of(hub: &Hub, who: &Principal, text: &str) -> Result<TaskId, Rejection> {
    require(hub, who, Permission::Read).await?;
    match text.parse::<TaskId>() {
        Ok(id) => Ok(id),
        Err(_) => Ok(find(&mut *hub.read().await?, &who.team, text).await?.id),
    }
}

/// `GET /v1/tasks`.
pub async fn list(
    hub: &Hub,
    who: &Principal,
    request: &ListTasks,
) -> Result<Page<Task>, Rejection> {
    require(hub, who, Permission::Read).await?;
    let filter = filter(request)?;
    let before = request
        .cursor
        .as_deref()
        .map(|cursor| {
            cursor.parse::<u64>().map_err(|_| {
                Rejection::new(Code::InvalidCursor, "the cursor can't be read")
                    .hint("send the `next` of the last page as it is")
                    .at("cursor")
            })
        })
        .transpose()?;
    let limit = page_size(request.limit)?;
    let mut items = hub
        .read()
        .await?
        .list_tasks(&who.team, &filter, before, limit + 1)
        .await?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items
        .last()
        .filter(|_| more)
        .map(|task| task.number.to_string());
    Ok(Page { items, next })
}

pub(crate) fn page_size(limit: Option<usize>) -> Result<usize, Rejection> {
    match limit.unwrap_or(DEFAULT_PAGE) {
        size @ 1..=MAX_PAGE => Ok(size),
        size => Err(Rejection::new(
            Code::InvalidField,
            format!("must be 1 to {MAX_PAGE}, not {size}"),
        )
        .at("limit")),
    }
}

fn filter(request: &ListTasks) -> Result<TaskFilter, Rejection> {
    let mut states = Vec::new();
    for word in request.state.iter().flat_map(|text| text.split(',')) {
        let word = word.trim();
        let state = TaskState::from_text(word).ok_or_else(|| {
            let all = TaskState::ALL.map(TaskState::as_str).join(", ");
            Rejection::new(
                Code::InvalidField,
                format!("`{}` is not a state", collective_core::text::shown(word)),
            )
            .hint(format!("the states are {all}"))
            .at("state")
        })?;
        states.push(state);
    }
    let label = match &request.label {
        None => None,
        Some(text) => {
            let (key, value) = text.split_once('=').ok_or_else(|| {
                Rejection::new(Code::InvalidField, "must have the form key=value").at("label")
            })?;
            Some((key.to_owned(), value.to_owned()))
        }
    };
    Ok(TaskFilter {
        states,
        lane: request
            .lane
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|r: Rejection| r.at("lane"))?,
        agent: request
            .agent
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|r: Rejection| r.at("agent"))?,
        label,
    })
}

/// `GET /v1/tasks/{task}`.
pub async fn show(hub: &Hub, who: &Principal, task: &str) -> Result<TaskDetail, Rejection> {
    require(hub, who, Permission::Read).await?;
    let mut query = hub.read().await?;
    let task = find(&mut *query, &who.team, task).await?;
    let mut dependencies = Vec::new();
    if !task.spec.depends_on.is_empty() {
        for edge in query.dependencies(&who.team, task.id).await? {
            if let Some(on) = query.task(&who.team, edge.on).await? {
                dependencies.push(DependencyState {
                    task: on.id,
                    number: on.number,
                    key: on.spec.key,
                    title: on.spec.title,
                    state: on.state,
                    when: edge.when,
                    met: edge.met,
                });
            }
        }
    }
    let attempts = query.attempts(&who.team, task.id).await?;
    let questions = query
        .questions(&who.team, None, Some(task.id), MAX_PAGE)
        .await?;
    let progress = if task.state.is_leased() {
        crate::leases::progress(hub, &who.team, &task).await
    } else {
        None
    };
    Ok(TaskDetail {
        task,
        attempts,
        dependencies,
        questions,
        progress,
    })
}

/// `GET /v1/tasks/{task}/result`: waits until it has ended; the task as it then stands.
pub async fn wait_for_result(
    hub: &Hub,
    who: &Principal,
    task: &str,
    wait: Span,
) -> Result<Task, Rejection> {
    require(hub, who, Permission::Read).await?;
    let found = find(&mut *hub.read().await?, &who.team, task).await?;
    if found.state.is_terminal() {
        return Ok(found);
    }
    let id = found.id;
    let ended = wait::until(hub, &[Topic::Task(id)], wait, || async move {
        let task = hub.read().await?.task(&who.team, id).await?;
        Ok(task.filter(|task| task.state.is_terminal()))
    })
    .await?;
    match ended {
        Some(task) => Ok(task),
        None => find(&mut *hub.read().await?, &who.team, task).await,
    }
}

/// `GET /v1/tasks/{task}/events`: its history, oldest first.
pub async fn history(
    hub: &Hub,
    who: &Principal,
    task: &str,
) -> Result<Vec<collective_core::event::Event>, Rejection> {
    require(hub, who, Permission::Read).await?;
    let mut query = hub.read().await?;
    let task = find(&mut *query, &who.team, task).await?;
    Ok(query.task_events(&who.team, task.id, MAX_HISTORY).await?)
}

/// `GET /v1/tasks/{task}/artifacts/{name}`.
pub async fn artifact(
    hub: &Hub,
    who: &Principal,
    task: &str,
    name: &str,
) -> Result<Vec<u8>, Rejection> {
    require(hub, who, Permission::Read).await?;
    let mut query = hub.read().await?;
    let task = find(&mut *query, &who.team, task).await?;
    query
        .artifact(&who.team, task.id, name)
        .await?
        .ok_or_else(|| Rejection::not_found("artifact with kept content", name))
}

/// `GET /v1/tasks/{task}/log`.
pub async fn read_log(
    hub: &Hub,
    who: &Principal,
    task: &str,
    request: &ReadLog,
) -> Result<LogPage, Rejection> {
    require(hub, who, Permission::Read).await?;
    let found = find(&mut *hub.read().await?, &who.team, task).await?;
    let epoch = Epoch(request.attempt.unwrap_or(found.epoch.0));
    if epoch > found.epoch {
        return Err(Rejection::not_found("attempt", epoch));
    }
    let (id, after) = (found.id, request.after.unwrap_or(0));
    let look = || async move {
        let mut query = hub.read().await?;
        // Looked at before the pieces, so that none can come in between unseen.
        let task = query.task(&who.team, id).await?;
        let running = task.is_some_and(|task| task.state.is_leased() && task.epoch == epoch);
        let chunks = query.log(&who.team, id, epoch, after, LOG_PAGE).await?;
        let full = chunks.len() == LOG_PAGE;
        let pieces: Vec<LogPiece> = chunks
            .into_iter()
            .map(|chunk| LogPiece {
                position: chunk.position,
                at: chunk.at,
                text: String::from_utf8_lossy(&chunk.bytes).into_owned(),
            })
            .collect();
        let page = LogPage {
            attempt: epoch.0,
            pieces,
            ended: !running && !full,
        };
        Ok((page.ended || !page.pieces.is_empty()).then_some(page))
    };
    let wait = request.wait.unwrap_or(Span::ZERO);
    let page = wait::every(hub, &[Topic::Task(id)], wait, LOG_LOOK_AGAIN, look).await?;
    Ok(page.unwrap_or(LogPage {
        attempt: epoch.0,
        pieces: Vec::new(),
        ended: false,
    }))
}

/// The most output of an attempt that is kept, with room for the last piece.
pub(crate) const LOG_BOUND: u64 = (MAX_LOG_LEN + collective_core::limits::MAX_LOG_CHUNK) as u64;

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
    F: FnOnce(&mut Task, Timestamp) -> Result<collective_core::task::Transition, Rejection>
        + Send
        + 'static,
{
    require(hub, who, Permission::ControlTasks).await?;
    let id = find(&mut *hub.read().await?, &who.team, task).await?.id;
    let (team, actor, now) = (who.team.clone(), who.to_string(), hub.now());
    hub.write(move |tx| {
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
    hub.write(move |tx| {
        Box::pin(async move {
            let mut facts: Vec<Fact> = Vec::new();
            let first = revive(tx, &team, id, now, &mut facts).await?;
            let mut revived = vec![created(&first)];
            let mut open = VecDeque::from([first.id]);
            while let Some(on) = open.pop_front() {
                for edge in tx.dependents(&team, on).await? {
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
