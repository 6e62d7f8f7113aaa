//! Reports on their way to the server: sent until they are taken.
//!
//! A report is the attempt's whole worth, so a server that is away holds it up
//! for as long as it takes; what ends the wait is an answer, or being told to
//! stop for good. The server gives a repeated report the answer of the first.

use collective_api::leases::{Completion, FailedAttempt, LeaseRef, Settled};
use collective_client::{Client, ClientError};
use tokio_util::sync::CancellationToken;

use super::{RETRY_PAUSE, rest};

/// What is reported.
pub(super) enum Report {
    Done(Box<Completion>),
    Failed(FailedAttempt),
    GivenBack(LeaseRef, String),
}

impl Report {
    /// Why the work isn't done, if the report says so.
    pub(super) fn reason(&self) -> Option<String> {
        match self {
            Report::Done(_) => None,
            Report::Failed(failed) => Some(failed.failure.reason.clone()),
            Report::GivenBack(_, reason) => Some(reason.clone()),
        }
    }
}

/// Sends it until it is taken or refused. `Ok(None)`: told to stop before that.
pub(super) async fn send(
    client: &Client,
    report: Report,
    give_up: &CancellationToken,
) -> Result<Option<Settled>, ClientError> {
    let mut pause = RETRY_PAUSE.0;
    loop {
        let sent = match &report {
            Report::Done(completion) => client.complete((**completion).clone()).await,
            Report::Failed(failed) => client.fail(failed.clone()).await,
            Report::GivenBack(lease, reason) => client.release(lease.clone(), reason).await,
        };
        match sent {
            Ok(settled) => return Ok(Some(settled)),
            Err(error) if error.is_passing() => {
                tracing::debug!(%error, "a report waits for the server");
                if rest(&mut pause, give_up).await {
                    return Ok(None);
                }
            }
            Err(error) => return Err(error),
        }
    }
}
