//! Connections: two small pools, one that writes and one that reads, so that
//! long listings never keep a command waiting, and single ones for what needs a
//! session of its own.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use collective_core::ports::StoreError;
use deadpool_postgres::{
    ClientWrapper, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
    Timeouts,
};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Connection, Row, Socket, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{connect_error, store_error};
use super::options::PgOptions;
use super::tls::connector;

/// The stream of an encrypted connection.
type Encrypted = <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<Socket>>::Stream;

/// How much longer than a statement may take its answer is waited for. The
/// server itself ends what takes too long, unless it hangs or can't be reached.
const ANSWER_SLACK: Duration = Duration::from_secs(5);

/// Opens connections.
pub(super) struct Pools {
    writers: Pool,
    readers: Pool,
    config: Config,
    tls: MakeRustlsConnect,
    place: String,
    connect_limit: Duration,
    answer_limit: Duration,
}

impl Pools {
    pub(super) fn new(options: &PgOptions) -> Result<Arc<Self>, StoreError> {
        let tls = connector(options)?;
        let config = options.config();
        let pool = |size: usize| {
            // A connection that is known to be closed is replaced; asking each
            // one whether it lives would cost a round trip per use.
            let recycle = ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            };
            let manager = Manager::from_config(config.clone(), tls.clone(), recycle);
            Pool::builder(manager)
                .max_size(size.max(1))
                .runtime(Runtime::Tokio1)
                .timeouts(Timeouts {
                    wait: Some(options.wait_timeout),
                    // Each server may take its time to connect.
                    create: Some(options.wait_timeout.max(options.connect_timeout)),
                    recycle: Some(options.wait_timeout),
                })
                .build()
                .map_err(|error| StoreError::Internal(error.to_string()))
        };
        Ok(Arc::new(Self {
            writers: pool(options.writers)?,
            readers: pool(options.readers)?,
            tls,
            place: options.place(),
            connect_limit: options.wait_timeout.max(options.connect_timeout),
            answer_limit: options.statement_timeout + ANSWER_SLACK,
            config,
        }))
    }

    /// A connection to write with.
    pub(super) async fn writer(&self) -> Result<Object, StoreError> {
        self.lend(&self.writers).await
    }

    /// A connection to read with.
    pub(super) async fn reader(&self) -> Result<Object, StoreError> {
        self.lend(&self.readers).await
    }

    /// Asks by a reader's connection. An answer that nobody waited for, or a
    /// failure, costs the connection.
    pub(super) async fn ask(
        &self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let client = Lent::new(self.reader().await?);
        let rows = answered(self.answer_limit, rows(&client, sql, values)).await?;
        client.give_back();
        Ok(rows)
    }

    async fn lend(&self, pool: &Pool) -> Result<Object, StoreError> {
        pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => connect_error(&error, &self.place),
            PoolError::Closed => closed(),
            PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => {
                StoreError::Unavailable("every connection to PostgreSQL is busy".to_owned())
            }
            PoolError::Timeout(_) => StoreError::Unavailable(format!(
                "PostgreSQL at {} doesn't answer in time",
                self.place
            )),
            error => StoreError::Internal(error.to_string()),
        })
    }

    /// A connection of its own, and what must be driven for it to work.
    pub(super) async fn connect(
        &self,
    ) -> Result<(Client, Connection<Socket, Encrypted>), StoreError> {
        if self.is_closed() {
            return Err(closed());
        }
        let connecting = async {
            let connected = self.config.connect(self.tls.clone()).await;
            connected.map_err(|error| connect_error(&error, &self.place))
        };
        answered(self.connect_limit, connecting).await
    }

    /// How long the answer to any statement may take.
    pub(super) fn answer_limit(&self) -> Duration {
        self.answer_limit
    }

    /// A connection of its own that drives itself. It is closed when it is
    /// dropped, at once and even in the middle of a statement.
    pub(super) async fn own(&self) -> Result<ClientWrapper, StoreError> {
        let (client, connection) = self.connect().await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to PostgreSQL ended");
            }
        });
        Ok(ClientWrapper::new(client, driver))
    }

    /// Closes idle connections; lent ones are closed when they come back.
    pub(super) fn close(&self) {
        self.writers.close();
        self.readers.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.readers.is_closed()
    }
}

/// What comes of it within the limit.
pub(super) async fn within<T>(
    limit: Duration,
    asking: impl Future<Output = T>,
) -> Result<T, StoreError> {
    tokio::time::timeout(limit, asking).await.map_err(|_| {
        StoreError::Unavailable(format!(
            "PostgreSQL didn't answer in {} s",
            limit.as_secs_f32()
        ))
    })
}

/// The same, for what may fail by itself.
pub(super) async fn answered<T>(
    limit: Duration,
    asking: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    within(limit, asking).await?
}

/// The statement, prepared once per connection.
pub(super) async fn prepared(
    client: &ClientWrapper,
    sql: &'static str,
) -> Result<Statement, StoreError> {
    client
        .prepare_cached(sql)
        .await
        .map_err(|error| store_error(&error))
}

/// The rows that a statement gives.
pub(super) async fn rows(
    client: &ClientWrapper,
    sql: &'static str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, StoreError> {
    let statement = prepared(client, sql).await?;
    client
        .query(&statement, values)
        .await
        .map_err(|error| store_error(&error))
}

/// A connection of a pool that goes back only when that is said: one that is
/// dropped in the middle of something is closed, since nobody knows its state.
pub(super) struct Lent(Option<Object>);

impl Lent {
    pub(super) fn new(client: Object) -> Self {
        Self(Some(client))
    }

    /// Back into its pool.
    pub(super) fn give_back(mut self) {
        self.0 = None;
    }
}

impl Deref for Lent {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Object::take(client));
        }
    }
}

pub(super) fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}
