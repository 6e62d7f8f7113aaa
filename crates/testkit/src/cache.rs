//! What every cache must do: one case per promise of the port.
//!
//! Time is moved by what the cases hand in, never by waiting. It starts at the
//! machine's own time and spans stay above a minute, so that a cache whose
//! server has a clock of its own can run them too. Adapters run the cases by
//! [`cache_conformance!`](crate::cache_conformance).

use std::time::SystemTime;

use collective_core::ports::cache::{MAX_KEY_LEN, MAX_VALUE_LEN};
use collective_core::ports::{Cache, CacheError, Permit, RateLimit};
use collective_core::{Span, Timestamp};
use futures_util::future::BoxFuture;

const MINUTE: Span = Span::from_secs(60);

/// Runs every case of the suite, each as a `#[tokio::test]`.
///
/// `make` is a path to an `async fn()` that gives an empty cache behind a
/// pointer, such as `Arc<LocalCache>`. What the cache needs to live can be
/// kept in the same value, as long as it derefs to the cache.
///
/// `table` in its place gives the cases as a table of names and functions, for
/// an adapter that runs them all on one server.
#[macro_export]
macro_rules! cache_conformance {
    (table) => {
        $crate::cache_conformance! { @each [@table] }
    };
    ($make:path) => {
        $crate::cache_conformance! { @each [@tests $make] }
    };
    (@each [$($what:tt)*]) => {
        $crate::cache_conformance! { $($what)*:
            what_is_put_is_read_back
            a_value_ends_with_its_time
            a_value_without_time_is_not_kept
            a_later_value_replaces_value_and_time
            what_is_removed_is_gone
            many_are_read_in_their_order
            keys_are_exact
            what_is_too_large_is_refused_and_the_largest_is_kept
            a_bucket_lets_its_burst_through_and_then_one_per_period
            a_refusal_says_when_to_come_back
            a_bucket_recovers_its_whole_burst
            buckets_are_apart_from_each_other_and_from_values
            a_bucket_at_once_from_everywhere_gives_its_burst_and_no_more
            a_cache_that_works_says_so
        }
    };
    (@tests $make:path: $($case:ident)*) => {
        $(
            #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let cache = $make().await;
                $crate::cache::$case(&*cache).await;
            }
        )*
    };
    (@table: $($case:ident)*) => {
        [$((
            stringify!($case),
            (|cache| Box::pin($crate::cache::$case(cache))) as $crate::cache::Case,
        )),*]
    };
}

/// A case of the suite, as an entry of its table.
pub type Case = for<'c> fn(&'c dyn Cache) -> BoxFuture<'c, ()>;

/// Any bytes come back as they were.
pub async fn what_is_put_is_read_back(cache: &dyn Cache) {
    let now = start();
    let every_byte: Vec<u8> = (0..=255).collect();
    for (key, value) in [
        ("text", &b"hello"[..]),
        ("empty", b""),
        ("bytes", &every_byte),
    ] {
        put(cache, key, value, MINUTE, now).await;
        assert_eq!(get(cache, key, now).await.as_deref(), Some(value), "{key}");
    }
    assert_eq!(get(cache, "unknown", now).await, None);
}

/// A value is there until its time is over, and not at that time.
pub async fn a_value_ends_with_its_time(cache: &dyn Cache) {
    let now = start();
    put(cache, "presence", b"here", MINUTE, now).await;
    let last = now + Span::from_millis(59_999);
    assert_eq!(
        get(cache, "presence", last).await.as_deref(),
        Some(&b"here"[..])
    );
    assert_eq!(get(cache, "presence", now + MINUTE).await, None);
    assert_eq!(get(cache, "presence", now + MINUTE.times(100)).await, None);
}

/// No time to live means none, not for ever.
pub async fn a_value_without_time_is_not_kept(cache: &dyn Cache) {
    let now = start();
    put(cache, "key", b"old", MINUTE, now).await;
    put(cache, "key", b"new", Span::ZERO, now).await;
    assert_eq!(get(cache, "key", now).await, None);
}

