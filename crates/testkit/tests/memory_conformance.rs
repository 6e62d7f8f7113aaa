//! The memory store keeps every promise of the port but that of a view beside an open work:
//! there, works and views come one after the other.

use std::sync::Arc;

use collective_testkit::memory::MemoryStore;

async fn memory_store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new())
}

collective_testkit::store_conformance!(one_at_a_time memory_store);
