//! Reading what a task's command wrote, while it runs or after.

use collective_api::tasks::{LogPage, LogPiece, ReadLog};
use collective_core::limits::{MAX_LOG_CHUNK, MAX_LOG_LEN};
use collective_core::ports::Topic;
use collective_core::role::{Permission, Principal};
use collective_core::task::Epoch;
use collective_core::{Rejection, Span};

use super::read::find;
use crate::access::require;
use crate::{Hub, wait};

/// How soon a reader of a running attempt's output looks again; output is no event, so nothing wakes it.
const LOG_LOOK_AGAIN: Span = Span::from_millis(250);
/// Most pieces of output in one answer.
const LOG_PAGE: usize = 64;

/// `GET /v1/tasks/{task}/log`.
pub async fn read_log(
    hub: &Hub,
    who: &Principal,
    task: &str,
    request: &ReadLog,
) -> Result<LogPage, Rejection> {
    require(hub, who, Permission::Read).await?;
    let found = find(&mut *hub.read().await?, &who.team, task).await?;
    let epoch = Epoch(request.attempt.unwrap_or(found.epoch.0));
    if epoch > found.epoch {
        return Err(Rejection::not_found("attempt", epoch));
    }
    let (id, after) = (found.id, request.after.unwrap_or(0));
    let look = || async move {
        let mut query = hub.read().await?;
        // Looked at before the pieces, so that none can come in between unseen.
        let task = query.task(&who.team, id).await?;
        let running = task.is_some_and(|task| task.state.is_leased() && task.epoch == epoch);
        let chunks = query.log(&who.team, id, epoch, after, LOG_PAGE).await?;
        let full = chunks.len() == LOG_PAGE;
        let pieces: Vec<LogPiece> = chunks
            .into_iter()
            .map(|chunk| LogPiece {
                position: chunk.position,
                at: chunk.at,
                text: String::from_utf8_lossy(&chunk.bytes).into_owned(),
            })
            .collect();
        let page = LogPage {
            attempt: epoch.0,
            pieces,
            ended: !running && !full,
        };
        Ok((page.ended || !page.pieces.is_empty()).then_some(page))
    };
    let wait = request.wait.unwrap_or(Span::ZERO);
    let page = wait::every(hub, &[Topic::Task(id)], wait, LOG_LOOK_AGAIN, look).await?;
    Ok(page.unwrap_or(LogPage {
        attempt: epoch.0,
        pieces: Vec::new(),
        ended: false,
    }))
}

/// The most output of an attempt that is kept, with room for the last piece.
pub(crate) const LOG_BOUND: u64 = (MAX_LOG_LEN + MAX_LOG_CHUNK) as u64;
