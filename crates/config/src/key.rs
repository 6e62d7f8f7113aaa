//! Every key that there is: its kind, its variables, its default, what it means.
//!
//! One table serves the reading, `config show` and the docs. It must never
//! know what a server does with a key.

use crate::value::Kind;

/// For which engine a key counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Both.
    Any,
    /// SQLite, bus and cache in the process.
    Embedded,
    /// PostgreSQL, RabbitMQ and Redis.
    Distributed,
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Section and name, such as `store.port`.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// The variables that others call it by, beside its own.
    pub variables: &'static [&'static str],
    /// Its value when nothing is said.
    pub default: Option<&'static str>,
    /// For which engine it counts.
    pub engine: For,
    /// One sentence of what it means.
    pub meaning: &'static str,
}

impl Key {
    /// The variable of its own: `COLLECTIVE_STORE_PORT` for `store.port`.
    pub fn own_variable(&self) -> String {
        format!(
            "COLLECTIVE_{}",
            self.name.replace('.', "_").to_ascii_uppercase()
        )
    }

    /// Whether its value is never shown.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::Url(_))
    }

    /// Whether it counts for the engine that was chosen.
    pub fn counts_for(&self, distributed: bool) -> bool {
        match self.engine {
            For::Any => true,
            For::Embedded => !distributed,
            For::Distributed => distributed,
        }
    }
}

/// The key of this name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

macro_rules! keys {
    ($($name:literal: $kind:expr, $variables:expr, $default:expr, $engine:ident, $meaning:literal;)*) => {
        /// Every key, in the order of the docs.
        pub static KEYS: &[Key] = &[$(Key {
            name: $name,
            kind: $kind,
            variables: &$variables,
            default: $default,
            engine: For::$engine,
            meaning: $meaning,
        },)*];
    };
}

/// Most of a pool: PostgreSQL's own bound is 100 connections unless it is told otherwise.
const POOL: Kind = Kind::Count(1, 500);
/// A wait of at least a tenth of a second, below which a busy machine looks broken,
/// and at most ten minutes, beyond which nobody waits.
const WAIT: Kind = Kind::Span(100, 600_000);
const PORT: Kind = Kind::Count(1, 65_535);

