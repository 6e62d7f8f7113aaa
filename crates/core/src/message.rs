//! Messages: durable mail between agents, with receipts that never claim more than was seen.

use serde::{Deserialize, Serialize};

use crate::limits::MAX_MESSAGE_LEN;
use crate::rejection::{Code, Rejection};
use crate::role::Role;
use crate::{AgentName, MessageId, Timestamp};

/// Who a message is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Recipient {
    /// One agent, registered.
    Agent(AgentName),
    /// Every registered agent of this role, as of now.
    Role(Role),
    /// Every registered agent of the team, as of now.
    Team,
}

/// A message as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Who sent it: an agent's name, or `admin`.
    pub from: String,
    /// Who it is for.
    pub to: Recipient,
    /// The text: data, never an instruction by itself.
    pub body: String,
    /// The message that it answers.
    pub in_reply_to: Option<MessageId>,
    /// When it was accepted.
    pub sent_at: Timestamp,
}

/// How far a message provably got with one recipient. The order is the order of the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Receipt {
    /// The server took it.
    Accepted,
    /// It is committed in the store.
    Durable,
    /// It was in an answer to the recipient's inbox call.
    HandedOver,
    /// The recipient says that it was put before the model or person.
    Presented,
    /// The recipient says that it was dealt with.
    Acknowledged,
}

impl Receipt {
    /// The receipt's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Receipt::Accepted => "accepted",
            Receipt::Durable => "durable",
            Receipt::HandedOver => "handed_over",
            Receipt::Presented => "presented",
            Receipt::Acknowledged => "acknowledged",
        }
    }

    /// The receipt with this word.
    pub fn from_text(text: &str) -> Option<Receipt> {
        [
            Receipt::Accepted,
            Receipt::Durable,
            Receipt::HandedOver,
            Receipt::Presented,
            Receipt::Acknowledged,
        ]
        .into_iter()
        .find(|receipt| receipt.as_str() == text)
    }
}

/// A message as one recipient has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Delivery {
    /// The message.
    #[serde(flatten)]
    pub message: Message,
    /// Whose inbox it is in.
    pub recipient: AgentName,
    /// Its place in that inbox; grows by time.
    pub position: u64,
    /// How far it got.
    pub receipt: Receipt,
    /// When it got there.
    pub receipt_at: Timestamp,
}

/// Checks a message's bounds.
pub fn validate_body(body: &str) -> Result<(), Rejection> {
    match body.len() {
        0 => Err(Rejection::new(Code::InvalidField, "the message is empty").at("body")),
        size if size > MAX_MESSAGE_LEN => {
            Err(Rejection::too_large("the message", size, MAX_MESSAGE_LEN).at("body"))
        }
        _ => Ok(()),
    }
}

/// Moves a receipt forward. It never goes back: an earlier step that is reported again changes nothing.
pub fn advance(delivery: &mut Delivery, to: Receipt, now: Timestamp) -> bool {
    let forward = to > delivery.receipt;
    if forward {
        delivery.receipt = to;
        delivery.receipt_at = now;
    }
    forward
}
