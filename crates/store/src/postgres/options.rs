//! Where the database is and how it is used. Nothing here connects.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use collective_core::ports::StoreError;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// PostgreSQL's port, where none is given.
const DEFAULT_PORT: u16 = 5432;
/// How long an idle connection waits before it asks whether the other end lives.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
/// How long between such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How many may stay without an answer.
const KEEPALIVE_RETRIES: u32 = 3;
/// How long what was sent may stay unacknowledged by the other end's kernel.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

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

/// How connections are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// If the server can; whoever is in between could say that it can't.
    #[default]
    Prefer,
    /// Always. Without a CA file, the server's certificate isn't checked.
    Require,
    /// Always, and the server's certificate must be its own, by the CA file or,
    /// without one, by the system's certificates.
    VerifyFull,
}

impl TlsMode {
    /// The mode that a word of `sslmode` means.
    pub fn from_text(word: &str) -> Option<Self> {
        match word {
            "disable" => Some(Self::Disable),
            "allow" | "prefer" => Some(Self::Prefer),
            "require" => Some(Self::Require),
            // The name is checked as well: stricter than asked, never laxer.
            "verify-ca" | "verify-full" => Some(Self::VerifyFull),
            _ => None,
        }
    }
}

/// A server: a host name, an address or the folder of its socket, and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgHost {
    /// Its name; one that starts with `/` is the folder of a socket.
    pub name: String,
    /// Its port.
    pub port: u16,
}

/// Where the database is and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgOptions {
    /// The servers, tried in order; the first that can be written to is used,
    /// so that the standby of a fallen primary is found once it is promoted.
    pub hosts: Vec<PgHost>,
    /// The database.
    pub database: String,
    /// The user.
    pub user: String,
    /// The user's password.
    pub password: Option<Password>,
    /// How connections are encrypted.
    pub tls: TlsMode,
    /// Certificates (PEM) of who may vouch for the server.
    pub ca_file: Option<PathBuf>,
    /// What the connections are called in `pg_stat_activity`.
    pub application_name: String,
    /// Most connections that write at once.
    pub writers: usize,
    /// Most connections that read at once.
    pub readers: usize,
    /// How long connecting to one server may take.
    pub connect_timeout: Duration,
    /// How long a caller waits for a connection.
    pub wait_timeout: Duration,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// How long one statement may wait for a lock.
    pub lock_timeout: Duration,
    /// How long a transaction may stay open without a statement.
    pub idle_in_transaction_timeout: Duration,
    /// Whether an older schema is brought up to date; if not, it is refused.
    pub migrate: bool,
}

impl Default for PgOptions {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            database: "collective".to_owned(),
            user: "collective".to_owned(),
            password: None,
            tls: TlsMode::default(),
            ca_file: None,
            application_name: "collective".to_owned(),
            // Two replicas of twice eight, their listeners and duties stay well
            // below PostgreSQL's default of 100 connections.
            writers: 8,
            readers: 8,
            connect_timeout: Duration::from_secs(5),
            wait_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            idle_in_transaction_timeout: Duration::from_secs(60),
            migrate: true,
        }
    }
}

