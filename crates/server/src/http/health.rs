//! What monitoring asks: `/healthz`, `/readyz`, `/metrics`. No key is needed.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use collective_api::operations::Readiness;
use collective_service::status;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::openapi::open;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(open(routes!(alive)))
        .routes(open(routes!(ready)))
        .routes(open(routes!(metrics)))
}

/// Whether the process answers.
#[utoipa::path(
    get, path = "/healthz", tag = "server",
    responses((status = 200, description = "`ok`.", body = str, content_type = "text/plain")),
)]
async fn alive() -> &'static str {
    "ok\n"
}

/// Whether requests should come here, with a reason for each part that doesn't serve.
#[utoipa::path(
    get, path = "/readyz", tag = "server",
    responses((status = 200, description = "Ready.", body = Readiness),
              (status = 503, description = "Not ready, or stopping.", body = Readiness)),
)]
async fn ready(app: State<App>) -> (StatusCode, Json<Readiness>) {
    let readiness = status::readiness(&app.hub).await;
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness))
}

/// Metrics in the text format of Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "server",
    responses((status = 200, description = "All of them.", body = str, content_type = "text/plain")),
)]
async fn metrics(app: State<App>) -> impl IntoResponse {
    let text = app.metrics.scrape(&app.hub).await;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text)
}
