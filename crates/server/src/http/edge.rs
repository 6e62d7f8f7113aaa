//! What happens around every route: the request's id, the guard of the host
//! name, the bound on its time, panics, the written refusal, counting and logging.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use collective_api::REQUEST_ID_HEADER;
use collective_core::{Code, Rejection};
use futures_util::FutureExt;
use tracing::Instrument;
use tracing::field::Empty;

use super::app::App;
use super::problem::Refused;
use super::request_id::RequestId;
use super::trace_context::caller;
use crate::telemetry::events::{RequestServed, known};
use crate::telemetry::trace;

/// How long a request may take until its answer begins: the longest long-poll
/// (`limits::MAX_WAIT`, 55 s), and time to read a body and to commit.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(75);
/// Probes come from machines that know an address, not a name, and tell nothing.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];
/// What monitoring asks for all the time: no traces, and by address as well.
const METRICS: &str = "/metrics";
/// The label of requests that no route matches, whatever their path.
const UNMATCHED: &str = "unmatched";

pub(crate) async fn edge(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId::of(request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);

    let is_probe = PROBES.contains(&route);
    let host = if is_probe {
        Ok(())
    } else {
        let by_address = route == METRICS;
        app.hosts
            .check(request.uri(), request.headers(), by_address)
    };
    let caller = caller(request.headers());
    let span = if is_probe || route == METRICS {
        tracing::Span::none()
    } else {
        span(&method, route, &id)
    };
    trace::begin_at(&span, caller.as_ref());
    request.extensions_mut().insert(id.clone());
    let mut response = match host {
        Ok(()) => bounded(request, next).instrument(span.clone()).await,
        Err(rejection) => Refused::from(rejection).into_response(),
    };

    let refused = response.extensions_mut().remove::<Refused>();
    if let Some(refused) = &refused {
        // Headers that were set on the way (`Allow`) stay.
        let written = refused.write(&id);
        let (parts, body) = written.into_parts();
        response.headers_mut().extend(parts.headers);
        *response.status_mut() = parts.status;
        *response.body_mut() = body;
    }
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if let Some(value) = id.header() {
        headers.insert(REQUEST_ID_HEADER, value);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let status = response.status();
    // OTLP has no unsigned numbers: they would arrive as text.
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if let Some(refused) = &refused {
        span.record("error.type", refused.rejection().code().as_str());
    }
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    let place = trace::current(&span);
    app.metrics.emit(&RequestServed {
        trace: place.as_ref().or(caller.as_ref()),
        is_followed: caller.as_ref().is_some_and(|caller| caller.is_sampled()),
        id: id.as_str(),
        method: &method,
        route,
        status: status.as_u16(),
        rejection: refused.as_ref().map(Refused::rejection),
        took: started.elapsed(),
    });
    response
}

/// The span of a request: what was asked for by its form, never by its content.
fn span(method: &Method, route: &str, id: &RequestId) -> tracing::Span {
    let method = known(method);
    tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        "error.type" = Empty,
        collective.request_id = id.as_str(),
        collective.team = Empty,
    )
}

/// The answer of the route, or a refusal in its place if it took too long or panicked.
async fn bounded(request: Request, next: Next) -> Response {
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let rejection = match tokio::time::timeout(REQUEST_TIMEOUT, answer).await {
        Ok(Ok(response)) => return response,
        Ok(Err(panic)) => {
            let what = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            Rejection::new(Code::Internal, format!("a handler panicked: {what}"))
        }
        Err(_) => Rejection::new(
            Code::Timeout,
            format!("no answer within {} s", REQUEST_TIMEOUT.as_secs()),
        )
        .hint("look whether it was carried out, or send it again with the same Idempotency-Key"),
    };
    Refused::from(rejection).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use collective_bus::LocalBus;
    use collective_cache::LocalCache;
    use collective_service::{Hub, Ports};
    use collective_testkit::memory::MemoryStore;
    use collective_testkit::world::{FakeClock, SeededEntropy};
    use http_body_util::BodyExt;
    use tokio_util::sync::CancellationToken;
    use tower::ServiceExt;

    use super::*;
    use crate::options::ServerOptions;

    /// Asks a server whose one route does this.
    async fn ask<F: Future<Output = ()> + Send + 'static>(
        handler: impl Fn() -> F + Clone + Send + Sync + 'static,
    ) -> (StatusCode, serde_json::Value) {
        let ports = Ports {
            store: Arc::new(MemoryStore::new()),
            bus: Arc::new(LocalBus::new()),
            cache: Arc::new(LocalCache::new()),
            clock: Arc::new(FakeClock::default()),
            entropy: Arc::new(SeededEntropy::new(1)),
            shared: None,
        };
        let address = ([127, 0, 0, 1], 7420).into();
        let app = App::new(
            Hub::new(ports, None),
            &ServerOptions::default(),
            address,
            CancellationToken::new(),
        );
        let router = Router::new()
            .route("/", get(handler))
            .layer(from_fn_with_state(app.clone(), edge))
            .with_state(app);
        let request = Request::get("/")
            .header("host", "127.0.0.1")
            .body(Body::empty())
            .expect("a request");
        let response = router.oneshot(request).await.expect("an answer");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body");
        let problem = serde_json::from_slice(&body.to_bytes()).expect("JSON");
        (status, problem)
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_our_bug_and_tells_nothing_of_its_inside() {
        let (status, problem) = ask(|| async { panic!("the password is x") }).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(problem["code"], "internal");
        assert!(!problem.to_string().contains("password"), "{problem}");
        let id = problem["request_id"].as_str().expect("an id");
        assert!(
            problem["hint"]
                .as_str()
                .is_some_and(|hint| hint.contains(id))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_never_ends_is_answered_for() {
        let (status, problem) = ask(std::future::pending).await;
        assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(problem["code"], "timeout");
    }
}
