//! One connection to the broker in use: where it publishes, and where errands run.
//!
//! Publishing and consuming have connections of their own, since a broker
//! without memory stops to read from those who publish.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use lapin::message::BasicReturnMessage;
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection, Consumer};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, watch};
use tokio::time::timeout;

use super::error::Trouble;
use super::publisher::{Message, Publisher, Unwanted};
use super::session::Shared;
use super::transport::connect;
use super::{consumer, topology};

/// How long a goodbye may take; a broker that is gone or blocked gives none.
pub(super) const GOODBYE: Duration = Duration::from_secs(2);
/// Errands (declaring, looking) at once: each has a channel of its own, since an error ends its channel.
const MAX_ERRANDS: usize = 8;
/// Batches of news in flight at once; more only wait in another place.
const MAX_BATCHES: usize = 16;

/// A connection in use.
pub(super) struct Link {
    pub(super) publishing: Connection,
    pub(super) consuming: Connection,
    news: Publisher,
    batches: Semaphore,
    /// For what must not get lost on its way: one batch at a time, so that a
    /// message that comes back is known to be of it.
    sure: tokio::sync::Mutex<Publisher>,
    errands: Semaphore,
    /// Where whoever finds the connection broken says so.
    broken: mpsc::Sender<Trouble>,
    pub(super) blocked: watch::Sender<Option<String>>,
}

impl Link {
    /// Sends messages that may get lost on their way.
    pub(super) async fn send(
        &self,
        messages: &[Message],
        unwanted: Unwanted,
        shared: &Shared,
    ) -> Result<(), Trouble> {
        let sent = async {
            // Never closed, so it ends only with a permit.
            let _permit = self.batches.acquire().await;
            self.news.send(messages, unwanted, &shared.options).await
        };
        self.noted(sent.await).map(drop)
    }

    /// Sends messages that a queue must take; gives back those that none did.
    pub(super) async fn send_surely(
        &self,
        messages: &[Message],
        shared: &Shared,
    ) -> Result<Vec<BasicReturnMessage>, Trouble> {
        let publisher = self.sure.lock().await;
        let sent = publisher.send(messages, Unwanted::Returned, &shared.options);
        self.noted(sent.await)
    }

    /// A broken connection is told to the session, which makes another.
    fn noted<T>(&self, result: Result<T, Trouble>) -> Result<T, Trouble> {
        if let Err(trouble) = &result {
            match trouble {
                Trouble::Blocked { .. } | Trouble::Refused { .. } | Trouble::Unroutable { .. } => {}
                // One word is enough; the others find it full.
                broken => drop(self.broken.try_send(broken.clone())),
            }
        }
        result
    }

    /// A channel for one errand.
    pub(super) async fn errand(&self, shared: &Shared, what: &str) -> Result<Errand<'_>, Trouble> {
        let opened = async {
            let permit = self.errands.acquire().await.map_err(|_| Trouble::Closed)?;
            let channel = self
                .consuming
                .create_channel()
                .await
                .map_err(|error| Trouble::read(&error, &shared.options, what, None))?;
            Ok(Errand {
                channel,
                _permit: permit,
            })
        };
        shared.bounded(what, opened).await
    }

    /// Closes both connections, unless they are broken already.
    pub(super) async fn goodbye(&self) {
        let both = async {
            tokio::join!(
                self.publishing.close(200, "goodbye".into()),
                self.consuming.close(200, "goodbye".into()),
            )
        };
        let _ = timeout(GOODBYE, both).await;
    }
}

/// A channel for one errand.
pub(super) struct Errand<'a> {
    channel: Channel,
    _permit: SemaphorePermit<'a>,
}

impl Errand<'_> {
    /// Closes the channel, unless an error did.
    pub(super) async fn done(self) {
        if self.channel.status().connected() {
            let _ = timeout(GOODBYE, self.channel.close(200, "done".into())).await;
        }
    }
}

impl Deref for Errand<'_> {
    type Target = Channel;

    fn deref(&self) -> &Channel {
        &self.channel
    }
}

/// A connection that was just made, with what its session listens to.
pub(super) struct Opened {
    pub(super) link: Arc<Link>,
    pub(super) news: Consumer,
    pub(super) broken: mpsc::Receiver<Trouble>,
}

/// Connects, declares everything and starts to listen.
pub(super) async fn open(shared: &Shared) -> Result<Opened, Trouble> {
    let options = &shared.options;
    let told = |error: &lapin::Error| Trouble::read(error, options, "opening a channel", None);
    let publishing = connect(options, "publishing").await?;
    let consuming = connect(options, "consuming").await?;
    let (blocked, is_blocked) = watch::channel(None);
    let confirmed = async || {
        let channel = publishing.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok::<_, lapin::Error>(Publisher::new(channel, is_blocked.clone()))
    };
    let opened = async {
        let channel = consuming
            .create_channel()
            .await
            .map_err(|error| told(&error))?;
        topology::declare(&channel, options).await?;
        let news = consumer::listen(&channel, shared).await?;
        let publisher = confirmed().await.map_err(|error| told(&error))?;
        let sure = confirmed().await.map_err(|error| told(&error))?;
        Ok((news, publisher, sure))
    };
    let (news, publisher, sure) = shared.bounded("declaring", opened).await?;
    let (broken, is_broken) = mpsc::channel(1);
    Ok(Opened {
        link: Arc::new(Link {
            publishing,
            consuming,
            news: publisher,
            batches: Semaphore::new(MAX_BATCHES),
            sure: tokio::sync::Mutex::new(sure),
            errands: Semaphore::new(MAX_ERRANDS),
            broken,
            blocked,
        }),
        news,
        broken: is_broken,
    })
}
