//! A temporary Redis (or Valkey) on a free loopback port, with a password.

use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use super::{chosen, missing};
use crate::process::{Process, cpu_time_of_tree, free_port};

/// How long it may take to listen.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Its password, on a server that nobody else reaches.
const PASSWORD: &str = "redis";
/// Names the folder with the program of another version.
const BIN: &str = "COLLECTIVE_TEST_REDIS_BIN";

/// How it is started.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    /// Settings beside the defaults as on its command line, such as `--maxmemory`, `2mb`.
    pub settings: Vec<String>,
    /// What it shows of itself, when it speaks TLS and nothing else.
    pub tls: Option<RedisTls>,
}

/// The files (PEM) of a server that speaks TLS.
#[derive(Clone, Debug)]
pub struct RedisTls {
    /// Its certificate.
    pub certificate: PathBuf,
    /// The key of it.
    pub key: PathBuf,
}

/// A running server; dropping it stops it and removes its data.
pub struct Redis {
    server: Option<Process>,
    program: PathBuf,
    options: RedisOptions,
    home: TempDir,
    port: u16,
}

impl Redis {
    /// Starts one with the defaults: nothing is written to the disk.
    pub fn start() -> Result<Self> {
        Self::start_with(RedisOptions::default())
    }

    /// Starts one.
    pub fn start_with(options: RedisOptions) -> Result<Self> {
        let Some(program) = chosen(BIN, &["redis-server", "valkey-server"], &[])? else {
            return missing("Redis", "redis-server");
        };
        let home = tempfile::Builder::new()
            .prefix("redis-")
            .tempdir()
            .context("cannot create a folder for Redis")?;
        let mut started = Self {
            server: None,
            program,
            options,
            home,
            port: free_port()?,
        };
        started.restart()?;
        Ok(started)
    }

    /// What it is started with the next time.
    pub fn set_settings<'a>(&mut self, settings: impl IntoIterator<Item = &'a str>) {
        self.options.settings = settings.into_iter().map(str::to_owned).collect();
    }

    /// Starts it again on the same port: empty, unless it was told to save.
    pub fn restart(&mut self) -> Result<()> {
        self.server = None;
        let port = self.port;
        let mut serve = Command::new(&self.program);
        serve.current_dir(self.home.path());
        serve.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        serve.args(["--requirepass", PASSWORD]);
        let port_text = port.to_string();
        match &self.options.tls {
            None => serve.args(["--port", &port_text]),
            Some(tls) => serve
                .args(["--port", "0", "--tls-port", &port_text])
                .args(["--tls-auth-clients", "no", "--tls-cert-file"])
                .arg(&tls.certificate)
                .arg("--tls-key-file")
                .arg(&tls.key),
        };
        serve.args(&self.options.settings);
        let mut server = Process::start("redis", serve, self.home.path(), Signal::TERM)?;
        server.wait_until(START_LIMIT, |_| {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        })?;
        self.server = Some(server);
        Ok(())
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill();
        }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// CPU time that the server and its processes have taken so far.
    pub fn cpu_time(&self) -> Result<Duration> {
        let running = self.server.as_ref().context("Redis is not running")?;
        cpu_time_of_tree(running.id())
    }

    /// The password of its default user.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// Its URL, with the password.
    pub fn url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}", self.port)
    }
}

impl Drop for Redis {
    /// The server goes before its folder.
    fn drop(&mut self) {
        self.server = None;
    }
}
