//! Whether the store can serve: by writing one row, within a bound.

use std::time::Duration;

use collective_core::ports::StoreError;

use super::pool::Pools;
use super::statements::statements;

/// How long the answer may take.
const LIMIT: Duration = Duration::from_secs(5);

statements! { "health":
    PROBE = "
        INSERT INTO probe (single, written_at) VALUES (TRUE, clock_timestamp())
        ON CONFLICT (single) DO UPDATE SET written_at = excluded.written_at";
}

pub(super) async fn check(pools: &Pools) -> Result<(), StoreError> {
    match tokio::time::timeout(LIMIT, probe(pools)).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::Unavailable(format!(
            "PostgreSQL didn't write one row in {} s",
            LIMIT.as_secs()
        ))),
    }
}

/// By a reader's connection: busy writers are no fault of the server.
async fn probe(pools: &Pools) -> Result<(), StoreError> {
    pools.ask(PROBE, &[]).await.map(drop)
}
