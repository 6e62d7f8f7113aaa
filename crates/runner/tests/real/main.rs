//! Real processes: what the runner promises, done to it.
//!
//! This binary plays every part: the tests, the guard, the runner that is
//! killed, and the commands that try to get away.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attempt;
mod checks;
mod guard;
mod parts;
mod scripted;
mod support;
mod worktree;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(|part| part.to_str()) {
        Some(collective_runner::guard::SUBCOMMAND) => collective_runner::guard::main(arguments),
        Some(collective_runner::scripted::SUBCOMMAND) => {
            collective_runner::scripted::main(arguments)
        }
        Some(parts::SUBCOMMAND) => parts::main(arguments),
        _ if std::env::var_os(ALONE).is_none() => alone(),
        _ => {
            let mut trials: Vec<Trial> = Vec::new();
            trials.extend(guard::trials());
            trials.extend(attempt::trials());
            trials.extend(worktree::trials());
            trials.extend(checks::trials());
            trials.extend(scripted::trials());
            libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
        }
    }
}

/// Set once nothing of the machine's own settings is left.
const ALONE: &str = "RUNNER_TESTS_ALONE";

/// Starts over as a process to which git's settings on this machine mean nothing.
fn alone() -> ExitCode {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(std::env::args_os().skip(1))
        .env(ALONE, "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        for what in ["NAME", "EMAIL", "DATE"] {
            command.env_remove(format!("GIT_{who}_{what}"));
        }
    }
    panic!("{}", command.exec());
}
