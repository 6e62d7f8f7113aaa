//! `/v1/status`.

use axum::Json;
use axum::extract::State;
use collective_api::operations::Status;
use collective_service::status;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::Who;
use super::openapi::reads;
use super::problem::Refused;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(reads(routes!(show_status), &[]))
}

/// The team at a glance.
#[utoipa::path(
    get, path = "/v1/status", tag = "status",
    responses((status = 200, description = "As of now.", body = Status)),
)]
async fn show_status(app: State<App>, Who(who): Who) -> Result<Json<Status>, Refused> {
    Ok(Json(
        status::status(&app.hub, &who, env!("CARGO_PKG_VERSION")).await?,
    ))
}
