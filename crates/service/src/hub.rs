//! The hub: the ports and what every service shares. Cheap to clone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use collective_core::event::{Event, Fact};
use collective_core::key::ApiKey;
use collective_core::ports::store::{self, Failed, Query, Tx};
use collective_core::ports::{
    Broker, Bus, Cache, Clock, Entropy, Outbox, Permit, RateLimit, Store,
};
use collective_core::{Code, KeyId, Rejection, Span, TeamName, Timestamp};
use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tracing::Instrument;
use tracing::field::Empty;

use crate::leases::Turns;
use crate::trace;

/// The adapters that a hub stands on.
#[derive(Clone)]
pub struct Ports {
    /// The truth.
    pub store: Arc<dyn Store>,
    /// News.
    pub bus: Arc<dyn Bus>,
    /// What may be lost.
    pub cache: Arc<dyn Cache>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// What several servers on one store share; nothing if this one is alone.
    pub shared: Option<Shared>,
}

/// What a server needs to be one of several on the same store.
#[derive(Clone)]
pub struct Shared {
    /// Duties, and events that the world was not told of yet.
    pub outbox: Arc<dyn Outbox>,
    /// Agents that speak the broker's protocol themselves.
    pub broker: Arc<dyn Broker>,
}

type Observer = Box<dyn Fn(&[Event]) + Send + Sync>;

struct Inner {
    ports: Ports,
    admin_hash: Option<[u8; 32]>,
    observer: OnceLock<Observer>,
    draining: AtomicBool,
    drain_started: Notify,
    due_sooner: Notify,
    turns: Turns,
    /// Keys and teams looked up within the last [`LOOKUP_TTL`], so that each request needn't ask the store.
    keys: Mutex<HashMap<KeyId, (Timestamp, ApiKey)>>,
    teams: Mutex<HashMap<TeamName, Timestamp>>,
    /// Buckets of this server alone, for when the cache can't keep one for all.
    buckets: Mutex<HashMap<String, Timestamp>>,
    started_at: Timestamp,
}

/// How long a looked-up key or team counts; a key revoked at another replica works this long at most.
pub(crate) const LOOKUP_TTL: Span = Span::from_secs(1);
/// Most looked-up keys that are kept; past it the memory starts anew.
const MAX_LOOKUPS: usize = 10_000;

/// The ports and what every service shares.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

impl Hub {
    /// A hub. `admin_hash` is the SHA-256 of the administrator's token, if there is one.
    pub fn new(ports: Ports, admin_hash: Option<[u8; 32]>) -> Self {
        let started_at = ports.clock.now();
        Self(Arc::new(Inner {
            ports,
            admin_hash,
            observer: OnceLock::new(),
            draining: AtomicBool::new(false),
            drain_started: Notify::new(),
            due_sooner: Notify::new(),
            turns: Turns::default(),
            keys: Mutex::new(HashMap::new()),
            teams: Mutex::new(HashMap::new()),
            buckets: Mutex::new(HashMap::new()),
            started_at,
        }))
    }

    /// Makes sure that the default team and its default queue exist, and gives
    /// live leases their full length again, since nobody could send heartbeats
    /// while the server was away. Called once, before serving.
    pub async fn recover(&self) -> Result<(), Rejection> {
        crate::access::create_team(self, &TeamName::default_team()).await?;
        // Of several servers some were there all the time; the reaper knows.
        if self.shared().is_none() {
            crate::leases::recover(self).await?;
        }
        Ok(())
    }

    /// Sets who is told of every committed event of this process, for counting. The first call wins.
    pub fn observe(&self, observer: impl Fn(&[Event]) + Send + Sync + 'static) {
        drop(self.0.observer.set(Box::new(observer)));
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.0.ports.clock.now()
    }

    /// When this hub was made.
    pub fn started_at(&self) -> Timestamp {
        self.0.started_at
    }

    /// The cache.
    pub fn cache(&self) -> &dyn Cache {
        &*self.0.ports.cache
    }

    /// The bus.
    pub fn bus(&self) -> &dyn Bus {
        &*self.0.ports.bus
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        &*self.0.ports.store
    }

    /// What this server shares with others, if it does.
    pub fn shared(&self) -> Option<&Shared> {
        self.0.ports.shared.as_ref()
    }

    /// Whose turn it is to look for tasks.
    pub(crate) fn turns(&self) -> &Turns {
        &self.0.turns
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.0.ports.entropy
    }

    pub(crate) fn admin_hash(&self) -> Option<&[u8; 32]> {
        self.0.admin_hash.as_ref()
    }

    /// A view of what is committed.
    pub(crate) async fn read(&self) -> Result<Box<dyn Query>, Rejection> {
        self.0.ports.store.reader().await.map_err(Rejection::from)
    }

