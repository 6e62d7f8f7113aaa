//! Whether a database that is opened can be trusted, as far as that is quickly seen.
//!
//! SQLite itself refuses a file that isn't a database, one with fewer pages
//! than it should have, and each malformed page that it comes across. What is
//! looked for here is what it would come across too late: after the server has
//! already answered. A page that is well formed and says something else can't be
//! told by anyone, since SQLite keeps no checksums outside its log.

use std::ffi::OsString;
use std::fs::Metadata;
use std::path::Path;

use collective_core::ports::StoreError;
use rusqlite::Connection;

use super::error::{io_error, store_error};

/// Databases up to this size are read as a whole when they are opened, which
/// takes a tenth of a second. Larger ones would make a start wait for seconds.
const MAX_READ_WHOLE: u64 = 32 * 1024 * 1024;

/// Refuses a database that is damaged.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let length = length(path)?;
    let page_size: i64 = connection
        .pragma_query_value(None, "page_size", |row| row.get(0))
        .map_err(store_error)?;
    // While a log is there, the file may end in a write that was interrupted:
    // the log has that page too. Without one, the page is all there is.
    if length % page_size.unsigned_abs() != 0 && log_length(path)? == 0 {
        return Err(StoreError::Corrupt("its database is cut short".to_owned()));
    }
    if length > MAX_READ_WHOLE {
        return Ok(());
    }
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(store_error)?;
    match verdict.as_str() {
        "ok" => Ok(()),
        damage => Err(StoreError::Corrupt(format!(
            "its database is damaged: {}",
            damage.replace('\n', " ")
        ))),
    }
}

fn length(path: &Path) -> Result<u64, StoreError> {
    path.metadata()
        .map(|found| found.len())
        .map_err(|error| io_error("looking at", path, &error))
}

fn log_length(database: &Path) -> Result<u64, StoreError> {
    let mut path = OsString::from(database);
    path.push("-wal");
    match Path::new(&path).metadata() {
        Ok(found) => Ok(Metadata::len(&found)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(io_error("looking at", Path::new(&path), &error)),
    }
}
