//! The local bus keeps every promise of the port.

use std::sync::Arc;

use collective_bus::LocalBus;

async fn local_bus() -> Arc<LocalBus> {
    Arc::new(LocalBus::new())
}

collective_testkit::bus_conformance!(local_bus);
