//! A team over ports in memory, with a clock and chance in the test's hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use collective_api::leases::{Claim, ClaimRequest};
use collective_bus::LocalBus;
use collective_cache::LocalCache;
use collective_core::agent::AgentSpec;
use collective_core::event::Event;
use collective_core::ports::store::{Failed, Query, Store, Work};
use collective_core::ports::{Bus, Cache, CacheError, Permit, RateLimit, StoreError};
use collective_core::role::Principal;
use collective_core::task::TaskSpec;
use collective_core::{AgentName, QueueName, Span, TaskId, TeamName, Timestamp};
use collective_service::access::hash_secret;
use collective_service::{Hub, Ports, agents, leases, tasks};
use collective_testkit::memory::MemoryStore;
use collective_testkit::world::{FakeClock, Loss, LossyBus, SeededEntropy};

/// The administrator's token of every team here.
pub(crate) const ADMIN_TOKEN: &str = "the-token-of-the-administrator";

/// A store that counts how often it is asked.
#[derive(Clone, Default)]
pub(crate) struct Counted {
    inner: MemoryStore,
    asked: Arc<AtomicU64>,
}

impl Counted {
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Store for Counted {
    async fn transact(&self, team: Option<&TeamName>, work: Work) -> Result<Vec<Event>, Failed> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.inner.transact(team, work).await
    }

    async fn reader(&self) -> Result<Box<dyn Query>, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.inner.reader().await
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.inner.health().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// A team with its server.
pub(crate) struct Team {
    pub(crate) hub: Hub,
    pub(crate) clock: FakeClock,
    pub(crate) chance: SeededEntropy,
    pub(crate) store: Counted,
    pub(crate) admin: Principal,
    ports: Ports,
}

impl Team {
    pub(crate) async fn new() -> Self {
        Self::with(Arc::new(LocalBus::new()), 7).await
    }

    pub(crate) async fn of_seed(seed: u64) -> Self {
        Self::with(Arc::new(LocalBus::new()), seed).await
    }

    /// A team whose bus delivers nothing at all.
    pub(crate) async fn with_a_dead_bus() -> Self {
        let nothing = Loss {
            lost: 100,
            repeated: 0,
            delayed: 0,
        };
        Self::with(Arc::new(LossyBus::new(LocalBus::new(), nothing, 1)), 7).await
    }

    async fn with(bus: Arc<dyn Bus>, seed: u64) -> Self {
        let (clock, chance) = (FakeClock::default(), SeededEntropy::new(seed));
        let store = Counted::default();
        let ports = Ports {
            store: Arc::new(store.clone()),
            bus,
            cache: Arc::new(LocalCache::new()),
            clock: Arc::new(clock.clone()),
            entropy: Arc::new(chance.split()),
            shared: None,
        };
        let team = Self {
            hub: Hub::new(ports.clone(), Some(hash_secret(ADMIN_TOKEN))),
            clock,
            chance,
            store,
            admin: Principal::admin(TeamName::default_team()),
            ports,
        };
        team.hub.recover().await.unwrap();
        team
    }

    /// Another replica over the same ports.
    pub(crate) fn replica(&self) -> Hub {
        Hub::new(self.ports.clone(), Some(hash_secret(ADMIN_TOKEN)))
    }

    /// Another server on the same store, whose cache doesn't answer.
    pub(crate) fn replica_without_a_cache(&self) -> Hub {
        let ports = Ports {
            cache: Arc::new(DownCache),
            ..self.ports.clone()
        };
        Hub::new(ports, Some(hash_secret(ADMIN_TOKEN)))
    }

    pub(crate) async fn agent(&self, text: &str, spec: AgentSpec) -> AgentName {
        let name = AgentName::new(text).unwrap();
        let registered = agents::register(&self.hub, &self.admin, &name, spec).await;
        registered.unwrap();
        name
    }

    pub(crate) async fn task(&self, spec: TaskSpec) -> TaskId {
        let created = tasks::create(&self.hub, &self.admin, spec, None).await;
        created.unwrap().id
    }

    pub(crate) async fn claim(&self, agent: &AgentName, max: u32, wait: Span) -> Vec<Claim> {
        let request = ClaimRequest {
            agent: agent.clone(),
            max,
            lease: Span::from_secs(30),
            wait,
        };
        let answer = leases::claim(&self.hub, &self.admin, &request).await;
        answer.unwrap().claims
    }

    /// One agent that holds one task.
    pub(crate) async fn at_work(&self, spec: TaskSpec) -> (AgentName, Claim) {
        let agent = self.agent("ada", AgentSpec::default()).await;
        self.task(spec).await;
        let claim = self.claim(&agent, 1, Span::ZERO).await.pop().unwrap();
        (agent, claim)
    }
}

pub(crate) fn queue(text: &str) -> QueueName {
    QueueName::new(text).unwrap()
}

/// A cache that doesn't answer.
struct DownCache;

fn down<T>() -> Result<T, CacheError> {
    Err(CacheError::Unavailable("it is down".to_owned()))
}

#[async_trait]
impl Cache for DownCache {
    async fn put(&self, _: &str, _: &[u8], _: Span, _: Timestamp) -> Result<(), CacheError> {
        down()
    }

    async fn get(&self, _: &str, _: Timestamp) -> Result<Option<Vec<u8>>, CacheError> {
        down()
    }

    async fn get_many(
        &self,
        _: &[String],
        _: Timestamp,
    ) -> Result<Vec<Option<Vec<u8>>>, CacheError> {
        down()
    }

    async fn remove(&self, _: &str) -> Result<(), CacheError> {
        down()
    }

    async fn take(&self, _: &str, _: RateLimit, _: Timestamp) -> Result<Permit, CacheError> {
        down()
    }

    async fn health(&self) -> Result<(), CacheError> {
        down()
    }
}
