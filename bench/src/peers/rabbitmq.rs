//! A temporary RabbitMQ on free loopback ports, with a data folder, a cookie
//! and a port mapper of its own, so that it meets no other broker.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::{Bench, debian_package, find};
use crate::process::{Process, free_port};

/// How long the broker may take to listen; a cold start takes five to ten.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The server script itself: Debian's wrapper around it insists on its user
/// and its folders.
const DEBIAN: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// A running broker; dropping it stops it, then its port mapper.
pub(super) struct RabbitMq {
    _broker: Process,
    _mapper: Process,
    port: u16,
}

impl RabbitMq {
    pub(super) fn start(bench: &Bench) -> Result<Self> {
        let (server, mapper) = match programs() {
            Some(programs) => programs,
            None => {
                debian_package(bench, "rabbitmq-server")?;
                programs().context("the package rabbitmq-server brought no server")?
            }
        };
        let scratch = bench.scratch.path();
        let home = scratch.join("rabbitmq");
        fs::create_dir(&home).context("cannot create a folder for RabbitMQ")?;
        let plugins = home.join("enabled_plugins");
        fs::write(&plugins, "[].\n")?;
        let settings = home.join("rabbitmq.conf");
        fs::write(&settings, "")?;

        let mapper_port = free_port()?.to_string();
        let mut map = Command::new(mapper);
        map.args(["-address", "127.0.0.1", "-port", &mapper_port]);
        let mapper = Process::start("epmd", map, scratch, Signal::TERM)?;

        let port = free_port()?;
        let mut serve = Command::new(server);
        serve
            .current_dir(&home)
            .env("HOME", &home)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", mapper_port)
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", &settings)
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", &plugins)
            .env("RABBITMQ_MNESIA_BASE", home.join("data"))
            .env("RABBITMQ_LOG_BASE", home.join("log"))
            .env("RABBITMQ_PID_FILE", home.join("pid"))
            .env("RABBITMQ_NODENAME", "bench@localhost")
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", port.to_string())
            .env("RABBITMQ_DIST_PORT", free_port()?.to_string())
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
            );
        let mut broker = Process::start("rabbitmq", serve, scratch, Signal::TERM)?;
        // The broker listens last, when all else has started.
        broker.wait_until(START_LIMIT, |_| {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        })?;
        Ok(Self {
            _broker: broker,
            _mapper: mapper,
            port,
        })
    }

    pub(super) fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}//", self.port)
    }
}

fn programs() -> Option<(PathBuf, PathBuf)> {
    let server = find("rabbitmq-server", [Path::new(DEBIAN).to_owned()])?;
    let mapper = find("epmd", [])?;
    Some((server, mapper))
}
