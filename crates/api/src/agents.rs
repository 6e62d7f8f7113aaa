//! Agents, queues and keys.

use collective_core::agent::Agent;
use collective_core::key::ApiKey;
use collective_core::role::Role;
use collective_core::{AgentName, QueueName, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An agent as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentView {
    /// The agent.
    #[serde(flatten)]
    pub agent: Agent,
    /// Whether it showed a sign of life within the last minute.
    pub present: bool,
    /// Its last sign of life, if it is still known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Timestamp>,
    /// How many tasks it holds.
    pub held: u32,
}

/// `POST /v1/agents/{agent}/drain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// Whether it takes no new tasks; `false` lets it take them again.
    #[serde(default = "yes")]
    pub draining: bool,
}

fn yes() -> bool {
    true
}

/// A queue with what waits in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueView {
    /// Its name.
    pub name: QueueName,
    /// Whether nothing is handed out from it.
    pub paused: bool,
    /// Tasks that wait for an agent, by priority, most urgent first.
    pub queued: [u64; 4],
    /// Tasks that an agent holds.
    pub running: u64,
    /// Agents that serve it and are present.
    pub agents: Vec<AgentName>,
}

/// `POST /v1/keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// What it is for.
    pub label: String,
    /// What it may do; `null` with `admin` makes an administrator's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The agent that it is, if it is to be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// Whether it may do everything in every team.
    #[serde(default)]
    pub admin: bool,
}

/// A new key. The secret is shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedKey {
    /// What is kept of it.
    pub key: ApiKey,
    /// What to send as `Authorization: Bearer …`.
    pub token: String,
}

impl std::fmt::Debug for CreatedKey {
    /// The secret stays out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedKey")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
