//! `/v1/reservations`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use collective_api::Page;
use collective_api::messages::Reserve;
use collective_core::reservation::Reservation;
use collective_core::{Code, ReservationId};
use collective_service::reservations;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::Who;
use super::extract::{Named, Sent};
use super::openapi::{changes, reads, takes};
use super::problem::Refused;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(takes(
            routes!(reserve),
            &[
                Code::InvalidDuration,
                Code::Reserved,
                Code::LeaseLost,
                Code::LimitReached,
            ],
        ))
        .routes(reads(routes!(list_reservations), &[]))
        .routes(changes(routes!(release_reservation), &[]))
}

/// Reserve paths of a repository for a time.
#[utoipa::path(
    post, path = "/v1/reservations", tag = "reservations", request_body = Reserve,
    responses((status = 201, description = "Held.", body = Reservation)),
)]
async fn reserve(
    app: State<App>,
    Who(who): Who,
    Sent(request): Sent<Reserve>,
) -> Result<(StatusCode, Json<Reservation>), Refused> {
    let made = reservations::reserve(&app.hub, &who, request).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// List live reservations, oldest first.
#[utoipa::path(
    get, path = "/v1/reservations", tag = "reservations",
    responses((status = 200, description = "All of them.", body = Page<Reservation>)),
)]
async fn list_reservations(
    app: State<App>,
    Who(who): Who,
) -> Result<Json<Page<Reservation>>, Refused> {
    let items = reservations::list(&app.hub, &who).await?;
    Ok(Json(Page { items, next: None }))
}

/// Give a reservation up.
#[utoipa::path(
    delete, path = "/v1/reservations/{reservation}", tag = "reservations",
    params(("reservation" = String, Path, description = "Its id.")),
    responses((status = 204, description = "Given up.")),
)]
async fn release_reservation(
    app: State<App>,
    Who(who): Who,
    Named(reservation): Named<ReservationId>,
) -> Result<StatusCode, Refused> {
    reservations::release(&app.hub, &who, reservation).await?;
    Ok(StatusCode::NO_CONTENT)
}
