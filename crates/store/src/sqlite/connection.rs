//! Connections: what each of them is set to, and the schema's version.

use std::path::Path;
use std::time::Duration;

use collective_core::ports::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::store_error;
use super::sound;
use super::{SqliteOptions, Synchronous};

/// The schema's steps, in order; the version of a database is how many it has
/// had. A step is never changed once it has landed.
const MIGRATIONS: [&str; 2] = [
    include_str!("schema/0001_initial.sql"),
    include_str!("schema/0002_transport.sql"),
];
/// The version that this binary writes.
const NEWEST: u32 = MIGRATIONS.len() as u32;
/// Marks the file as ours (`file` and SQLite's header show it): "Coll".
const APPLICATION_ID: i32 = 0x436f_6c6c;
/// Statements kept prepared per connection: all there are, with room.
const STATEMENTS: usize = 160;
/// How long a connection waits for a lock. Only a checkpoint or a foreign tool
/// that looks into the file ever holds one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Page cache of the writer in KiB: the upper levels and the moving ends of
/// all indexes, whatever the number of rows.
const WRITER_CACHE_KIB: i64 = 6 * 1024;
/// Page cache of each reader in KiB; what is beyond is in the kernel's cache.
const READER_CACHE_KIB: i64 = 1024;
/// Pages of WAL after which it is written back. At full load that is about
/// once a second; the file stays at some 16 MiB.
const CHECKPOINT_PAGES: i64 = 4_000;

/// Opens the one connection that writes, and brings the schema up to date.
pub(super) fn open_writer(path: &Path, options: &SqliteOptions) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = open(path, flags).map_err(store_error)?;
    let version = known_version(&connection)?;
    sound::check(&connection, path)?;
    set_up_writer(&connection, options).map_err(store_error)?;
    migrate(&mut connection, version)?;
    Ok(connection)
}

/// Opens a connection that reads.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(path, flags)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    Ok(connection)
}

fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Sub-journals of savepoints and sorts stay in memory; they are small.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "foreign_keys", false)?;
    // A plan is made once and kept, whatever is bound. Without this SQLite
    // prepares most statements anew with each use.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // A file that someone has tampered with runs no code of theirs.
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

fn set_up_writer(connection: &Connection, options: &SqliteOptions) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match options.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    if let Some(max_size) = options.max_size {
        let page_size: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = i64::try_from(max_size).unwrap_or(i64::MAX) / page_size;
        connection.pragma_update(None, "max_page_count", pages.max(1))?;
    }
    Ok(())
}

/// Refuses a file of another application or of a newer binary; gives its version.
fn known_version(connection: &Connection) -> Result<u32, StoreError> {
    let read = |pragma: &str| -> rusqlite::Result<i32> {
        connection.pragma_query_value(None, pragma, |row| row.get(0))
    };
    let application = read("application_id").map_err(store_error)?;
    if application != 0 && application != APPLICATION_ID {
        return Err(StoreError::Corrupt(
            "its database belongs to another application".to_owned(),
        ));
    }
    let found = read("user_version").map_err(store_error)?.unsigned_abs();
    if found > NEWEST {
        return Err(StoreError::SchemaTooNew {
            found,
            known: NEWEST,
        });
    }
    Ok(found)
}

/// Each step and its version commit together: an interrupted migration has
/// either happened or not.
fn migrate(connection: &mut Connection, from: u32) -> Result<(), StoreError> {
    for (version, step) in (1..).zip(MIGRATIONS) {
        if version > from {
            apply(connection, step, version).map_err(store_error)?;
            tracing::debug!(version, "the schema was migrated");
        }
    }
    Ok(())
}

fn apply(connection: &mut Connection, step: &str, version: u32) -> rusqlite::Result<()> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(step)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", version)?;
    tx.commit()
}
