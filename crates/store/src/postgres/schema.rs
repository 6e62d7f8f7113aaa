//! The schema's version, and the steps to the newest.
//!
//! One replica migrates at a time, under an advisory lock. Each step and the note
//! that it was taken commit together: an interrupted migration has either
//! happened or not.

use collective_core::ports::StoreError;
use tokio_postgres::Client;

use super::column::Columns;
use super::error::store_error;
use super::statements::statements;

/// The schema's steps, in order; the version of a database is how many it has
/// had. A step is never changed once it has landed.
const MIGRATIONS: [&str; 1] = [include_str!("schema/0001_initial.sql")];
/// The version that this binary writes.
const NEWEST: u32 = MIGRATIONS.len() as u32;
/// The advisory lock of whoever migrates: "Coll", then nothing that a duty has.
pub(super) const MIGRATING: i64 = 0x436f_6c6c_0000_0000;

statements! { "schema":
    IS_THERE = "SELECT to_regclass('schema_version') IS NOT NULL";
    ENCODING = "SELECT current_setting('server_encoding')";
}

const VERSION: &str = "SELECT COALESCE(MAX(version), 0) FROM schema_version";
const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS schema_version (
        version     BIGINT      NOT NULL PRIMARY KEY,
        applied_at  TIMESTAMPTZ NOT NULL DEFAULT now()
    )";

/// Every step of the schema, in order, as it is applied.
pub fn schema() -> &'static [&'static str] {
    &MIGRATIONS
}

/// Brings the schema up to date, or refuses one that isn't if `migrate` is false.
pub(super) async fn prepare(client: &mut Client, migrate: bool) -> Result<(), StoreError> {
    check_encoding(client).await?;
    if known(version(client).await?)? == NEWEST {
        return Ok(());
    }
    if !migrate {
        return Err(StoreError::Unavailable(format!(
            "the store's schema is older than version {NEWEST} of this binary; migrate it first"
        )));
    }
    let failed = |error: tokio_postgres::Error| store_error(&error);
    // Whoever comes second waits for the first one, however long a step takes.
    client
        .batch_execute("SET statement_timeout = 0; SET lock_timeout = 0")
        .await
        .map_err(failed)?;
    loop {
        let step = client.transaction().await.map_err(failed)?;
        step.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATING])
            .await
            .map_err(failed)?;
        step.batch_execute(CREATE).await.map_err(failed)?;
        let row = step.query_one(VERSION, &[]).await.map_err(failed)?;
        let version = known(row.number(0)?)?;
        let Some(migration) = MIGRATIONS.get(version as usize) else {
            return step.commit().await.map_err(failed);
        };
        step.batch_execute(migration).await.map_err(failed)?;
        let next = i64::from(version) + 1;
        step.execute("INSERT INTO schema_version (version) VALUES ($1)", &[&next])
            .await
            .map_err(failed)?;
        step.commit().await.map_err(failed)?;
        tracing::info!(version = next, "the schema was migrated");
    }
}

async fn version(client: &Client) -> Result<u32, StoreError> {
    let failed = |error: tokio_postgres::Error| store_error(&error);
    let there = client.query_one(IS_THERE, &[]).await.map_err(failed)?;
    if !there.value::<bool>(0)? {
        return Ok(0);
    }
    let row = client.query_one(VERSION, &[]).await.map_err(failed)?;
    row.number(0)
}

fn known(found: u32) -> Result<u32, StoreError> {
    match found > NEWEST {
        true => Err(StoreError::SchemaTooNew {
            found,
            known: NEWEST,
        }),
        false => Ok(found),
    }
}

/// In any other encoding some text can't be kept, or not as it was.
async fn check_encoding(client: &Client) -> Result<(), StoreError> {
    let row = client
        .query_one(ENCODING, &[])
        .await
        .map_err(|error| store_error(&error))?;
    match row.value::<&str>(0)? {
        "UTF8" => Ok(()),
        other => Err(StoreError::Unavailable(format!(
            "the database's encoding is {other}; create it with ENCODING 'UTF8'"
        ))),
    }
}
