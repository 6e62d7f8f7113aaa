//! Log lines that name the trace they belong to, so that either finds the other.

use std::fmt;

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Lines in the inner form, with `trace_id` and `span_id` at their end while a span is open.
pub(in crate::telemetry) struct WithTrace<F> {
    /// What writes the line.
    pub(in crate::telemetry) inner: F,
    /// Whether a line is a JSON object.
    pub(in crate::telemetry) json: bool,
}

impl<S, N, F> FormatEvent<S, N> for WithTrace<F>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let span = Context::map_current(|context| context.span().span_context().clone());
        // Colours are for a terminal, where nobody looks a trace up.
        if !span.is_valid() || writer.has_ansi_escapes() {
            return self.inner.format_event(ctx, writer, event);
        }
        let mut line = String::new();
        self.inner
            .format_event(ctx, Writer::new(&mut line), event)?;
        let (trace, id) = (span.trace_id(), span.span_id());
        match line.trim_end().strip_suffix('}') {
            Some(open) if self.json => {
                writeln!(writer, r#"{open},"trace_id":"{trace}","span_id":"{id}"}}"#)
            }
            _ => writeln!(writer, "{} trace_id={trace} span_id={id}", line.trim_end()),
        }
    }
}
