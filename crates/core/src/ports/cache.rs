//! The cache holds what may be lost at any time: presence, rate limits, sessions, short-lived answers.

use async_trait::async_trait;

use crate::{Span, Timestamp};

/// Longest key, in bytes.
pub const MAX_KEY_LEN: usize = 256;
/// Largest value, in bytes.
pub const MAX_VALUE_LEN: usize = 64 * 1024;

/// Why the cache can't serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// Its server doesn't answer, or refuses.
    #[error("the cache can't serve: {0}")]
    Unavailable(String),
    /// A key or value is over its bound.
    #[error("a cache entry is larger than its bound")]
    TooLarge,
}

/// A bucket that lets `burst` through at once and then one per `period`
/// (the generic cell rate algorithm, ITU-T I.371).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many at once.
    pub burst: u32,
    /// Time between two, once the burst is used.
    pub period: Span,
}

/// The answer of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Go on.
    Granted,
    /// Wait this long.
    Denied {
        /// When one more will be let through.
        retry_after: Span,
    },
}

impl RateLimit {
    /// The rule, for every adapter: from the bucket's theoretical arrival time
    /// (none for a new bucket) to the permit and the new arrival time.
    pub fn take(self, arrival: Option<Timestamp>, now: Timestamp) -> (Permit, Timestamp) {
        let arrival = arrival.unwrap_or(now).max(now);
        let tolerance = self.period.times(u64::from(self.burst.saturating_sub(1)));
        let ahead = arrival.since(now);
        if ahead > tolerance {
            let retry_after = Span::from_micros(ahead.micros() - tolerance.micros());
            return (Permit::Denied { retry_after }, arrival);
        }
        (Permit::Granted, arrival + self.period)
    }
}

/// The cache. Time is the caller's, so that tests can move it.
#[async_trait]
pub trait Cache: Send + Sync + 'static {
    /// Keeps `value` for `ttl`.
    async fn put(
        &self,
        key: &str,
        value: &[u8],
        ttl: Span,
        now: Timestamp,
    ) -> Result<(), CacheError>;

    /// What is kept, if it is still there.
    async fn get(&self, key: &str, now: Timestamp) -> Result<Option<Vec<u8>>, CacheError>;

    /// What is kept for each of the keys.
    async fn get_many(
        &self,
        keys: &[String],
        now: Timestamp,
    ) -> Result<Vec<Option<Vec<u8>>>, CacheError>;

    /// Forgets.
    async fn remove(&self, key: &str) -> Result<(), CacheError>;

    /// Takes one permit out of the named bucket, at once for all replicas.
    async fn take(
        &self,
        bucket: &str,
        limit: RateLimit,
        now: Timestamp,
    ) -> Result<Permit, CacheError>;

    /// Whether it can serve now.
    async fn health(&self) -> Result<(), CacheError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_its_burst_through_and_then_one_per_period() {
        let limit = RateLimit {
            burst: 3,
            period: Span::from_secs(1),
        };
        let mut arrival = None;
        let mut granted = Vec::new();
        for millis in [0, 0, 0, 0, 500, 1_000, 1_000, 3_000] {
            let now = Timestamp::from_micros(0) + Span::from_millis(millis);
            let (permit, next) = limit.take(arrival, now);
            arrival = Some(next);
            granted.push(permit == Permit::Granted);
        }
        assert_eq!(granted, [true, true, true, false, false, true, false, true]);
    }
}
