//! Log lines: where they go and what they look like.
//!
//! Field names are stable, since pipelines parse them: `timestamp`, `level`,
//! `target`, `message`, and what each event of `super::events` adds.

use std::panic::PanicHookInfo;

use tracing::Metadata;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use super::trace::{self, TraceError, TraceOptions, WithTrace};

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogTarget {
    /// Standard error, for a program that prints something else.
    #[default]
    Stderr,
    /// Standard output, for a server in a container.
    Stdout,
}

/// How to log.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// What a line looks like.
    pub format: LogFormat,
    /// Where lines go.
    pub target: LogTarget,
    /// Which lines: `info`, `collective_server=debug,info` and the like.
    pub filter: String,
    /// Whether text is coloured.
    pub color: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            target: LogTarget::default(),
            filter: "info".to_owned(),
            color: false,
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter can't be read.
    #[error("log filter `{filter}`: {reason}")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something logs already in this process.
    #[error("logging is set up already")]
    SetUpAlready(#[source] TryInitError),
    /// Traces can't be sent.
    #[error(transparent)]
    Trace(#[from] TraceError),
}

/// Sets logging up for the whole process, panics included, and traces if there
/// is a collector. Once only.
pub fn init(options: &LogOptions, traces: Option<&TraceOptions>) -> Result<(), LogError> {
    let writer = match options.target {
        LogTarget::Stderr => BoxMakeWriter::new(std::io::stderr),
        LogTarget::Stdout => BoxMakeWriter::new(std::io::stdout),
    };
    let lines = lines(options, traces.is_some(), writer)?;
    let ready = match traces {
        None => Registry::default().with(lines).try_init(),
        Some(traces) => {
            let spans = trace::layer(trace::start(traces)?);
            Registry::default().with(lines).with(spans).try_init()
        }
    };
    ready.map_err(LogError::SetUpAlready)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// What writes the lines; `traced` adds to each the trace that it belongs to.
pub(super) fn lines(
    options: &LogOptions,
    traced: bool,
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
) -> Result<Box<dyn Layer<Registry> + Send + Sync>, LogError> {
    let filter = EnvFilter::builder()
        .parse(&options.filter)
        .map_err(|error| LogError::Filter {
            filter: options.filter.clone(),
            reason: error.to_string(),
        })?;
    let text = fmt::layer()
        .with_writer(writer)
        .with_ansi(options.color && options.format == LogFormat::Text);
    let lines = match options.format {
        LogFormat::Text if traced => text
            .map_event_format(|inner| WithTrace { inner, json: false })
            .boxed(),
        LogFormat::Text => text.boxed(),
        LogFormat::Json => {
            let json = text
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false);
            if traced {
                json.map_event_format(|inner| WithTrace { inner, json: true })
                    .boxed()
            } else {
                json.boxed()
            }
        }
    };
    // Spans are for the collector: lines don't show them, and without a
    // collector nobody makes them.
    let events = filter_fn(|meta: &Metadata<'_>| meta.is_event());
    Ok(lines.with_filter(filter.and(events)).boxed())
}

/// A panic is a line like any other, so that it reaches the same pipeline.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let what = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    tracing::error!(
        panic = what,
        location = place.as_deref().unwrap_or("unknown"),
        thread = thread.name().unwrap_or("unnamed"),
        "panic"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_collector_no_span_is_made_whatever_is_logged() {
        for filter in ["info", "trace"] {
            let options = LogOptions {
                filter: filter.to_owned(),
                ..LogOptions::default()
            };
            let lines = lines(&options, false, std::io::sink).expect("the filter is right");
            tracing::subscriber::with_default(Registry::default().with(lines), || {
                assert!(tracing::info_span!("request").is_disabled(), "{filter}");
                assert!(tracing::event_enabled!(tracing::Level::INFO), "{filter}");
            });
        }
    }
}
