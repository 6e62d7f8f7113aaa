//! The trace that a request belongs to (W3C Trace Context, section 3.2).

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use collective_core::task::TaskSpec;
use tracing::Span;

use crate::telemetry::trace::{self, TraceContext};

/// The caller's `traceparent`, if it sent a valid one; otherwise the request's
/// own place, if traces are on.
pub(crate) struct TraceParent(Option<String>);

impl TraceParent {
    /// Tasks that name no trace of their own belong to the caller's.
    pub(crate) fn adopt<'t>(&self, specs: impl IntoIterator<Item = &'t mut TaskSpec>) {
        let Some(parent) = &self.0 else { return };
        for spec in specs {
            if spec.traceparent.is_none() {
                spec.traceparent = Some(parent.clone());
            }
        }
    }
}

impl<S: Sync> FromRequestParts<S> for TraceParent {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let caller = caller(&parts.headers);
        let parent = caller.or_else(|| trace::current(&Span::current()));
        Ok(Self(parent.map(|parent| parent.to_string())))
    }
}

/// The caller's place in its trace, if it sent one, and one only.
pub(crate) fn caller(headers: &HeaderMap) -> Option<TraceContext> {
    let mut sent = headers.get_all("traceparent").iter();
    let (Some(only), None) = (sent.next(), sent.next()) else {
        return None;
    };
    let state = headers
        .get("tracestate")
        .and_then(|value| value.to_str().ok());
    Some(TraceContext::parse(only.to_str().ok()?)?.with_state(state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_with_a_trace_of_its_own_keeps_it() {
        let caller = TraceParent(Some("caller".to_owned()));
        let mut specs = [TaskSpec::new("a"), TaskSpec::new("b")];
        specs[1].traceparent = Some("own".to_owned());
        caller.adopt(&mut specs);
        let parents: Vec<_> = specs.iter().map(|s| s.traceparent.as_deref()).collect();
        assert_eq!(parents, [Some("caller"), Some("own")]);
    }
}
