//! `/v1/tasks`.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use collective_api::leases::{AppendLog, AskRequest};
use collective_api::tasks::{
    CreateTasks, CreatedTask, CreatedTasks, ListTasks, LogPage, ReadLog, Revived, TaskDetail,
    WaitFor,
};
use collective_api::{Page, Reason};
use collective_core::event::Event;
use collective_core::explain::Explanation;
use collective_core::question::Question;
use collective_core::task::{Task, TaskSpec};
use collective_core::{Code, Rejection, Span};
use collective_service::{leases, questions, tasks};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::Who;
use super::extract::{Asked, Idempotency, MaySend, Named, NamedIn, Sent};
use super::openapi::{changes, reads, takes};
use super::problem::Refused;
use super::trace_context::TraceParent;

/// What creating tasks may be refused with.
const CREATING: &[Code] = &[
    Code::InvalidDuration,
    Code::InvalidTime,
    Code::InvalidSchema,
    Code::DependencyCycle,
    Code::UnknownDependency,
    Code::UnknownQueue,
    Code::UnknownAgent,
    Code::WrongState,
    Code::IdempotencyMismatch,
];

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(takes(routes!(create_task), CREATING))
        .routes(takes(
            routes!(create_tasks),
            &[CREATING, &[Code::BatchTooLarge]].concat(),
        ))
        .routes(reads(routes!(list_tasks), &[Code::InvalidCursor]))
        .routes(reads(routes!(show_task), &[]))
        .routes(reads(routes!(task_result), &[Code::InvalidDuration]))
        .routes(reads(routes!(explain_task), &[]))
        .routes(reads(routes!(task_events), &[]))
        .routes(reads(routes!(read_task_log), &[Code::InvalidDuration]))
        .routes(takes(routes!(append_task_log), &[Code::LeaseLost]))
        .routes(reads(routes!(task_artifact), &[]))
        .routes(takes(
            routes!(ask),
            &[Code::InvalidDuration, Code::LeaseLost, Code::WrongState],
        ))
        .routes(takes(routes!(cancel_task), &[Code::WrongState]))
        .routes(takes(routes!(discard_task), &[Code::WrongState]))
        .routes(changes(routes!(retry_task), &[Code::WrongState]))
}

/// Create a task.
#[utoipa::path(
    post, path = "/v1/tasks", tag = "tasks", request_body = TaskSpec,
    params(("idempotency-key" = Option<String>, Header, description = "The same key gives the same answer for a day."),
           ("traceparent" = Option<String>, Header, description = "The trace that the task belongs to, unless it names one itself (W3C Trace Context).")),
    responses((status = 201, description = "Committed.", body = CreatedTask)),
)]
async fn create_task(
    app: axum::extract::State<App>,
    Who(who): Who,
    idempotency: Idempotency,
    trace: TraceParent,
    Sent(mut spec): Sent<TaskSpec>,
) -> Result<(StatusCode, Json<CreatedTask>), Refused> {
    trace.adopt([&mut spec]);
    let created = tasks::create(&app.hub, &who, spec, idempotency.key()).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// Create several tasks, all or none.
///
/// Dependencies may name the `key` of a task of the same batch.
#[utoipa::path(
    post, path = "/v1/tasks/batch", tag = "tasks", request_body = CreateTasks,
    params(("idempotency-key" = Option<String>, Header, description = "The same key gives the same answer for a day."),
           ("traceparent" = Option<String>, Header, description = "The trace that the tasks belong to, unless they name one themselves (W3C Trace Context).")),
    responses((status = 201, description = "Committed, in the order of the request.", body = CreatedTasks)),
)]
async fn create_tasks(
    app: axum::extract::State<App>,
    Who(who): Who,
    idempotency: Idempotency,
    trace: TraceParent,
    Sent(mut request): Sent<CreateTasks>,
) -> Result<(StatusCode, Json<CreatedTasks>), Refused> {
    trace.adopt(&mut request.tasks);
    let created = tasks::create_batch(&app.hub, &who, request, idempotency.key()).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// List tasks, newest first.
#[utoipa::path(
    get, path = "/v1/tasks", tag = "tasks", params(ListTasks),
    responses((status = 200, description = "One page.", body = Page<Task>)),
)]
async fn list_tasks(
    app: axum::extract::State<App>,
    Who(who): Who,
    Asked(request): Asked<ListTasks>,
) -> Result<Json<Page<Task>>, Refused> {
    Ok(Json(tasks::list(&app.hub, &who, &request).await?))
}

