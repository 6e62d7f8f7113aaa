//! Whom a server runs as.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::geteuid;

/// Who the server runs as: PostgreSQL refuses to run as root.
pub(super) struct User {
    /// Name, user and group, when it is not the one who runs the benchmark.
    other: Option<(String, u32, u32)>,
}

impl User {
    pub(super) fn for_servers() -> Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self { other: None });
        }
        let users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
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
    pub(super) fn command(&self, program: &Path) -> Command {
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

    pub(super) fn give(&self, folder: &Path) -> Result<()> {
        let Some((name, user, group)) = &self.other else {
            return Ok(());
        };
        chown(folder, Some(*user), Some(*group))
            .with_context(|| format!("cannot give {} to {name}", folder.display()))
    }
}
