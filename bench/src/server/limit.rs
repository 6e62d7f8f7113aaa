//! What SQLite alone does on this machine: the loop in the store's example
//! `raw`, which writes the server's rows with plain statements and batched
//! commits, in one thread, without HTTP, rules or access checks.

use std::env;
use std::process::Command;

use anyhow::{Context, Result};

use super::{BATCH, Bench, LIMIT, LIMIT_WHAT, NAME};
use crate::report::Figure;
use collective_testkit::process;

/// How long each of the example's loops runs.
const SECONDS: u64 = 5;
/// The example's line for SQLite alone.
const ALONE: &str = "SQLite alone";
/// Its line for the store port, without HTTP, as the server uses it.
const PORT: &str = "the port, callers: 8";

pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    let program = env::current_exe()
        .context("cannot find this program")?
        .with_file_name("examples")
        .join("raw");
    let mut command = Command::new(program);
    command.args([
        "--seconds",
        &SECONDS.to_string(),
        "--queued",
        "0",
        "--folder",
    ]);
    command.arg(bench.scratch.path());
    let output = process::run(command)?;
    Ok(vec![
        figure(
            &output,
            ALONE,
            LIMIT,
            &format!("{LIMIT_WHAT}, batches of {BATCH}, one thread"),
        )?,
        figure(
            &output,
            PORT,
            NAME,
            &format!("the store alone, batches of {BATCH}, 8 callers"),
        )?,
    ])
}

/// The rate on the line that begins with these words.
fn figure(output: &str, line: &str, subject: &str, what: &str) -> Result<Figure> {
    let rate: f64 = output
        .lines()
        .find_map(|text| text.trim_start().strip_prefix(line))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("the example `raw` printed no line {line:?}"))?;
    let milliseconds = SECONDS as f64 * 1e3;
    Ok(Figure::rate(
        subject,
        what,
        (rate * SECONDS as f64) as u64,
        milliseconds,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_from_its_line() {
        let output = "\
task lives per second
  SQLite alone              12000        1.00    58.0 µs         4.1 kB
  the port, callers: 8      15000        1.25    60.0 µs         4.3 kB
";
        let rate = |line| figure(output, line, "x", "y").map(|figure| figure.value);
        assert!((rate(ALONE).unwrap() - 12_000.0).abs() < 1.0);
        assert!((rate(PORT).unwrap() - 15_000.0).abs() < 1.0);
        assert!(rate("the port, callers: 1").is_err());
    }
}