keys! {
    "server.listen": Kind::Address, [], Some("127.0.0.1:7420"), Any,
        "Address and port; port 0 is any free one.";
    "server.allow_remote": Kind::Flag, [], Some("false"), Any,
        "Whether it may listen on an address that other machines can reach. There is no TLS: put a proxy before it.";
    "server.hosts": Kind::List, [], Some(""), Any,
        "Host names that requests may be sent to, beside the loopback names.";
    "server.max_connections": Kind::Count(1, 100_000), [], Some("2048"), Any,
        "Most open connections; further ones wait.";
    "server.max_streams": Kind::Count(1, 100_000), [], Some("256"), Any,
        "Most open event streams.";
    "server.request_burst": Kind::Count(1, 1_000_000), [], Some("4000"), Any,
        "How many requests of one key are let through at once.";
    "server.request_rate": Kind::Count(1, 1_000_000), [], Some("2000"), Any,
        "How many requests a second of one key are let through from then on.";
    "server.drain": Kind::Span(0, 600_000), [], Some("10s"), Any,
        "How long a stopping server answers what is in flight.";

    "engine.kind": Kind::Choice(&["embedded", "distributed"]), ["COLLECTIVE_ENGINE"], Some("embedded"), Any,
        "`embedded`: SQLite in the data folder, nothing else is needed. `distributed`: PostgreSQL, RabbitMQ and Redis, for several servers.";

    "store.sync": Kind::Choice(&["full", "normal"]), [], Some("full"), Embedded,
        "When a command counts as durable: when it is on the disk, or when the kernel has it.";
    "store.max_size": Kind::Size(1024 * 1024), [], None, Embedded,
        "Largest size of the database; beyond it, writing is refused.";

    "store.url": Kind::Url("postgres"), ["DATABASE_URL"], None, Distributed,
        "PostgreSQL in one line: `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=MODE`, percent-encoded. It stands for the keys below.";
    "store.url_file": Kind::SecretFile("store.url"), ["DATABASE_URL_FILE"], None, Distributed,
        "A file that holds `store.url`.";
    "store.host": Kind::Text, ["POSTGRES_HOST"], Some("localhost"), Distributed,
        "PostgreSQL's host, or the folder of its socket. Several as `HOST:PORT,HOST:PORT`: the first that can be written to is used.";
    "store.port": PORT, ["POSTGRES_PORT"], Some("5432"), Distributed,
        "The port of every host that names none.";
    "store.database": Kind::Text, ["POSTGRES_DB"], Some("collective"), Distributed,
        "The database.";
    "store.user": Kind::Text, ["POSTGRES_USER"], Some("collective"), Distributed,
        "Who logs in.";
    "store.password": Kind::Secret, ["POSTGRES_PASSWORD"], None, Distributed,
        "With what.";
    "store.password_file": Kind::SecretFile("store.password"), ["POSTGRES_PASSWORD_FILE"], None, Distributed,
        "A file that holds `store.password`.";
    "store.tls": Kind::Choice(&["disable", "prefer", "require", "verify-full"]), ["POSTGRES_TLS"], Some("prefer"), Distributed,
        "Whether connections are encrypted. Only `verify-full` is safe from whoever is in between.";
    "store.ca_file": Kind::Path, ["POSTGRES_CA_FILE"], None, Distributed,
        "Certificates (PEM) of who may vouch for PostgreSQL.";
    "store.writers": POOL, [], Some("8"), Distributed,
        "Most connections of one server that write at once.";
    "store.readers": POOL, [], Some("8"), Distributed,
        "Most connections of one server that read at once.";
    "store.connect_timeout": WAIT, [], Some("5s"), Distributed,
        "How long connecting to one host may take.";
    "store.wait_timeout": WAIT, [], Some("10s"), Distributed,
        "How long a command waits for a free connection.";
    "store.statement_timeout": WAIT, [], Some("30s"), Distributed,
        "How long one statement may take.";
    "store.lock_timeout": WAIT, [], Some("10s"), Distributed,
        "How long one statement may wait for a lock.";

    "bus.url": Kind::Url("amqp"), ["AMQP_URL"], None, Distributed,
        "RabbitMQ in one line: `amqp://USER:PASSWORD@HOST:PORT/VHOST`, percent-encoded, `amqps` for TLS. It stands for the keys below.";
    "bus.url_file": Kind::SecretFile("bus.url"), ["AMQP_URL_FILE"], None, Distributed,
        "A file that holds `bus.url`.";
    "bus.host": Kind::Text, ["RABBITMQ_HOST"], Some("localhost"), Distributed,
        "RabbitMQ's host.";
    "bus.port": PORT, ["RABBITMQ_PORT"], None, Distributed,
        "Its port; 5672, or 5671 with TLS, if nothing is said.";
    "bus.vhost": Kind::Text, ["RABBITMQ_VHOST", "RABBITMQ_DEFAULT_VHOST"], Some("/"), Distributed,
        "The virtual host.";
    "bus.user": Kind::Text, ["RABBITMQ_USER", "RABBITMQ_DEFAULT_USER"], Some("guest"), Distributed,
        "Who logs in.";
    "bus.password": Kind::Secret, ["RABBITMQ_PASSWORD", "RABBITMQ_DEFAULT_PASS"], None, Distributed,
        "With what; `guest` for the user `guest` if nothing is said.";
    "bus.password_file": Kind::SecretFile("bus.password"), ["RABBITMQ_PASSWORD_FILE", "RABBITMQ_DEFAULT_PASS_FILE"], None, Distributed,
        "A file that holds `bus.password`.";
    "bus.tls": Kind::Flag, ["RABBITMQ_TLS"], Some("false"), Distributed,
        "Whether TLS is spoken. The certificate is always checked.";
    "bus.ca_file": Kind::Path, ["RABBITMQ_CA_FILE"], None, Distributed,
        "Certificates (PEM) that are trusted instead of the system's.";
    "bus.prefetch": Kind::Count(1, 10_000), [], Some("256"), Distributed,
        "Reports of agents that one server holds at once.";
    "bus.connect_timeout": WAIT, [], Some("10s"), Distributed,
        "How long connecting and logging in may take.";
    "bus.confirm_timeout": WAIT, [], Some("10s"), Distributed,
        "How long what was published may wait for its confirm.";

    "cache.url": Kind::Url("redis"), ["REDIS_URL"], None, Distributed,
        "Redis in one line: `redis://USER:PASSWORD@HOST:PORT/DATABASE`, percent-encoded, `rediss` for TLS. It stands for the keys below.";
    "cache.url_file": Kind::SecretFile("cache.url"), ["REDIS_URL_FILE"], None, Distributed,
        "A file that holds `cache.url`.";
    "cache.host": Kind::Text, ["REDIS_HOST"], Some("localhost"), Distributed,
        "Redis' host.";
    "cache.port": PORT, ["REDIS_PORT"], Some("6379"), Distributed,
        "Its port.";
    "cache.database": Kind::Count(0, 65_535), ["REDIS_DB"], Some("0"), Distributed,
        "The number of the database.";
    "cache.user": Kind::Text, ["REDIS_USER"], None, Distributed,
        "Who logs in; the user `default` if nothing is said.";
    "cache.password": Kind::Secret, ["REDIS_PASSWORD"], None, Distributed,
        "With what.";
    "cache.password_file": Kind::SecretFile("cache.password"), ["REDIS_PASSWORD_FILE"], None, Distributed,
        "A file that holds `cache.password`.";
    "cache.tls": Kind::Flag, ["REDIS_TLS"], Some("false"), Distributed,
        "Whether TLS is spoken. The certificate is always checked.";
    "cache.ca_file": Kind::Path, ["REDIS_CA_FILE"], None, Distributed,
        "Certificates (PEM) that are trusted instead of the system's.";
    "cache.prefix": Kind::Text, [], Some("collective:"), Distributed,
        "What every key starts with, so that deployments can share a server.";
    "cache.connect_timeout": Kind::Span(100, 60_000), [], Some("1s"), Distributed,
        "How long connecting and logging in may take.";
    "cache.answer_timeout": Kind::Span(10, 60_000), [], Some("500ms"), Distributed,
        "How long an answer may take before its connection counts as dead.";

    "log.format": Kind::Choice(&["text", "json"]), [], Some("text"), Any,
        "What log lines look like: for people, or one JSON object per line.";
    "log.filter": Kind::Text, ["COLLECTIVE_LOG"], Some("info"), Any,
        "Which log lines, such as `warn` or `collective_server=debug,info`.";

    "trace.endpoint": Kind::HttpUrl, ["OTEL_EXPORTER_OTLP_ENDPOINT"], None, Any,
        "The collector that takes traces by OTLP over HTTP, such as `http://localhost:4318`; `/v1/traces` is added to it. Without it no traces are made.";
    "trace.headers": Kind::Secret, ["OTEL_EXPORTER_OTLP_HEADERS"], None, Any,
        "What is sent with each batch, as `NAME=VALUE,NAME=VALUE`, values percent-encoded.";
    "trace.headers_file": Kind::SecretFile("trace.headers"), [], None, Any,
        "A file that holds `trace.headers`.";
    "trace.ratio": Kind::Ratio, [], Some("1"), Any,
        "The part of the traces that begin here which is kept. A caller's decision on its own trace comes before it.";
    "trace.service": Kind::Text, ["OTEL_SERVICE_NAME"], Some("collective"), Any,
        "What the server is called in traces.";
}

