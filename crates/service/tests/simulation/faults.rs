//! Ports that misbehave by a seed: a store that aborts or loses its answer, a cache that forgets or is down.
//!
//! They change how a call ends, never what a call that ends well has done.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use collective_cache::LocalCache;
use collective_core::TeamName;
use collective_core::event::Event;
use collective_core::ports::store::{Failed, Query, Store, Work};
use collective_core::ports::{Cache, CacheError, Permit, RateLimit, StoreError};
use collective_core::{Span, Timestamp};
use collective_testkit::memory::MemoryStore;
use collective_testkit::world::SeededEntropy;

/// Percent of commands that the store aborts before or after their work, and whose answer it loses.
const ABORTED: u32 = 2;
const ANSWER_LOST: u32 = 1;
/// Percent of looks at the store that fail.
const UNREADABLE: u32 = 1;

/// When to misbehave, and how often it was.
pub(crate) struct Faults {
    chance: SeededEntropy,
    calm: AtomicBool,
    pub(crate) aborted: AtomicU64,
    pub(crate) answers_lost: AtomicU64,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            chance: SeededEntropy::new(seed),
            calm: AtomicBool::new(true),
            aborted: AtomicU64::new(0),
            answers_lost: AtomicU64::new(0),
        }
    }

    /// No faults while calm.
    pub(crate) fn set_calm(&self, calm: bool) {
        self.calm.store(calm, Ordering::SeqCst);
    }

    pub(crate) fn calm(&self) -> bool {
        self.calm.load(Ordering::SeqCst)
    }

    fn strikes(&self, percent: u32) -> bool {
        !self.calm() && self.chance.percent(percent)
    }
}

/// A store that fails now and then, always in a way that the port allows.
pub(crate) struct ShakyStore {
    pub(crate) inner: MemoryStore,
    pub(crate) faults: Arc<Faults>,
}

fn gone(why: &str) -> StoreError {
    StoreError::Unavailable(why.to_owned())
}

#[async_trait]
impl Store for ShakyStore {
    async fn transact(&self, team: Option<&TeamName>, work: Work) -> Result<Vec<Event>, Failed> {
        if self.faults.strikes(ABORTED) {
            self.faults.aborted.fetch_add(1, Ordering::Relaxed);
            // Half of them after everything was written, so that it has to be taken back.
            if self.faults.chance.percent(50) {
                return Err(StoreError::Conflict("before its work".to_owned()).into());
            }
            let aborted: Work = Box::new(move |tx| {
                let pending = work(tx);
                Box::pin(async move {
                    pending.await?;
                    Err(gone("the commit failed").into())
                })
            });
            return self.inner.transact(team, aborted).await;
        }
        let lost = self.faults.strikes(ANSWER_LOST);
        let events = self.inner.transact(team, work).await?;
        if lost {
            self.faults.answers_lost.fetch_add(1, Ordering::Relaxed);
            return Err(gone("the answer was lost after the commit").into());
        }
        Ok(events)
    }

    async fn reader(&self) -> Result<Box<dyn Query>, StoreError> {
        if self.faults.strikes(UNREADABLE) {
            return Err(gone("no reader"));
        }
        self.inner.reader().await
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.inner.health().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// A cache that is emptied or goes down when told to.
#[derive(Default)]
pub(crate) struct ForgetfulCache {
    inner: Mutex<LocalCache>,
    down: AtomicBool,
}

impl ForgetfulCache {
    pub(crate) fn forget(&self) {
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = LocalCache::new();
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    fn up(&self) -> Result<LocalCache, CacheError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(CacheError::Unavailable("it is down".to_owned()));
        }
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(inner.clone())
    }
}

#[async_trait]
impl Cache for ForgetfulCache {
    async fn put(
        &self,
        key: &str,
        value: &[u8],
        ttl: Span,
        now: Timestamp,
    ) -> Result<(), CacheError> {
        self.up()?.put(key, value, ttl, now).await
    }

    async fn get(&self, key: &str, now: Timestamp) -> Result<Option<Vec<u8>>, CacheError> {
        self.up()?.get(key, now).await
    }

    async fn get_many(
        &self,
        keys: &[String],
        now: Timestamp,
    ) -> Result<Vec<Option<Vec<u8>>>, CacheError> {
        self.up()?.get_many(keys, now).await
    }

    async fn remove(&self, key: &str) -> Result<(), CacheError> {
        self.up()?.remove(key).await
    }

    async fn take(
        &self,
        bucket: &str,
        limit: RateLimit,
        now: Timestamp,
    ) -> Result<Permit, CacheError> {
        self.up()?.take(bucket, limit, now).await
    }

    async fn health(&self) -> Result<(), CacheError> {
        self.up().map(drop)
    }
}
