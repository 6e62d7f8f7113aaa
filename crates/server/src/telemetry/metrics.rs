//! The registry: every metric of the server, and how it is read.

use std::sync::Arc;

use collective_service::Hub;
use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::census::Gauges;
use super::events::InternalEvent;
use super::lanes::Lanes;
use super::process::Process;
use super::trace::TraceMetrics;

/// From a read out of memory to the longest long-poll.
const REQUEST_BUCKETS: [f64; 15] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HttpLabels {
    pub(super) method: &'static str,
    pub(super) route: String,
    pub(super) status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RouteLabels {
    pub(super) method: &'static str,
    pub(super) route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReportLabels {
    pub(super) kind: &'static str,
    pub(super) outcome: &'static str,
}

/// Every metric. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Shared>);

pub(crate) struct Shared {
    registry: Registry,
    lanes: Lanes,
    gauges: Gauges,
    pub(super) requests: Family<HttpLabels, Counter>,
    pub(super) request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    pub(super) reports: Family<ReportLabels, Counter>,
    pub(super) auth_failures: Counter,
    pub(super) unauthorized_access: Counter,
    pub(super) leases_lost: Counter,
    pub(crate) event_streams: Gauge,
}

impl std::ops::Deref for Metrics {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

fn request_histogram() -> Histogram {
    Histogram::new(REQUEST_BUCKETS)
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let shared = Shared {
            lanes: Lanes::register(&mut registry),
            gauges: Gauges::register(&mut registry),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(request_histogram),
            reports: Family::default(),
            auth_failures: Counter::default(),
            unauthorized_access: Counter::default(),
            leases_lost: Counter::default(),
            event_streams: Gauge::default(),
            registry,
        };
        Self(Arc::new(shared.registered()))
    }

    /// Counts what the hub commits from now on.
    pub(crate) fn count_events_of(&self, hub: &Hub) {
        let metrics = self.clone();
        hub.observe(move |events| metrics.lanes.count(&metrics, events));
    }

    /// Writes an internal event's line and moves its metric.
    pub(crate) fn emit(&self, event: &impl InternalEvent) {
        event.emit(self);
    }

    /// Everything in the text format of Prometheus.
    pub(crate) async fn scrape(&self, hub: &Hub) -> String {
        self.gauges.refresh(hub).await;
        let mut text = String::new();
        if let Err(error) = prometheus_text::encode(&mut text, &self.registry) {
            tracing::error!(%error, "the metrics can't be written");
        }
        text
    }
}

impl Shared {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register(
            "http_requests",
            "Requests that were answered",
            self.requests.clone(),
        );
        registry.register(
            "http_request_duration_seconds",
            "How long a request took until its answer began; long polls wait on purpose",
            self.request_seconds.clone(),
        );
        registry.register(
            "orchestrator_amqp_reports",
            "Reports of agents that speak AMQP, by kind and by what became of them",
            self.reports.clone(),
        );
        registry.register(
            "orchestrator_auth_failures",
            "Requests without a valid key",
            self.auth_failures.clone(),
        );
        registry.register(
            "orchestrator_unauthorized_access",
            "Requests that a valid key was not allowed to make",
            self.unauthorized_access.clone(),
        );
        registry.register(
            "orchestrator_leases_lost",
            "Leases that ran out",
            self.leases_lost.clone(),
        );
        registry.register(
            "orchestrator_event_streams",
            "Open event streams",
            self.event_streams.clone(),
        );
        registry.register(
            "orchestrator_build",
            "What is running",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register_collector(Box::new(Process));
        registry.register_collector(Box::new(TraceMetrics));
        self
    }
}
