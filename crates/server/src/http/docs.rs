//! The documentation that the server gives of itself: the OpenAPI document,
//! the same as a page for people, and the table of codes.
//!
//! The pages are plain HTML without scripts, so they work offline and under a
//! strict content security policy. They are made on first use: most servers never show them.

mod page;

use std::sync::OnceLock;

use askama::Template;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use collective_core::{Code, Rejection};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::openapi::{document, open};
use super::problem::Refused;
use page::DocsPage;

/// Nothing but our own style sheet; no frames, no forms, no scripts.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const STYLE: &str = include_str!("../../templates/style.css");

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(open(routes!(openapi_document)))
        .routes(open(routes!(docs_page)))
        .routes(open(routes!(errors_page)))
        .routes(open(routes!(style_sheet)))
}

/// The OpenAPI 3.1 document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "server",
    responses((status = 200, description = "This document.", body = Object, content_type = "application/json")),
)]
async fn openapi_document() -> Result<impl IntoResponse, Refused> {
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    let text = once(&TEXT, || document().to_json().map_err(|e| e.to_string()))?;
    Ok((kind("application/json"), text))
}

/// The routes and their schemas as a page.
#[utoipa::path(
    get, path = "/docs", tag = "server",
    responses((status = 200, description = "HTML.", body = str, content_type = "text/html")),
)]
async fn docs_page() -> Result<impl IntoResponse, Refused> {
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    let text = once(&TEXT, || {
        let document = serde_json::to_value(document()).map_err(|e| e.to_string())?;
        DocsPage::new(&document).render().map_err(|e| e.to_string())
    })?;
    Ok((html(), text))
}

/// The table of codes that a problem may have.
#[utoipa::path(
    get, path = "/docs/errors", tag = "server",
    responses((status = 200, description = "HTML.", body = str, content_type = "text/html")),
)]
async fn errors_page() -> Result<impl IntoResponse, Refused> {
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    let text = once(&TEXT, || {
        ErrorsPage { codes: Code::ALL }
            .render()
            .map_err(|e| e.to_string())
    })?;
    Ok((html(), text))
}

/// The style of the pages.
#[utoipa::path(
    get, path = "/docs/style.css", tag = "server",
    responses((status = 200, description = "CSS.", body = str, content_type = "text/css")),
)]
async fn style_sheet() -> impl IntoResponse {
    (kind("text/css; charset=utf-8"), STYLE)
}

/// The table of codes.
#[derive(Template)]
#[template(path = "errors.html")]
struct ErrorsPage {
    codes: &'static [Code],
}

fn once(
    text: &OnceLock<Bytes>,
    make: impl FnOnce() -> Result<String, String>,
) -> Result<Bytes, Rejection> {
    if let Some(text) = text.get() {
        return Ok(text.clone());
    }
    let made = make().map_err(|error| Rejection::new(Code::Internal, error))?;
    Ok(text.get_or_init(|| Bytes::from(made)).clone())
}

fn kind(value: &'static str) -> [(HeaderName, HeaderValue); 1] {
    [(header::CONTENT_TYPE, HeaderValue::from_static(value))]
}

fn html() -> [(HeaderName, HeaderValue); 4] {
    [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    ]
}
