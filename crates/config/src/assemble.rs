//! From the layers to the settings: the highest layer wins, and what must hold
//! together is looked at.

use std::collections::BTreeMap;
use std::path::PathBuf;

use collective_core::Span;

use crate::given::{Given, Layer};
use crate::key::{KEYS, Key};
use crate::mistake::{Mistake, MistakeCode, Origin};
use crate::secret::Secret;
use crate::settings::{
    Distributed, Engine, Log, LogFormat, Postgres, PostgresHost, PostgresTls, RabbitMq, Redis,
    Server, Settings, Sqlite, Tls, Trace,
};
use crate::url;
use crate::value::{self, Value};

/// RabbitMQ's ports, without TLS and with it.
const AMQP_PORT: u64 = 5_672;
/// The port of RabbitMQ's TLS.
const AMQPS_PORT: u64 = 5_671;
/// The user that RabbitMQ comes with, and its password.
const GUEST: &str = "guest";

/// What counts of every key, the defaults included.
pub(crate) struct Merged(BTreeMap<&'static str, Given>);

impl Merged {
    /// `layers` come with the lowest first.
    pub(crate) fn of(layers: Vec<Layer>) -> Self {
        let mut merged: BTreeMap<&'static str, Given> = KEYS
            .iter()
            .filter_map(|key| Some((key.name, default(key)?)))
            .collect();
        for layer in layers {
            merged.extend(layer);
        }
        Self(merged)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Given> {
        self.0.get(name)
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).map(|given| &given.value)
    }

    /// A text; empty only for a key without a default that wasn't given.
    pub(crate) fn text(&self, name: &str) -> String {
        self.optional_text(name).unwrap_or_default()
    }

    fn optional_text(&self, name: &str) -> Option<String> {
        match self.value(name) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    fn flag(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Flag(true)))
    }

    fn number(&self, name: &str) -> Option<u64> {
        match self.value(name) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// A number whose bounds in the table fit the type.
    fn small<N: TryFrom<u64> + Default>(&self, name: &str) -> N {
        let number = self.number(name).unwrap_or_default();
        N::try_from(number).unwrap_or_default()
    }

    fn span(&self, name: &str) -> Span {
        match self.value(name) {
            Some(Value::Span(span)) => *span,
            _ => Span::ZERO,
        }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        match self.value(name) {
            Some(Value::Path(path)) => Some(path.clone()),
            _ => None,
        }
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        match self.value(name) {
            Some(Value::Secret(secret)) => Some(secret.clone()),
            _ => None,
        }
    }

    fn origin(&self, name: &str) -> Origin {
        self.get(name)
            .map_or(Origin::Default, |given| given.at.clone())
    }
}

fn default(key: &'static Key) -> Option<Given> {
    // That every default can be read is a test's concern.
    let value = value::from_text(key.kind, key.default?).ok()?;
    let at = Origin::Default;
    Some(Given { key, value, at })
}

/// The settings, if nothing is wrong with them as a whole.
pub(crate) fn settings(merged: &Merged, mistakes: &mut Vec<Mistake>) -> Option<Settings> {
    let engine = if merged.text("engine.kind") == "distributed" {
        Engine::Distributed(Box::new(Distributed {
            store: postgres(merged, mistakes),
            bus: rabbitmq(merged, mistakes),
            cache: redis(merged, mistakes),
        }))
    } else {
        Engine::Embedded(Sqlite {
            full_sync: merged.text("store.sync") == "full",
            max_size: merged.number("store.max_size"),
        })
    };
    let format = match merged.text("log.format").as_str() {
        "json" => LogFormat::Json,
        _ => LogFormat::Text,
    };
    let filter = merged.text("log.filter");
    let settings = Settings {
        server: server(merged, mistakes)?,
        engine,
        log: Log { format, filter },
        trace: trace(merged, mistakes),
    };
    mistakes.is_empty().then_some(settings)
}

/// Where traces go. What else is said of them counts only with a collector.
fn trace(merged: &Merged, mistakes: &mut Vec<Mistake>) -> Option<Trace> {
    let endpoint = merged.optional_text("trace.endpoint")?;
    let Some(Value::Ratio(ratio)) = merged.value("trace.ratio") else {
        return None;
    };
    let headers = merged.secret("trace.headers");
    let headers = headers.map_or(Ok(Vec::new()), |headers| url::headers(headers.reveal()));
    let headers = headers.unwrap_or_else(|(code, message)| {
        let at = merged.origin("trace.headers");
        mistakes.push(Mistake::new(code, at, message).key("trace.headers"));
        Vec::new()
    });
    Some(Trace {
        endpoint,
        headers,
        ratio: *ratio,
        service: merged.text("trace.service"),
    })
}

fn server(merged: &Merged, mistakes: &mut Vec<Mistake>) -> Option<Server> {
    let Some(Value::Address(listen)) = merged.value("server.listen") else {
        return None;
    };
    if !listen.ip().is_loopback() && !merged.flag("server.allow_remote") {
        let message = format!("{listen} can be reached from other machines");
        let hint = "listen on 127.0.0.1, or set server.allow_remote (--allow-remote) and put a proxy with TLS before it";
        mistakes.push(not_together(merged, "server.listen", message, hint));
    }
    let hosts = match merged.value("server.hosts") {
        Some(Value::List(hosts)) => hosts.clone(),
        _ => Vec::new(),
    };
    let rate: u64 = merged.small("server.request_rate");
    Some(Server {
        listen: *listen,
        hosts,
        max_connections: merged.small("server.max_connections"),
        max_streams: merged.small("server.max_streams"),
        request_burst: merged.small("server.request_burst"),
        request_period: Span::from_micros(1_000_000 / rate.max(1)),
        drain: merged.span("server.drain"),
    })
}

fn postgres(merged: &Merged, mistakes: &mut Vec<Mistake>) -> Postgres {
    let tls = match merged.text("store.tls").as_str() {
        "disable" => PostgresTls::Disable,
        "require" => PostgresTls::Require,
        "verify-full" => PostgresTls::VerifyFull,
        _ => PostgresTls::Prefer,
    };
    let ca_file = ca_file(merged, "store", tls != PostgresTls::Disable, mistakes);
    let port = merged.small("store.port");
    let mut hosts = Vec::new();
    for host in merged.text("store.host").split(',').map(str::trim) {
        match postgres_host(host, port) {
            Some(host) => hosts.push(host),
            None => mistakes.push(
                Mistake::new(
                    MistakeCode::BadValue,
                    merged.origin("store.host"),
                    format!(
                        "`{}` is not HOST or HOST:PORT",
                        collective_core::text::shown(host)
                    ),
                )
                .key("store.host"),
            ),
        }
    }
    Postgres {
        hosts,
        database: merged.text("store.database"),
        user: merged.text("store.user"),
        password: merged.secret("store.password"),
        tls,
        ca_file,
        writers: merged.small("store.writers"),
        readers: merged.small("store.readers"),
        connect_timeout: merged.span("store.connect_timeout"),
        wait_timeout: merged.span("store.wait_timeout"),
        statement_timeout: merged.span("store.statement_timeout"),
        lock_timeout: merged.span("store.lock_timeout"),
    }
}

/// One of `HOST`, `HOST:PORT`, `ADDRESS` (IPv6 too), `[ADDRESS]:PORT`, `/FOLDER`.
fn postgres_host(text: &str, port: u16) -> Option<PostgresHost> {
    let (name, own_port) = if let Some(rest) = text.strip_prefix('[') {
        let (name, rest) = rest.split_once(']')?;
        match rest.strip_prefix(':') {
            Some(port) => (name, Some(port)),
            None => (name, None),
        }
    } else {
        match text.split_once(':') {
            Some((name, port)) if !port.contains(':') => (name, Some(port)),
            _ => (text, None),
        }
    };
    let port = match own_port {
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
        None => port,
    };
    let name = (!name.is_empty()).then(|| name.to_owned())?;
    Some(PostgresHost { name, port })
}

fn rabbitmq(merged: &Merged, mistakes: &mut Vec<Mistake>) -> RabbitMq {
    let tls = tls(merged, "bus", mistakes);
    let usual = if tls.is_some() { AMQPS_PORT } else { AMQP_PORT };
    let port = merged.number("bus.port").unwrap_or(usual);
    let user = merged.text("bus.user");
    let password = merged.secret("bus.password").unwrap_or_else(|| {
        if user != GUEST {
            let message = format!(
                "the user `{}` has no password",
                collective_core::text::shown(&user)
            );
            let hint = "set RABBITMQ_PASSWORD, or RABBITMQ_PASSWORD_FILE, or bus.password_file";
            mistakes.push(
                Mistake::new(MistakeCode::Missing, merged.origin("bus.user"), message)
                    .key("bus.password")
                    .hint(hint.to_owned()),
            );
        }
        Secret::new(GUEST)
    });
    RabbitMq {
        host: merged.text("bus.host"),
        port: u16::try_from(port).unwrap_or_default(),
        vhost: merged.text("bus.vhost"),
        user,
        password,
        tls,
        prefetch: merged.small("bus.prefetch"),
        connect_timeout: merged.span("bus.connect_timeout"),
        confirm_timeout: merged.span("bus.confirm_timeout"),
    }
}

fn redis(merged: &Merged, mistakes: &mut Vec<Mistake>) -> Redis {
    let user = merged.optional_text("cache.user");
    let password = merged.secret("cache.password");
    if user.is_some() && password.is_none() {
        let hint = "set REDIS_PASSWORD, or REDIS_PASSWORD_FILE, or cache.password_file";
        mistakes.push(
            Mistake::new(
                MistakeCode::Missing,
                merged.origin("cache.user"),
                "a user without a password can't log in",
            )
            .key("cache.password")
            .hint(hint.to_owned()),
        );
    }
    Redis {
        host: merged.text("cache.host"),
        port: merged.small("cache.port"),
        database: merged.small("cache.database"),
        user,
        password,
        tls: tls(merged, "cache", mistakes),
        prefix: merged.text("cache.prefix"),
        connect_timeout: merged.span("cache.connect_timeout"),
        answer_timeout: merged.span("cache.answer_timeout"),
    }
}

fn tls(merged: &Merged, section: &str, mistakes: &mut Vec<Mistake>) -> Option<Tls> {
    let on = merged.flag(&format!("{section}.tls"));
    let ca_file = ca_file(merged, section, on, mistakes);
    on.then_some(Tls { ca_file })
}

fn ca_file(
    merged: &Merged,
    section: &str,
    tls: bool,
    mistakes: &mut Vec<Mistake>,
) -> Option<PathBuf> {
    let name = format!("{section}.ca_file");
    let path = merged.path(&name)?;
    if !tls {
        let message = format!("there is a CA file, but {section}.tls is off");
        let hint = format!("switch {section}.tls on, or leave the CA file out");
        mistakes.push(not_together(merged, &name, message, &hint));
    } else if let Err(error) = std::fs::File::open(&path) {
        let message = format!("the file {} can't be read: {error}", path.display());
        mistakes.push(
            Mistake::new(MistakeCode::Unreadable, merged.origin(&name), message).key(name.as_str()),
        );
    }
    Some(path)
}

fn not_together(merged: &Merged, name: &str, message: String, hint: &str) -> Mistake {
    Mistake::new(MistakeCode::NotTogether, merged.origin(name), message)
        .key(name)
        .hint(hint.to_owned())
}
