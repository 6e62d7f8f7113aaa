//! Traces: spans of this process, sent to a collector by OTLP.
//!
//! Off unless a collector is named, and then it must never slow, stop or fill
//! the process: a span that finds the queue full is dropped and counted, and a
//! collector that is away is said once. Spans hold names, counts and
//! identifiers, never a token, a prompt, a result or a body.

mod context;
mod counts;
mod courier;
mod line;

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanLimits, Tracer};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use courier::Courier;

pub(crate) use context::{TraceContext, begin_at, current};
pub(super) use counts::{Sent, TraceMetrics};
pub(super) use line::WithTrace;

/// How a span's level and place must be to be sent: ours, and no finer than this.
const PREFIX: &str = "collective";
/// Most attributes of a span: ours have a dozen.
const MAX_ATTRIBUTES: u32 = 32;
/// Most events of a span. None are made; this is for a crate that makes some.
const MAX_EVENTS: u32 = 8;

/// The one exporter of this process, as logging is one.
static EXPORTER: OnceLock<Exporter> = OnceLock::new();

/// Where spans go, and which.
#[derive(Clone)]
pub struct TraceOptions {
    /// The collector's address; `/v1/traces` is added to it.
    pub endpoint: String,
    /// What is sent with each batch, such as a collector's own key. Never printed.
    pub headers: Vec<(String, String)>,
    /// The part of the traces that begin here which is kept, 0 to 1. A caller's
    /// decision on its own trace counts before it.
    pub ratio: f64,
    /// What the process is called.
    pub service: String,
}

impl std::fmt::Debug for TraceOptions {
    /// Without the headers' values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("TraceOptions")
            .field("endpoint", &self.endpoint)
            .field("headers", &names)
            .field("ratio", &self.ratio)
            .field("service", &self.service)
            .finish()
    }
}

/// Why traces can't be sent.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The collector's address can't be called.
    #[error("the collector's address `{endpoint}` can't be used: {reason}")]
    Endpoint {
        /// The address.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A header can't be sent.
    #[error("the header `{name}` for the collector can't be sent")]
    Header {
        /// Its name.
        name: String,
    },
    /// The thread that sends can't be started.
    #[error("the thread that sends traces can't be started: {0}")]
    Thread(std::io::Error),
    /// Traces are sent already.
    #[error("traces are set up already")]
    SetUpAlready,
}

struct Exporter {
    courier: Courier,
    /// Keeps the processor alive; dropping it would end the sending.
    _provider: SdkTracerProvider,
}

/// Starts the sending, and gives what makes spans.
pub(super) fn start(options: &TraceOptions) -> Result<Tracer, TraceError> {
    let url = target(&options.endpoint)?;
    let headers = headers(&options.headers)?;
    let resource = resource(&options.service);
    let courier = Courier::start(url, headers, &resource).map_err(TraceError::Thread)?;
    let limits = SpanLimits {
        max_attributes_per_span: MAX_ATTRIBUTES,
        max_events_per_span: MAX_EVENTS,
        ..SpanLimits::default()
    };
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
            options.ratio,
        ))))
        .with_span_limits(limits)
        .with_resource(resource)
        .with_span_processor(courier.clone())
        .build();
    let tracer = provider.tracer("collective");
    EXPORTER
        .set(Exporter {
            courier,
            _provider: provider,
        })
        .map_err(|_| TraceError::SetUpAlready)?;
    Ok(tracer)
}

/// What turns our spans into spans of the collector.
pub(super) fn layer<S>(tracer: Tracer) -> impl Layer<S>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(filter_fn(|meta| {
            meta.is_span() && meta.target().starts_with(PREFIX)
        }))
}

/// Sends what is left, for `limit` at most. Without traces it returns at once.
pub fn flush(limit: Duration) {
    let Some(exporter) = EXPORTER.get() else {
        return;
    };
    if !exporter.courier.finish(limit) {
        tracing::warn!(
            waiting = exporter.courier.waiting(),
            "the collector took too long at the end; the last spans are lost"
        );
    }
}

/// Lets a span that was just made begin at a `traceparent`, and gives its own
/// place. Without traces neither.
pub fn enter_trace(span: &tracing::Span, traceparent: Option<&str>) -> Option<String> {
    let place = traceparent.and_then(TraceContext::parse);
    begin_at(span, place.as_ref());
    current(span).map(|place| place.to_string())
}

/// What became of the spans, if traces are on.
pub(super) fn sent() -> Option<Sent> {
    EXPORTER.get().map(|exporter| exporter.courier.sent())
}

/// Where OTLP over HTTP takes traces (OTLP 1.x, section "OTLP/HTTP request").
fn target(endpoint: &str) -> Result<Url, TraceError> {
    let bad = |reason: String| TraceError::Endpoint {
        endpoint: collective_core::text::shown(endpoint),
        reason,
    };
    let mut url = Url::parse(endpoint).map_err(|error| bad(error.to_string()))?;
    url.path_segments_mut()
        .map_err(|()| bad("it has no path".to_owned()))?
        .pop_if_empty()
        .extend(["v1", "traces"]);
    Ok(url)
}

fn headers(given: &[(String, String)]) -> Result<HeaderMap, TraceError> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let read = || {
            let mut value = HeaderValue::from_str(value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::try_from(name.as_str()).ok()?, value))
        };
        let (name, value) = read().ok_or_else(|| TraceError::Header { name: name.clone() })?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Who sends: the attributes that tell one replica from another.
fn resource(service: &str) -> Resource {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let instance = format!("{host}-{}", std::process::id());
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", service.to_owned()),
            KeyValue::new("service.namespace", "collective"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance),
            KeyValue::new("host.name", host),
        ])
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_traces_is_added_to_the_collectors_address() {
        for (endpoint, url) in [
            (
                "http://jaeger-agent:4318",
                "http://jaeger-agent:4318/v1/traces",
            ),
            ("http://h:4318/", "http://h:4318/v1/traces"),
            ("http://h/otlp", "http://h/otlp/v1/traces"),
        ] {
            assert_eq!(target(endpoint).expect("it can be used").as_str(), url);
        }
        assert!(target("jaeger").is_err() && target("mailto:a@b").is_err());
    }

    #[test]
    fn what_a_collector_is_opened_with_is_never_printed() {
        let options = TraceOptions {
            endpoint: "http://h:4318".to_owned(),
            headers: vec![("authorization".to_owned(), "Bearer s3cret".to_owned())],
            ratio: 1.0,
            service: "collective".to_owned(),
        };
        let printed = format!("{options:?} {:?}", headers(&options.headers));
        assert!(!printed.contains("s3cret"), "{printed}");
        assert!(printed.contains("authorization"), "{printed}");
    }
}
