//! How a chore calls cargo: with the environment that a person's shell would
//! give it.
//!
//! `cargo run` tells its child about the package it runs by `CARGO_PKG_*` and
//! the like. Some build scripts watch those variables, so a nested cargo that
//! inherited them would rebuild their crates each time the caller changes.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Variables that cargo sets for the program it runs, besides `CARGO_PKG_*`.
const SET_FOR_A_CHILD: [&str; 6] = [
    "CARGO",
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_PRIMARY_PACKAGE",
];

/// A cargo command without the traces of the one that started this program.
pub(crate) fn command() -> Command {
    let mut command = Command::new(program());
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || SET_FOR_A_CHILD.contains(&text.as_ref()) {
            command.env_remove(&name);
        }
    }
    command
}

/// The cargo that runs this program, so that both are of one toolchain.
fn program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Whether `cargo <tool>` is installed.
pub(crate) fn has(tool: &str) -> bool {
    command()
        .args([tool, "--version"])
        .output()
        .is_ok_and(|answer| answer.status.success())
}

/// Two folders that cargo knows.
pub(crate) struct Folders {
    /// The root of the workspace.
    pub(crate) workspace: PathBuf,
    /// Where cargo puts what it builds, whatever set it.
    pub(crate) target: PathBuf,
}

/// Asks cargo for its folders.
pub(crate) fn folders() -> Result<Folders> {
    let answer = command()
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("cannot start cargo metadata")?;
    ensure!(
        answer.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&answer.stderr).trim()
    );
    let metadata: Value =
        serde_json::from_slice(&answer.stdout).context("cannot read cargo metadata")?;
    let folder = |name: &str| {
        metadata[name]
            .as_str()
            .map(PathBuf::from)
            .with_context(|| format!("cargo metadata names no {name}"))
    };
    Ok(Folders {
        workspace: folder("workspace_root")?,
        target: folder("target_directory")?,
    })
}

/// The exit code that repeats how a child ended; a signal counts as 1.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    match status.code().map(u8::try_from) {
        Some(Ok(code)) => ExitCode::from(code),
        _ => ExitCode::FAILURE,
    }
}
