//! A temporary PostgreSQL with its default durability, on a loopback port and
//! on a socket in its folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use super::user::User;
use super::{chosen, missing};
use crate::process::{self, Process, cpu_time_of_tree, free_port};

/// How long the server may take to accept connections.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Where Debian puts one folder of programs for each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Names the folder with the programs of another version.
const BIN: &str = "COLLECTIVE_TEST_POSTGRES_BIN";
/// Its superuser's password, on a server that nobody else reaches.
const PASSWORD: &str = "postgres";

/// How it is started.
#[derive(Clone, Debug, Default)]
pub struct PostgresOptions {
    /// Settings beside the defaults, such as `max_connections=20`.
    pub settings: Vec<String>,
}

/// A running server; dropping it stops it and removes its data.
pub struct Postgres {
    server: Option<Process>,
    programs: PathBuf,
    options: PostgresOptions,
    home: TempDir,
    port: u16,
}

impl Postgres {
    /// Starts one with the defaults.
    pub fn start() -> Result<Self> {
        Self::start_with(PostgresOptions::default())
    }

    /// Starts one.
    pub fn start_with(options: PostgresOptions) -> Result<Self> {
        let Some(programs) = programs()? else {
            return missing("PostgreSQL", "postgresql");
        };
        let user = User::for_servers()?;
        let home = tempfile::Builder::new()
            .prefix("pg-")
            .tempdir()
            .context("cannot create a folder for PostgreSQL")?;
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700))?;
        let password = home.path().join("password");
        fs::write(&password, PASSWORD)?;
        user.give(&password)?;
        user.give(home.path())?;
        let mut create = user.command(&programs.join("initdb"));
        create.current_dir(home.path());
        create.arg("--pgdata").arg(home.path().join("data"));
        create.arg(format!("--pwfile={}", password.display()));
        create.args([
            "--username=postgres",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
        ]);
        process::run(create).context("cannot create a PostgreSQL cluster")?;
        let mut started = Self {
            server: None,
            programs,
            options,
            home,
            port: free_port()?,
        };
        started.restart()?;
        Ok(started)
    }

    /// Starts a standby that follows this server. It can be read from; it can be
    /// written to once it is promoted.
    pub fn standby(&self) -> Result<Self> {
        let user = User::for_servers()?;
        let home = tempfile::Builder::new()
            .prefix("pg-standby-")
            .tempdir()
            .context("cannot create a folder for a standby")?;
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700))?;
        user.give(home.path())?;
        let mut copy = user.command(&self.programs.join("pg_basebackup"));
        copy.current_dir(home.path()).env("PGPASSWORD", PASSWORD);
        copy.arg("--pgdata").arg(home.path().join("data"));
        copy.args(["--host=127.0.0.1", "--username=postgres"]);
        copy.args(["--write-recovery-conf", "--checkpoint=fast"]);
        copy.arg(format!("--port={}", self.port));
        process::run(copy).context("cannot copy a PostgreSQL cluster")?;
        let mut started = Self {
            server: None,
            programs: self.programs.clone(),
            options: self.options.clone(),
            home,
            port: free_port()?,
        };
        started.restart()?;
        Ok(started)
    }

    /// Makes a standby a server of its own; returns when it can be written to.
    pub fn promote(&self) -> Result<()> {
        self.sql("postgres", "SELECT pg_promote(true, 60)")?;
        Ok(())
    }

    /// Starts it again on the same data and port.
    pub fn restart(&mut self) -> Result<()> {
        self.server = None;
        let begun = Instant::now();
        loop {
            match self.serve() {
                // Those that served the one that was killed end a moment after it.
                Err(error)
                    if format!("{error:#}").contains("still in use")
                        && begun.elapsed() < START_LIMIT => {}
                served => return served,
            }
        }
    }

    fn serve(&mut self) -> Result<()> {
        let home = self.home.path();
        let mut serve = User::for_servers()?.command(&self.programs.join("postgres"));
        serve.current_dir(home).arg("-D").arg(home.join("data"));
        serve.arg("-p").arg(self.port.to_string());
        for setting in ["listen_addresses=127.0.0.1", "max_connections=100"] {
            serve.args(["-c", setting]);
        }
        for setting in &self.options.settings {
            serve.args(["-c", setting]);
        }
        serve
            .arg("-c")
            .arg(format!("unix_socket_directories={}", home.display()));
        // SIGINT is PostgreSQL's "fast" stop: it ends connections, not data.
        let mut server = Process::start("postgres", serve, home, Signal::INT)?;
        server.wait_until(START_LIMIT, |server| {
            let said = server.output();
            said.contains("ready to accept connections")
                || said.contains("ready to accept read-only connections")
        })?;
        self.server = Some(server);
        Ok(())
    }

    /// Kills it (SIGKILL) with everything it started.
    pub fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill();
        }
    }

    /// Stops it in order.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// CPU time that the server and its processes have taken so far.
    pub fn cpu_time(&self) -> Result<Duration> {
        let running = self.server.as_ref().context("PostgreSQL is not running")?;
        cpu_time_of_tree(running.id())
    }

    /// The superuser's password over TCP.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// A URL for a database of it, over TCP with a password.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://postgres:{PASSWORD}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// Makes an empty database and gives its URL.
    pub fn create_database(&self, name: &str) -> Result<String> {
        self.sql("postgres", &format!("CREATE DATABASE \"{name}\""))?;
        Ok(self.url(name))
    }

    /// Runs statements with `psql` as the superuser and gives what they print, without headers.
    pub fn sql(&self, database: &str, statements: &str) -> Result<String> {
        let mut psql = std::process::Command::new(self.programs.join("psql"));
        psql.env("PGPASSWORD", PASSWORD);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        psql.args(["-h", "127.0.0.1", "-U", "postgres", "-d", database]);
        psql.arg("-p").arg(self.port.to_string());
        psql.args(["-c", statements]);
        process::run(psql)
    }

    /// The folder that it lives in: `data` is its data.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where its programs are.
    pub fn programs(&self) -> &Path {
        &self.programs
    }
}

impl Drop for Postgres {
    /// The server goes before its folder.
    fn drop(&mut self) {
        self.server = None;
    }
}

/// The folder with `initdb` and `postgres`: the chosen one, Debian's newest, or one on PATH.
fn programs() -> Result<Option<PathBuf>> {
    let mut versions: Vec<PathBuf> = fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    versions.sort();
    versions.reverse();
    let program = chosen(BIN, &["postgres"], &versions)?;
    Ok(program.and_then(|program| program.parent().map(Path::to_owned)))
}
