//! What every handler shares. Cheap to clone.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use collective_service::Hub;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::host::Hosts;
use crate::options::{Limits, ServerOptions};
use crate::telemetry::metrics::Metrics;

/// Most request bodies above [`super::extract::SMALL_BODY`] that are in memory at once.
const MAX_LARGE_BODIES: usize = 8;

/// What every handler shares.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) hub: Hub,
    pub(crate) limits: Limits,
    pub(crate) hosts: Hosts,
    pub(crate) metrics: Metrics,
    /// One permit per event stream.
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) large_bodies: Semaphore,
    /// Cancelled when the server stops; event streams end with it.
    pub(crate) stop: CancellationToken,
}

impl App {
    pub(crate) fn new(
        hub: Hub,
        options: &ServerOptions,
        address: SocketAddr,
        stop: CancellationToken,
    ) -> Self {
        let metrics = Metrics::new();
        metrics.count_events_of(&hub);
        Self(Arc::new(Shared {
            hosts: Hosts::new(address, &options.allowed_hosts),
            streams: Arc::new(Semaphore::new(options.limits.max_streams)),
            large_bodies: Semaphore::new(MAX_LARGE_BODIES),
            limits: options.limits.clone(),
            hub,
            metrics,
            stop,
        }))
    }
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
