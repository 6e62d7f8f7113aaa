//! The connection to the broker as a loop: connect with a limit, declare, run
//! to the first error, wait with jitter, again, for as long as the bus lives.
//!
//! The driver's own recovery stays off: what was in flight fails at once as
//! unavailable, which the outbox makes harmless, and there is one place that
//! says what state the connection is in.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::Event;
use lapin::types::ShortString;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::error::Trouble;
use super::leaderless::Suspects;
use super::link::{GOODBYE, Link, Opened, open};
use super::options::RabbitOptions;
use super::reports::RabbitReport;
use super::{consumer, reports};
use crate::LocalBus;

/// Pause before the second try to connect; it doubles up to the bound.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// A connection that lived this long was a good one: the next pause is short again.
const STABLE: Duration = Duration::from_secs(10);
/// What the marks of all our processes begin with.
const ORIGIN: &str = "collective";

/// What a session is doing, for metrics and readiness.
#[derive(Clone, Debug)]
pub struct State {
    /// Whether there is a connection with everything declared.
    pub connected: bool,
    /// Since when it is so, or isn't.
    pub since: Instant,
    /// The last thing that went wrong, in words that help.
    pub last_error: Option<String>,
    /// Why the broker takes no messages, while it takes none.
    pub blocked: Option<String>,
    /// Connections that were made after the first.
    pub reconnects: u64,
    /// Messages with news of other replicas that were heard.
    pub heard: u64,
    /// Messages on `agent.news` that couldn't be read.
    pub garbage: u64,
}

/// What the session and those who use it share.
pub(super) struct Shared {
    pub(super) options: RabbitOptions,
    pub(super) local: LocalBus,
    /// Marks the messages of this bus as its own.
    pub(super) origin: ShortString,
    pub(super) heard: AtomicU64,
    pub(super) garbage: AtomicU64,
    /// Queues that may take nothing.
    pub(super) suspects: Suspects,
    link: watch::Sender<Option<Arc<Link>>>,
    state: Mutex<State>,
    /// Whether anybody takes reports here: whoever doesn't must not hold them.
    wanted: watch::Sender<bool>,
    inbox: mpsc::Sender<RabbitReport>,
    received: tokio::sync::Mutex<mpsc::Receiver<RabbitReport>>,
}

impl Shared {
    pub(super) fn new(options: RabbitOptions, local: LocalBus) -> Self {
        let (inbox, received) = mpsc::channel(usize::from(options.prefetch).max(1));
        Self {
            local,
            origin: format!("{ORIGIN}-{:016x}", rand::random::<u64>()).into(),
            heard: AtomicU64::new(0),
            garbage: AtomicU64::new(0),
            suspects: Suspects::default(),
            link: watch::channel(None).0,
            state: Mutex::new(State {
                connected: false,
                since: Instant::now(),
                last_error: None,
                blocked: None,
                reconnects: 0,
                heard: 0,
                garbage: 0,
            }),
            wanted: watch::channel(false).0,
            inbox,
            received: tokio::sync::Mutex::new(received),
            options,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> State {
        State {
            heard: self.heard.load(Ordering::Relaxed),
            garbage: self.garbage.load(Ordering::Relaxed),
            ..self.lock().clone()
        }
    }

    /// The connection, if there is one.
    pub(super) fn link(&self) -> Result<Arc<Link>, Trouble> {
        if let Some(link) = self.link.borrow().as_ref() {
            return Ok(Arc::clone(link));
        }
        let said = self.lock().last_error.clone();
        Err(Trouble::Away {
            said: said.unwrap_or_else(|| "it is still connecting".to_owned()),
        })
    }

    /// Waits until there is a connection.
    pub(super) async fn linked(&self) {
        // The sender is our own, so waiting ends only with what is waited for.
        let _ = self.link.subscribe().wait_for(Option::is_some).await;
    }

    /// Gives an answer of the broker its bound in time.
    pub(super) async fn bounded<T>(
        &self,
        what: &str,
        answer: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let limit = self.options.confirm_limit;
        timeout(limit, answer).await.unwrap_or_else(|_| {
            Err(Trouble::TimedOut {
                what: what.to_owned(),
                limit,
            })
        })
    }

    /// The next report that can still be answered for.
    pub(super) async fn report(&self) -> Result<RabbitReport, Trouble> {
        self.wanted
            .send_if_modified(|wanted| !std::mem::replace(wanted, true));
        let mut received = self.received.lock().await;
        loop {
            let report = received.recv().await.ok_or(Trouble::Closed)?;
            if report.is_live() {
                return Ok(report);
            }
        }
    }

    /// Lets go of reports that nobody takes any more; each of them holds this.
    async fn forget_reports(&self) {
        if let Ok(mut received) = timeout(GOODBYE, self.received.lock()).await {
            while received.try_recv().is_ok() {}
        }
    }

    fn connected(&self, link: &Arc<Link>, first: bool) {
        {
            let mut state = self.lock();
            state.connected = true;
            state.since = Instant::now();
            state.blocked = None;
            state.reconnects += u64::from(!first);
        }
        // What was told meanwhile reached nobody here; from now on news is heard.
        self.local.wake_everyone();
        self.link.send_replace(Some(Arc::clone(link)));
    }

    fn disconnected(&self, trouble: &Trouble) {
        self.link.send_replace(None);
        let said = trouble.to_string();
        let mut state = self.lock();
        if state.connected {
            state.connected = false;
            state.since = Instant::now();
        }
        // The same trouble again is no news.
        if state.last_error.as_ref() == Some(&said) {
            debug!(error = %said, "RabbitMQ is still away");
        } else {
            warn!(error = %said, "RabbitMQ is away");
        }
        state.blocked = None;
        state.last_error = Some(said);
    }

    fn blocked(&self, reason: Option<String>) {
        self.lock().blocked = reason;
    }
}

/// Keeps a connection for as long as the owner of `stop` lives and doesn't say stop.
pub(super) async fn run(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut tries: u32 = 0;
    let mut first = true;
    loop {
        let opened = tokio::select! {
            () = stopped(&mut stop) => break,
            opened = open(&shared) => opened,
        };
        let (trouble, lived) = match opened {
            Ok(opened) => {
                let link = Arc::clone(&opened.link);
                let start = Instant::now();
                shared.connected(&link, first);
                first = false;
                info!(place = %shared.options.place(), "connected to RabbitMQ");
                let trouble = tokio::select! {
                    () = stopped(&mut stop) => Trouble::Closed,
                    trouble = serve(&shared, opened) => trouble,
                };
                shared.disconnected(&trouble);
                link.goodbye().await;
                if trouble == Trouble::Closed {
                    break;
                }
                (trouble, start.elapsed())
            }
            Err(trouble) => (trouble, Duration::ZERO),
        };
        shared.disconnected(&trouble);
        tries = if lived >= STABLE {
            0
        } else {
            tries.saturating_add(1)
        };
        let pause = backoff(tries, shared.options.max_backoff, rand::random());
        tokio::select! {
            () = stopped(&mut stop) => break,
            () = sleep(pause) => {}
        }
    }
    shared.disconnected(&Trouble::Closed);
    shared.forget_reports().await;
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An owner that is gone has stopped.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Full jitter: anything up to a bound that doubles, so that the replicas of a
/// team don't come back at once.
fn backoff(tries: u32, longest: Duration, chance: f64) -> Duration {
    FIRST_BACKOFF
        .saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)))
        .min(longest)
        .mul_f64(chance.clamp(0.0, 1.0))
}

