//! Declaring, finding and pausing queues.

use collective_api::Page;
use collective_api::agents::QueueView;
use collective_core::QueueName;
use reqwest::Method;

use crate::{Client, ClientError};

impl Client {
    /// `GET /v1/queues`.
    pub async fn list_queues(&self) -> Result<Page<QueueView>, ClientError> {
        self.get(&["v1", "queues"]).answer().await
    }

    /// `PUT /v1/queues/{queue}`.
    pub async fn declare_queue(&self, queue: &QueueName) -> Result<QueueView, ClientError> {
        self.call(Method::PUT, &["v1", "queues", queue.as_str()])
            .answer()
            .await
    }

    /// `POST /v1/queues/{queue}/pause`: nothing is handed out from it any more.
    pub async fn pause_queue(&self, queue: &QueueName) -> Result<QueueView, ClientError> {
        self.post(&["v1", "queues", queue.as_str(), "pause"])
            .harmless()
            .answer()
            .await
    }

    /// `POST /v1/queues/{queue}/resume`.
    pub async fn resume_queue(&self, queue: &QueueName) -> Result<QueueView, ClientError> {
        self.post(&["v1", "queues", queue.as_str(), "resume"])
            .harmless()
            .answer()
            .await
    }
}