/// Variables that start with `COLLECTIVE_` and are no settings of a server:
/// what clients, agents and their commands are told.
pub(crate) const OTHERS: &[&str] = &[
    "COLLECTIVE_AGENT",
    "COLLECTIVE_ANSWERS",
    "COLLECTIVE_ARTIFACTS",
    "COLLECTIVE_ATTEMPT",
    "COLLECTIVE_BASE",
    "COLLECTIVE_BLESS",
    "COLLECTIVE_BRANCH",
    "COLLECTIVE_CONFIG",
    "COLLECTIVE_DATA",
    "COLLECTIVE_DEPENDENCIES",
    "COLLECTIVE_DEPENDENCIES_DIR",
    "COLLECTIVE_EPOCH",
    "COLLECTIVE_FEEDBACK",
    "COLLECTIVE_GUARD",
    "COLLECTIVE_INPUT",
    "COLLECTIVE_LEASE",
    "COLLECTIVE_PROMPT",
    "COLLECTIVE_REPOSITORY",
    "COLLECTIVE_RESULT",
    "COLLECTIVE_TASK",
    "COLLECTIVE_TASK_NUMBER",
    "COLLECTIVE_TEAM",
    "COLLECTIVE_TOKEN",
    "COLLECTIVE_TOKEN_FILE",
    "COLLECTIVE_URL",
];
