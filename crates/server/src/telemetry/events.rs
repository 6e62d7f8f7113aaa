//! Internal events: each writes its log line and moves its metric together.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::Method;
use collective_core::{AgentName, Code, Rejection, TaskId, TeamName, text};

use super::metrics::{HttpLabels, Metrics, ReportLabels, RouteLabels};
use super::trace::TraceContext;

/// Something that happened inside the server.
pub(crate) trait InternalEvent {
    /// Writes the line and moves the metric.
    fn emit(&self, metrics: &Metrics);
}

/// A request was answered.
pub(crate) struct RequestServed<'r> {
    pub(crate) id: &'r str,
    pub(crate) method: &'r Method,
    /// The route as it is documented, never the path that was sent.
    pub(crate) route: &'r str,
    pub(crate) status: u16,
    pub(crate) rejection: Option<&'r Rejection>,
    /// The trace that it belongs to.
    pub(crate) trace: Option<&'r TraceContext>,
    /// Whether its caller keeps that trace.
    pub(crate) is_followed: bool,
    pub(crate) took: Duration,
}

impl InternalEvent for RequestServed<'_> {
    fn emit(&self, metrics: &Metrics) {
        let method = known(self.method);
        let route = RouteLabels {
            method,
            route: self.route.to_owned(),
        };
        metrics
            .request_seconds
            .get_or_create(&route)
            .observe(self.took.as_secs_f64());
        let served = HttpLabels {
            method,
            route: route.route,
            status: self.status,
        };
        metrics.requests.get_or_create(&served).inc();

        let code = self.rejection.map(Rejection::code);
        if code == Some(Code::Forbidden) {
            metrics.unauthorized_access.inc();
        }
        self.log(method, code);
    }
}

impl RequestServed<'_> {
    fn log(&self, method: &'static str, code: Option<Code>) {
        let (request_id, route, status) = (self.id, self.route, self.status);
        let took_ms = self.took.as_secs_f64() * 1e3;
        let reason = self.rejection.map(ToString::to_string);
        let trace_id = self.trace.map(TraceContext::trace_id);
        // A server that stops, or a probe that is told so, is no failure.
        let failed = status >= 500 && code.is_some_and(|code| code != Code::Draining);
        // Who follows a trace looks for its lines. Only who has a key can make them.
        let is_followed = self.is_followed && status < 400 && route.starts_with("/v1/");
        let code = code.map(Code::as_str);
        macro_rules! line {
            ($level:ident, $message:literal) => {
                tracing::$level!(
                    request_id, trace_id, method, route, status, code, reason, took_ms, $message
                )
            };
        }
        if failed {
            line!(error, "request failed");
        } else if is_followed {
            line!(info, "request served");
        } else {
            line!(debug, "request served");
        }
    }
}

/// The label of a method. Anything may be sent as one, so only known ones have a label of their own.
pub(crate) fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// A request had no valid key.
pub(crate) struct RequestNotAuthenticated<'r> {
    pub(crate) peer: Option<IpAddr>,
    pub(crate) path: &'r str,
    /// Whether this address has sent too many of them, so that it is put off.
    pub(crate) put_off: bool,
}

impl InternalEvent for RequestNotAuthenticated<'_> {
    fn emit(&self, metrics: &Metrics) {
        metrics.auth_failures.inc();
        let peer = self.peer.map(|ip| ip.to_string());
        let peer = peer.as_deref().unwrap_or("unknown");
        let path = text::shown(self.path);
        // Whoever sends many can't fill the log with them.
        if self.put_off {
            tracing::debug!(peer, path, "request without a valid key, put off");
        } else {
            tracing::info!(peer, path, "request without a valid key");
        }
    }
}

/// What became of an AMQP agent's report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReportEnd {
    /// Carried out.
    Ok,
    /// Refused by a rule.
    Refused,
    /// Put into the dead letters.
    Buried,
    /// Given back to the broker, to come again.
    Again,
}

impl ReportEnd {
    fn as_str(self) -> &'static str {
        match self {
            ReportEnd::Ok => "ok",
            ReportEnd::Refused => "refused",
            ReportEnd::Buried => "buried",
            ReportEnd::Again => "again",
        }
    }
}

/// A report of an AMQP agent was dealt with.
pub(crate) struct ReportDealtWith<'r> {
    pub(crate) id: &'r str,
    pub(crate) kind: &'static str,
    /// The broker's user who sent it, if the broker has checked that.
    pub(crate) user: Option<&'r str>,
    pub(crate) end: ReportEnd,
    pub(crate) rejection: Option<&'r Rejection>,
    /// Whether there are so many without a valid key that they aren't worth a line each.
    pub(crate) put_off: bool,
    pub(crate) took: Duration,
}

