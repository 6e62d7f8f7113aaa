//! The local cache keeps every promise of the port.

use std::sync::Arc;

use collective_cache::LocalCache;

async fn local_cache() -> Arc<LocalCache> {
    Arc::new(LocalCache::new())
}

collective_testkit::cache_conformance!(local_cache);
