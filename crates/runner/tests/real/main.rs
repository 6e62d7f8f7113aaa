//! Real processes: what the runner promises, done to it.
//!
//! This binary plays every part: the tests, the guard, the runner that is
//! killed, and the commands that try to get away.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attempt;
mod guard;
mod parts;
mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(|part| part.to_str()) {
        Some(collective_runner::guard::SUBCOMMAND) => collective_runner::guard::main(arguments),
        Some(parts::SUBCOMMAND) => parts::main(arguments),
        _ => {
            let mut trials: Vec<Trial> = Vec::new();
            trials.extend(guard::trials());
            trials.extend(attempt::trials());
            libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
        }
    }
}
