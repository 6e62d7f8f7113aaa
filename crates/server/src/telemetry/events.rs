//! Internal events: each writes its log line and moves its metric together.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::Method;
use collective_core::{AgentName, Code, Rejection, TaskId, TeamName, text};

use super::metrics::{HttpLabels, Metrics, RouteLabels};

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
        let (request_id, route, status) = (self.id, self.route, self.status);
        let took_ms = self.took.as_secs_f64() * 1e3;
        let code = code.map(Code::as_str);
        let reason = self.rejection.map(ToString::to_string);
        match code {
            // What the operator can't change by looking is no error of the server.
            Some("draining" | "unavailable") | None if status < 600 => tracing::debug!(
                request_id,
                method,
                route,
                status,
                code,
                reason,
                took_ms,
                "request served"
            ),
            _ if status >= 500 => tracing::error!(
                request_id,
                method,
                route,
                status,
                code,
                reason,
                took_ms,
                "request failed"
            ),
            _ => tracing::debug!(
                request_id,
                method,
                route,
                status,
                code,
                reason,
                took_ms,
                "request refused"
            ),
        }
    }
}

/// The label of a method. Anything may be sent as one, so only known ones have a label of their own.
fn known(method: &Method) -> &'static str {
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
}

impl InternalEvent for RequestNotAuthenticated<'_> {
    fn emit(&self, metrics: &Metrics) {
        metrics.auth_failures.inc();
        let peer = self.peer.map(|ip| ip.to_string());
        tracing::info!(
            peer = peer.as_deref().unwrap_or("unknown"),
            path = text::shown(self.path),
            "request without a valid key"
        );
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
