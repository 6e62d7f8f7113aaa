//! What an operator sees: the event feed, the state of the team and of the server.

use std::collections::BTreeMap;

use collective_core::TeamName;
use collective_core::task::TaskState;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::agents::{AgentView, QueueView};

/// What to read: `GET /v1/events`. As `text/event-stream` it goes on for ever, as JSON it is one page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ReadEvents {
    /// The number after which to read; `Last-Event-ID` goes before it. Without either, a stream starts now and a page at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Only events about this task: id or number. Pages only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// How many per page, 500 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// The team at a glance: `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Which team.
    pub team: TeamName,
    /// The server's version.
    pub version: String,
    /// How long the server has been up, in seconds.
    pub uptime_seconds: f64,
    /// How many tasks in each state.
    pub tasks: BTreeMap<TaskState, u64>,
    /// The queues.
    pub queues: Vec<QueueView>,
    /// The agents.
    pub agents: Vec<AgentView>,
    /// How many questions wait for an answer.
    pub open_questions: u64,
    /// The number of the newest event.
    pub last_event: u64,
}

/// One part that the server needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartHealth {
    /// `store`, `bus`, `cache`; `clock` where servers share a store.
    pub part: String,
    /// Whether it serves.
    pub ok: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whether the server can serve: `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether requests should come here.
    pub ready: bool,
    /// Whether it is stopping.
    pub draining: bool,
    /// Its parts.
    pub parts: Vec<PartHealth>,
}
