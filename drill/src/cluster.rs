//! Two replicas of the server on one engine, each part of which can be killed
//! and brought back.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use collective_client::retry::RetryLimits;
use collective_client::{Client, ClientOptions, Token};
use collective_testkit::process::{Process, free_port};
use collective_testkit::servers::{Postgres, RabbitMq, Redis};
use rustix::process::Signal;
use tempfile::TempDir;

/// How long a replica may take to answer, with everything around it alive.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// The database that they share.
const DATABASE: &str = "collective";
/// How many replicas there are.
pub(crate) const REPLICAS: usize = 2;

/// Everything that runs.
pub(crate) struct Cluster {
    replicas: Vec<Replica>,
    pub(crate) postgres: Postgres,
    pub(crate) rabbitmq: RabbitMq,
    pub(crate) redis: Redis,
    _scratch: TempDir,
}

struct Replica {
    process: Option<Process>,
    binary: PathBuf,
    data: PathBuf,
    port: u16,
    surroundings: Vec<(&'static str, String)>,
}

impl Cluster {
    pub(crate) fn start(binary: Option<&Path>) -> Result<Self> {
        let binary = find(binary)?;
        let scratch = tempfile::Builder::new()
            .prefix("collective-drill-")
            .tempdir()
            .context("cannot create a temporary folder")?;
        let postgres = Postgres::start()?;
        postgres.create_database(DATABASE)?;
        let rabbitmq = RabbitMq::start()?;
        let redis = Redis::start()?;
        let surroundings = vec![
            ("COLLECTIVE_ENGINE", "distributed".to_owned()),
            ("POSTGRES_HOST", "127.0.0.1".to_owned()),
            ("POSTGRES_PORT", postgres.port().to_string()),
            ("POSTGRES_DB", DATABASE.to_owned()),
            ("POSTGRES_USER", "postgres".to_owned()),
            ("POSTGRES_PASSWORD", postgres.password().to_owned()),
            ("RABBITMQ_HOST", "127.0.0.1".to_owned()),
            ("RABBITMQ_PORT", rabbitmq.port().to_string()),
            ("RABBITMQ_USER", "guest".to_owned()),
            ("RABBITMQ_PASSWORD", "guest".to_owned()),
            ("REDIS_HOST", "127.0.0.1".to_owned()),
            ("REDIS_PORT", redis.port().to_string()),
            ("REDIS_PASSWORD", redis.password().to_owned()),
        ];
        let mut replicas = Vec::with_capacity(REPLICAS);
        for number in 0..REPLICAS {
            let data = scratch.path().join(format!("replica-{number}"));
            fs::create_dir(&data).context("cannot create a data folder")?;
            replicas.push(Replica {
                process: None,
                binary: binary.clone(),
                data,
                port: free_port()?,
                surroundings: surroundings.clone(),
            });
        }
        let mut cluster = Self {
            replicas,
            postgres,
            rabbitmq,
            redis,
            _scratch: scratch,
        };
        cluster.replicas[0].start()?;
        // All replicas let the same administrator in.
        let token = cluster.replicas[0].data.join("token");
        for replica in &cluster.replicas[1..] {
            fs::copy(&token, replica.data.join("token")).context("cannot share the token")?;
        }
        cluster.bring_back()?;
        Ok(cluster)
    }

    /// A client of each replica, with the administrator's key.
    pub(crate) fn clients(&self) -> Result<Vec<Client>> {
        let token = fs::read_to_string(self.replicas[0].data.join("token"))
            .context("the server left no token")?;
        self.replicas
            .iter()
            .map(|replica| {
                let url = format!("http://127.0.0.1:{}", replica.port);
                Client::new(ClientOptions {
                    // The load goes to the other replica instead of waiting.
                    retry: RetryLimits::NONE,
                    ..ClientOptions::new(url, Token::new(token.trim()))
                })
                .context("no client")
            })
            .collect()
    }

    /// Kills a replica (SIGKILL).
    pub(crate) fn kill_replica(&mut self, number: usize) {
        if let Some(process) = self.replicas[number].process.take() {
            process.kill();
        }
    }

    /// Starts a replica again, and waits until it serves if all it needs is there.
    pub(crate) fn start_replica(&mut self, number: usize) -> Result<()> {
        self.replicas[number].start()
    }

    /// Starts whatever is gone, and waits until every replica is ready.
    pub(crate) fn bring_back(&mut self) -> Result<()> {
        for replica in &mut self.replicas {
            if replica.process.is_none() {
                replica.spawn()?;
            }
            replica.wait()?;
        }
        Ok(())
    }
}

impl Replica {
    fn start(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait()
    }

    fn spawn(&mut self) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command.arg("up").arg("--data").arg(&self.data);
        command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        for (name, value) in &self.surroundings {
            command.env(name, value);
        }
        self.process = Some(Process::start("server", command, &self.data, Signal::TERM)?);
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        let port = self.port;
        let Some(process) = &mut self.process else {
            bail!("the replica doesn't run");
        };
        process.wait_until(READY_LIMIT, |_| is_ready(port))
    }
}

/// Whether `/readyz` answers 200. Asked by hand: a client would retry.
fn is_ready(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let request =
            format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

/// The binary that was named, or the one that was built with this program.
fn find(named: Option<&Path>) -> Result<PathBuf> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => env::current_exe()
            .context("cannot find this program")?
            .with_file_name("collective"),
    };
    if !path.is_file() {
        bail!(
            "there is no server at {}; build it, or name it by --server",
            path.display()
        );
    }
    Ok(path)
}
