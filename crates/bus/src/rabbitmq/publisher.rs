//! Publishing with confirms: many messages in flight, a bound on how many and
//! on how long, and an error as soon as the broker says that it takes none.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, poll};
use lapin::message::BasicReturnMessage;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};
use tokio::sync::watch;
use tokio::time::timeout;

use super::error::Trouble;
use super::options::RabbitOptions;

/// A message on its way out.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) exchange: &'static str,
    pub(super) key: String,
    pub(super) body: Vec<u8>,
    pub(super) properties: BasicProperties,
}

/// What happens to a message that no queue wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unwanted {
    /// The broker drops it.
    Dropped,
    /// The broker gives it back.
    Returned,
}

/// Sends on one channel with confirms.
pub(super) struct Publisher {
    channel: Channel,
    blocked: watch::Receiver<Option<String>>,
    /// Whether confirms of a batch that was given up are still to come.
    abandoned: AtomicBool,
}

impl Publisher {
    pub(super) fn new(channel: Channel, blocked: watch::Receiver<Option<String>>) -> Self {
        Self {
            channel,
            blocked,
            abandoned: AtomicBool::new(false),
        }
    }

    /// Sends messages in their order and returns when all are confirmed, with
    /// those that came back. Which confirm brings a returned message is not
    /// told: with [`Unwanted::Returned`], one batch at a time.
    pub(super) async fn send(
        &self,
        messages: &[Message],
        unwanted: Unwanted,
        options: &RabbitOptions,
    ) -> Result<Vec<BasicReturnMessage>, Trouble> {
        self.abandoned_are_settled();
        let mut batch = Batch {
            publisher: self,
            options,
            pending: VecDeque::with_capacity(messages.len().min(options.window)),
            returned: Vec::new(),
        };
        let mut blocked = self.blocked.clone();
        let limit: Duration = options.confirm_limit;
        tokio::select! {
            biased;
            reason = blocked.wait_for(Option::is_some) => Err(blocked_by(reason.ok().as_deref())),
            sent = timeout(limit, batch.run(messages, unwanted)) => match sent {
                Ok(Ok(())) => Ok(std::mem::take(&mut batch.returned)),
                Ok(Err(trouble)) => Err(trouble),
                Err(_) => Err(Trouble::TimedOut {
                    what: format!("the confirms of {} messages", messages.len()),
                    limit,
                }),
            },
        }
    }

    /// The driver keeps confirms that nobody waited for until it is asked. What
    /// has not come yet is asked for again next time.
    fn abandoned_are_settled(&self) {
        if self.abandoned.swap(false, Ordering::Relaxed) {
            let settled = self.channel.wait_for_confirms().now_or_never();
            let waiting = settled.is_none();
            self.abandoned.fetch_or(waiting, Ordering::Relaxed);
        }
    }
}

fn blocked_by(reason: Option<&Option<String>>) -> Trouble {
    match reason {
        Some(Some(reason)) => Trouble::Blocked {
            reason: reason.clone(),
        },
        // The session that would tell is gone.
        _ => Trouble::Away {
            said: "it was just lost".to_owned(),
        },
    }
}

/// One batch in flight.
struct Batch<'a> {
    publisher: &'a Publisher,
    options: &'a RabbitOptions,
    pending: VecDeque<InFlight<'a>>,
    returned: Vec<BasicReturnMessage>,
}

/// One message in flight.
struct InFlight<'a> {
    key: &'a str,
    stage: Stage<'a>,
}

enum Stage<'a> {
    /// On its way into the socket.
    Leaving(BoxFuture<'a, lapin::Result<PublisherConfirm>>),
    /// On its way to the queue and back.
    Away(PublisherConfirm),
}

impl<'a> Batch<'a> {
    async fn run(&mut self, messages: &'a [Message], unwanted: Unwanted) -> Result<(), Trouble> {
        let flags = BasicPublishOptions {
            mandatory: unwanted == Unwanted::Returned,
            ..BasicPublishOptions::default()
        };
        for message in messages {
            if self.pending.len() >= self.options.window {
                self.settle_oldest().await?;
            }
            let mut leaving = self
                .publisher
                .channel
                .basic_publish(
                    message.exchange.into(),
                    message.key.as_str().into(),
                    flags,
                    &message.body,
                    message.properties.clone(),
                )
                .boxed();
            // The first poll puts the message behind the one before it. Waiting
            // until it has left as well would cost a turn of the driver for each.
            let stage = match poll!(&mut leaving) {
                Poll::Ready(left) => Stage::Away(left.map_err(|error| self.told(&error))?),
                Poll::Pending => Stage::Leaving(leaving),
            };
            self.pending.push_back(InFlight {
                key: &message.key,
                stage,
            });
        }
        while !self.pending.is_empty() {
            self.settle_oldest().await?;
        }
        Ok(())
    }

    async fn settle_oldest(&mut self) -> Result<(), Trouble> {
        let confirmed = match self.pending.front_mut() {
            None => return Ok(()),
            Some(oldest) => oldest.confirmed().await,
        };
        let key = self.pending.pop_front().map(|oldest| oldest.key);
        match confirmed.map_err(|error| self.told(&error))? {
            Confirmation::Nack(_) => Err(Trouble::Refused {
                key: key.unwrap_or_default().to_owned(),
            }),
            confirmation => {
                self.returned.extend(confirmation.take_message());
                Ok(())
            }
        }
    }

    fn told(&self, error: &lapin::Error) -> Trouble {
        Trouble::read(error, self.options, "publishing", None)
    }
}

impl InFlight<'_> {
    /// The broker's word for it. Giving up the wait loses no stage.
    async fn confirmed(&mut self) -> lapin::Result<Confirmation> {
        loop {
            match &mut self.stage {
                Stage::Leaving(leaving) => self.stage = Stage::Away(leaving.await?),
                Stage::Away(confirm) => return confirm.await,
            }
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if !self.pending.is_empty() {
            self.publisher.abandoned.store(true, Ordering::Relaxed);
        }
    }
}
