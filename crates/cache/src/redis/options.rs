//! Where the server is and how long it is waited for. Nothing here connects, and
//! the password never shows.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ::redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};

/// Redis' port, where none is given.
const DEFAULT_PORT: u16 = 6379;
/// How long connecting and logging in may take: a server on the same network needs milliseconds.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long an answer may take before its connection counts as dead.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);
/// How long one call may take in all, a second try included: what a request
/// loses at most when the server has just gone.
const CALL_LIMIT: Duration = Duration::from_millis(1_500);

/// A password. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Keeps a password.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How the connection is encrypted. The server's certificate is always checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// A file of PEM certificates that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// Where the server is and how long it is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisOptions {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The number of the database.
    pub database: u32,
    /// Who logs in; without one it is the user `default`.
    pub user: Option<String>,
    /// With what.
    pub password: Option<Password>,
    /// TLS, if it is spoken.
    pub tls: Option<TlsOptions>,
    /// What every key starts with, so that deployments can share a server.
    pub prefix: String,
    /// How long connecting and logging in may take.
    pub connect_limit: Duration,
    /// How long an answer may take before its connection counts as dead.
    pub answer_limit: Duration,
    /// How long one call may take in all.
    pub call_limit: Duration,
}

impl Default for RedisOptions {
    /// A server on this machine as it comes from its package.
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: DEFAULT_PORT,
            database: 0,
            user: None,
            password: None,
            tls: None,
            prefix: "collective:".to_owned(),
            connect_limit: CONNECT_LIMIT,
            answer_limit: ANSWER_LIMIT,
            call_limit: CALL_LIMIT,
        }
    }
}

/// What is wrong with a URL. It never repeats the URL, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another scheme.
    #[error("a URL of Redis starts with redis:// or rediss://")]
    Scheme,
    /// It can't be read.
    #[error(
        "the URL of Redis can't be read; write redis://USER:PASSWORD@HOST:PORT/DATABASE, percent-encoded"
    )]
    Unreadable,
    /// It asks for TLS without a look at the certificate.
    #[error("a URL of Redis can't switch the check of certificates off; name the CA file instead")]
    Insecure,
}

impl RedisOptions {
    /// From `redis://USER:PASSWORD@HOST:PORT/DATABASE`, percent-encoded; `rediss`
    /// for TLS. What it leaves out is as in the defaults.
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        if !url.starts_with("redis://") && !url.starts_with("rediss://") {
            return Err(UrlError::Scheme);
        }
        if url.ends_with("#insecure") {
            return Err(UrlError::Insecure);
        }
        let info = url
            .into_connection_info()
            .map_err(|_| UrlError::Unreadable)?;
        let (host, port, tls) = match info.addr() {
            ConnectionAddr::Tcp(host, port) => (host, port, None),
            ConnectionAddr::TcpTls { host, port, .. } => (host, port, Some(TlsOptions::default())),
            _ => return Err(UrlError::Unreadable),
        };
        let login = info.redis_settings();
        Ok(Self {
            host: host.clone(),
            port: *port,
            database: u32::try_from(login.db()).map_err(|_| UrlError::Unreadable)?,
            user: login.username().map(str::to_owned),
            password: login.password().map(Password::new),
            tls,
            ..Self::default()
        })
    }

    /// Host and port, as people write them.
    pub(super) fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Where the driver connects.
    pub(super) fn address(&self) -> ConnectionAddr {
        let (host, port) = (self.host.clone(), self.port);
        match self.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            },
        }
    }

    /// What the driver says when it has connected.
    pub(super) fn login(&self) -> RedisConnectionInfo {
        let mut login = RedisConnectionInfo::default()
            .set_db(i64::from(self.database))
            .set_lib_name("collective", env!("CARGO_PKG_VERSION"));
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        if let Some(Password(password)) = &self.password {
            login = login.set_password(password);
        }
        login
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_who() {
        let read = RedisOptions::from_url("rediss://ada:p%40ss@cache.example:6380/3").unwrap();
        assert_eq!(
            (read.host.as_str(), read.port, read.database),
            ("cache.example", 6380, 3)
        );
        assert_eq!(read.user.as_deref(), Some("ada"));
        assert_eq!(read.password, Some(Password::new("p@ss")));
        assert_eq!(read.tls, Some(TlsOptions::default()));
    }

    #[test]
    fn what_a_url_leaves_out_is_as_in_the_defaults() {
        for url in ["redis://localhost", "redis://localhost/"] {
            assert_eq!(
                RedisOptions::from_url(url),
                Ok(RedisOptions::default()),
                "{url}"
            );
        }
        let read = RedisOptions::from_url("redis://[::1]:7000").unwrap();
        assert_eq!(
            (read.host.as_str(), read.place().as_str()),
            ("::1", "[::1]:7000")
        );
    }

    #[test]
    fn a_url_that_is_none_is_refused_without_being_repeated() {
        for (url, expected) in [
            ("http://u:secret@h", UrlError::Scheme),
            ("redis+unix:///secret", UrlError::Scheme),
            ("redis://u:secret@h:port", UrlError::Unreadable),
            ("redis://:secret@h/notanumber", UrlError::Unreadable),
            ("redis://:secret@h/-1", UrlError::Unreadable),
            ("rediss://:secret@h/#insecure", UrlError::Insecure),
        ] {
            let error = RedisOptions::from_url(url).unwrap_err();
            assert_eq!(error, expected, "{url}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_password_never_shows() {
        let shown = format!(
            "{:?}",
            RedisOptions::from_url("redis://ada:secret@h").unwrap()
        );
        assert!(
            !shown.contains("secret") && shown.contains("***"),
            "{shown}"
        );
    }
}