/// Runs a connection to its first error.
async fn serve(shared: &Arc<Shared>, opened: Opened) -> Trouble {
    let Opened {
        link,
        news,
        mut broken,
    } = opened;
    tokio::select! {
        trouble = watch_publishing(shared, &link) => trouble,
        trouble = watch_consuming(shared, &link) => trouble,
        trouble = consumer::pump(news, shared) => trouble,
        trouble = take_reports(shared, &link) => trouble,
        Some(trouble) = broken.recv() => trouble,
    }
}

/// Follows what the broker says to the connection that publishes.
async fn watch_publishing(shared: &Shared, link: &Link) -> Trouble {
    let mut events = Box::pin(link.publishing.events_listener());
    while let Some(event) = events.next().await {
        match event {
            Event::ConnectionBlocked(reason) => {
                warn!(%reason, "RabbitMQ takes no messages");
                shared.blocked(Some(reason.clone()));
                link.blocked.send_replace(Some(reason));
            }
            Event::ConnectionUnblocked => {
                info!("RabbitMQ takes messages again");
                shared.blocked(None);
                link.blocked.send_replace(None);
            }
            Event::Error(error) => {
                return Trouble::read(&error, &shared.options, "publishing", None);
            }
            _ => {}
        }
    }
    ended()
}

async fn watch_consuming(shared: &Shared, link: &Link) -> Trouble {
    let mut events = Box::pin(link.consuming.events_listener());
    while let Some(event) = events.next().await {
        if let Event::Error(error) = event {
            // An errand's channel may fail and nothing else; the connection goes on.
            if link.consuming.status().connected() {
                continue;
            }
            return Trouble::read(&error, &shared.options, "consuming", None);
        }
    }
    ended()
}

fn ended() -> Trouble {
    Trouble::Broken {
        said: "it ended".to_owned(),
    }
}

/// Takes reports from the moment that somebody wants them.
async fn take_reports(shared: &Arc<Shared>, link: &Link) -> Trouble {
    // The sender is our own, so waiting ends only with what is waited for.
    let _ = shared.wanted.subscribe().wait_for(|wanted| *wanted).await;
    let started = async {
        let channel = link
            .consuming
            .create_channel()
            .await
            .map_err(|error| Trouble::read(&error, &shared.options, "taking reports", None))?;
        let consumer = reports::listen(&channel, shared).await?;
        Ok((channel, consumer))
    };
    match shared.bounded("taking reports", started).await {
        Ok((_channel, consumer)) => reports::pump(consumer, shared, &shared.inbox).await,
        Err(trouble) => trouble,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_never_past_it() {
        let longest = Duration::from_secs(5);
        let bounds: Vec<u128> = [1, 2, 3, 4, 5, 6, 40]
            .map(|tries| backoff(tries, longest, 1.0).as_millis())
            .to_vec();
        assert_eq!(bounds, [200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(backoff(3, longest, 0.0), Duration::ZERO);
        assert_eq!(backoff(0, longest, 1.0), Duration::from_millis(200));
    }
}