/// Show a task with its attempts, dependencies and questions.
#[utoipa::path(
    get, path = "/v1/tasks/{task}", tag = "tasks",
    params(("task" = String, Path, description = "Its id or its number.")),
    responses((status = 200, description = "The task.", body = TaskDetail)),
)]
async fn show_task(
    app: axum::extract::State<App>,
    Who(who): Who,
    Named(task): Named<String>,
) -> Result<Json<TaskDetail>, Refused> {
    Ok(Json(tasks::show(&app.hub, &who, &task).await?))
}

/// Wait for a task's outcome.
#[utoipa::path(
    get, path = "/v1/tasks/{task}/result", tag = "tasks",
    params(("task" = String, Path, description = "Its id or its number."), WaitFor),
    responses((status = 200, description = "It has ended.", body = Task),
              (status = 202, description = "It hasn't ended within the wait.", body = Task)),
)]
async fn task_result(
    app: axum::extract::State<App>,
    Who(who): Who,
    Named(task): Named<String>,
    Asked(request): Asked<WaitFor>,
) -> Result<(StatusCode, Json<Task>), Refused> {
    let wait = request.wait.unwrap_or(Span::ZERO);
    let task = tasks::wait_for_result(&app.hub, &who, &task, wait).await?;
    let status = if task.state.is_terminal() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok((status, Json(task)))
}

/// Say what a task waits for, and what would free it.
#[utoipa::path(
    get, path = "/v1/tasks/{task}/explain", tag = "tasks",
    params(("task" = String, Path, description = "Its id or its number.")),
    responses((status = 200, description = "By the rule that dispatches.", body = Explanation)),
)]
async fn explain_task(
    app: axum::extract::State<App>,
    Who(who): Who,
    Named(task): Named<String>,
) -> Result<Json<Explanation>, Refused> {
    Ok(Json(tasks::explain_task(&app.hub, &who, &task).await?))
}

/// Show a task's history, oldest first.
#[utoipa::path(
    get, path = "/v1/tasks/{task}/events", tag = "tasks",
    params(("task" = String, Path, description = "Its id or its number.")),
    responses((status = 200, description = "Its events.", body = Page<Event>)),
)]
async fn task_events(
    app: axum::extract::State<App>,
    Who(who): Who,
    Named(task): Named<String>,
) -> Result<Json<Page<Event>>, Refused> {
    let items = tasks::history(&app.hub, &who, &task).await?;
    Ok(Json(Page { items, next: None }))
}

/// Read the output of an attempt.
#[utoipa::path(
    get, path = "/v1/tasks/{task}/log", tag = "tasks",
    params(("task" = String, Path, description = "Its id or its number."), ReadLog),
    responses((status = 200, description = "Pieces, in order.", body = LogPage)),
)]
async fn read_task_log(
    app: axum::extract::State<App>,
    Who(who): Who,
    Named(task): Named<String>,
    Asked(request): Asked<ReadLog>,
) -> Result<Json<LogPage>, Refused> {
    Ok(Json(
        tasks::read_log(&app.hub, &who, &task, &request).await?,
    ))
}

