//! Refusals on their way out, as problem details (RFC 9457).

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use collective_api::Problem;
use collective_core::{Code, Rejection, Span};

use super::request_id::RequestId;

/// The media type of a problem.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
/// What a client is told to wait when the server can't say how long it takes.
const RETRY_SOON: Span = Span::from_secs(1);

/// A refused request. The edge writes the body, since it knows the request's id.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    rejection: Rejection,
    retry_after: Option<Span>,
}

impl Refused {
    /// Refused for now: another try makes sense after `span`.
    pub(crate) fn for_now(rejection: Rejection, span: Span) -> Self {
        Self {
            rejection,
            retry_after: Some(span),
        }
    }

    pub(crate) fn rejection(&self) -> &Rejection {
        &self.rejection
    }

    /// The answer, with everything that the client is told.
    pub(crate) fn write(&self, id: &RequestId) -> Response {
        let code = self.rejection.code();
        let problem = to_outside(&self.rejection, id.as_str());
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let status =
            StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (
            status,
            [(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON))],
            body,
        )
            .into_response();
        if let Some((name, value)) = self.advice() {
            response.headers_mut().insert(name, value);
        }
        response
    }

    fn advice(&self) -> Option<(HeaderName, HeaderValue)> {
        match self.rejection.code() {
            Code::Unauthenticated => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
            }
            Code::RateLimited | Code::Draining | Code::Unavailable => {
                let span = self.retry_after.unwrap_or(RETRY_SOON);
                let seconds = span.micros().div_ceil(1_000_000).max(1);
                Some((header::RETRY_AFTER, HeaderValue::from(seconds)))
            }
            _ => None,
        }
    }
}

/// A refusal as its sender sees it.
pub(crate) fn to_outside(rejection: &Rejection, id: &str) -> Problem {
    let mut problem = Problem::from(rejection);
    problem.request_id = Some(id.to_owned());
    if rejection.code() == Code::Internal {
        // What broke inside is for the log, not for whoever sent the request.
        problem.detail = "the server failed at it".to_owned();
        problem.hint = Some(format!("its log says more under the request id {id}"));
    }
    problem
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Self {
            rejection,
            retry_after: None,
        }
    }
}

impl IntoResponse for Refused {
    /// Carries the refusal to the edge; the status is set here too, for layers in between.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.rejection.code().http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