impl PgOptions {
    /// Reads `postgres://user:password@host:port,host:port/database?sslmode=..`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as [`StoreError::Unavailable`]; the URL itself,
    /// which has a password, isn't repeated.
    pub fn from_url(url: &str) -> Result<Self, StoreError> {
        let mut options = Self::default();
        let (address, questions) = url.split_once('?').unwrap_or((url, ""));
        let mut left = Vec::new();
        for pair in questions.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", word)) => {
                    options.tls = TlsMode::from_text(word)
                        .ok_or_else(|| invalid(&format!("there is no sslmode `{word}`")))?;
                }
                Some(("sslrootcert", path)) => options.ca_file = Some(path.into()),
                _ => left.push(pair),
            }
        }
        let config = Config::from_str(&format!("{address}?{}", left.join("&")))
            .map_err(|error| invalid(&error.to_string()))?;
        options.adopt(&config)?;
        Ok(options)
    }

    fn adopt(&mut self, config: &Config) -> Result<(), StoreError> {
        let ports = config.get_ports();
        for (n, host) in config.get_hosts().iter().enumerate() {
            let name = match host {
                Host::Tcp(name) => name.clone(),
                #[cfg(unix)]
                Host::Unix(path) => path.display().to_string(),
            };
            let port = ports.get(n).or(ports.first()).copied();
            self.hosts.push(PgHost {
                name,
                port: port.unwrap_or(DEFAULT_PORT),
            });
        }
        if self.hosts.is_empty() {
            return Err(invalid("it names no host"));
        }
        if let Some(database) = config.get_dbname() {
            self.database = database.to_owned();
        }
        if let Some(user) = config.get_user() {
            self.user = user.to_owned();
        }
        if let Some(password) = config.get_password() {
            let password = String::from_utf8(password.to_vec())
                .map_err(|_| invalid("its password is not UTF-8"))?;
            self.password = Some(Password(password));
        }
        if let Some(name) = config.get_application_name() {
            self.application_name = name.to_owned();
        }
        if let Some(timeout) = config.get_connect_timeout() {
            self.connect_timeout = *timeout;
        }
        Ok(())
    }

    /// Where this leads, without secrets.
    pub(super) fn place(&self) -> String {
        let hosts: Vec<String> = self
            .hosts
            .iter()
            .map(|host| format!("{}:{}", host.name, host.port))
            .collect();
        format!(
            "{}, database `{}`, user `{}`",
            hosts.join(","),
            self.database,
            self.user
        )
    }

    /// What each connection is opened with.
    pub(super) fn config(&self) -> Config {
        let mut config = Config::new();
        for host in &self.hosts {
            config.host(&host.name).port(host.port);
        }
        config
            .dbname(&self.database)
            .user(&self.user)
            .application_name(&self.application_name)
            .connect_timeout(self.connect_timeout)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(TCP_USER_TIMEOUT)
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .ssl_mode(match self.tls {
                _ if self.is_local() => SslMode::Disable,
                TlsMode::Disable => SslMode::Disable,
                TlsMode::Prefer => SslMode::Prefer,
                TlsMode::Require | TlsMode::VerifyFull => SslMode::Require,
            })
            .options(self.session());
        if let Some(Password(password)) = &self.password {
            config.password(password);
        }
        config
    }

    /// Whether all servers are reached by sockets of this machine, which have no TLS.
    fn is_local(&self) -> bool {
        self.hosts.iter().all(|host| host.name.starts_with('/'))
    }

    /// Settings of each session, as `PGOPTIONS` takes them. Every statement has its index and few rows:
    /// the planner is kept from other ways, which it would take while its
    /// statistics say that a table is still small, and plans each one once.
    pub fn session(&self) -> String {
        let timeouts = [
            ("statement_timeout", self.statement_timeout),
            ("lock_timeout", self.lock_timeout),
            (
                "idle_in_transaction_session_timeout",
                self.idle_in_transaction_timeout,
            ),
        ];
        let mut settings: Vec<String> = timeouts
            .iter()
            .map(|(name, limit)| format!("-c {name}={}", limit.as_millis()))
            .collect();
        settings.extend(
            [
                "plan_cache_mode=force_generic_plan",
                "enable_seqscan=off",
                "enable_hashjoin=off",
                "enable_mergejoin=off",
                "jit=off",
                "client_encoding=UTF8",
                "search_path=public",
            ]
            .map(|setting| format!("-c {setting}")),
        );
        settings.join(" ")
    }
}

fn invalid(why: &str) -> StoreError {
    StoreError::Unavailable(format!("the database's URL can't be used: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_all_its_parts() {
        let options = PgOptions::from_url(
            "postgres://ada:s%40cret@one:5433,two/work?sslmode=verify-full&sslrootcert=/ca.pem\
             &application_name=x&connect_timeout=3",
        );
        let options = options.expect("a URL");
        let hosts: Vec<_> = options
            .hosts
            .iter()
            .map(|host| (host.name.as_str(), host.port))
            .collect();
        assert_eq!(hosts, [("one", 5433), ("two", 5432)]);
        assert_eq!(
            (options.user.as_str(), options.database.as_str()),
            ("ada", "work")
        );
        assert_eq!(options.password, Some(Password::new("s@cret")));
        assert_eq!(options.tls, TlsMode::VerifyFull);
        assert_eq!(options.ca_file, Some(PathBuf::from("/ca.pem")));
        assert_eq!(options.application_name, "x");
        assert_eq!(options.connect_timeout, Duration::from_secs(3));
    }

    #[test]
    fn a_wrong_url_is_refused_without_its_password() {
        for url in [
            "postgres://ada:s3cret@host/db?sslmode=perhaps",
            "postgres://ada:s3cret@host:port/db",
            "postgres:///db",
            "mysql://ada:s3cret@host/db",
        ] {
            let error = PgOptions::from_url(url).expect_err(url).to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_password_is_never_printed() {
        let options = PgOptions::from_url("postgres://ada:s3cret@host/db").expect("a URL");
        assert!(!format!("{options:?} {}", options.place()).contains("s3cret"));
        assert!(!format!("{:?}", options.config()).contains("s3cret"));
    }
}
