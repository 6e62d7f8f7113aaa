//! What the driver and the server say, as a sentence that says what to do.
//!
//! It never knows the password, so it can't repeat it.

use std::time::Duration;

use ::redis::{ErrorKind, RedisError};

/// Why a call failed.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The server answered, and said no.
    Refused(RedisError),
    /// No connection could be made.
    Connecting(RedisError),
    /// The connection was there and is no more.
    Dropped(RedisError),
    /// No answer in time.
    Late(Duration),
    /// Nothing was tried: it was just found to be down.
    Known(String),
}

impl Failure {
    /// What went wrong with a command on a connection.
    pub(super) fn of_command(error: RedisError, limit: Duration) -> Self {
        if error.is_timeout() {
            Self::Late(limit)
        } else if error.is_io_error() || error.kind() == ErrorKind::Parse {
            Self::Dropped(error)
        } else {
            Self::Refused(error)
        }
    }

    /// Whether the server said no in a way that another connection may heal: it
    /// is a replica now, or wants a login that it didn't want before.
    pub(super) fn is_of_this_connection(&self) -> bool {
        match self {
            Self::Refused(error) => {
                matches!(
                    error.code(),
                    Some("READONLY" | "MASTERDOWN" | "NOAUTH" | "WRONGPASS")
                )
            }
            _ => true,
        }
    }

    /// Whether the script isn't known to the server.
    pub(super) fn is_unknown_script(&self) -> bool {
        matches!(self, Self::Refused(error) if error.code() == Some("NOSCRIPT"))
    }

    /// The sentence.
    pub(super) fn text(&self, place: &str) -> String {
        let redis = format!("Redis at {place}");
        match self {
            Self::Known(reason) => reason.clone(),
            Self::Late(limit) => format!("{redis} gave no answer within {limit:?}"),
            Self::Dropped(error) => format!("{redis} closed the connection ({error})"),
            Self::Connecting(error) => connecting(error, place),
            Self::Refused(error) => refused(error, &redis),
        }
    }
}

fn connecting(error: &RedisError, place: &str) -> String {
    let redis = &format!("Redis at {place}");
    if error.kind() == ErrorKind::AuthenticationFailed {
        let said = error.to_string();
        if said.contains("without any password configured") {
            return format!(
                "{redis} has no password, but one is set here; remove it or set requirepass there"
            );
        }
        return format!("{redis} refused the user name or password (WRONGPASS); check both");
    }
    if error.is_timeout() {
        return format!("{redis} can't be reached: connecting took too long");
    }
    if error.is_connection_refusal() {
        return format!("nothing listens at {place}; is Redis running, and is the port right?");
    }
    if !error.is_io_error() && error.code().is_some() {
        return refused(error, redis);
    }
    let said = error.to_string();
    if said.contains("certificate") {
        return format!(
            "the certificate of {redis} is not accepted ({said}); check the CA file, the host name and the dates"
        );
    }
    if error.is_connection_dropped() || error.kind() == ErrorKind::Parse {
        return format!("{redis} ends the login ({said}); is TLS on at one end only?");
    }
    format!("{redis} can't be reached: {said}")
}

fn refused(error: &RedisError, redis: &str) -> String {
    let said = error.detail().unwrap_or_default();
    // A command inside a script fails with the code in its text on some versions.
    let code = match error.code() {
        Some("ERR") | None if said.contains("OOM command not allowed") => "OOM",
        code => code.unwrap_or_default(),
    };
    let what = match code {
        "OOM" => "is full (OOM): raise its maxmemory, or set maxmemory-policy to volatile-ttl",
        "NOAUTH" => "wants a password (NOAUTH) and none is set",
        "WRONGPASS" => "refused the user name or password (WRONGPASS); check both",
        "NOPERM" => {
            "doesn't allow its user a command or key (NOPERM): it needs GET, MGET, SET, DEL, EVAL and EVALSHA on the keys of the prefix"
        }
        "READONLY" => "is a read-only replica (READONLY): name the primary",
        "MASTERDOWN" => "is a replica without its primary (MASTERDOWN): name the primary",
        "LOADING" => "is still loading its data (LOADING): it serves once that is done",
        "MISCONF" => {
            "takes no writes because it can't write its snapshot (MISCONF): free its disk, or set stop-writes-on-bgsave-error to no"
        }
        "BUSY" => "is busy with somebody's script (BUSY): end that script",
        "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" => {
            "is a cluster, which isn't supported: name a single server"
        }
        _ => {
            return format!(
                "{redis} refused a command: {} {said}",
                error.code().unwrap_or("without a code")
            );
        }
    };
    format!("{redis} {what}")
}
