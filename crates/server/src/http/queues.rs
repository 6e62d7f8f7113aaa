//! `/v1/queues`.

use axum::Json;
use axum::extract::State;
use collective_api::Page;
use collective_api::agents::QueueView;
use collective_core::{Code, QueueName};
use collective_service::queues;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::Who;
use super::extract::Named;
use super::openapi::{changes, reads};
use super::problem::Refused;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(reads(routes!(list_queues), &[]))
        .routes(changes(routes!(declare_queue), &[Code::LimitReached]))
        .routes(changes(routes!(pause_queue), &[]))
        .routes(changes(routes!(resume_queue), &[]))
}

/// List the queues with what waits in them.
#[utoipa::path(
    get, path = "/v1/queues", tag = "queues",
    responses((status = 200, description = "All of them, by name.", body = Page<QueueView>)),
)]
async fn list_queues(app: State<App>, Who(who): Who) -> Result<Json<Page<QueueView>>, Refused> {
    let items = queues::list(&app.hub, &who).await?;
    Ok(Json(Page { items, next: None }))
}

/// Declare a queue; an existing one stays as it is.
#[utoipa::path(
    put, path = "/v1/queues/{queue}", tag = "queues",
    params(("queue" = String, Path, description = "Its name.")),
    responses((status = 200, description = "The queue.", body = QueueView)),
)]
async fn declare_queue(
    app: State<App>,
    Who(who): Who,
    Named(queue): Named<QueueName>,
) -> Result<Json<QueueView>, Refused> {
    Ok(Json(queues::declare(&app.hub, &who, &queue).await?))
}

/// Hand out nothing from a queue. Running tasks go on.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/pause", tag = "queues",
    params(("queue" = String, Path, description = "Its name.")),
    responses((status = 200, description = "The queue.", body = QueueView)),
)]
async fn pause_queue(
    app: State<App>,
    Who(who): Who,
    Named(queue): Named<QueueName>,
) -> Result<Json<QueueView>, Refused> {
    Ok(Json(
        queues::set_paused(&app.hub, &who, &queue, true).await?,
    ))
}

/// Hand out from a queue again.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/resume", tag = "queues",
    params(("queue" = String, Path, description = "Its name.")),
    responses((status = 200, description = "The queue.", body = QueueView)),
)]
async fn resume_queue(
    app: State<App>,
    Who(who): Who,
    Named(queue): Named<QueueName>,
) -> Result<Json<QueueView>, Refused> {
    Ok(Json(
        queues::set_paused(&app.hub, &who, &queue, false).await?,
    ))
}
