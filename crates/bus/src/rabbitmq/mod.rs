//! The bus and the broker on RabbitMQ.
//!
//! Whoever waits waits in the table of [`LocalBus`]; what this adds is that
//! other replicas' events wake them too. Events go to the exchange
//! `agent.status`, whom they wake to `agent.news`, offers of tasks to
//! `agent.tasks`, and reports of agents come from `agent.results`. The broker may be down, blocked or emptied at any time:
//! what was to be sent is refused as unavailable, what is declared comes back
//! with the next connection, and whoever waits is woken to look.

mod cloudevents;
mod consumer;
mod error;
mod leaderless;
mod link;
mod look;
mod offers;
mod options;
mod publisher;
mod reports;
mod session;
mod tls;
pub mod topology;
mod transport;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use collective_core::TeamName;
use collective_core::event::Event;
use collective_core::ports::{Broker, Bus, BusError, Depth, Offer, Report, Subscription, Topic};
use collective_core::task::{Lane, Priority};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use cloudevents::{OFFER_TYPE, offer_id};
pub use error::Trouble;
pub use look::look;
pub use options::{Password, RabbitOptions, TlsOptions, UrlError};
pub use reports::MAX_BODY;
pub use session::State;

use crate::LocalBus;
use publisher::{Message, Unwanted};
use session::Shared;

/// The bus and the broker on RabbitMQ. Clones share it.
#[derive(Clone)]
pub struct RabbitBus {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    /// Dropped with the last clone, which ends the session too.
    stop: watch::Sender<bool>,
    session: Mutex<Option<JoinHandle<()>>>,
}

impl RabbitBus {
    /// Starts to connect, and goes on trying for as long as it lives. A broker
    /// that is down at the start is not an error. Call it within a runtime.
    pub fn connect(options: RabbitOptions) -> Self {
        let shared = Arc::new(Shared::new(options, LocalBus::new()));
        let (stop, stopped) = watch::channel(false);
        let session = tokio::spawn(session::run(Arc::clone(&shared), stopped));
        Self {
            inner: Arc::new(Inner {
                shared,
                stop,
                session: Mutex::new(Some(session)),
            }),
        }
    }

    /// Waits until it is connected and everything is declared, no longer than `limit`.
    pub async fn connected(&self, limit: Duration) -> Result<(), BusError> {
        let shared = &self.inner.shared;
        match timeout(limit, shared.linked()).await {
            Ok(()) => Ok(()),
            Err(_) => Ok(shared.link().map(drop)?),
        }
    }

    /// What the session is doing.
    pub fn state(&self) -> State {
        self.inner.shared.state()
    }

    /// Ends the session. What is called later fails as unavailable.
    pub async fn close(&self) {
        self.inner.stop.send_replace(true);
        let session = self
            .inner
            .session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(session) = session {
            // It catches its own errors; a panic of it was printed where it happened.
            let _ = session.await;
        }
    }
}

#[async_trait]
impl Bus for RabbitBus {
    fn wake(&self, events: &[Event]) {
        self.inner.shared.local.wake(events);
    }

    async fn publish(&self, events: &[Event]) -> Result<(), BusError> {
        let shared = &self.inner.shared;
        shared.local.wake(events);
        if events.is_empty() {
            return Ok(());
        }
        let link = shared.link()?;
        let news = cloudevents::of_news(&Topic::of_all(events), &shared.origin);
        let messages: Vec<Message> = std::iter::once(news)
            .chain(events.iter().map(cloudevents::of_event))
            .collect::<Result<_, _>>()?;
        Ok(link.send(&messages, Unwanted::Dropped, shared).await?)
    }

    async fn subscribe(&self, topics: &[Topic]) -> Result<Box<dyn Subscription>, BusError> {
        self.inner.shared.local.subscribe(topics).await
    }

    async fn health(&self) -> Result<(), BusError> {
        let shared = &self.inner.shared;
        shared.link()?;
        match shared.state().blocked {
            Some(reason) => Err(Trouble::Blocked { reason }.into()),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Broker for RabbitBus {
    fn task_queue(&self, team: &TeamName, lane: &Lane, priority: Priority) -> String {
        topology::task_queue(&topology::task_key(team, lane, priority))
    }

    async fn declare(&self, team: &TeamName, lane: &Lane) -> Result<(), BusError> {
        let shared = &self.inner.shared;
        let link = shared.link()?;
        Ok(offers::declare(shared, &link, team, lane).await?)
    }

    async fn offer(&self, offers: &[Offer]) -> Result<(), BusError> {
        if offers.is_empty() {
            return Ok(());
        }
        Ok(offers::offer(&self.inner.shared, offers).await?)
    }

    async fn depth(
        &self,
        team: &TeamName,
        lane: &Lane,
        priority: Priority,
    ) -> Result<Option<Depth>, BusError> {
        let shared = &self.inner.shared;
        let link = shared.link()?;
        Ok(offers::depth(shared, &link, team, lane, priority).await?)
    }

    fn reconnects(&self) -> u64 {
        self.state().reconnects
    }

    async fn report(&self) -> Result<Box<dyn Report>, BusError> {
        let mut stop = self.inner.stop.subscribe();
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => Err(Trouble::Closed.into()),
            report = self.inner.shared.report() => Ok(Box::new(report?)),
        }
    }
}
