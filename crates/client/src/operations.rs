//! How the server and the team fare; pages of the event log.

use collective_api::Page;
use collective_api::operations::{ReadEvents, Readiness, Status};
use collective_core::event::Event;
use serde_json::Value;

use crate::{Client, ClientError};

/// What `/readyz` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Each part, with why it doesn't serve.
    pub readiness: Readiness,
    /// The HTTP status: 200, or 503 if requests shouldn't come here.
    pub status: u16,
}

impl Client {
    /// `GET /healthz`: whether the process answers at all.
    pub async fn health(&self) -> Result<(), ClientError> {
        self.get(&["healthz"]).done().await
    }

    /// `GET /readyz`: whether it can serve, and if not, why. Asked once.
    pub async fn readiness(&self) -> Result<Ready, ClientError> {
        let request = self.get(&["readyz"]).request()?;
        let (status, body) = self.ask_once(request).await?;
        serde_json::from_slice(&body)
            .map(|readiness| Ready { readiness, status })
            .map_err(|error| ClientError::Protocol {
                url: self.url().to_owned(),
                status,
                what: error.to_string(),
            })
    }

    /// `GET /metrics`, in the text format of Prometheus.
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let whole = self.get(&["metrics"]).whole().await?;
        Ok(String::from_utf8_lossy(&whole.body).into_owned())
    }

    /// `GET /openapi.json`.
    pub async fn openapi(&self) -> Result<Value, ClientError> {
        self.get(&["openapi.json"]).answer().await
    }

    /// `GET /v1/status`.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get(&["v1", "status"]).answer().await
    }

    /// `GET /v1/events`: one page of the log; [`Client::events`] is the feed.
    pub async fn list_events(&self, query: &ReadEvents) -> Result<Page<Event>, ClientError> {
        self.get(&["v1", "events"])
            .header("accept", "application/json")
            .query(query)
            .answer()
            .await
    }
}
