//! Real servers for tests and benchmarks: each on free loopback ports or a
//! socket, in a temporary folder, ended with its owner.
//!
//! Their programs come from Debian packages, or from `PATH`. A machine without
//! them is told which package it lacks; nothing here installs anything unless
//! it is asked to. Variables named `COLLECTIVE_TEST_..._BIN` take the programs
//! of another version from a folder instead.

mod engine;
mod postgres;
mod proxy;
mod rabbitmq;
mod redis;
mod user;

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

pub use engine::{Engine, is_ready};
pub use postgres::{Postgres, PostgresOptions};
pub use proxy::SlowProxy;
pub use rabbitmq::{RabbitMq, RabbitMqOptions};
pub use redis::{Redis, RedisOptions, RedisTls};

use crate::process;

/// The first of these that exists, else the program on `PATH`.
pub fn find(what: &str, candidates: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    let on_path = env::var_os("PATH").map(|path| {
        env::split_paths(&path)
            .map(|folder| folder.join(what))
            .collect::<Vec<_>>()
    });
    candidates
        .into_iter()
        .chain(on_path.unwrap_or_default())
        .find(|path| path.is_file())
}

/// The first of these programs that is in one of the folders, else on `PATH`. Where the
/// variable names a folder, it is there or nowhere: what is to be tested on
/// another version must not pass on this machine's.
fn chosen(variable: &str, names: &[&str], folders: &[PathBuf]) -> Result<Option<PathBuf>> {
    let Some(folder) = env::var_os(variable).filter(|folder| !folder.is_empty()) else {
        let usual = |name: &&str| find(name, folders.iter().map(|folder| folder.join(name)));
        return Ok(names.iter().find_map(usual));
    };
    let folder = PathBuf::from(folder);
    let mut found = names.iter().map(|name| folder.join(name));
    let Some(program) = found.find(|path| path.is_file()) else {
        let (folder, names) = (folder.display(), names.join(" or "));
        bail!("{variable} is {folder}, where there is no {names}");
    };
    Ok(Some(program))
}

/// Fails with the name of the package that brings what is missing.
fn missing<T>(program: &str, package: &str) -> Result<T> {
    bail!("{program} is not installed; on Debian and Ubuntu: apt-get install {package}")
}

/// Installs a Debian package without starting what it brings.
pub fn install(package: &str) -> Result<()> {
    for arguments in [
        &["update"][..],
        &["install", "-y", "--no-install-recommends", package],
    ] {
        let mut command = Command::new("apt-get");
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        // No service of the package's own is started: the runlevel has none.
        command.env("RUNLEVEL", "1");
        process::run(command).with_context(|| format!("cannot install {package}"))?;
    }
    Ok(())
}
