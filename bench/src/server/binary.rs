//! Starts the server's binary on a data folder, and looks at its process.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use collective_client::{Client, ClientOptions, Token};
use rustix::process::Signal;

use super::Bench;
use collective_testkit::process::{Process, cpu_time, free_port, read_text};
use collective_testkit::servers::is_ready;

/// How long a start may take, a store of a million tasks included.
const START_LIMIT: Duration = Duration::from_secs(30);
/// The binary's file name.
const PROGRAM: &str = "collective";

/// A running server; dropping it stops it.
pub(super) struct Server {
    process: Process,
    url: String,
    token: Token,
    /// From its start to its first ready answer.
    pub(super) ready_after: Duration,
}

/// The binary that was named, or the one that was built with this program.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => env::current_exe()
            .context("cannot find this program")?
            .with_file_name(PROGRAM),
    };
    if !path.is_file() {
        bail!(
            "there is no server at {}; build it, or name it by --server",
            path.display()
        );
    }
    Ok(path)
}

impl Server {
    /// Starts it on the folder of this name in the scratch folder, which may
    /// hold what an earlier one left.
    pub(super) fn start(bench: &Bench<'_>, folder: &str) -> Result<Self> {
        Self::start_with(bench, folder, &[])
    }

    /// The same with arguments of `collective up`.
    pub(super) fn start_with(bench: &Bench<'_>, folder: &str, arguments: &[&str]) -> Result<Self> {
        if let Some(engine) = &bench.engine
            && !bench.scratch.path().join(folder).exists()
        {
            engine.postgres.create_database(folder)?;
        }
        Self::run(bench, folder, folder, arguments)
    }

    /// Another replica beside one that runs on an engine: it has a folder of
    /// its own, and lets the same administrator in.
    pub(super) fn start_beside(bench: &Bench<'_>, first: &str, folder: &str) -> Result<Self> {
        let data = bench.scratch.path().join(folder);
        fs::create_dir(&data).context("cannot create a data folder")?;
        let token = bench.scratch.path().join(first).join("token");
        fs::copy(token, data.join("token")).context("cannot share the token")?;
        Self::run(bench, folder, first, &[])
    }

    fn run(bench: &Bench<'_>, folder: &str, database: &str, arguments: &[&str]) -> Result<Self> {
        let data = bench.scratch.path().join(folder);
        let port = free_port()?;
        let mut command = Command::new(&bench.server);
        command.arg("up").arg("--data").arg(&data);
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        command.args(arguments);
        if let Some(engine) = &bench.engine {
            command.envs(engine.settings_of_superuser(database));
        }
        let began = Instant::now();
        let mut process = Process::start("server", command, bench.scratch.path(), Signal::TERM)?;
        process.wait_until(START_LIMIT, |_| is_ready(port))?;
        let ready_after = began.elapsed();
        let token = fs::read_to_string(data.join("token")).context("the server left no token")?;
        let url = format!("http://127.0.0.1:{port}");
        Ok(Self {
            process,
            url,
            token: Token::new(token),
            ready_after,
        })
    }

    /// A client with the administrator's key.
    pub(super) fn client(&self) -> Result<Client> {
        Client::new(ClientOptions::new(&self.url, self.token.clone())).context("no client")
    }

    /// CPU time that the process has taken so far.
    pub(super) fn cpu_time(&self) -> Result<Duration> {
        cpu_time(&self.process.id().to_string())
    }

    /// Memory that the process has in use now.
    pub(super) fn resident_mib(&self) -> Result<f64> {
        let path = format!("/proc/{}/status", self.process.id());
        let status = read_text(Path::new(&path))?;
        let kib: f64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|value| value.trim().strip_suffix("kB"))
            .and_then(|value| value.trim().parse().ok())
            .with_context(|| format!("{path} doesn't say how much is resident"))?;
        Ok(kib / 1024.0)
    }
}
