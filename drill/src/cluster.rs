//! Two replicas of the server on one engine, each part of which can be killed
//! and brought back.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use collective_client::retry::RetryLimits;
use collective_client::{Client, ClientOptions, Token};
use collective_testkit::process::{Process, free_port};
use collective_testkit::servers::{Engine, is_ready};
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
    pub(crate) engine: Engine,
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
        let engine = Engine::start()?;
        engine.postgres.create_database(DATABASE)?;
        let surroundings = engine.settings_of_superuser(DATABASE);
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
            engine,
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
