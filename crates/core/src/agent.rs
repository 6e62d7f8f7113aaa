//! Agents: who takes part, what they serve and how many tasks they hold at once.

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_QUEUES_PER_AGENT, MAX_SLOTS};
use crate::rejection::{Code, Rejection};
use crate::role::Role;
use crate::task::Lane;
use crate::{AgentName, QueueName, Timestamp};

/// Most agents of one team.
pub const MAX_AGENTS: usize = 10_000;

/// What an agent says of itself when it registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AgentSpec {
    /// What it is in the team.
    #[serde(default = "default_role")]
    pub role: Role,
    /// The queues it serves; `default` if nothing is said.
    #[serde(default = "default_queues")]
    pub queues: Vec<QueueName>,
    /// How many tasks it holds at once.
    #[serde(default = "default_slots")]
    pub slots: u32,
    /// What it runs, for people to read.
    #[serde(default)]
    pub description: String,
    /// How its tasks reach it.
    #[serde(default, skip_serializing_if = "Transport::is_default")]
    pub transport: Transport,
}

/// How tasks reach an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// It asks for them over HTTP.
    #[default]
    Http,
    /// They are offered in queues on the broker. Only where there is one.
    Amqp,
}

impl Transport {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Http => "http",
            Transport::Amqp => "amqp",
        }
    }

    /// The transport of a word.
    pub fn from_text(text: &str) -> Option<Self> {
        [Transport::Http, Transport::Amqp]
            .into_iter()
            .find(|transport| transport.as_str() == text)
    }

    fn is_default(&self) -> bool {
        *self == Transport::default()
    }
}

fn default_role() -> Role {
    Role::Worker
}

fn default_queues() -> Vec<QueueName> {
    vec![QueueName::default_queue()]
}

fn default_slots() -> u32 {
    1
}

impl Default for AgentSpec {
    fn default() -> Self {
        Self {
            role: default_role(),
            queues: default_queues(),
            slots: default_slots(),
            description: String::new(),
            transport: Transport::default(),
        }
    }
}

impl AgentSpec {
    /// Checks every bound.
    pub fn validate(&self) -> Result<(), Rejection> {
        if self.slots == 0 || self.slots > MAX_SLOTS {
            return Err(Rejection::new(
                Code::InvalidField,
                format!("slots must be 1 to {MAX_SLOTS}, not {}", self.slots),
            )
            .at("slots"));
        }
        if self.queues.len() > MAX_QUEUES_PER_AGENT {
            return Err(
                Rejection::too_large("queues", self.queues.len(), MAX_QUEUES_PER_AGENT)
                    .at("queues"),
            );
        }
        if self.description.len() > crate::limits::MAX_TITLE_LEN {
            return Err(Rejection::too_large(
                "description",
                self.description.len(),
                crate::limits::MAX_TITLE_LEN,
            )
            .at("description"));
        }
        Ok(())
    }
}

/// A registered agent. Whether it is present is the cache's to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Agent {
    /// Its name, unique in the team.
    pub name: AgentName,
    /// What it said of itself last.
    #[serde(flatten)]
    pub spec: AgentSpec,
    /// While draining it gets no new tasks; the ones it holds go on.
    pub draining: bool,
    /// When it registered first.
    pub created_at: Timestamp,
    /// When it registered last.
    pub registered_at: Timestamp,
}

impl Agent {
    /// The lanes it may take tasks from: its own, its role's, its queues'.
    pub fn lanes(&self) -> Vec<Lane> {
        let mut lanes = vec![Lane::Agent(self.name.clone()), Lane::Role(self.spec.role)];
        lanes.extend(self.spec.queues.iter().cloned().map(Lane::Queue));
        lanes
    }
}
