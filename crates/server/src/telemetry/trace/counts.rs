//! What became of the spans, and whether the collector answers.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Counters of the one who sends. Exact, and never waited for.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) sent: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) answers: AtomicBool,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            sent: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            // Nothing is known against it yet.
            answers: AtomicBool::new(true),
        }
    }
}

impl Counts {
    pub(super) fn read(&self) -> Sent {
        Sent {
            sent: self.sent.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            answers: self.answers.load(Ordering::Relaxed),
        }
    }
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::telemetry) struct Sent {
    /// Taken by the collector.
    pub(super) sent: u64,
    /// Found the queue full.
    pub(super) dropped: u64,
    /// Could not be brought to the collector.
    pub(super) lost: u64,
    /// Not wanted by the collector.
    pub(super) refused: u64,
    /// Whether the collector took the last batch.
    pub(super) answers: bool,
}

/// Shows it to whoever scrapes; nothing while traces are off.
#[derive(Debug)]
pub(in crate::telemetry) struct TraceMetrics;

impl Collector for TraceMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(sent) = super::sent() else {
            return Ok(());
        };
        let mut spans = encoder.encode_descriptor(
            "orchestrator_trace_spans",
            "Spans by what became of them: sent, dropped (the queue was full), lost (the collector was away), refused",
            None,
            MetricType::Counter,
        )?;
        for (outcome, count) in [
            ("sent", sent.sent),
            ("dropped", sent.dropped),
            ("lost", sent.lost),
            ("refused", sent.refused),
        ] {
            let labels = [("outcome", outcome)];
            ConstCounter::new(count).encode(spans.encode_family(&labels)?)?;
        }
        let answers = ConstGauge::new(i64::from(sent.answers));
        answers.encode(encoder.encode_descriptor(
            "orchestrator_trace_collector_up",
            "Whether the collector took the last batch of spans: 1 or 0",
            None,
            answers.metric_type(),
        )?)
    }
}
