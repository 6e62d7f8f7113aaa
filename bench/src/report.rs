//! Figures as a table for people and as JSON for programs, each beside its
//! target where it has one.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::machine::Machine;

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Unit {
    #[serde(rename = "tasks/s")]
    TasksPerSecond,
    #[serde(rename = "messages/s")]
    MessagesPerSecond,
    #[serde(rename = "per second")]
    PerSecond,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "µs")]
    Microseconds,
    #[serde(rename = "KiB")]
    Kibibytes,
    #[serde(rename = "MiB")]
    Mebibytes,
    /// One figure divided by another.
    #[serde(rename = "x")]
    Times,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TasksPerSecond => "tasks/s",
            Self::MessagesPerSecond => "messages/s",
            Self::PerSecond => "per second",
            Self::Milliseconds => "ms",
            Self::Microseconds => "µs",
            Self::Kibibytes => "KiB",
            Self::Mebibytes => "MiB",
            Self::Times => "x",
        })
    }
}

/// What a figure should be, on a machine of two cores.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "at least {bound}"),
            Self::AtMost(bound) => write!(f, "at most {bound}"),
        }
    }
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// What was measured: a peer, the server, the machine.
    pub(crate) subject: String,
    /// Which of its figures.
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: Unit,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<Target>,
    /// How many tasks, calls or starts it rests on.
    pub(crate) samples: u64,
}

impl Figure {
    pub(crate) fn new(subject: &str, what: &str, value: f64, unit: Unit, samples: u64) -> Self {
        let (subject, what) = (subject.to_owned(), what.to_owned());
        Self {
            subject,
            what,
            value,
            unit,
            target: None,
            samples,
        }
    }

    /// Tasks in a time given in milliseconds.
    pub(crate) fn rate(subject: &str, what: &str, tasks: u64, milliseconds: f64) -> Self {
        let value = tasks as f64 / milliseconds * 1e3;
        Self::new(subject, what, value, Unit::TasksPerSecond, tasks)
    }

    pub(crate) fn with_target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    fn value_text(&self) -> String {
        match self.unit {
            Unit::TasksPerSecond | Unit::MessagesPerSecond | Unit::PerSecond => {
                format!("{:.0}", self.value)
            }
            Unit::Milliseconds | Unit::Times => format!("{:.2}", self.value),
            Unit::Microseconds | Unit::Mebibytes | Unit::Kibibytes => format!("{:.1}", self.value),
        }
    }

    fn verdict(&self) -> &'static str {
        match self.target {
            None => "",
            Some(target) if target.is_met_by(self.value) => "met",
            Some(_) => "missed",
        }
    }
}

/// Something that could not be measured here, and why.
#[derive(Debug, Serialize)]
pub(crate) struct Missing {
    pub(crate) subject: String,
    pub(crate) why: String,
}

/// All figures of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) figures: Vec<Figure>,
    pub(crate) missing: Vec<Missing>,
}

impl Report {
    pub(crate) fn new(machine: Machine) -> Self {
        Self {
            machine,
            figures: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Takes the figures of a subject, or the reason why there are none.
    pub(crate) fn take(&mut self, subject: &str, measured: Result<Vec<Figure>>) {
        match measured {
            Ok(figures) => self.figures.extend(figures),
            Err(error) => {
                let (subject, why) = (subject.to_owned(), format!("{error:#}"));
                self.missing.push(Missing { subject, why });
            }
        }
    }

    /// Prints the table, and writes the JSON where it is wanted.
    pub(crate) fn publish(&self, json: Option<&Path>) -> Result<()> {
        let Machine {
            cores,
            processor,
            memory_mib,
            kernel,
            sync_p50_ms,
        } = &self.machine;
        println!(
            "{cores} cores ({processor}), {memory_mib} MiB, Linux {kernel}, \
             synchronous append {sync_p50_ms:.2} ms"
        );
        println!("{}", self.table());
        for Missing { subject, why } in &self.missing {
            println!("not measured: {subject}: {why}");
        }
        if let Some(path) = json {
            let text = serde_json::to_string_pretty(self).context("cannot write JSON")?;
            fs::write(path, text + "\n")
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["subject", "what", "samples", "value", "unit", "target", ""]);
        for figure in &self.figures {
            table.add_row([
                figure.subject.clone(),
                figure.what.clone(),
                figure.samples.to_string(),
                figure.value_text(),
                figure.unit.to_string(),
                figure
                    .target
                    .map(|target| target.to_string())
                    .unwrap_or_default(),
                figure.verdict().to_owned(),
            ]);
        }
        for column in [2, 3] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_judged_by_its_target() {
        let figure = |value| Figure::new("server", "ready", value, Unit::Milliseconds, 1);
        let verdict = |value| figure(value).with_target(Target::AtMost(200.0)).verdict();
        assert_eq!(verdict(200.0), "met");
        assert_eq!(verdict(200.1), "missed");
        assert_eq!(figure(1.0).verdict(), "");
        assert!(Target::AtLeast(2.0).is_met_by(2.0));
        assert!(!Target::AtLeast(2.0).is_met_by(1.9));
    }

    #[test]
    fn a_rate_is_in_tasks_for_each_second() {
        let figure = Figure::rate("peer", "work", 500, 250.0);
        assert!((figure.value - 2_000.0).abs() < 1e-9);
    }
}