/// The last one counts, with its own time.
pub async fn a_later_value_replaces_value_and_time(cache: &dyn Cache) {
    let now = start();
    put(cache, "longer", b"1", MINUTE, now).await;
    put(cache, "longer", b"2", MINUTE.times(3), now).await;
    put(cache, "shorter", b"1", MINUTE.times(3), now).await;
    put(cache, "shorter", b"2", MINUTE, now).await;
    let later = now + MINUTE.times(2);
    assert_eq!(
        get(cache, "longer", later).await.as_deref(),
        Some(&b"2"[..])
    );
    assert_eq!(get(cache, "shorter", later).await, None);
}

/// Forgetting works at once, also for what isn't there.
pub async fn what_is_removed_is_gone(cache: &dyn Cache) {
    let now = start();
    put(cache, "session", b"x", MINUTE, now).await;
    put(cache, "other", b"y", MINUTE, now).await;
    for key in ["session", "session", "never"] {
        cache.remove(key).await.expect("removing succeeds");
    }
    assert_eq!(get(cache, "session", now).await, None);
    assert_eq!(get(cache, "other", now).await.as_deref(), Some(&b"y"[..]));
}

/// One answer per key, in the order of the keys.
pub async fn many_are_read_in_their_order(cache: &dyn Cache) {
    let now = start();
    put(cache, "a", b"1", MINUTE, now).await;
    put(cache, "b", b"2", MINUTE.times(3), now).await;
    let keys = ["b", "none", "a", "b"].map(str::to_owned);
    let read = |at| cache.get_many(&keys, at);
    let some = |value: &[u8]| Some(value.to_vec());
    assert_eq!(
        read(now).await.expect("reading succeeds"),
        [some(b"2"), None, some(b"1"), some(b"2")]
    );
    assert_eq!(
        read(now + MINUTE).await.expect("reading succeeds"),
        [some(b"2"), None, None, some(b"2")]
    );
    let none = cache.get_many(&[], now).await;
    assert_eq!(none.expect("reading nothing succeeds"), Vec::new());
}

/// No key is another's prefix, pattern or spelling.
pub async fn keys_are_exact(cache: &dyn Cache) {
    let now = start();
    let keys = [
        "a", "a:b", "a:*", "A", "a ", " a", "a\n", "ä", "", "a\0b", "{a}",
    ];
    for (i, key) in keys.iter().enumerate() {
        put(cache, key, i.to_string().as_bytes(), MINUTE, now).await;
    }
    for (i, key) in keys.iter().enumerate() {
        let value = i.to_string().into_bytes();
        assert_eq!(get(cache, key, now).await, Some(value), "{key:?}");
    }
}

/// Bounds are the port's, whichever adapter serves it.
pub async fn what_is_too_large_is_refused_and_the_largest_is_kept(cache: &dyn Cache) {
    let now = start();
    let key = "k".repeat(MAX_KEY_LEN);
    let value = vec![7; MAX_VALUE_LEN];
    put(cache, &key, &value, MINUTE, now).await;
    assert_eq!(
        get(cache, &key, now).await.as_ref(),
        Some(&value),
        "the largest entry is kept"
    );

    let long_key = "k".repeat(MAX_KEY_LEN + 1);
    let large = vec![7; MAX_VALUE_LEN + 1];
    let limit = RateLimit {
        burst: 1,
        period: MINUTE,
    };
    let too_large = CacheError::TooLarge;
    assert_eq!(
        cache.put("key", &large, MINUTE, now).await.err(),
        Some(too_large.clone())
    );
    assert_eq!(get(cache, "key", now).await, None);
    assert_eq!(
        cache.put(&long_key, b"x", MINUTE, now).await.err(),
        Some(too_large.clone())
    );
    assert_eq!(
        cache.get(&long_key, now).await.err(),
        Some(too_large.clone())
    );
    assert_eq!(cache.remove(&long_key).await.err(), Some(too_large.clone()));
    let many = cache
        .get_many(&["key".to_owned(), long_key.clone()], now)
        .await;
    assert_eq!(many.err(), Some(too_large.clone()));
    assert_eq!(
        cache.take(&long_key, limit, now).await.err(),
        Some(too_large)
    );
}

/// The port's own rule decides, so that every adapter lets the same through.
pub async fn a_bucket_lets_its_burst_through_and_then_one_per_period(cache: &dyn Cache) {
    let limit = RateLimit {
        burst: 3,
        period: MINUTE,
    };
    let mut arrival = None;
    for secs in [0, 0, 0, 0, 30, 60, 60, 61, 119, 120, 400, 400, 400, 400] {
        let now = start() + Span::from_secs(secs);
        let (expected, next) = limit.take(arrival, now);
        arrival = Some(next);
        assert_eq!(
            take(cache, "bucket", limit, now).await,
            expected,
            "{secs} s"
        );
    }
}

