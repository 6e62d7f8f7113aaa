//! `/v1/schedules`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use collective_api::Page;
use collective_api::messages::CreateSchedule;
use collective_core::schedule::Schedule;
use collective_core::{Code, ScheduleId};
use collective_service::schedules;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::Who;
use super::extract::{Idempotency, Named, Sent};
use super::openapi::{changes, reads, takes};
use super::problem::Refused;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(takes(
            routes!(create_schedule),
            &[
                Code::InvalidCron,
                Code::InvalidDuration,
                Code::InvalidTime,
                Code::InvalidSchema,
                Code::AlreadyExists,
                Code::LimitReached,
                Code::IdempotencyMismatch,
            ],
        ))
        .routes(reads(routes!(list_schedules), &[]))
        .routes(changes(routes!(remove_schedule), &[]))
        .routes(changes(routes!(pause_schedule), &[Code::InvalidCron]))
        .routes(changes(routes!(resume_schedule), &[Code::InvalidCron]))
}

/// Create a schedule.
#[utoipa::path(
    post, path = "/v1/schedules", tag = "schedules", request_body = CreateSchedule,
    params(("idempotency-key" = Option<String>, Header, description = "The same key gives the same answer for a day.")),
    responses((status = 201, description = "Committed.", body = Schedule)),
)]
async fn create_schedule(
    app: State<App>,
    Who(who): Who,
    idempotency: Idempotency,
    Sent(request): Sent<CreateSchedule>,
) -> Result<(StatusCode, Json<Schedule>), Refused> {
    let made = schedules::create(&app.hub, &who, request, idempotency.key()).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// List the schedules.
#[utoipa::path(
    get, path = "/v1/schedules", tag = "schedules",
    responses((status = 200, description = "All of them, by name.", body = Page<Schedule>)),
)]
async fn list_schedules(app: State<App>, Who(who): Who) -> Result<Json<Page<Schedule>>, Refused> {
    let items = schedules::list(&app.hub, &who).await?;
    Ok(Json(Page { items, next: None }))
}

/// Remove a schedule. The tasks that it created stay.
#[utoipa::path(
    delete, path = "/v1/schedules/{schedule}", tag = "schedules",
    params(("schedule" = String, Path, description = "Its id.")),
    responses((status = 204, description = "Removed.")),
)]
async fn remove_schedule(
    app: State<App>,
    Who(who): Who,
    Named(schedule): Named<ScheduleId>,
) -> Result<StatusCode, Refused> {
    schedules::remove(&app.hub, &who, schedule).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Let a schedule create nothing.
#[utoipa::path(
    post, path = "/v1/schedules/{schedule}/pause", tag = "schedules",
    params(("schedule" = String, Path, description = "Its id.")),
    responses((status = 200, description = "The schedule.", body = Schedule)),
)]
async fn pause_schedule(
    app: State<App>,
    Who(who): Who,
    Named(schedule): Named<ScheduleId>,
) -> Result<Json<Schedule>, Refused> {
    Ok(Json(
        schedules::set_paused(&app.hub, &who, schedule, true).await?,
    ))
}

/// Let a schedule create tasks again, from its next time on.
#[utoipa::path(
    post, path = "/v1/schedules/{schedule}/resume", tag = "schedules",
    params(("schedule" = String, Path, description = "Its id.")),
    responses((status = 200, description = "The schedule.", body = Schedule)),
)]
async fn resume_schedule(
    app: State<App>,
    Who(who): Who,
    Named(schedule): Named<ScheduleId>,
) -> Result<Json<Schedule>, Refused> {
    Ok(Json(
        schedules::set_paused(&app.hub, &who, schedule, false).await?,
    ))
}
