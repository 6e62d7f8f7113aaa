//! Messages, inboxes, reservations and schedules.

use collective_core::message::{Delivery, Message, Receipt, Recipient};
use collective_core::schedule::Overlap;
use collective_core::task::{LeaseToken, TaskSpec};
use collective_core::{AgentName, MessageId, Span, TaskId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// `POST /v1/messages`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// Who it is for: `{"agent": NAME}`, `{"role": ROLE}` or `"team"`.
    pub to: Recipient,
    /// The text.
    pub body: String,
    /// The agent that sends it; an agent's key sends as itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<AgentName>,
    /// The message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<MessageId>,
}

/// A message that is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SentMessage {
    /// The message.
    #[serde(flatten)]
    pub message: Message,
    /// How far it got, with each recipient.
    pub deliveries: Vec<DeliveryState>,
}

/// How far a message got with one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryState {
    /// Whose inbox.
    pub recipient: AgentName,
    /// How far.
    pub receipt: Receipt,
    /// Since when.
    pub at: collective_core::Timestamp,
}

/// What to read: `GET /v1/agents/{agent}/inbox`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ReadInbox {
    /// The position after which to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Whether to show what was acknowledged too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<bool>,
    /// How long to wait for a first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub wait: Option<Span>,
    /// How many, 50 if nothing is said, 500 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// An inbox. Reading it marks what was `durable` as `handed_over`, unless the reader isn't the agent itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Inbox {
    /// Messages, oldest first.
    pub messages: Vec<Delivery>,
}

/// `POST /v1/agents/{agent}/receipts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MarkMessages {
    /// Which messages.
    pub messages: Vec<MessageId>,
    /// `presented` or `acknowledged`.
    pub receipt: Receipt,
}

/// `POST /v1/reservations`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reserve {
    /// Who reserves.
    pub agent: AgentName,
    /// Which repository: a name that the team agrees on.
    #[serde(default)]
    pub repository: String,
    /// The paths, relative to its root.
    pub paths: Vec<String>,
    /// How long.
    pub ttl: Span,
    /// Whether others may hold the same paths if they too say so.
    #[serde(default)]
    pub shared: bool,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// The task that it is for: it then ends with that attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The token of the task's claim, if it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<LeaseToken>,
}

/// `POST /v1/schedules`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSchedule {
    /// Its name, unique in the team.
    pub name: String,
    /// Five fields, or six with seconds first.
    pub cron: String,
    /// An IANA time zone.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// What happens when the last task still runs.
    #[serde(default)]
    pub overlap: Overlap,
    /// The task that it creates.
    pub task: TaskSpec,
}

fn utc() -> String {
    "UTC".to_owned()
}
