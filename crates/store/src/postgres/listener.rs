//! Hears that some replica has committed events: one connection that listens
//! and, when it breaks, is opened again.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use collective_core::ports::StoreError;
use futures_util::{StreamExt, stream};
use tokio::task::JoinHandle;
use tokio_postgres::AsyncMessage;

use super::error::store_error;
use super::news::News;
use super::pool::Pools;

/// The channel that commits are told on.
const LISTEN: &str = "LISTEN collective_events";
/// How long the first new attempt to listen waits; each further one twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest such wait. Whoever waits for events looks by itself meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The task that listens. It ends when this is dropped.
pub(super) struct Listener {
    task: JoinHandle<()>,
}

impl Listener {
    pub(super) fn start(pools: Arc<Pools>, news: Arc<News>) -> Self {
        Self {
            task: tokio::spawn(run(pools, news)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(pools: Arc<Pools>, news: Arc<News>) {
    let mut pause = FIRST_PAUSE;
    while !pools.is_closed() {
        let mut listened = false;
        let ended = listen(&pools, &news, &mut listened).await;
        if listened {
            pause = FIRST_PAUSE;
        }
        if let Err(error) = ended {
            tracing::debug!(%error, "listening for events broke off");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Listens until the connection breaks.
async fn listen(pools: &Pools, news: &News, listened: &mut bool) -> Result<(), StoreError> {
    let (client, mut connection) = pools.connect().await?;
    let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
    let mut asked = pin!(client.batch_execute(LISTEN));
    loop {
        tokio::select! {
            answer = &mut asked, if !*listened => {
                answer.map_err(|error| store_error(&error))?;
                *listened = true;
                // What was committed before wasn't heard.
                news.wake();
            }
            message = messages.next() => match message {
                Some(Ok(AsyncMessage::Notification(_))) => news.wake(),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(store_error(&error)),
                None => return Ok(()),
            },
        }
    }
}