    /// Commits work on one team and tells whoever waits for what it did. Both happen
    /// even if the caller goes away meanwhile: its connection may break after the commit.
    pub(crate) async fn write<T, F>(&self, team: &TeamName, work: F) -> Result<T, Rejection>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut dyn Tx) -> BoxFuture<'t, Result<T, Failed>> + Send + 'static,
    {
        self.carry_out(Some(team.clone()), work).await
    }

    /// The same for work that belongs to no team.
    pub(crate) async fn write_across_teams<T, F>(&self, work: F) -> Result<T, Rejection>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut dyn Tx) -> BoxFuture<'t, Result<T, Failed>> + Send + 'static,
    {
        self.carry_out(None, work).await
    }

    async fn carry_out<T, F>(&self, team: Option<TeamName>, work: F) -> Result<T, Rejection>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut dyn Tx) -> BoxFuture<'t, Result<T, Failed>> + Send + 'static,
    {
        let hub = self.clone();
        let span = tracing::info_span!("commit", collective.events = Empty, "error.type" = Empty);
        let of_commit = span.clone();
        let carried_out = async move {
            let (value, events) = store::write(hub.store(), team.as_ref(), work)
                .await
                .map_err(Rejection::from)
                .inspect_err(|rejection| {
                    of_commit.record("error.type", rejection.code().as_str());
                })?;
            of_commit.record("collective.events", trace::count(events.len()));
            hub.announce(&events).await;
            Ok(value)
        }
        .instrument(span);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime.spawn(carried_out).await.unwrap_or_else(|error| {
                Err(Rejection::new(
                    Code::Internal,
                    format!("a command broke off: {error}"),
                ))
            }),
            // Without a runtime nobody can go away: the simulation polls to the end.
            Err(_) => carried_out.await,
        }
    }

    async fn announce(&self, events: &[Event]) {
        if events.is_empty() {
            return;
        }
        if let Some(observer) = self.0.observer.get() {
            observer(events);
        }
        if events.iter().any(|event| sets_an_alarm(&event.fact)) {
            self.0.due_sooner.notify_one();
        }
        if self.0.ports.shared.is_some() {
            // The relay tells the world; here nobody needs to wait for it.
            self.bus().wake(events);
            return;
        }
        // The commands are committed. Whoever waits looks at the store again
        // by itself in a few seconds, so a bus that is down is not their failure.
        let span = tracing::info_span!(
            "publish",
            otel.kind = "producer",
            collective.events = events.len()
        );
        if let Err(error) = self.bus().publish(events).instrument(span).await {
            tracing::warn!(%error, events = events.len(), "committed events were not published");
        }
    }

    /// Waits until something was committed that may be due earlier than what the reaper knows.
    pub(crate) async fn due_sooner(&self) {
        self.0.due_sooner.notified().await;
    }

    /// Stops handing out tasks; long polls end at once.
    pub fn start_draining(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
        self.0.drain_started.notify_waiters();
    }

    /// Whether the server is stopping.
    pub fn draining(&self) -> bool {
        self.0.draining.load(Ordering::SeqCst)
    }

    /// Ends when draining starts, or at once if it has.
    pub async fn drained(&self) {
        let started = self.0.drain_started.notified();
        tokio::pin!(started);
        // Listen before looking, so that a start in between isn't missed.
        started.as_mut().enable();
        if !self.draining() {
            started.await;
        }
    }

    pub(crate) fn known_key(&self, id: KeyId) -> Option<ApiKey> {
        let now = self.now();
        let keys = self.0.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(&id)
            .filter(|(at, _)| now.since(*at) < LOOKUP_TTL)
            .map(|(_, key)| key.clone())
    }

    pub(crate) fn remember_key(&self, key: &ApiKey) {
        let mut keys = self.0.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MAX_LOOKUPS {
            keys.clear();
        }
        keys.insert(key.id, (self.now(), key.clone()));
    }

    pub(crate) fn forget_key(&self, id: KeyId) {
        self.0
            .keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }

    /// Takes one permit out of the named bucket: the cache's, shared by all
    /// servers, or this server's own while the cache is down.
    pub async fn take(&self, bucket: &str, limit: RateLimit) -> Permit {
        let now = self.now();
        if let Ok(permit) = self.cache().take(bucket, limit, now).await {
            return permit;
        }
        let buckets = self.0.buckets.lock();
        let mut buckets = buckets.unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_LOOKUPS {
            buckets.clear();
        }
        let (permit, arrival) = limit.take(buckets.get(bucket).copied(), now);
        buckets.insert(bucket.to_owned(), arrival);
        permit
    }

    pub(crate) fn knows_team(&self, team: &TeamName) -> bool {
        self.0
            .teams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(team)
    }

    /// Teams are never removed, so what was seen once stays true.
    pub(crate) fn remember_team(&self, team: &TeamName) {
        let mut teams = self.0.teams.lock().unwrap_or_else(PoisonError::into_inner);
        if teams.len() >= MAX_LOOKUPS {
            teams.clear();
        }
        teams.insert(team.clone(), self.now());
    }
}

fn sets_an_alarm(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::TaskRetrying { .. }
            | Fact::TaskQuotaWait { .. }
            | Fact::TaskScheduled { .. }
            | Fact::ScheduleSet { .. }
            | Fact::ReservationMade { .. }
            | Fact::TaskCreated {
                wake_at: Some(_),
                ..
            }
    )
}
