//! What a failure of SQLite means to the caller of the port.

use std::path::Path;

use collective_core::ports::StoreError;
use rusqlite::ErrorCode;

/// A disk with less than this is full: a batch of tasks no longer fits.
const MIN_ROOM: u64 = 1024 * 1024;

/// Maps a failed statement.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err takes, at every statement of the adapter"
)]
pub(super) fn store_error(error: rusqlite::Error) -> StoreError {
    use rusqlite::Error;
    match &error {
        Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DiskFull => StoreError::Full,
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                StoreError::Conflict(error.to_string())
            }
            ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::OutOfMemory
            | ErrorCode::FileLockingProtocolFailed => StoreError::Unavailable(error.to_string()),
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                StoreError::Corrupt(error.to_string())
            }
            _ => StoreError::Internal(error.to_string()),
        },
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..) => StoreError::Corrupt(error.to_string()),
        _ => StoreError::Internal(error.to_string()),
    }
}

/// An I/O error on a disk without room is a full disk: SQLite reports some of
/// them (growing the WAL's index, a sync) as plain I/O errors.
pub(super) fn with_room_checked(error: StoreError, folder: &Path) -> StoreError {
    match error {
        StoreError::Unavailable(_) if !has_room(folder) => StoreError::Full,
        error => error,
    }
}

/// Whether the disk has room for an ordinary command. If it can't be asked, it has.
pub(super) fn has_room(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).map_or(true, |disk| {
        disk.f_bavail.saturating_mul(disk.f_frsize) >= MIN_ROOM
    })
}

/// A failure of the file system, outside SQLite.
pub(super) fn io_error(what: &str, path: &Path, error: &std::io::Error) -> StoreError {
    match error.kind() {
        std::io::ErrorKind::StorageFull => StoreError::Full,
        _ => StoreError::Unavailable(format!("{what} {}: {error}", path.display())),
    }
}
