//! Traces of an agent: one span for each attempt, in its task's trace.

use collective_client::api::leases::Claim;
use collective_config::Inputs;
use collective_server::telemetry::{self, TraceOptions};
use tracing::Span;
use tracing::field::Empty;

use crate::errors::CliError;
use crate::settings;

/// What variables of traces start with.
const PREFIXES: [&str; 2] = ["OTEL_", "COLLECTIVE_TRACE_"];
/// What an agent is called in traces, unless it is said.
const SERVICE: &str = "collective-agent";

/// Where an agent's traces go, by the environment alone: it has no file of settings.
pub(crate) fn options() -> Result<Option<TraceOptions>, CliError> {
    let is_ours = |name: &std::ffi::OsString| {
        let name = name.to_string_lossy();
        PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let mut environment: Vec<_> = std::env::vars_os()
        .filter(|(name, _)| is_ours(name))
        .collect();
    let says_service =
        |name: &str| name == "OTEL_SERVICE_NAME" || name == "COLLECTIVE_TRACE_SERVICE";
    if !environment
        .iter()
        .any(|(name, value)| says_service(&name.to_string_lossy()) && !value.is_empty())
    {
        environment.push(("COLLECTIVE_TRACE_SERVICE".into(), SERVICE.into()));
    }
    let inputs = Inputs {
        environment,
        ..Inputs::default()
    };
    let loaded = collective_config::load(&inputs)?;
    Ok(settings::trace_options(&loaded.settings))
}

/// Opens the span of an attempt, and gives its place.
pub(crate) fn attempt(claim: &Claim) -> (Span, Option<String>) {
    let task = &claim.task;
    let span = tracing::info_span!(
        "attempt",
        otel.kind = "consumer",
        collective.task = %task.id,
        collective.task_number = i64::try_from(task.number).unwrap_or(i64::MAX),
        collective.epoch = i64::from(task.epoch.0),
        collective.state = Empty,
    );
    let place = telemetry::enter_trace(&span, task.spec.traceparent.as_deref());
    (span, place)
}