/// Whoever waits as long as it is told is let through, and not before.
pub async fn a_refusal_says_when_to_come_back(cache: &dyn Cache) {
    let limit = RateLimit {
        burst: 1,
        period: MINUTE,
    };
    let now = start();
    assert_eq!(take(cache, "bucket", limit, now).await, Permit::Granted);
    let asked = now + Span::from_secs(20);
    let Permit::Denied { retry_after } = take(cache, "bucket", limit, asked).await else {
        panic!("a used bucket let one through");
    };
    assert_eq!(retry_after, Span::from_secs(40));
    let early = asked + Span::from_secs(39);
    assert_ne!(take(cache, "bucket", limit, early).await, Permit::Granted);
    let right = asked + retry_after;
    assert_eq!(take(cache, "bucket", limit, right).await, Permit::Granted);
}

/// After a long rest a bucket gives its burst again, and no more than that.
pub async fn a_bucket_recovers_its_whole_burst(cache: &dyn Cache) {
    let limit = RateLimit {
        burst: 5,
        period: MINUTE,
    };
    for rest in [0, 1_000] {
        let now = start() + MINUTE.times(rest);
        let mut granted = 0;
        for _ in 0..10 {
            granted += u32::from(take(cache, "bucket", limit, now).await == Permit::Granted);
        }
        assert_eq!(granted, 5, "after a rest of {rest} minutes");
    }
}

/// Names mean what they are used for.
pub async fn buckets_are_apart_from_each_other_and_from_values(cache: &dyn Cache) {
    let limit = RateLimit {
        burst: 1,
        period: MINUTE,
    };
    let now = start();
    put(cache, "a", b"value", MINUTE, now).await;
    assert_eq!(take(cache, "a", limit, now).await, Permit::Granted);
    assert_eq!(take(cache, "b", limit, now).await, Permit::Granted);
    assert_eq!(get(cache, "a", now).await.as_deref(), Some(&b"value"[..]));
    assert_eq!(get(cache, "b", now).await, None);
    cache.remove("a").await.expect("removing succeeds");
    assert_ne!(
        take(cache, "a", limit, now).await,
        Permit::Granted,
        "removing a value emptied a bucket"
    );
}

/// Reading and writing a bucket is one step, or two callers share a permit.
pub async fn a_bucket_at_once_from_everywhere_gives_its_burst_and_no_more(cache: &dyn Cache) {
    let limit = RateLimit {
        burst: 10,
        period: MINUTE,
    };
    let now = start();
    let handle = tokio::runtime::Handle::current();
    let taker = || {
        handle.block_on(async {
            let mut granted = 0;
            for _ in 0..25 {
                granted += u32::from(take(cache, "bucket", limit, now).await == Permit::Granted);
            }
            granted
        })
    };
    let granted: u32 = tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let takers: Vec<_> = (0..8).map(|_| scope.spawn(taker)).collect();
            takers
                .into_iter()
                .map(|taker| taker.join().expect("a taker ends well"))
                .sum()
        })
    });
    assert_eq!(granted, 10);
}

/// Readiness asks for it.
pub async fn a_cache_that_works_says_so(cache: &dyn Cache) {
    cache.health().await.expect("a fresh cache is healthy");
}

/// One time for a whole case, near the machine's own.
fn start() -> Timestamp {
    static START: std::sync::LazyLock<Timestamp> = std::sync::LazyLock::new(|| {
        let since_epoch = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let secs = Span::from_secs(since_epoch.as_secs());
        Timestamp::from_micros(0) + secs
    });
    *START
}

async fn put(cache: &dyn Cache, key: &str, value: &[u8], ttl: Span, now: Timestamp) {
    cache
        .put(key, value, ttl, now)
        .await
        .expect("the value is taken");
}

async fn get(cache: &dyn Cache, key: &str, now: Timestamp) -> Option<Vec<u8>> {
    cache.get(key, now).await.expect("reading succeeds")
}

async fn take(cache: &dyn Cache, bucket: &str, limit: RateLimit, now: Timestamp) -> Permit {
    cache
        .take(bucket, limit, now)
        .await
        .expect("the bucket answers")
}
