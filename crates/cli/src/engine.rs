//! What a server stands on: adapters are wired to the ports here and nowhere else.

use std::path::Path;
use std::sync::Arc;

use collective_bus::{LocalBus, RabbitBus, RabbitOptions};
use collective_cache::{LocalCache, RedisCache, RedisOptions};
use collective_core::ports::StoreError;
use collective_service::{Ports, Shared};
use collective_store::{FolderLock, PgOptions, PgStore, SqliteOptions, SqliteStore};

use crate::host::StartError;
use crate::world::{SystemClock, SystemEntropy};

/// Which engine, and how it is opened.
#[derive(Clone, Debug)]
pub(crate) enum Engine {
    /// SQLite in the data folder, bus and cache in the process.
    Embedded(SqliteOptions),
    /// PostgreSQL, RabbitMQ and Redis, for any number of servers.
    Distributed(Box<DistributedOptions>),
}

impl Default for Engine {
    fn default() -> Self {
        Self::Embedded(SqliteOptions::default())
    }
}

/// Where the parts of a distributed engine are.
#[derive(Clone, Debug, Default)]
pub(crate) struct DistributedOptions {
    /// The truth.
    pub(crate) postgres: PgOptions,
    /// Dispatch and events.
    pub(crate) rabbitmq: RabbitOptions,
    /// What may be lost.
    pub(crate) redis: RedisOptions,
}

/// An engine that runs. The data folder is held as long as this lives.
pub(crate) struct Running {
    pub(crate) ports: Ports,
    rabbitmq: Option<Arc<RabbitBus>>,
    _folder: Option<FolderLock>,
}

impl Engine {
    /// Opens the engine for a server on this data folder.
    pub(crate) async fn start(self, folder: &Path) -> Result<Running, StartError> {
        match self {
            Engine::Embedded(options) => embedded(folder, options).await,
            Engine::Distributed(options) => distributed(folder, *options).await,
        }
    }
}

async fn embedded(folder: &Path, options: SqliteOptions) -> Result<Running, StartError> {
    let path = folder.to_owned();
    let store = tokio::task::spawn_blocking(move || SqliteStore::open(&path, options))
        .await
        .map_err(|error| StoreError::Internal(error.to_string()))??;
    Ok(Running {
        ports: Ports {
            store: Arc::new(store),
            bus: Arc::new(LocalBus::new()),
            cache: Arc::new(LocalCache::new()),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            shared: None,
        },
        rabbitmq: None,
        _folder: None,
    })
}

/// The store must be there; without broker and cache the server starts all the
/// same and says so in `/readyz`.
async fn distributed(folder: &Path, options: DistributedOptions) -> Result<Running, StartError> {
    // The folder holds no data here, but the server's token and its note.
    let lock = FolderLock::hold(folder)?;
    let cache = RedisCache::new(&options.redis)
        .map_err(|error| StartError::Setting(format!("Redis: {error}")))?;
    let store = PgStore::open(&options.postgres).await;
    let store = Arc::new(store.map_err(StartError::Database)?);
    let rabbitmq = Arc::new(RabbitBus::connect(options.rabbitmq));
    Ok(Running {
        ports: Ports {
            store: store.clone(),
            bus: rabbitmq.clone(),
            cache: Arc::new(cache),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            shared: Some(Shared {
                outbox: store,
                broker: rabbitmq.clone(),
            }),
        },
        rabbitmq: Some(rabbitmq),
        _folder: Some(lock),
    })
}

impl Running {
    /// Closes what was opened, the store last.
    pub(crate) async fn close(self) {
        if let Some(rabbitmq) = &self.rabbitmq {
            rabbitmq.close().await;
        }
        self.ports.store.close().await;
    }
}
