//! `cargo xtask test`: every check that a change must pass, in the order in
//! which a person wants to hear of a failure.
//!
//! It prints what it is about to do, how long it took, and after a failure the
//! command that repeats just that step. What the steps are is in [`plan`].

mod count;
mod plan;
mod servers;

use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use clap::builder::FalseyValueParser;

use self::count::Counts;
use self::plan::{Action, Invocation, Report, Step, Tools};
use crate::cargo;

/// Where nextest leaves its report: in the workspace, wherever cargo builds.
const JUNIT: &str = "target/nextest/default/junit.xml";

/// How much of the gate to run.
#[derive(Args)]
pub(crate) struct Options {
    /// Only the tests and the doc tests
    #[arg(long)]
    quick: bool,
    /// Fail, instead of skipping a step, when its tool is missing
    #[arg(long, env = "CI", value_parser = FalseyValueParser::new())]
    strict: bool,
}

/// How one step ended.
enum Ended {
    Passed(Counts),
    Failed(Failure, Counts),
    Skipped(&'static str),
}

/// Why a step failed: what to say, and what to type to see it again.
struct Failure {
    what: String,
    repeat: Option<Invocation>,
}

impl Failure {
    fn of(invocation: Invocation, status: ExitStatus) -> Self {
        Self {
            what: status.to_string(),
            repeat: Some(invocation),
        }
    }
}

/// Runs the plan up to its first failure.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let mut steps = plan::steps(options.quick, Tools::find());
    let mut counts = Counts::default();
    let mut table = Table::default();

    for index in 0..steps.len() {
        let step = steps[index];
        println!("==> {}/{} {}", index + 1, steps.len(), step.title);
        let start = Instant::now();
        let ended = match step.action {
            Action::Servers => {
                let missing = servers::prepare()?;
                if missing.is_empty() {
                    Ended::Passed(Counts::default())
                } else {
                    println!("missing: {}", missing.join(", "));
                    steps = steps.into_iter().map(plan::without_servers).collect();
                    Ended::Skipped("tests on real servers are left out")
                }
            }
            _ => perform(&step, options.strict)?,
        };
        let took = start.elapsed();
        match ended {
            Ended::Passed(counted) => {
                counts += counted;
                table.add(step.title, took, "passed");
            }
            Ended::Skipped(why) => {
                println!("skipped: {why}");
                table.add(step.title, took, "skipped");
            }
            Ended::Failed(failure, counted) => {
                counts += counted;
                table.add(step.title, took, "failed");
                print!("\n{table}");
                println!("\nfailed: {} ({})", step.title, failure.what);
                if let Some(invocation) = failure.repeat {
                    println!("repeat it with: {invocation}");
                }
                if counts.any() {
                    println!("{counts}");
                }
                return Ok(ExitCode::FAILURE);
            }
        }
    }

    print!("\n{table}");
    println!("\n{counts}");
    Ok(ExitCode::SUCCESS)
}

fn perform(step: &Step, strict: bool) -> Result<Ended> {
    match step.action {
        Action::Run(invocation) => {
            println!("    {invocation}");
            let status = start(invocation)?;
            Ok(verdict(invocation, status, Counts::default()))
        }
        Action::Test(invocation, report) => {
            println!("    {invocation}");
            let (status, counts) = match report {
                Report::Junit => test_with_junit(invocation)?,
                Report::Lines => test_with_lines(invocation)?,
            };
            Ok(verdict(invocation, status, counts))
        }
        // Performed by the caller, which changes the plan by it.
        Action::Servers => Ok(Ended::Passed(Counts::default())),
        Action::Audit { fetch, check } => audit(fetch, check),
        Action::Missing { why } if strict => Ok(Ended::Failed(
            Failure {
                what: why.to_owned(),
                repeat: None,
            },
            Counts::default(),
        )),
        Action::Missing { why } => Ok(Ended::Skipped(why)),
    }
}

fn verdict(invocation: Invocation, status: ExitStatus, counts: Counts) -> Ended {
    if status.success() {
        Ended::Passed(counts)
    } else {
        Ended::Failed(Failure::of(invocation, status), counts)
    }
}

fn start(invocation: Invocation) -> Result<ExitStatus> {
    invocation
        .command()
        .status()
        .with_context(|| format!("cannot start {invocation}"))
}

/// nextest talks to the person; its JUnit report says how many passed.
fn test_with_junit(invocation: Invocation) -> Result<(ExitStatus, Counts)> {
    let report = cargo::folders()?.workspace.join(JUNIT);
    // A report of an earlier run must not count for this one.
    if report.exists() {
        std::fs::remove_file(&report)
            .with_context(|| format!("cannot remove {}", report.display()))?;
    }
    let status = start(invocation)?;
    let counts = match std::fs::read_to_string(&report) {
        Ok(text) => Counts::from_junit(&text)
            .with_context(|| format!("cannot read the counts in {}", report.display()))?,
        // Without a report no test ran: the build failed.
        Err(_) if !status.success() => Counts::default(),
        Err(error) => bail!("cannot read {}: {error}", report.display()),
    };
    Ok((status, counts))
}

/// The test runner built into Rust reports by a line for each program.
fn test_with_lines(invocation: Invocation) -> Result<(ExitStatus, Counts)> {
    let mut child = invocation
        .command()
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {invocation}"))?;
    let mut counts = Counts::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.with_context(|| format!("cannot read the output of {invocation}"))?;
            println!("{line}");
            counts += Counts::from_line(&line);
        }
    }
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for {invocation}"))?;
    Ok((status, counts))
}

/// Advisories come from a database elsewhere. A machine that can't reach it can
/// still pass: nothing in the tree changes by not knowing.
fn audit(fetch: Invocation, check: Invocation) -> Result<Ended> {
    println!("    {fetch}");
    let fetched = fetch
        .command()
        .output()
        .with_context(|| format!("cannot start {fetch}"))?;
    if !fetched.status.success() {
        return Ok(Ended::Skipped(
            "the advisory database can't be reached from this machine",
        ));
    }
    println!("    {check}");
    let status = start(check)?;
    Ok(verdict(check, status, Counts::default()))
}

/// What ran, how long it took, how it ended.
#[derive(Default)]
struct Table {
    rows: Vec<(&'static str, Duration, &'static str)>,
}

impl Table {
    fn add(&mut self, title: &'static str, took: Duration, ended: &'static str) {
        println!("    {ended} after {:.1} s\n", took.as_secs_f64());
        self.rows.push((title, took, ended));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .rows
            .iter()
            .map(|(title, ..)| title.len())
            .max()
            .unwrap_or(0);
        for (title, took, ended) in &self.rows {
            writeln!(f, "{title:width$}  {:>7.1} s  {ended}", took.as_secs_f64())?;
        }
        Ok(())
    }
}
