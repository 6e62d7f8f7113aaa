//! Figures as a table for people and as JSON for programs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::machine::Machine;

/// One measured rate.
#[derive(Debug, Serialize)]
pub(crate) struct Rate {
    pub(crate) subject: String,
    pub(crate) what: String,
    pub(crate) tasks: u64,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
}

impl Rate {
    pub(crate) fn new(subject: &str, what: &str, tasks: u64, milliseconds: f64) -> Self {
        let seconds = milliseconds / 1e3;
        Self {
            subject: subject.to_owned(),
            what: what.to_owned(),
            tasks,
            seconds,
            per_second: tasks as f64 / seconds,
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
    pub(crate) rates: Vec<Rate>,
    pub(crate) missing: Vec<Missing>,
}

impl Report {
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
        table.set_header(["subject", "what", "tasks", "seconds", "tasks/s"]);
        for rate in &self.rates {
            table.add_row([
                rate.subject.clone(),
                rate.what.clone(),
                rate.tasks.to_string(),
                format!("{:.2}", rate.seconds),
                format!("{:.0}", rate.per_second),
            ]);
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}
