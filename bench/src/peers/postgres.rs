//! A temporary PostgreSQL with its default durability, on a socket in the
//! scratch folder.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Signal, geteuid};

use super::{Bench, debian_package, find};
use crate::process::{self, Process, read_text};

/// How long the server may take to accept connections.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Where Debian puts one folder of programs for each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A running server; dropping it stops it.
pub(super) struct Postgres {
    _server: Process,
    socket: PathBuf,
}

impl Postgres {
    pub(super) fn start(bench: &Bench) -> Result<Self> {
        let programs = match programs() {
            Some(programs) => programs,
            None => {
                debian_package(bench, "postgresql")?;
                programs().context("the package postgresql brought no server")?
            }
        };
        let user = User::for_servers()?;
        let home = bench.scratch.path().join("postgres");
        fs::create_dir(&home).context("cannot create a folder for PostgreSQL")?;
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700))?;
        user.give(&home)?;
        let data = home.join("data");

        let mut create = user.command(&programs.join("initdb"));
        create.current_dir(&home).arg("--pgdata").arg(&data);
        create.args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
        ]);
        process::run(create).context("cannot create a PostgreSQL cluster")?;

        let mut serve = user.command(&programs.join("postgres"));
        serve.current_dir(&home).arg("-D").arg(&data);
        serve.args(["-c", "listen_addresses=", "-c", "max_connections=100"]);
        serve
            .arg("-c")
            .arg(format!("unix_socket_directories={}", home.display()));
        // SIGINT is PostgreSQL's "fast" stop: it ends connections, not data.
        let mut server = Process::start("postgres", serve, bench.scratch.path(), Signal::INT)?;
        server.wait_until(START_LIMIT, |server| {
            server.output().contains("ready to accept connections")
        })?;
        Ok(Self {
            _server: server,
            socket: home,
        })
    }

    pub(super) fn url(&self) -> String {
        format!(
            "postgres://postgres@/postgres?host={}",
            self.socket.display()
        )
    }
}

/// The folder with `initdb` and `postgres`: Debian's newest, or one on PATH.
fn programs() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin/postgres"))
        .collect();
    versions.sort();
    find("postgres", versions.into_iter().rev())?
        .parent()
        .map(Path::to_owned)
}

/// Who the server runs as: PostgreSQL refuses to run as root.
struct User {
    /// Name, user and group, when it is not the one who runs the benchmark.
    other: Option<(String, u32, u32)>,
}

impl User {
    fn for_servers() -> Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self { other: None });
        }
        let users = read_text(Path::new("/etc/passwd"))?;
        let find = |name: &str| {
            let line = users
                .lines()
                .find(|line| line.split(':').next() == Some(name))?;
            let mut ids = line.split(':').skip(2).map(str::parse);
            match (ids.next(), ids.next()) {
                (Some(Ok(user)), Some(Ok(group))) => Some((name.to_owned(), user, group)),
                _ => None,
            }
        };
        let other = find("postgres")
            .or_else(|| find("nobody"))
            .context("PostgreSQL can't run as root, and there is no user postgres or nobody")?;
        Ok(Self { other: Some(other) })
    }

    /// A command that this user runs, in the process that is started for it.
    fn command(&self, program: &Path) -> Command {
        let Some((_, user, group)) = &self.other else {
            return Command::new(program);
        };
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={user}"))
            .arg(format!("--regid={group}"));
        command.args(["--clear-groups", "--"]).arg(program);
        command
    }

    fn give(&self, folder: &Path) -> Result<()> {
        let Some((name, user, group)) = &self.other else {
            return Ok(());
        };
        chown(folder, Some(*user), Some(*group))
            .with_context(|| format!("cannot give {} to {name}", folder.display()))
    }
}
