//! Each case of the cache suite fails on a cache that breaks its promise.

use async_trait::async_trait;
use collective_cache::LocalCache;
use collective_core::ports::cache::{MAX_KEY_LEN, MAX_VALUE_LEN};
use collective_core::ports::{Cache, CacheError, Permit, RateLimit};
use collective_core::{Span, Timestamp};
use collective_testkit::cache;

/// One promise that is broken.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    KeepsTextOnly,
    KeepsAMomentLonger,
    KeepsForAtLeastASecond,
    KeepsTheFirst,
    NeverForgets,
    AnswersInOrderOfKeys,
    TrimsKeys,
    CutsWhatIsTooLarge,
    LetsOneMoreThrough,
    RoundsTheWaitUp,
    RecoversOnePermit,
    KeepsBucketsAsValues,
    HasABucketPerThread,
    IsNotHealthy,
}

struct Broken {
    inner: LocalCache,
    fault: Fault,
}

impl Broken {
    fn key(&self, key: &str) -> String {
        match self.fault {
            Fault::TrimsKeys => key.trim().to_owned(),
            Fault::CutsWhatIsTooLarge => key[..key.len().min(MAX_KEY_LEN)].to_owned(),
            _ => key.to_owned(),
        }
    }
}

#[async_trait]
impl Cache for Broken {
    async fn put(
        &self,
        key: &str,
        value: &[u8],
        ttl: Span,
        now: Timestamp,
    ) -> Result<(), CacheError> {
        let text = String::from_utf8_lossy(value).into_owned();
        let (mut value, mut ttl) = (value, ttl);
        match self.fault {
            Fault::KeepsTextOnly => value = text.as_bytes(),
            Fault::KeepsAMomentLonger => ttl = Span::from_micros(ttl.micros() + 1),
            Fault::KeepsForAtLeastASecond => ttl = ttl.max(Span::from_secs(1)),
            Fault::KeepsTheFirst if self.inner.get(key, now).await?.is_some() => return Ok(()),
            Fault::CutsWhatIsTooLarge => value = &value[..value.len().min(MAX_VALUE_LEN)],
            _ => {}
        }
        self.inner.put(&self.key(key), value, ttl, now).await
    }

    async fn get(&self, key: &str, now: Timestamp) -> Result<Option<Vec<u8>>, CacheError> {
        self.inner.get(&self.key(key), now).await
    }

    async fn get_many(
        &self,
        keys: &[String],
        now: Timestamp,
    ) -> Result<Vec<Option<Vec<u8>>>, CacheError> {
        let mut keys: Vec<String> = keys.iter().map(|key| self.key(key)).collect();
        if self.fault == Fault::AnswersInOrderOfKeys {
            keys.sort();
        }
        self.inner.get_many(&keys, now).await
    }

    async fn remove(&self, key: &str) -> Result<(), CacheError> {
        match self.fault {
            Fault::NeverForgets => Ok(()),
            _ => self.inner.remove(&self.key(key)).await,
        }
    }

    async fn take(
        &self,
        bucket: &str,
        mut limit: RateLimit,
        now: Timestamp,
    ) -> Result<Permit, CacheError> {
        let mut bucket = self.key(bucket);
        match self.fault {
            Fault::LetsOneMoreThrough => limit.burst += 1,
            Fault::RecoversOnePermit if self.inner.load().buckets > 0 => limit.burst = 1,
            Fault::KeepsBucketsAsValues => {
                self.inner.put(&bucket, b"x", limit.period, now).await?;
            }
            Fault::HasABucketPerThread => bucket += &format!("{:?}", std::thread::current().id()),
            _ => {}
        }
        let permit = self.inner.take(&bucket, limit, now).await?;
        Ok(match permit {
            Permit::Denied { retry_after } if self.fault == Fault::RoundsTheWaitUp => {
                Permit::Denied {
                    retry_after: retry_after.times(2),
                }
            }
            other => other,
        })
    }

    async fn health(&self) -> Result<(), CacheError> {
        match self.fault {
            Fault::IsNotHealthy => Err(CacheError::Unavailable("broken".to_owned())),
            _ => Ok(()),
        }
    }
}

macro_rules! fails {
    ($($case:ident on $fault:ident;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $case() {
                let broken = Broken { inner: LocalCache::new(), fault: Fault::$fault };
                let run = tokio::spawn(async move { cache::$case(&broken).await });
                assert!(run.await.is_err_and(|end| end.is_panic()), "the case passed on a broken cache");
            }
        )*
    };
}

fails! {
    what_is_put_is_read_back on KeepsTextOnly;
    a_value_ends_with_its_time on KeepsAMomentLonger;
    a_value_without_time_is_not_kept on KeepsForAtLeastASecond;
    a_later_value_replaces_value_and_time on KeepsTheFirst;
    what_is_removed_is_gone on NeverForgets;
    many_are_read_in_their_order on AnswersInOrderOfKeys;
    keys_are_exact on TrimsKeys;
    what_is_too_large_is_refused_and_the_largest_is_kept on CutsWhatIsTooLarge;
    a_bucket_lets_its_burst_through_and_then_one_per_period on LetsOneMoreThrough;
    a_refusal_says_when_to_come_back on RoundsTheWaitUp;
    a_bucket_recovers_its_whole_burst on RecoversOnePermit;
    buckets_are_apart_from_each_other_and_from_values on KeepsBucketsAsValues;
    a_bucket_at_once_from_everywhere_gives_its_burst_and_no_more on HasABucketPerThread;
    a_cache_that_works_says_so on IsNotHealthy;
}
