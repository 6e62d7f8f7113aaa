//! Finding tasks, and everything that is known of one.

use collective_api::Page;
use collective_api::tasks::{DependencyState, ListTasks, TaskDetail};
use collective_core::event::Event;
use collective_core::limits::{DEFAULT_PAGE, MAX_PAGE};
use collective_core::ports::Topic;
use collective_core::ports::store::{Query, TaskFilter};
use collective_core::role::{Permission, Principal};
use collective_core::task::{Task, TaskState};
use collective_core::{Code, Rejection, Span, TaskId, TeamName};

use crate::access::require;
use crate::{Hub, wait};

/// Most events that a task's history shows on one page.
const MAX_HISTORY: usize = 5_000;

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
pub async fn history(hub: &Hub, who: &Principal, task: &str) -> Result<Vec<Event>, Rejection> {
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
