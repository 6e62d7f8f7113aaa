//! The cache on Redis, shared by every replica that uses the same prefix.
//!
//! Time is the caller's: a value carries its own end beside the time to live
//! that the server is told, so that whichever comes first counts. Every key has
//! a time to live, so a server with a `volatile-*` policy may evict any of them.

mod failure;
mod link;
mod look;
mod options;

use std::fmt;
use std::path::PathBuf;

use ::redis::{
    Client, Cmd, ConnectionInfo, IntoConnectionInfo, Script, TlsCertificates, Value, cmd,
};
use async_trait::async_trait;
use collective_core::ports::cache::{MAX_KEY_LEN, MAX_VALUE_LEN};
use collective_core::ports::{Cache, CacheError, Permit, RateLimit};
use collective_core::{Span, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use failure::Failure;
use link::{Limits, Link};

pub use link::RedisState;
pub use look::look;
pub use options::{Password, RedisOptions, TlsOptions, UrlError};

/// Keys of one `MGET`: the server answers nobody else meanwhile.
const KEYS_AT_ONCE: usize = 500;
/// How long a bucket is kept past the time when it is as good as new: clocks of
/// replicas differ, and whoever is behind must not get a fresh burst.
const BUCKET_GRACE: Span = Span::from_secs(60);
/// Longest period and longest burst of a bucket: the script counts
/// microseconds since 1970 in doubles, which are exact up to the year 2255.
const LONGEST: Span = Span::from_secs(50 * 365 * 24 * 3_600);
/// How long the mark is kept that the check of its health writes.
const MARK_TTL: Span = Span::from_secs(60);

/// The cache on Redis. Clones are for an `Arc`: one of these is one connection.
pub struct RedisCache {
    link: Link,
    prefix: String,
    script: Script,
}

/// What keeps the cache from being set up at all. A server that is down doesn't.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file of certificates can't be read.
    #[error("the CA file {path} of Redis can't be read")]
    CaFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds no certificates.
    #[error("the CA file {path} of Redis holds no usable certificates: {reason}")]
    Certificates {
        /// Which.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// The driver takes the settings for wrong.
    #[error("the settings of Redis are of no use: {0}")]
    Settings(String),
}

impl RedisCache {
    /// A cache that connects when it is first used.
    ///
    /// # Errors
    ///
    /// When the CA file is missing or holds no certificates.
    pub fn new(options: &RedisOptions) -> Result<Self, SetupError> {
        let limits = Limits {
            connect: options.connect_limit,
            answer: options.answer_limit,
            call: options.call_limit,
        };
        Ok(Self {
            link: Link::new(client(options)?, options.place(), limits),
            prefix: options.prefix.clone(),
            script: Script::new(include_str!("take.lua")),
        })
    }

    /// How it is with the server, without asking it.
    pub fn state(&self) -> RedisState {
        self.link.state()
    }

    fn value_key(&self, key: &str) -> Result<String, CacheError> {
        self.key("v:", key)
    }

    fn key(&self, kind: &str, key: &str) -> Result<String, CacheError> {
        if key.len() > MAX_KEY_LEN {
            return Err(CacheError::TooLarge);
        }
        Ok(format!("{}{kind}{key}", self.prefix))
    }

    async fn run(&self, command: &Cmd) -> Result<Value, CacheError> {
        self.link
            .run(command)
            .await
            .map_err(|failure| self.failed(&failure))
    }

    fn failed(&self, failure: &Failure) -> CacheError {
        CacheError::Unavailable(self.link.text(failure))
    }

    /// An answer that the command can't have.
    fn odd(&self, answer: &Value) -> CacheError {
        let kind = match answer {
            Value::Int(_) => "a number",
            Value::BulkString(_) | Value::SimpleString(_) => "a text",
            Value::Array(_) => "a list",
            _ => "something",
        };
        CacheError::Unavailable(format!("Redis answered with {kind} where none belongs"))
    }
}

impl fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCache")
            .field("prefix", &self.prefix)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Cache for RedisCache {
    async fn put(
        &self,
        key: &str,
        value: &[u8],
        ttl: Span,
        now: Timestamp,
    ) -> Result<(), CacheError> {
        let name = self.value_key(key)?;
        if value.len() > MAX_VALUE_LEN {
            return Err(CacheError::TooLarge);
        }
        if ttl == Span::ZERO {
            return self.remove(key).await;
        }
        let mut kept = Vec::with_capacity(size_of::<i64>() + value.len());
        kept.extend_from_slice(&(now + ttl).micros().to_be_bytes());
        kept.extend_from_slice(value);
        let mut set = cmd("SET");
        set.arg(name).arg(kept).arg("PX").arg(millis(ttl));
        self.run(&set).await.map(drop)
    }

    async fn get(&self, key: &str, now: Timestamp) -> Result<Option<Vec<u8>>, CacheError> {
        let name = self.value_key(key)?;
        let answer = self.run(cmd("GET").arg(name)).await?;
        Ok(unless_run_out(answer, now))
    }

    async fn get_many(
        &self,
        keys: &[String],
        now: Timestamp,
    ) -> Result<Vec<Option<Vec<u8>>>, CacheError> {
        let names: Vec<String> = keys
            .iter()
            .map(|key| self.value_key(key))
            .collect::<Result<_, _>>()?;
        let mut found = Vec::with_capacity(names.len());
        for names in names.chunks(KEYS_AT_ONCE) {
            match self.run(cmd("MGET").arg(names)).await? {
                Value::Array(values) if values.len() == names.len() => {
                    found.extend(values.into_iter().map(|value| unless_run_out(value, now)));
                }
                other => return Err(self.odd(&other)),
            }
        }
        Ok(found)
    }

    async fn remove(&self, key: &str) -> Result<(), CacheError> {
        let name = self.value_key(key)?;
        self.run(cmd("DEL").arg(name)).await.map(drop)
    }

    async fn take(
        &self,
        bucket: &str,
        limit: RateLimit,
        now: Timestamp,
    ) -> Result<Permit, CacheError> {
        let name = self.key("b:", bucket)?;
        let (tolerance, period) = exact(limit);
        let call = |how: &str, script: &str| {
            let mut call = cmd(how);
            call.arg(script).arg(1).arg(&name);
            call.arg(now.micros())
                .arg(tolerance.micros())
                .arg(period.micros())
                .arg(millis(BUCKET_GRACE));
            call
        };
        let known = call("EVALSHA", self.script.get_hash());
        let answer = match self.link.run(&known).await {
            // A server that was restarted or flushed learns the script again.
            Err(failure) if failure.is_unknown_script() => {
                self.run(&call("EVAL", include_str!("take.lua"))).await?
            }
            answer => answer.map_err(|failure| self.failed(&failure))?,
        };
        match answer {
            Value::Int(-1) => Ok(Permit::Granted),
            Value::Int(micros) => match u64::try_from(micros) {
                Ok(micros) => Ok(Permit::Denied {
                    retry_after: Span::from_micros(micros),
                }),
                Err(_) => Err(self.odd(&answer)),
            },
            other => Err(self.odd(&other)),
        }
    }

    /// Writes a mark: a server that is full or a replica answers a `PING` as well.
    async fn health(&self) -> Result<(), CacheError> {
        let mark = self.key("", "health")?;
        let mut set = cmd("SET");
        set.arg(mark).arg(1).arg("PX").arg(millis(MARK_TTL));
        self.run(&set).await.map(drop)
    }
}

/// Tolerance and period of a limit, short enough for the script's numbers.
fn exact(limit: RateLimit) -> (Span, Span) {
    let period = limit.period.min(LONGEST);
    let tolerance = period.times(u64::from(limit.burst.saturating_sub(1)));
    (tolerance.min(LONGEST), period)
}

/// In milliseconds, rounded up: nothing ends early.
fn millis(span: Span) -> u64 {
    span.micros().div_ceil(1_000)
}

/// The value behind its end, if that is still ahead. What isn't ours is nothing.
fn unless_run_out(kept: Value, now: Timestamp) -> Option<Vec<u8>> {
    let Value::BulkString(mut kept) = kept else {
        return None;
    };
    let (end, _) = kept.split_first_chunk()?;
    let ends_at = Timestamp::from_micros(i64::from_be_bytes(*end));
    (ends_at > now).then(|| kept.split_off(size_of::<i64>()))
}

fn client(options: &RedisOptions) -> Result<Client, SetupError> {
    let settings = |error: ::redis::RedisError| SetupError::Settings(error.to_string());
    let info: ConnectionInfo = options
        .address()
        .into_connection_info()
        .map_err(settings)?
        .set_redis_settings(options.login());
    if options.tls.is_some() {
        // The driver leaves the choice to the process; a choice made before stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let Some(path) = options.tls.as_ref().and_then(|tls| tls.ca_file.as_ref()) else {
        return Client::open(info).map_err(settings);
    };
    let root_cert = std::fs::read(path).map_err(|source| SetupError::CaFile {
        path: path.clone(),
        source,
    })?;
    let unusable = |reason: String| SetupError::Certificates {
        path: path.clone(),
        reason,
    };
    // The driver takes a file without any for one that trusts nobody.
    if CertificateDer::pem_slice_iter(&root_cert).next().is_none() {
        return Err(unusable("there are none in it".to_owned()));
    }
    let certificates = TlsCertificates {
        client_tls: None,
        root_cert: Some(root_cert),
    };
    Client::build_with_tls(info, certificates).map_err(|error| unusable(error.to_string()))
}
