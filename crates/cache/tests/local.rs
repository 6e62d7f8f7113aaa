//! What only the cache in process promises: it never grows past its bounds.

use collective_cache::LocalCache;
use collective_core::ports::{Cache, Permit, RateLimit};
use collective_core::{Span, Timestamp};

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);
const MINUTE: Span = Span::from_secs(60);
const ONE: RateLimit = RateLimit {
    burst: 1,
    period: MINUTE,
};

#[tokio::test]
async fn a_flood_of_values_pushes_out_the_oldest_and_no_bucket() {
    let cache = LocalCache::with_limit(100);
    assert_eq!(cache.take("guard", ONE, NOW).await, Ok(Permit::Granted));
    for i in 0..1_000 {
        cache
            .put(&format!("k{i}"), b"v", MINUTE, NOW)
            .await
            .unwrap();
    }
    let load = cache.load();
    assert_eq!((load.entries, load.buckets), (100, 1));
    assert_eq!(cache.get("k899", NOW).await, Ok(None));
    assert_eq!(cache.get("k900", NOW).await, Ok(Some(b"v".to_vec())));
    assert_ne!(cache.take("guard", ONE, NOW).await, Ok(Permit::Granted));
}

#[tokio::test]
async fn large_values_are_bounded_by_their_bytes() {
    let cache = LocalCache::new();
    let value = vec![0; 64 * 1024];
    for i in 0..1_500 {
        cache
            .put(&format!("k{i}"), &value, MINUTE, NOW)
            .await
            .unwrap();
    }
    let load = cache.load();
    assert!(load.bytes <= collective_cache::local::MAX_BYTES, "{load:?}");
    assert!(load.entries > 1_000, "{load:?}");
    assert_eq!(cache.get("k1499", NOW).await, Ok(Some(value)));
}

#[tokio::test]
async fn a_bucket_that_is_as_good_as_new_takes_no_room() {
    let cache = LocalCache::new();
    for i in 0..100 {
        cache.take(&format!("key{i}"), ONE, NOW).await.unwrap();
    }
    assert_eq!(cache.load().buckets, 100);
    for i in 0..50 {
        cache
            .take(&format!("later{i}"), ONE, NOW + MINUTE)
            .await
            .unwrap();
    }
    assert_eq!(cache.load().buckets, 50);
}
