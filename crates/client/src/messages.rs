//! Sending messages, reading inboxes, saying how far a message got.

use collective_api::messages::{Inbox, MarkMessages, ReadInbox, SendMessage, SentMessage};
use collective_core::{AgentName, MessageId};

use crate::{Client, ClientError};

impl Client {
    /// `POST /v1/messages`, under an `Idempotency-Key` of its own.
    pub async fn send_message(&self, message: &SendMessage) -> Result<SentMessage, ClientError> {
        self.post(&["v1", "messages"])
            .json(message)
            .once(None)
            .answer()
            .await
    }

    /// `POST /v1/messages` under this `Idempotency-Key`.
    pub async fn send_message_once(
        &self,
        message: &SendMessage,
        key: &str,
    ) -> Result<SentMessage, ClientError> {
        self.post(&["v1", "messages"])
            .json(message)
            .once(Some(key))
            .answer()
            .await
    }

    /// `GET /v1/messages/{message}`: how far it got with each recipient.
    pub async fn message(&self, message: MessageId) -> Result<SentMessage, ClientError> {
        self.get(&["v1", "messages", &message.to_string()])
            .answer()
            .await
    }

    /// `GET /v1/agents/{agent}/inbox`. Read by the agent itself, it counts as handed over.
    pub async fn inbox(&self, agent: &AgentName, query: &ReadInbox) -> Result<Inbox, ClientError> {
        self.get(&["v1", "agents", agent.as_str(), "inbox"])
            .query(query)
            .waiting(query.wait.unwrap_or_default())
            .answer()
            .await
    }

    /// `POST /v1/agents/{agent}/receipts`. A receipt never goes back, so it may be sent again.
    pub async fn mark_messages(
        &self,
        agent: &AgentName,
        marks: &MarkMessages,
    ) -> Result<(), ClientError> {
        self.post(&["v1", "agents", agent.as_str(), "receipts"])
            .json(marks)
            .harmless()
            .done()
            .await
    }
}
