//! Recurring tasks.

use collective_api::Page;
use collective_api::messages::CreateSchedule;
use collective_core::ScheduleId;
use collective_core::schedule::Schedule;
use reqwest::Method;

use crate::{Client, ClientError};

impl Client {
    /// `POST /v1/schedules`, under an `Idempotency-Key` of its own.
    pub async fn create_schedule(&self, request: &CreateSchedule) -> Result<Schedule, ClientError> {
        self.post(&["v1", "schedules"])
            .json(request)
            .once(None)
            .answer()
            .await
    }

    /// `GET /v1/schedules`.
    pub async fn list_schedules(&self) -> Result<Page<Schedule>, ClientError> {
        self.get(&["v1", "schedules"]).answer().await
    }

    /// `DELETE /v1/schedules/{schedule}`.
    pub async fn remove_schedule(&self, schedule: ScheduleId) -> Result<(), ClientError> {
        self.call(Method::DELETE, &["v1", "schedules", &schedule.to_string()])
            .done()
            .await
    }

    /// `POST /v1/schedules/{schedule}/pause`.
    pub async fn pause_schedule(&self, schedule: ScheduleId) -> Result<Schedule, ClientError> {
        self.post(&["v1", "schedules", &schedule.to_string(), "pause"])
            .harmless()
            .answer()
            .await
    }

    /// `POST /v1/schedules/{schedule}/resume`.
    pub async fn resume_schedule(&self, schedule: ScheduleId) -> Result<Schedule, ClientError> {
        self.post(&["v1", "schedules", &schedule.to_string(), "resume"])
            .harmless()
            .answer()
            .await
    }
}
