//! A place in a trace, as it travels between processes (W3C Trace Context).

use std::fmt;
use std::str::FromStr;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Length of version 0; later ones may append more (section 3.2.4).
const LEN: usize = 55;
/// Longest `tracestate` that is handed on (section 3.3.1.5 asks for this much at least).
const MAX_STATE_LEN: usize = 512;

/// A place in a trace.
#[derive(Clone, Debug)]
pub(crate) struct TraceContext(SpanContext);

impl TraceContext {
    /// Reads a `traceparent`; an invalid one counts as none (section 3.2.2).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.splitn(5, '-');
        let mut hex = |len: usize| {
            fields.next().filter(|field| {
                field.len() == len
                    && field
                        .bytes()
                        .all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
            })
        };
        let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        let length_fits = match version {
            "ff" => false,
            "00" => text.len() == LEN,
            _ => text.len() <= collective_core::limits::MAX_LABEL_LEN,
        };
        let flags = u8::from_str_radix(flags, 16).ok()?;
        let context = SpanContext::new(
            TraceId::from_hex(trace).ok()?,
            SpanId::from_hex(span).ok()?,
            TraceFlags::new(flags) & TraceFlags::SAMPLED,
            true,
            TraceState::NONE,
        );
        (length_fits && context.is_valid()).then_some(Self(context))
    }

    /// With what its systems say of themselves; what can't be read is left out.
    pub(crate) fn with_state(self, state: Option<&str>) -> Self {
        let state = state
            .filter(|state| state.len() <= MAX_STATE_LEN)
            .and_then(|state| TraceState::from_str(state).ok());
        match state {
            Some(state) => Self(SpanContext::new(
                self.0.trace_id(),
                self.0.span_id(),
                self.0.trace_flags(),
                true,
                state,
            )),
            None => self,
        }
    }

    /// The trace's id in hex.
    pub(crate) fn trace_id(&self) -> String {
        self.0.trace_id().to_string()
    }

    /// Whether its caller keeps the trace.
    pub(crate) fn is_sampled(&self) -> bool {
        self.0.is_sampled()
    }
}

impl fmt::Display for TraceContext {
    /// As a `traceparent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (self.0.trace_id(), self.0.span_id());
        write!(f, "00-{trace}-{span}-{:02x}", self.0.trace_flags().to_u8())
    }
}

/// Lets a span that was just made begin at a place. Does nothing while traces are off.
pub(crate) fn begin_at(span: &Span, place: Option<&TraceContext>) {
    let Some(place) = place.filter(|_| !span.is_disabled()) else {
        return;
    };
    let parent = Context::new().with_remote_span_context(place.0.clone());
    if let Err(error) = span.set_parent(parent) {
        // Only a span that has begun already refuses, which is a bug of ours.
        tracing::debug!(%error, "a span could not be put into its caller's trace");
    }
}

/// The place of a span, if traces are on and it is kept.
pub(crate) fn current(span: &Span) -> Option<TraceContext> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context().span().span_context().clone();
    context.is_valid().then_some(TraceContext(context))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn only_what_the_specification_allows_is_a_trace() {
        for (text, valid) in [
            (format!("00-{TRACE}-00f067aa0ba902b7-01"), true),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01-what-comes"), true),
            (format!("00-{TRACE}-00f067aa0ba902b7-01-more"), false),
            (format!("ff-{TRACE}-00f067aa0ba902b7-01"), false),
            (format!("00-{TRACE}-0000000000000000-01"), false),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), false),
            (
                format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
                false,
            ),
            (format!("00-{TRACE}-00f067aa0ba902b7"), false),
            (String::new(), false),
        ] {
            assert_eq!(TraceContext::parse(&text).is_some(), valid, "{text}");
        }
    }

    #[test]
    fn what_is_read_is_written_again() {
        for flags in ["00", "01"] {
            let text = format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
            let place = TraceContext::parse(&text).expect("a place");
            assert_eq!(place.to_string(), text);
            assert_eq!(place.trace_id(), TRACE);
            assert_eq!(place.is_sampled(), flags == "01");
        }
    }
}
