//! The settings of a server on this machine: read, and turned into the options
//! of what it is made of.
//!
//! The only place that knows both the settings and the adapters' options.

use std::path::PathBuf;

use clap::Args;
use collective_bus::RabbitOptions;
use collective_bus::rabbitmq::{Password as RabbitPassword, TlsOptions as RabbitTls};
use collective_cache::RedisOptions;
use collective_cache::redis::{Password as RedisPassword, TlsOptions as RedisTls};
use collective_config::{Distributed, Flag, Inputs, Loaded, Secret, Settings};
use collective_core::Span;
use collective_core::ports::RateLimit;
use collective_server::telemetry::{LogFormat, TraceOptions};
use collective_server::{Limits, ServerOptions};
use collective_store::{Password, PgHost, PgOptions, SqliteOptions, Synchronous, TlsMode};

use crate::connect::path_variable;
use crate::context::Context;
use crate::engine::{DistributedOptions, Engine};
use crate::errors::CliError;
use crate::host::HostOptions;

/// The file that is read if none is named and it is there.
const USUAL_FILE: &str = "collective.toml";

/// Which file.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ConfigArgs {
    /// A file with settings, or COLLECTIVE_CONFIG [default: collective.toml in the data folder, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    /// The file to read, if there is one.
    pub(crate) fn file(&self, context: &Context) -> Result<Option<PathBuf>, CliError> {
        if let Some(named) = self
            .config
            .clone()
            .or_else(|| path_variable("COLLECTIVE_CONFIG"))
        {
            return Ok(Some(named));
        }
        let usual = context.server.folder()?.path().join(USUAL_FILE);
        Ok(usual.exists().then_some(usual))
    }

    /// Reads and checks everything, flags above all.
    pub(crate) fn load(&self, context: &Context, flags: Vec<Flag>) -> Result<Loaded, CliError> {
        let inputs = Inputs {
            file: self.file(context)?,
            environment: std::env::vars_os().collect(),
            flags,
        };
        Ok(collective_config::load(&inputs)?)
    }
}

/// How a server is started with these settings.
pub(crate) fn host_options(settings: &Settings) -> HostOptions {
    let server = &settings.server;
    let limits = Limits::default();
    HostOptions {
        server: ServerOptions {
            listen: server.listen,
            allowed_hosts: server.hosts.clone(),
            limits: Limits {
                max_connections: server.max_connections,
                max_streams: server.max_streams,
                requests: RateLimit {
                    burst: server.request_burst,
                    period: server.request_period,
                },
                drain: server.drain.as_duration(),
                ..limits
            },
        },
        engine: match &settings.engine {
            collective_config::Engine::Embedded(sqlite) => Engine::Embedded(SqliteOptions {
                synchronous: if sqlite.full_sync {
                    Synchronous::Full
                } else {
                    Synchronous::Normal
                },
                max_size: sqlite.max_size,
            }),
            collective_config::Engine::Distributed(parts) => {
                Engine::Distributed(Box::new(distributed(parts)))
            }
        },
    }
}

/// What log lines look like.
pub(crate) fn log_format(settings: &Settings) -> LogFormat {
    match settings.log.format {
        collective_config::LogFormat::Text => LogFormat::Text,
        collective_config::LogFormat::Json => LogFormat::Json,
    }
}

/// Where traces go, if anywhere.
pub(crate) fn trace_options(settings: &Settings) -> Option<TraceOptions> {
    let trace = settings.trace.as_ref()?;
    let header = |(name, value): &(String, Secret)| (name.clone(), value.reveal().to_owned());
    Some(TraceOptions {
        endpoint: trace.endpoint.clone(),
        headers: trace.headers.iter().map(header).collect(),
        ratio: trace.ratio.as_f64(),
        service: trace.service.clone(),
    })
}

