//! `/v1/teams`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use collective_api::Page;
use collective_core::TeamName;
use collective_service::access;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::Who;
use super::extract::Named;
use super::openapi::{changes, reads};
use super::problem::Refused;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(changes(routes!(put_team), &[]))
        .routes(reads(routes!(list_teams), &[]))
}

/// A team.
#[derive(Serialize, ToSchema)]
struct Team {
    /// Its name.
    name: TeamName,
}

/// Create a team; an existing one stays as it is. For administrators.
#[utoipa::path(
    put, path = "/v1/teams/{team}", tag = "teams",
    params(("team" = String, Path, description = "Its name.")),
    responses((status = 200, description = "It was there.", body = Team),
              (status = 201, description = "It is new.", body = Team)),
)]
async fn put_team(
    app: State<App>,
    Who(who): Who,
    Named(name): Named<TeamName>,
) -> Result<(StatusCode, Json<Team>), Refused> {
    let new = access::put_team(&app.hub, &who, &name).await?;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(Team { name })))
}

/// List the teams. A key that isn't an administrator's sees its own.
#[utoipa::path(
    get, path = "/v1/teams", tag = "teams",
    responses((status = 200, description = "Their names.", body = Page<TeamName>)),
)]
async fn list_teams(app: State<App>, Who(who): Who) -> Result<Json<Page<TeamName>>, Refused> {
    let items = access::list_teams(&app.hub, &who).await?;
    Ok(Json(Page { items, next: None }))
}
