//! A view of what is committed: each question borrows a connection for as long
//! as it takes, so that a view that is kept keeps nobody waiting.

use std::sync::Arc;

use collective_core::TeamName;
use collective_core::ports::StoreError;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::pool::Pools;
use super::query::Access;
use super::teams::Locked;

/// Where a reader's connections come from.
pub(super) struct Reading {
    pub(super) pools: Arc<Pools>,
}

impl Access for Reading {
    async fn rows(
        &mut self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        self.pools.ask(sql, values).await
    }

    fn known(&self, _: &TeamName) -> Option<Locked> {
        None
    }
}