impl InternalEvent for ReportDealtWith<'_> {
    fn emit(&self, metrics: &Metrics) {
        let outcome = self.end.as_str();
        let labels = ReportLabels {
            kind: self.kind,
            outcome,
        };
        metrics.reports.get_or_create(&labels).inc();
        let code = self.rejection.map(Rejection::code);
        match code {
            Some(Code::Unauthenticated) => {
                metrics.auth_failures.inc();
            }
            Some(Code::Forbidden) => {
                metrics.unauthorized_access.inc();
            }
            _ => {}
        }
        let (request_id, kind) = (self.id, self.kind);
        let user = text::shown(self.user.unwrap_or("unknown"));
        let reason = self.rejection.map(ToString::to_string);
        let took_ms = self.took.as_secs_f64() * 1e3;
        let code = code.map(Code::as_str);
        match self.end {
            ReportEnd::Buried if !self.put_off => {
                tracing::warn!(
                    request_id,
                    kind,
                    user,
                    outcome,
                    code,
                    reason,
                    took_ms,
                    "report put into the dead letters"
                );
            }
            ReportEnd::Again => {
                tracing::warn!(
                    request_id,
                    kind,
                    user,
                    outcome,
                    code,
                    reason,
                    took_ms,
                    "report given back to the broker"
                );
            }
            _ => {
                tracing::debug!(
                    request_id,
                    kind,
                    user,
                    outcome,
                    code,
                    reason,
                    took_ms,
                    "report dealt with"
                );
            }
        }
    }
}

/// A lease ran out: its agent died, hung, or lost its connection.
pub(crate) struct LeaseLost<'e> {
    pub(crate) team: &'e TeamName,
    pub(crate) task: TaskId,
    pub(crate) agent: &'e AgentName,
    pub(crate) epoch: u32,
}

impl InternalEvent for LeaseLost<'_> {
    fn emit(&self, metrics: &Metrics) {
        metrics.leases_lost.inc();
        tracing::warn!(team = %self.team, task = %self.task, agent = %self.agent, epoch = self.epoch, "lease lost");
    }
}

/// A task became a dead letter.
pub(crate) struct TaskDied<'e> {
    pub(crate) team: &'e TeamName,
    pub(crate) task: TaskId,
    pub(crate) class: &'static str,
    /// Said by an agent, so it is data: bounded and without control characters here.
    pub(crate) reason: &'e str,
}

impl InternalEvent for TaskDied<'_> {
    fn emit(&self, _: &Metrics) {
        let reason = text::shown(self.reason);
        tracing::warn!(team = %self.team, task = %self.task, class = self.class, reason, "task dead");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex, PoisonError};

    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::log::lines;
    use super::super::{LogFormat, LogOptions};
    use super::*;

    /// Where the lines of a test go.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn logged(event: &impl InternalEvent) -> serde_json::Value {
        let written = Lines::default();
        let writer = written.clone();
        let options = LogOptions {
            format: LogFormat::Json,
            filter: "debug".to_owned(),
            ..LogOptions::default()
        };
        let lines = lines(&options, false, move || writer.clone()).expect("the filter is right");
        tracing::subscriber::with_default(Registry::default().with(lines), || {
            Metrics::new().emit(event);
        });
        let written = written.0.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::from_slice(&written).expect("one line of JSON")
    }

    #[test]
    fn a_failed_request_is_an_error_with_the_fields_that_pipelines_know() {
        let rejection = Rejection::new(Code::Internal, "a statement failed");
        let line = logged(&RequestServed {
            id: "id-1",
            method: &Method::POST,
            route: "/v1/tasks",
            status: 500,
            rejection: Some(&rejection),
            trace: TraceContext::parse(TRACEPARENT).as_ref(),
            is_followed: false,
            took: Duration::from_millis(2),
        });
        for (field, value) in [
            ("level", "ERROR"),
            ("message", "request failed"),
            ("request_id", "id-1"),
            ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
            ("method", "POST"),
            ("route", "/v1/tasks"),
            ("code", "internal"),
            ("reason", "a statement failed"),
        ] {
            assert_eq!(line[field], value, "{line}");
        }
        assert_eq!(
            (&line["status"], &line["took_ms"]),
            (&500.into(), &2.0.into())
        );
        assert!(line["timestamp"].is_string() && line["target"].is_string());
    }

    #[test]
    fn a_stopping_server_and_a_refusal_are_no_errors() {
        for code in [Code::Draining, Code::NotFound] {
            let rejection = Rejection::new(code, "no");
            let line = logged(&RequestServed {
                id: "id-1",
                method: &Method::GET,
                route: "/v1/tasks/{task}",
                status: code.http_status(),
                rejection: Some(&rejection),
                trace: None,
                is_followed: true,
                took: Duration::ZERO,
            });
            assert_eq!(line["level"], "DEBUG", "{line}");
        }
    }

    #[test]
    fn a_request_whose_caller_keeps_its_trace_is_logged_where_nothing_else_of_it_is() {
        let level = |route, is_followed| {
            let line = logged(&RequestServed {
                id: "id-1",
                method: &Method::POST,
                route,
                status: 201,
                rejection: None,
                trace: TraceContext::parse(TRACEPARENT).as_ref(),
                is_followed,
                took: Duration::ZERO,
            });
            line["level"].as_str().map(str::to_owned)
        };
        assert_eq!(level("/v1/tasks", true).as_deref(), Some("INFO"));
        assert_eq!(level("/v1/tasks", false).as_deref(), Some("DEBUG"));
        assert_eq!(level("/healthz", true).as_deref(), Some("DEBUG"));
    }

    #[test]
    fn what_an_agent_says_of_a_failure_can_not_break_a_line() {
        let line = logged(&TaskDied {
            team: &TeamName::default_team(),
            task: TaskId(uuid::Uuid::nil()),
            class: "permanent",
            reason: "first\nsecond \u{1b}[31m",
        });
        assert_eq!(line["reason"], "first\u{fffd}second \u{fffd}[31m");
    }
}
