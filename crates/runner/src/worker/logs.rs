//! Output on its way to the server, piece by piece, in order.
//!
//! A server that is away holds it up, not the command: the pieces of one
//! attempt are bounded in total, so they can all wait here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use collective_api::leases::AppendLog;
use collective_client::Client;
use collective_core::TaskId;
use collective_core::task::LeaseToken;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{RETRY_PAUSE, rest};
use crate::output::Chunk;

/// Sends pieces until there are no more, the server refuses them, or `give_up`.
pub(super) async fn upload(
    client: Client,
    task: TaskId,
    token: LeaseToken,
    mut chunks: mpsc::Receiver<Chunk>,
    give_up: CancellationToken,
) {
    let mut pause = RETRY_PAUSE.0;
    while let Some(chunk) = chunks.recv().await {
        let request = AppendLog {
            token,
            position: chunk.position,
            content: STANDARD.encode(&chunk.bytes),
        };
        loop {
            match client.append_log(task, &request).await {
                Ok(()) => break,
                Err(error) if error.is_passing() => {
                    if rest(&mut pause, &give_up).await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, %task, "output is not taken any more");
                    return;
                }
            }
        }
        pause = RETRY_PAUSE.0;
    }
}