/// The options of the three servers' adapters.
pub(crate) fn distributed(parts: &Distributed) -> DistributedOptions {
    DistributedOptions {
        postgres: postgres(&parts.store),
        rabbitmq: rabbitmq(&parts.bus),
        redis: redis(&parts.cache),
    }
}

fn postgres(settings: &collective_config::Postgres) -> PgOptions {
    let hosts = settings.hosts.iter().map(|host| PgHost {
        name: host.name.clone(),
        port: host.port,
    });
    PgOptions {
        hosts: hosts.collect(),
        database: settings.database.clone(),
        user: settings.user.clone(),
        password: settings
            .password
            .as_ref()
            .map(|password| Password::new(password.reveal())),
        tls: match settings.tls {
            collective_config::PostgresTls::Disable => TlsMode::Disable,
            collective_config::PostgresTls::Prefer => TlsMode::Prefer,
            collective_config::PostgresTls::Require => TlsMode::Require,
            collective_config::PostgresTls::VerifyFull => TlsMode::VerifyFull,
        },
        ca_file: settings.ca_file.clone(),
        writers: settings.writers,
        readers: settings.readers,
        connect_timeout: settings.connect_timeout.as_duration(),
        wait_timeout: settings.wait_timeout.as_duration(),
        statement_timeout: settings.statement_timeout.as_duration(),
        lock_timeout: settings.lock_timeout.as_duration(),
        ..PgOptions::default()
    }
}

fn rabbitmq(settings: &collective_config::RabbitMq) -> RabbitOptions {
    RabbitOptions {
        host: settings.host.clone(),
        port: settings.port,
        vhost: settings.vhost.clone(),
        user: settings.user.clone(),
        password: RabbitPassword::new(settings.password.reveal()),
        tls: settings.tls.as_ref().map(|tls| RabbitTls {
            ca_file: tls.ca_file.clone(),
            verify: true,
        }),
        prefetch: settings.prefetch,
        connect_limit: settings.connect_timeout.as_duration(),
        confirm_limit: settings.confirm_timeout.as_duration(),
        ..RabbitOptions::default()
    }
}

fn redis(settings: &collective_config::Redis) -> RedisOptions {
    let (connect, answer) = (settings.connect_timeout, settings.answer_timeout);
    RedisOptions {
        host: settings.host.clone(),
        port: settings.port,
        database: settings.database,
        user: settings.user.clone(),
        password: settings
            .password
            .as_ref()
            .map(|password| RedisPassword::new(password.reveal())),
        tls: settings.tls.as_ref().map(|tls| RedisTls {
            ca_file: tls.ca_file.clone(),
        }),
        prefix: settings.prefix.clone(),
        connect_limit: connect.as_duration(),
        answer_limit: answer.as_duration(),
        // A call connects and asks once at most before it gives up.
        call_limit: Span::from_micros(connect.micros() + answer.micros()).as_duration(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The defaults of the settings, for an engine.
    fn defaults(engine: &str) -> HostOptions {
        let inputs = Inputs {
            environment: vec![("COLLECTIVE_ENGINE".into(), engine.into())],
            ..Inputs::default()
        };
        host_options(&collective_config::load(&inputs).unwrap().settings)
    }

    #[test]
    fn the_defaults_of_the_settings_are_those_of_the_parts() {
        let embedded = defaults("embedded");
        let expected = Limits::default();
        assert_eq!(
            format!("{:?}", embedded.server.limits),
            format!("{expected:?}")
        );
        let Engine::Distributed(parts) = defaults("distributed").engine else {
            panic!("the engine is embedded");
        };
        assert_eq!(parts.redis, RedisOptions::default());
        assert_eq!(parts.rabbitmq, RabbitOptions::default());
        let localhost = PgHost {
            name: "localhost".to_owned(),
            port: 5432,
        };
        let expected = PgOptions {
            hosts: vec![localhost],
            ..PgOptions::default()
        };
        assert_eq!(parts.postgres, expected);
    }
}
