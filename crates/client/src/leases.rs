//! What a lease's holder does: claim, keep alive, complete, fail, give back.
//!
//! Reports carry the lease token, and a repeated report gets the answer of the
//! first, so they are sent again whatever happened to the answer. A claim is
//! not: see [`crate::retry`].

use collective_api::leases::{
    ClaimAnswer, ClaimRequest, CompleteRequest, Completion, FailRequest, FailedAttempt,
    HeartbeatAnswer, HeartbeatRequest, LeaseRef, ReleaseRequest, Settled,
};
use collective_api::{Items, Problem};
use serde::Serialize;

use crate::{Client, ClientError};

/// What each item of a batch of reports gave.
pub type Reports = Vec<Result<Settled, Box<Problem>>>;

impl Client {
    /// `POST /v1/leases/claim`.
    pub async fn claim(&self, request: &ClaimRequest) -> Result<ClaimAnswer, ClientError> {
        self.post(&["v1", "leases", "claim"])
            .json(request)
            .waiting(request.wait)
            .answer()
            .await
    }

    /// `POST /v1/leases/heartbeat`.
    pub async fn heartbeat(
        &self,
        request: &HeartbeatRequest,
    ) -> Result<HeartbeatAnswer, ClientError> {
        self.post(&["v1", "leases", "heartbeat"])
            .json(request)
            .waiting(request.wait)
            .harmless()
            .answer()
            .await
    }

    /// `POST /v1/leases/complete` for one task. What a rule refuses is an error, `lease_lost` above all.
    pub async fn complete(&self, completion: Completion) -> Result<Settled, ClientError> {
        let request = CompleteRequest {
            completions: vec![completion],
        };
        self.report_one("complete", &request).await
    }

    /// `POST /v1/leases/complete` for many tasks; each item stands for itself.
    pub async fn complete_many(&self, request: &CompleteRequest) -> Result<Reports, ClientError> {
        self.report_many("complete", request, request.completions.len())
            .await
    }

    /// `POST /v1/leases/fail` for one task.
    pub async fn fail(&self, failed: FailedAttempt) -> Result<Settled, ClientError> {
        let request = FailRequest {
            failures: vec![failed],
        };
        self.report_one("fail", &request).await
    }

    /// `POST /v1/leases/fail` for many tasks; each item stands for itself.
    pub async fn fail_many(&self, request: &FailRequest) -> Result<Reports, ClientError> {
        self.report_many("fail", request, request.failures.len())
            .await
    }

    /// `POST /v1/leases/release` for one task.
    pub async fn release(&self, lease: LeaseRef, reason: &str) -> Result<Settled, ClientError> {
        let request = ReleaseRequest {
            leases: vec![lease],
            reason: reason.to_owned(),
        };
        self.report_one("release", &request).await
    }

    /// `POST /v1/leases/release` for many tasks; each item stands for itself.
    pub async fn release_many(&self, request: &ReleaseRequest) -> Result<Reports, ClientError> {
        self.report_many("release", request, request.leases.len())
            .await
    }

    async fn report<T: Serialize>(
        &self,
        verb: &str,
        request: &T,
    ) -> Result<Items<Settled>, ClientError> {
        self.post(&["v1", "leases", verb])
            .json(request)
            .harmless()
            .answer()
            .await
    }

    async fn report_one<T: Serialize>(
        &self,
        verb: &str,
        request: &T,
    ) -> Result<Settled, ClientError> {
        let mut items = self.report(verb, request).await?.items;
        let count = items.len();
        match items.pop() {
            Some(item) if count == 1 => {
                item.into_result().map_err(|problem| ClientError::Refused {
                    problem,
                    retry_after: None,
                })
            }
            _ => Err(self.miscounted(1, count)),
        }
    }

    async fn report_many<T: Serialize>(
        &self,
        verb: &str,
        request: &T,
        count: usize,
    ) -> Result<Reports, ClientError> {
        let items = match self.report(verb, request).await {
            Ok(answer) => answer.items,
            // A batch of one that a rule refuses answers with the item's own status.
            Err(ClientError::Refused { problem, .. })
                if count == 1 && !concerns_the_call(problem.status) =>
            {
                return Ok(vec![Err(problem)]);
            }
            Err(error) => return Err(error),
        };
        if items.len() != count {
            return Err(self.miscounted(count, items.len()));
        }
        Ok(items.into_iter().map(|item| item.into_result()).collect())
    }

    fn miscounted(&self, asked: usize, got: usize) -> ClientError {
        ClientError::Protocol {
            url: self.url().to_owned(),
            status: 200,
            what: format!("{got} answers for {asked} reports"),
        }
    }
}

/// Whether a refusal is about who calls or how the server fares, rather than about the item.
fn concerns_the_call(status: u16) -> bool {
    matches!(status, 400 | 401 | 403 | 405 | 413 | 415 | 429) || status >= 500
}
