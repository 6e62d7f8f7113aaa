//! Where the broker is and how much is asked of it. The password never shows.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};

/// How often each side shows that it is there; a dead peer is noticed after two of these.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long connecting, logging in and declaring may take: far more than a busy broker needs.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a batch may wait for its confirms before its broker counts as gone.
const CONFIRM_LIMIT: Duration = Duration::from_secs(10);
/// Longest pause between two tries to connect: short enough that a broker which
/// is back is used within seconds, long enough to leave a starting one alone.
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// Reports that one replica holds at once: enough to fill a commit, few enough
/// that another replica gets its share.
const PREFETCH: u16 = 256;
/// Messages of one batch that may be unconfirmed: past about this many, more
/// doesn't make a quorum queue faster.
const WINDOW: usize = 1_024;

/// A password: it is used, never printed.
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
        f.write_str("Password(***)")
    }
}

/// How the connection is kept from being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// A file of PEM certificates that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether the broker's certificate is checked. Without it anyone in
    /// between can read and change everything; it is for a first try only.
    pub verify: bool,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            ca_file: None,
            verify: true,
        }
    }
}

/// Where the broker is and how much is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RabbitOptions {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The virtual host.
    pub vhost: String,
    /// Who logs in.
    pub user: String,
    /// With what.
    pub password: Password,
    /// TLS, if it is spoken.
    pub tls: Option<TlsOptions>,
    /// What the connections are called in the broker's own listings.
    pub name: String,
    /// How often each side shows that it is there, in whole seconds.
    pub heartbeat: Duration,
    /// How long connecting, logging in and declaring may take, each connection by itself.
    pub connect_limit: Duration,
    /// How long a batch may wait for its confirms.
    pub confirm_limit: Duration,
    /// Longest pause between two tries to connect.
    pub max_backoff: Duration,
    /// Reports that are held at once.
    pub prefetch: u16,
    /// Messages of one batch that may be unconfirmed at once.
    pub window: usize,
}

impl Default for RabbitOptions {
    /// A broker on this machine as it comes from its package.
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: AMQPScheme::AMQP.default_port(),
            vhost: "/".to_owned(),
            user: "guest".to_owned(),
            password: Password::new("guest"),
            tls: None,
            name: "collective".to_owned(),
            heartbeat: HEARTBEAT,
            connect_limit: CONNECT_LIMIT,
            confirm_limit: CONFIRM_LIMIT,
            max_backoff: MAX_BACKOFF,
            prefetch: PREFETCH,
            window: WINDOW,
        }
    }
}

/// What is wrong with a URL. It never repeats the URL, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another scheme.
    #[error("a URL of RabbitMQ starts with amqp:// or amqps://")]
    Scheme,
    /// It can't be read.
    #[error(
        "the URL of RabbitMQ can't be read: {0}; write amqp://USER:PASSWORD@HOST:PORT/VHOST, percent-encoded"
    )]
    Unreadable(String),
    /// No host.
    #[error("the URL of RabbitMQ names no host")]
    NoHost,
}

impl RabbitOptions {
    /// From `amqp://USER:PASSWORD@HOST:PORT/VHOST`, percent-encoded; `amqps`
    /// for TLS. What it leaves out is as in the defaults.
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        if !url.starts_with("amqp://") && !url.starts_with("amqps://") {
            return Err(UrlError::Scheme);
        }
        let uri: AMQPUri = url.parse().map_err(|error: String| {
            // Its parser may repeat what it was given.
            let said = if error.contains(url) {
                "it is no URL"
            } else {
                &error
            };
            UrlError::Unreadable(said.to_owned())
        })?;
        let host = match bracketed(url) {
            Some(address) => address.to_owned(),
            None => uri.authority.host,
        };
        if host.is_empty() {
            return Err(UrlError::NoHost);
        }
        let defaults = Self::default();
        Ok(Self {
            host,
            port: uri.authority.port,
            vhost: if uri.vhost.is_empty() {
                defaults.vhost
            } else {
                uri.vhost
            },
            user: uri.authority.userinfo.username,
            password: Password::new(uri.authority.userinfo.password),
            tls: (uri.scheme == AMQPScheme::AMQPS).then(TlsOptions::default),
            heartbeat: uri
                .query
                .heartbeat
                .map_or(defaults.heartbeat, |secs| Duration::from_secs(secs.into())),
            ..defaults
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

    /// What the driver wants to know. TLS isn't its business.
    pub(super) fn uri(&self) -> AMQPUri {
        AMQPUri {
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: self.user.clone(),
                    password: self.password.0.clone(),
                },
                host: self.host.clone(),
                port: self.port,
            },
            vhost: self.vhost.clone(),
            query: AMQPQueryString {
                heartbeat: Some(u16::try_from(self.heartbeat.as_secs()).unwrap_or(u16::MAX)),
                ..AMQPQueryString::default()
            },
        }
    }
}

/// The host of a URL that is an IPv6 address, which the driver's parser drops.
fn bracketed(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    host.strip_prefix('[')?
        .split_once(']')
        .map(|(address, _)| address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_who() {
        let read =
            RabbitOptions::from_url("amqps://ada:p%40ss@mq.example:5673/team%2Fone?heartbeat=30")
                .unwrap();
        assert_eq!((read.host.as_str(), read.port), ("mq.example", 5673));
        assert_eq!(
            (read.vhost.as_str(), read.user.as_str()),
            ("team/one", "ada")
        );
        assert_eq!(read.password, Password::new("p@ss"));
        assert_eq!(read.tls, Some(TlsOptions::default()));
        assert_eq!(read.heartbeat, Duration::from_secs(30));
    }

    #[test]
    fn what_a_url_leaves_out_is_as_in_the_defaults() {
        for url in [
            "amqp://localhost",
            "amqp://localhost/",
            "amqp://localhost/%2F",
        ] {
            assert_eq!(
                RabbitOptions::from_url(url),
                Ok(RabbitOptions::default()),
                "{url}"
            );
        }
        let read = RabbitOptions::from_url("amqp://[::1]:5673").unwrap();
        assert_eq!(
            (read.host.as_str(), read.place().as_str()),
            ("::1", "[::1]:5673")
        );
    }

    #[test]
    fn a_url_that_is_none_is_refused_without_being_repeated() {
        for url in [
            "http://u:secret@h",
            "amqp://u:secret@h:port/",
            "amqp://u:secret@h/%FF",
        ] {
            let error = RabbitOptions::from_url(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_password_never_shows() {
        let shown = format!(
            "{:?}",
            RabbitOptions::from_url("amqp://ada:secret@h").unwrap()
        );
        assert!(
            !shown.contains("secret") && shown.contains("***"),
            "{shown}"
        );
    }
}
