//! The store on PostgreSQL, for any number of replicas.
//!
//! Works of one team come one after the other, on all replicas, since each of
//! them has the team's row; works that wait together share a transaction. What
//! costs is round trips, so a batch is one statement and a write isn't waited for.
//! It needs sessions of its own: a pooler in between must pool by session.

mod agents;
mod answers;
mod attempts;
mod column;
mod duty;
mod edges;
mod error;
mod events;
mod group;
mod health;
mod lanes;
mod listener;
mod listing;
mod look;
mod messages;
mod news;
mod options;
mod outbox;
mod pool;
mod query;
mod questions;
mod reader;
mod reservations;
mod schedules;
mod schema;
mod statements;
mod tasks;
mod teams;
mod tls;
mod tx;
mod writer;
mod writing;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use collective_core::event::Event;
use collective_core::ports::outbox::Outbox;
use collective_core::ports::store::Work;
use collective_core::ports::{Failed, Query, Store, StoreError};
use collective_core::{TeamName, Timestamp};

use news::News;
use pool::{Pools, closed};
use query::View;
use reader::Reading;
use writer::Writer;

pub use look::look;
pub use options::{Password, PgHost, PgOptions, TlsMode};
pub use schema::schema;
pub use statements::{Statement, all_statements};
pub use writer::PgCounters;

/// How far the server's clock may be from this machine's before it is worth a
/// warning: leases are told in seconds.
const CLOCK_TOLERANCE_MICROS: u64 = 1_000_000;

/// The store on PostgreSQL.
pub struct PgStore {
    pools: Arc<Pools>,
    writer: Arc<Writer>,
    keep: outbox::Keep,
}

impl PgStore {
    /// Connects, and brings the schema up to date.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] with what is wrong if no server can be used,
    /// [`StoreError::SchemaTooNew`] if a newer binary has migrated it.
    pub async fn open(options: &PgOptions) -> Result<Self, StoreError> {
        let pools = Pools::new(options)?;
        let mut client = pools.own().await?;
        schema::prepare(&mut client, options.migrate).await?;
        let news = Arc::new(News::default());
        let store = Self {
            writer: Writer::new(Arc::clone(&pools), Arc::clone(&news)),
            keep: outbox::Keep::new(news),
            pools,
        };
        let offset = store.clock_offset(now()).await?;
        if offset.unsigned_abs() > CLOCK_TOLERANCE_MICROS {
            tracing::warn!(
                offset_micros = offset,
                "the clocks of PostgreSQL and of this machine differ"
            );
        }
        Ok(store)
    }

    /// How much was written since it was opened.
    pub fn counters(&self) -> PgCounters {
        self.writer.counters()
    }
}

/// This machine's time. No rule sees it: it is compared to the server's.
fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(column::at_most(since.as_micros()))
}

#[async_trait]
impl Store for PgStore {
    async fn transact(&self, team: Option<&TeamName>, work: Work) -> Result<Vec<Event>, Failed> {
        self.writer.carry_out(team, work).await
    }

    async fn reader(&self) -> Result<Box<dyn Query>, StoreError> {
        if self.pools.is_closed() {
            return Err(closed());
        }
        let pools = Arc::clone(&self.pools);
        Ok(Box::new(View {
            access: Reading { pools },
        }))
    }

    /// Writes, since a store that can only be read can't serve.
    async fn health(&self) -> Result<(), StoreError> {
        health::check(&self.pools).await
    }

    async fn close(&self) {
        self.writer.close().await;
        self.pools.close();
        self.keep.close();
    }
}

impl Drop for PgStore {
    fn drop(&mut self) {
        self.pools.close();
        self.keep.close();
    }
}
