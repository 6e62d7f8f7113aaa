//! The settings in the types of their readers: one struct per part of a server.
//!
//! It must never know the adapters; whoever wires them turns these into their options.

use std::net::SocketAddr;
use std::path::PathBuf;

use collective_core::Span;

use crate::secret::Secret;
use crate::value::Ratio;

/// All that a server is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where and how it listens.
    pub server: Server,
    /// What it keeps its data in.
    pub engine: Engine,
    /// What it says of itself.
    pub log: Log,
    /// Where its traces go, if anywhere.
    pub trace: Option<Trace>,
}

/// Where and how a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Address and port.
    pub listen: SocketAddr,
    /// Host names beside the loopback names.
    pub hosts: Vec<String>,
    /// Most open connections.
    pub max_connections: usize,
    /// Most open event streams.
    pub max_streams: usize,
    /// How many requests of one key are let through at once.
    pub request_burst: u32,
    /// The time between two requests of one key from then on.
    pub request_period: Span,
    /// How long a stopping server answers what is in flight.
    pub drain: Span,
}

/// What a server keeps its data in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// SQLite in the data folder, bus and cache in the process.
    Embedded(Sqlite),
    /// PostgreSQL, RabbitMQ and Redis.
    Distributed(Box<Distributed>),
}

/// How SQLite is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sqlite {
    /// Whether a command counts when it is on the disk, not when the kernel has it.
    pub full_sync: bool,
    /// Largest size of the database in bytes.
    pub max_size: Option<u64>,
}

/// The three servers of the distributed engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distributed {
    /// The store.
    pub store: Postgres,
    /// The bus.
    pub bus: RabbitMq,
    /// The cache.
    pub cache: Redis,
}

/// One host of PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresHost {
    /// Its name or address; one that starts with `/` is the folder of a socket.
    pub name: String,
    /// Its port.
    pub port: u16,
}

/// How connections to PostgreSQL are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostgresTls {
    /// Never.
    Disable,
    /// If the server can.
    Prefer,
    /// Always, without a look at who it is.
    Require,
    /// Always, and the certificate must be the server's own.
    VerifyFull,
}

/// Where PostgreSQL is and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postgres {
    /// The hosts, in the order in which they are tried.
    pub hosts: Vec<PostgresHost>,
    /// The database.
    pub database: String,
    /// Who logs in.
    pub user: String,
    /// With what.
    pub password: Option<Secret>,
    /// How connections are encrypted.
    pub tls: PostgresTls,
    /// Who may vouch for the server.
    pub ca_file: Option<PathBuf>,
    /// Most connections that write.
    pub writers: usize,
    /// Most connections that read.
    pub readers: usize,
    /// How long connecting to one host may take.
    pub connect_timeout: Span,
    /// How long a command waits for a connection.
    pub wait_timeout: Span,
    /// How long one statement may take.
    pub statement_timeout: Span,
    /// How long one statement may wait for a lock.
    pub lock_timeout: Span,
}

/// How TLS is spoken with RabbitMQ or Redis; the certificate is always checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificates that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// Where RabbitMQ is and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RabbitMq {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The virtual host.
    pub vhost: String,
    /// Who logs in.
    pub user: String,
    /// With what.
    pub password: Secret,
    /// TLS, if it is spoken.
    pub tls: Option<Tls>,
    /// Reports that one server holds at once.
    pub prefetch: u16,
    /// How long connecting and logging in may take.
    pub connect_timeout: Span,
    /// How long what was published may wait for its confirm.
    pub confirm_timeout: Span,
}

/// Where Redis is and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The number of the database.
    pub database: u32,
    /// Who logs in.
    pub user: Option<String>,
    /// With what.
    pub password: Option<Secret>,
    /// TLS, if it is spoken.
    pub tls: Option<Tls>,
    /// What every key starts with.
    pub prefix: String,
    /// How long connecting and logging in may take.
    pub connect_timeout: Span,
    /// How long an answer may take.
    pub answer_timeout: Span,
}

/// What log lines look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// What lines look like.
    pub format: LogFormat,
    /// Which lines.
    pub filter: String,
}

/// Where traces go, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The collector's address.
    pub endpoint: String,
    /// What is sent with each batch.
    pub headers: Vec<(String, Secret)>,
    /// The part of the traces that is kept.
    pub ratio: Ratio,
    /// What the server is called in them.
    pub service: String,
}
