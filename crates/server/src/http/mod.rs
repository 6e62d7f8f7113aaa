//! The routes of `/v1` and of the server itself: one file per noun.
//!
//! A handler extracts, calls one service function and answers. Refusals leave
//! as [`problem::Refused`]; the [`edge`] around every route writes them out.

mod agents;
pub(crate) mod app;
pub(crate) mod auth;
pub(crate) mod decode;
mod docs;
mod edge;
mod events;
mod extract;
mod health;
mod host;
mod keys;
mod leases;
mod messages;
pub(crate) mod openapi;
pub(crate) mod problem;
mod questions;
mod queues;
mod request_id;
mod reservations;
mod schedules;
mod status;
mod tasks;
mod teams;
mod trace_context;

use axum::Router;
use axum::middleware::from_fn_with_state;
use collective_core::{Code, Rejection};
use utoipa_axum::router::OpenApiRouter;

use app::App;
use problem::Refused;

/// Every route with its documentation.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .merge(health::routes())
        .merge(docs::routes())
        .merge(tasks::routes())
        .merge(leases::routes())
        .merge(agents::routes())
        .merge(queues::routes())
        .merge(messages::routes())
        .merge(questions::routes())
        .merge(reservations::routes())
        .merge(schedules::routes())
        .merge(keys::routes())
        .merge(teams::routes())
        .merge(events::routes())
        .merge(status::routes())
}

/// The router, ready to serve.
pub(crate) fn router(app: App) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(app.clone(), edge::edge))
        .with_state(app)
}

async fn no_such_route(uri: axum::http::Uri) -> Refused {
    let path = collective_core::text::shown(uri.path());
    Rejection::new(Code::NoSuchRoute, format!("nothing is at `{path}`"))
        .hint("the routes are listed at /docs and in /openapi.json")
        .into()
}

async fn method_not_allowed(method: axum::http::Method, uri: axum::http::Uri) -> Refused {
    let path = collective_core::text::shown(uri.path());
    Rejection::new(
        Code::MethodNotAllowed,
        format!("`{path}` has no method {method}"),
    )
    .hint("the header Allow names its methods")
    .into()
}
