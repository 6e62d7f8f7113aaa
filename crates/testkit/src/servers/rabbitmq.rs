//! A temporary RabbitMQ on free loopback ports, with a data folder, a cookie
//! and a port mapper of its own, so that it meets no other broker.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use super::{chosen, find, missing};
use crate::process::{self, Process, cpu_time_of_tree, free_port};

/// How long the broker may take to listen; a cold start takes five to ten.
const START_LIMIT: Duration = Duration::from_secs(90);
/// The server script itself: Debian's wrapper around it insists on its user
/// and its folders.
const DEBIAN: &str = "/usr/lib/rabbitmq/bin";
/// Names the folder with the scripts of another version.
const BIN: &str = "COLLECTIVE_TEST_RABBITMQ_BIN";

/// How it is started.
#[derive(Clone, Debug, Default)]
pub struct RabbitMqOptions {
    /// Lines of `rabbitmq.conf` beside the defaults.
    pub settings: Vec<String>,
    /// Plugins to enable, such as `rabbitmq_management`.
    pub plugins: Vec<String>,
}

/// A running broker; dropping it stops it, then its port mapper.
pub struct RabbitMq {
    broker: Option<Process>,
    _mapper: Process,
    server: PathBuf,
    home: TempDir,
    port: u16,
    distribution_port: u16,
    mapper_port: u16,
}

impl RabbitMq {
    /// Starts one with the defaults.
    pub fn start() -> Result<Self> {
        Self::start_with(&RabbitMqOptions::default())
    }

    /// Starts one.
    pub fn start_with(options: &RabbitMqOptions) -> Result<Self> {
        let server = script("rabbitmq-server")?;
        let (Some(server), Some(mapper)) = (server, find("epmd", [])) else {
            return missing("RabbitMQ", "rabbitmq-server");
        };
        let home = tempfile::Builder::new()
            .prefix("rabbit-")
            .tempdir()
            .context("cannot create a folder for RabbitMQ")?;
        let plugins = options.plugins.join(",");
        fs::write(
            home.path().join("enabled_plugins"),
            format!("[{plugins}].\n"),
        )?;

        let mapper_port = free_port()?;
        let mut map = Command::new(mapper);
        map.args(["-address", "127.0.0.1", "-port", &mapper_port.to_string()]);
        let mapper = Process::start("epmd", map, home.path(), Signal::TERM)?;
        let mut started = Self {
            broker: None,
            _mapper: mapper,
            server,
            home,
            port: free_port()?,
            distribution_port: free_port()?,
            mapper_port,
        };
        started.set_settings(&options.settings)?;
        started.restart()?;
        Ok(started)
    }

    /// What it is started with the next time: lines of `rabbitmq.conf`.
    pub fn set_settings(&mut self, settings: &[String]) -> Result<()> {
        let path = self.home.path().join("rabbitmq.conf");
        fs::write(&path, format!("{}\n", settings.join("\n")))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Starts it again on the same data and port.
    pub fn restart(&mut self) -> Result<()> {
        self.broker = None;
        let port = self.port;
        let mut serve = Command::new(&self.server);
        self.surround(&mut serve);
        serve
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", port.to_string())
            .env("RABBITMQ_DIST_PORT", self.distribution_port.to_string())
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
            );
        let mut broker = Process::start("rabbitmq", serve, self.home.path(), Signal::TERM)?;
        // The broker listens last, when all else has started.
        broker.wait_until(START_LIMIT, |_| {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        })?;
        self.broker = Some(broker);
        Ok(())
    }

    /// Kills it (SIGKILL) with everything it started.
    pub fn kill(&mut self) {
        if let Some(broker) = self.broker.take() {
            broker.kill();
        }
    }

    /// Makes it hang (SIGSTOP): it keeps its connections and answers nothing.
    pub fn suspend(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on after [`suspend`](Self::suspend).
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let broker = self.broker.as_ref().context("RabbitMQ doesn't run")?;
        let pid = i32::try_from(broker.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("RabbitMQ has no process id")?;
        kill_process_group(pid, signal).context("cannot signal RabbitMQ")
    }

    /// Kills it and removes its data: the next start is that of a new broker.
    pub fn wipe(&mut self) -> Result<()> {
        self.kill();
        match fs::remove_dir_all(self.home.path().join("data")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("cannot remove RabbitMQ's data")
            }
            _ => Ok(()),
        }
    }

    /// Runs `rabbitmqctl` against it and gives what it prints.
    pub fn control(&self, arguments: &[&str]) -> Result<String> {
        let Some(program) = script("rabbitmqctl")? else {
            return missing("rabbitmqctl", "rabbitmq-server");
        };
        let mut command = Command::new(program);
        self.surround(&mut command);
        command.arg("--quiet").args(arguments);
        process::run(command)
    }

    /// The environment that ties a program to this broker's folder and node.
    fn surround(&self, command: &mut Command) {
        let home = self.home.path();
        command
            .current_dir(home)
            .env("HOME", home)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", self.mapper_port.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", home.join("rabbitmq.conf"))
            .env(
                "RABBITMQ_ENABLED_PLUGINS_FILE",
                home.join("enabled_plugins"),
            )
            .env("RABBITMQ_MNESIA_BASE", home.join("data"))
            .env("RABBITMQ_LOG_BASE", home.join("log"))
            .env("RABBITMQ_PID_FILE", home.join("pid"))
            .env("RABBITMQ_NODENAME", "test@localhost");
    }

    /// The AMQP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// CPU time that the server and its processes have taken so far.
    pub fn cpu_time(&self) -> Result<Duration> {
        let running = self.broker.as_ref().context("RabbitMQ is not running")?;
        cpu_time_of_tree(running.id())
    }

    /// A URL of its default virtual host as `guest`.
    pub fn url(&self) -> String {
        self.url_for("guest", "guest", "%2F")
    }

    /// A URL for a user and a virtual host, percent-encoded.
    pub fn url_for(&self, user: &str, password: &str, vhost: &str) -> String {
        format!("amqp://{user}:{password}@127.0.0.1:{}/{vhost}", self.port)
    }
}

impl Drop for RabbitMq {
    /// The broker goes before its mapper and its folder.
    fn drop(&mut self) {
        self.broker = None;
    }
}

/// A script of it: the chosen version's, Debian's, or one on PATH.
fn script(name: &str) -> Result<Option<PathBuf>> {
    chosen(BIN, &[name], &[PathBuf::from(DEBIAN)])
}
