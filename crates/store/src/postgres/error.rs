//! What a failure of PostgreSQL means to the caller of the port.

use std::error::Error as _;

use collective_core::ports::StoreError;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

/// Maps a failed statement.
pub(super) fn store_error(error: &Error) -> StoreError {
    if let Some(failure) = error.as_db_error() {
        return of_server(failure);
    }
    let reason = with_sources(error);
    if error.is_closed() || is_io(error) {
        return StoreError::Unavailable(format!("the connection to PostgreSQL broke: {reason}"));
    }
    StoreError::Internal(reason)
}

/// Maps a connection that didn't come about; `place` says where it was to lead.
pub(super) fn connect_error(error: &Error, place: &str) -> StoreError {
    match error.as_db_error() {
        Some(failure) => match of_server(failure) {
            // What is wrong with a request to connect is never a wrong statement.
            StoreError::Internal(reason) | StoreError::Unavailable(reason) => {
                StoreError::Unavailable(format!("{reason} ({place})"))
            }
            other => other,
        },
        None if is_read_only(error) => {
            StoreError::Unavailable(format!("PostgreSQL is read only, as a standby is: {place}"))
        }
        None => StoreError::Unavailable(format!(
            "no connection to PostgreSQL at {place}: {}",
            with_sources(error)
        )),
    }
}

/// Whether a server was left because it can't be written to.
fn is_read_only(error: &Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref());
    source.is_some_and(|error: &std::io::Error| {
        error.kind() == std::io::ErrorKind::PermissionDenied
            && error.to_string().contains("does not allow writes")
    })
}

/// Whether the server said that the transaction has failed already: the
/// statement before this one has the reason.
pub(super) fn is_aftermath(error: &Error) -> bool {
    error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION)
}

fn of_server(failure: &DbError) -> StoreError {
    let said = failure.message();
    let code = failure.code();
    match code.code() {
        "53100" => StoreError::Full,
        "40001" | "40P01" | "55P03" => StoreError::Conflict(said.to_owned()),
        "28P01" | "28000" => StoreError::Unavailable(format!(
            "PostgreSQL refuses the log-in, check the user and the password: {said}"
        )),
        "3D000" => StoreError::Unavailable(format!(
            "PostgreSQL has no such database, create it first: {said}"
        )),
        "42501" => {
            StoreError::Unavailable(format!("the user lacks a permission in PostgreSQL: {said}"))
        }
        "53300" => StoreError::Unavailable(format!(
            "PostgreSQL has no connection left (max_connections): {said}"
        )),
        "25006" => StoreError::Unavailable(format!("PostgreSQL is read only: {said}")),
        "57014" => StoreError::Unavailable(format!("a statement took too long: {said}")),
        "XX001" | "XX002" => StoreError::Corrupt(said.to_owned()),
        other if is_unavailable(other) => {
            StoreError::Unavailable(format!("PostgreSQL says: {said}"))
        }
        other => StoreError::Internal(format!("{said} (SQLSTATE {other})")),
    }
}

/// Connections that broke (08), resources used up (53), an operator who
/// intervened (57), sessions that were ended for idling (25P03), and the system
/// around the server (58).
fn is_unavailable(code: &str) -> bool {
    ["08", "53", "57", "58"]
        .iter()
        .any(|class| code.starts_with(class))
        || code == "25P03"
}

fn is_io(error: &Error) -> bool {
    error
        .source()
        .is_some_and(|source| source.is::<std::io::Error>())
}

fn with_sources(error: &Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
