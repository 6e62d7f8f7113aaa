//! `/v1/leases`.

use axum::Json;
use axum::extract::State;
use collective_api::leases::{
    ClaimAnswer, ClaimRequest, CompleteRequest, FailRequest, HeartbeatAnswer, HeartbeatRequest,
    ReleaseRequest, Settled,
};
use collective_api::{Item, Items};
use collective_core::{Code, Rejection};
use collective_service::leases;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::Who;
use super::extract::Sent;
use super::openapi::takes;
use super::problem::Refused;

/// What a report on leases may be refused with.
const REPORTING: &[Code] = &[Code::BatchTooLarge, Code::LeaseLost, Code::WrongState];

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(takes(
            routes!(claim),
            &[Code::InvalidDuration, Code::Draining],
        ))
        .routes(takes(
            routes!(heartbeat),
            &[Code::InvalidDuration, Code::BatchTooLarge],
        ))
        .routes(takes(
            routes!(complete),
            &[REPORTING, &[Code::EvidenceMissing]].concat(),
        ))
        .routes(takes(
            routes!(fail),
            &[REPORTING, &[Code::InvalidTime]].concat(),
        ))
        .routes(takes(routes!(release), REPORTING))
}

/// Claim tasks.
///
/// Waits for a first one as long as `wait` says, and answers empty if there was none.
#[utoipa::path(
    post, path = "/v1/leases/claim", tag = "leases", request_body = ClaimRequest,
    responses((status = 200, description = "The tasks that the agent now holds.", body = ClaimAnswer)),
)]
async fn claim(
    app: State<App>,
    Who(who): Who,
    Sent(request): Sent<ClaimRequest>,
) -> Result<Json<ClaimAnswer>, Refused> {
    Ok(Json(leases::claim(&app.hub, &who, &request).await?))
}

/// Keep leases alive.
///
/// It is also the agent's sign of life. An item with `lease_lost` or `cancel` is to be stopped.
#[utoipa::path(
    post, path = "/v1/leases/heartbeat", tag = "leases", request_body = HeartbeatRequest,
    responses((status = 200, description = "One item for each beat.", body = HeartbeatAnswer)),
)]
async fn heartbeat(
    app: State<App>,
    Who(who): Who,
    Sent(request): Sent<HeartbeatRequest>,
) -> Result<Json<HeartbeatAnswer>, Refused> {
    Ok(Json(leases::heartbeat(&app.hub, &who, &request).await?))
}

/// Report that tasks are done.
///
/// Their checks decide. A batch of one whose item is refused answers with that problem.
#[utoipa::path(
    post, path = "/v1/leases/complete", tag = "leases", request_body = CompleteRequest,
    responses((status = 200, description = "One item for each completion.", body = Items<Settled>)),
)]
async fn complete(
    app: State<App>,
    Who(who): Who,
    Sent(request): Sent<CompleteRequest>,
) -> Result<Json<Items<Settled>>, Refused> {
    alone_or_all(leases::complete(&app.hub, &who, request).await?)
}

/// Report that attempts failed.
///
/// A batch of one whose item is refused answers with that problem.
#[utoipa::path(
    post, path = "/v1/leases/fail", tag = "leases", request_body = FailRequest,
    responses((status = 200, description = "One item for each failure.", body = Items<Settled>)),
)]
async fn fail(
    app: State<App>,
    Who(who): Who,
    Sent(request): Sent<FailRequest>,
) -> Result<Json<Items<Settled>>, Refused> {
    alone_or_all(leases::fail(&app.hub, &who, request).await?)
}

/// Give tasks back untouched.
///
/// A batch of one whose item is refused answers with that problem.
#[utoipa::path(
    post, path = "/v1/leases/release", tag = "leases", request_body = ReleaseRequest,
    responses((status = 200, description = "One item for each lease.", body = Items<Settled>)),
)]
async fn release(
    app: State<App>,
    Who(who): Who,
    Sent(request): Sent<ReleaseRequest>,
) -> Result<Json<Items<Settled>>, Refused> {
    alone_or_all(leases::release(&app.hub, &who, request).await?)
}

/// Whoever reports on one task gets the status of that task.
fn alone_or_all(mut answer: Items<Settled>) -> Result<Json<Items<Settled>>, Refused> {
    if let [Item { error, .. }] = answer.items.as_mut_slice()
        && let Some(problem) = error.take()
    {
        return Err(Rejection::from(problem).into());
    }
    Ok(Json(answer))
}
