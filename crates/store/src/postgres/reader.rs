//! A view of what is committed: each question borrows a connection for as long
//! as it takes, so that a view that is kept keeps nobody waiting.

use std::sync::Arc;

use collective_core::TeamName;
use collective_core::ports::StoreError;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::error::store_error;
use super::pool::{Lent, Pools, prepared};
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
        let client = Lent::new(self.pools.reader().await?);
        let statement = prepared(&client, sql).await?;
        let rows = client
            .query(&statement, values)
            .await
            .map_err(|error| store_error(&error))?;
        // An answer that nobody waited for, or a failure, costs the connection.
        client.give_back();
        Ok(rows)
    }

    fn known(&self, _: &TeamName) -> Option<Locked> {
        None
    }
}