/// Append output of the running attempt.
#[utoipa::path(
    post, path = "/v1/tasks/{task}/log", tag = "tasks", request_body = AppendLog,
    params(("task" = String, Path, description = "Its id or its number.")),
    responses((status = 204, description = "Kept.")),
)]
async fn append_task_log(
    app: axum::extract::State<App>,
    Who(who): Who,
    Named(task): Named<String>,
    Sent(request): Sent<AppendLog>,
) -> Result<StatusCode, Refused> {
    leases::append_log(&app.hub, &who, &task, request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Fetch the bytes of an artifact.
#[utoipa::path(
    get, path = "/v1/tasks/{task}/artifacts/{name}", tag = "tasks",
    params(("task" = String, Path, description = "The task's id or number."),
           ("name" = String, Path, description = "The artifact's name.")),
    responses((status = 200, description = "Its bytes, as a download.", body = Vec<u8>, content_type = "application/octet-stream")),
)]
async fn task_artifact(
    app: axum::extract::State<App>,
    Who(who): Who,
    NamedIn(task, name): NamedIn<String, String>,
) -> Result<impl IntoResponse, Refused> {
    let bytes = tasks::artifact(&app.hub, &who, &task, &name).await?;
    Ok((download(&name)?, bytes))
}

/// An artifact is an agent's work: it is saved, never shown as a page of ours.
fn download(name: &str) -> Result<[(HeaderName, HeaderValue); 2], Rejection> {
    // A name that exists has passed core's rule and has no quote; the header can't break.
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""))
        .map_err(|_| Rejection::not_found("artifact", name))?;
    Ok([
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        ),
        (header::CONTENT_DISPOSITION, disposition),
    ])
}

/// Ask a question for a task that one holds.
///
/// The task becomes `needs_input`; its lease is held open for the answer.
#[utoipa::path(
    post, path = "/v1/tasks/{task}/ask", tag = "tasks", request_body = AskRequest,
    params(("task" = String, Path, description = "Its id or its number.")),
    responses((status = 201, description = "Asked.", body = Question)),
)]
async fn ask(
    app: axum::extract::State<App>,
    Who(who): Who,
    Named(task): Named<String>,
    Sent(request): Sent<AskRequest>,
) -> Result<(StatusCode, Json<Question>), Refused> {
    let question = questions::ask(&app.hub, &who, &task, request).await?;
    Ok((StatusCode::CREATED, Json(question)))
}

/// Call a task off.
///
/// A running one is stopped by its agent, which hears of it on its next heartbeat.
#[utoipa::path(
    post, path = "/v1/tasks/{task}/cancel", tag = "tasks", request_body = Option<Reason>,
    params(("task" = String, Path, description = "Its id or its number.")),
    responses((status = 200, description = "Where it stands now.", body = CreatedTask)),
)]
async fn cancel_task(
    app: axum::extract::State<App>,
    Who(who): Who,
    Named(task): Named<String>,
    MaySend(reason): MaySend<Reason>,
) -> Result<Json<CreatedTask>, Refused> {
    Ok(Json(
        tasks::cancel(&app.hub, &who, &task, &reason.reason).await?,
    ))
}

/// Put a dead letter away.
#[utoipa::path(
    post, path = "/v1/tasks/{task}/discard", tag = "tasks", request_body = Option<Reason>,
    params(("task" = String, Path, description = "Its id or its number.")),
    responses((status = 200, description = "Where it stands now.", body = CreatedTask)),
)]
async fn discard_task(
    app: axum::extract::State<App>,
    Who(who): Who,
    Named(task): Named<String>,
    MaySend(reason): MaySend<Reason>,
) -> Result<Json<CreatedTask>, Refused> {
    Ok(Json(
        tasks::discard(&app.hub, &who, &task, &reason.reason).await?,
    ))
}

/// Give a dead or cancelled task a new start, and everything that died of it.
#[utoipa::path(
    post, path = "/v1/tasks/{task}/retry", tag = "tasks",
    params(("task" = String, Path, description = "Its id or its number.")),
    responses((status = 200, description = "What is on its way again.", body = Revived)),
)]
async fn retry_task(
    app: axum::extract::State<App>,
    Who(who): Who,
    Named(task): Named<String>,
) -> Result<Json<Revived>, Refused> {
    Ok(Json(tasks::retry(&app.hub, &who, &task).await?))
}
