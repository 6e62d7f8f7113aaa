//! `/v1/keys`. For administrators.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use collective_api::Page;
use collective_api::agents::{CreateKey, CreatedKey};
use collective_core::key::ApiKey;
use collective_core::{Code, KeyId};
use collective_service::keys;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::Who;
use super::extract::{Named, Sent};
use super::openapi::{changes, reads, takes};
use super::problem::Refused;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(takes(routes!(create_key), &[Code::LimitReached]))
        .routes(reads(routes!(list_keys), &[]))
        .routes(changes(routes!(revoke_key), &[]))
}

/// Make a key. Its secret is shown this once.
#[utoipa::path(
    post, path = "/v1/keys", tag = "keys", request_body = CreateKey,
    responses((status = 201, description = "The key with its token.", body = CreatedKey)),
)]
async fn create_key(
    app: State<App>,
    Who(who): Who,
    Sent(request): Sent<CreateKey>,
) -> Result<(StatusCode, Json<CreatedKey>), Refused> {
    let made = keys::create(&app.hub, &who, request).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// List the team's keys, oldest first.
#[utoipa::path(
    get, path = "/v1/keys", tag = "keys",
    responses((status = 200, description = "All of them, without their secrets.", body = Page<ApiKey>)),
)]
async fn list_keys(app: State<App>, Who(who): Who) -> Result<Json<Page<ApiKey>>, Refused> {
    let items = keys::list(&app.hub, &who).await?;
    Ok(Json(Page { items, next: None }))
}

/// Revoke a key.
#[utoipa::path(
    delete, path = "/v1/keys/{key}", tag = "keys",
    params(("key" = String, Path, description = "Its id.")),
    responses((status = 204, description = "It works no longer.")),
)]
async fn revoke_key(
    app: State<App>,
    Who(who): Who,
    Named(key): Named<KeyId>,
) -> Result<StatusCode, Refused> {
    keys::revoke(&app.hub, &who, key).await?;
    Ok(StatusCode::NO_CONTENT)
}
