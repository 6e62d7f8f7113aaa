//! The cache in process: one table for values, one for rate-limit buckets.
//!
//! They are apart so that a flood of values can't push out a bucket and give
//! its owner a fresh burst.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use collective_core::ports::cache::{MAX_KEY_LEN, MAX_VALUE_LEN};
use collective_core::ports::{Cache, CacheError, Permit, RateLimit};
use collective_core::{Span, Timestamp};

use crate::table::{Bounds, Table};

/// Most values at once: presence of every agent of ten full teams.
pub const MAX_ENTRIES: usize = 100_000;

/// Most bytes of keys and values: a cache must not be what fills a small machine.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Most rate-limit buckets at once: one per key that was used within a burst's time.
pub const MAX_BUCKETS: usize = 100_000;

/// The cache in process. Clones share it.
#[derive(Clone, Debug)]
pub struct LocalCache {
    inner: Arc<Mutex<Inner>>,
}

/// How much a cache holds right now, what has run out but wasn't cleared included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Values.
    pub entries: usize,
    /// Bytes of their keys and of themselves.
    pub bytes: usize,
    /// Rate-limit buckets.
    pub buckets: usize,
}

#[derive(Debug)]
struct Inner {
    values: Table<Arc<[u8]>>,
    /// A bucket's value is its theoretical arrival time; once that has come, it is as good as new.
    buckets: Table<Timestamp>,
}

impl LocalCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::with_limit(MAX_ENTRIES)
    }

    /// An empty cache that keeps at most `entries` values and as many buckets.
    pub fn with_limit(entries: usize) -> Self {
        let values = Table::new(Bounds {
            entries,
            bytes: MAX_BYTES,
        });
        let buckets = Table::new(Bounds {
            entries: entries.min(MAX_BUCKETS),
            bytes: MAX_BYTES,
        });
        Self {
            inner: Arc::new(Mutex::new(Inner { values, buckets })),
        }
    }

    /// How much it holds right now.
    pub fn load(&self) -> Load {
        let inner = self.lock();
        Load {
            entries: inner.values.len(),
            bytes: inner.values.bytes(),
            buckets: inner.buckets.len(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for LocalCache {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Cache for LocalCache {
    async fn put(
        &self,
        key: &str,
        value: &[u8],
        ttl: Span,
        now: Timestamp,
    ) -> Result<(), CacheError> {
        check_key(key)?;
        if value.len() > MAX_VALUE_LEN {
            return Err(CacheError::TooLarge);
        }
        let kept = Arc::from(value);
        self.lock()
            .values
            .put(key, kept, value.len(), now + ttl, now);
        Ok(())
    }

    async fn get(&self, key: &str, now: Timestamp) -> Result<Option<Vec<u8>>, CacheError> {
        check_key(key)?;
        let found = self.lock().values.get(key, now).cloned();
        Ok(found.map(|value| value.to_vec()))
    }

    async fn get_many(
        &self,
        keys: &[String],
        now: Timestamp,
    ) -> Result<Vec<Option<Vec<u8>>>, CacheError> {
        keys.iter().try_for_each(|key| check_key(key))?;
        let found: Vec<Option<Arc<[u8]>>> = {
            let inner = self.lock();
            keys.iter()
                .map(|key| inner.values.get(key, now).cloned())
                .collect()
        };
        Ok(found
            .into_iter()
            .map(|value| value.map(|value| value.to_vec()))
            .collect())
    }

    async fn remove(&self, key: &str) -> Result<(), CacheError> {
        check_key(key)?;
        self.lock().values.remove(key);
        Ok(())
    }

    async fn take(
        &self,
        bucket: &str,
        limit: RateLimit,
        now: Timestamp,
    ) -> Result<Permit, CacheError> {
        check_key(bucket)?;
        let mut inner = self.lock();
        let arrival = inner.buckets.get(bucket, now).copied();
        let (permit, next) = limit.take(arrival, now);
        inner
            .buckets
            .put(bucket, next, size_of::<Timestamp>(), next, now);
        Ok(permit)
    }

    async fn health(&self) -> Result<(), CacheError> {
        Ok(())
    }
}

fn check_key(key: &str) -> Result<(), CacheError> {
    if key.len() > MAX_KEY_LEN {
        Err(CacheError::TooLarge)
    } else {
        Ok(())
    }
}
