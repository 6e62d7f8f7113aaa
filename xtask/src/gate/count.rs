//! How many tests passed and failed, read from what the test runners leave.

use std::fmt;
use std::ops::AddAssign;

use anyhow::{Context, Result};

/// Passed and failed tests; ignored ones are neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    passed: u64,
    failed: u64,
}

impl Counts {
    pub(super) fn any(self) -> bool {
        self != Self::default()
    }

    /// Reads the root element of a JUnit report, which counts the whole run.
    pub(super) fn from_junit(report: &str) -> Result<Self> {
        let root = report
            .split_once("<testsuites ")
            .and_then(|(_, rest)| rest.split_once('>'))
            .map(|(attributes, _)| attributes)
            .context("the report has no <testsuites>")?;
        let attribute = |name: &str| -> Result<u64> {
            root.split_once(&format!("{name}=\""))
                .and_then(|(_, rest)| rest.split_once('"'))
                .and_then(|(value, _)| value.parse().ok())
                .with_context(|| format!("<testsuites> has no number {name}"))
        };
        let failed = attribute("failures")? + attribute("errors")?;
        Ok(Self {
            passed: attribute("tests")?.saturating_sub(failed),
            failed,
        })
    }

    /// Reads `test result: ok. 3 passed; 0 failed; ...`; any other line is zero.
    pub(super) fn from_line(line: &str) -> Self {
        let Some(summary) = line.strip_prefix("test result: ") else {
            return Self::default();
        };
        let before = |word: &str| -> u64 {
            summary
                .split_once(word)
                .and_then(|(head, _)| head.split_whitespace().next_back())
                .and_then(|number| number.parse().ok())
                .unwrap_or(0)
        };
        Self {
            passed: before(" passed"),
            failed: before(" failed"),
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// The closing line, alone on its line, that tools look for.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_junit_report_is_counted_by_its_root() {
        let report = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="12" failures="2" errors="1" uuid="x" time="0.5">
    <testsuite name="core" tests="12" disabled="0" errors="1" failures="2">"#;
        assert_eq!(
            Counts::from_junit(report).unwrap(),
            Counts {
                passed: 9,
                failed: 3
            }
        );
    }

    #[test]
    fn a_report_without_numbers_is_an_error() {
        assert!(Counts::from_junit("<testsuites name=\"x\">").is_err());
        assert!(Counts::from_junit("").is_err());
    }

    #[test]
    fn a_result_line_is_counted_and_other_lines_are_not() {
        let line = "test result: FAILED. 7 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out";
        assert_eq!(
            Counts::from_line(line),
            Counts {
                passed: 7,
                failed: 1
            }
        );
        assert_eq!(
            Counts::from_line("test 3 passed; 1 failed"),
            Counts::default()
        );
        assert_eq!(Counts::from_line("test result: "), Counts::default());
    }

    #[test]
    fn the_closing_line_adds_up() {
        let mut counts = Counts {
            passed: 2,
            failed: 0,
        };
        counts += Counts {
            passed: 3,
            failed: 1,
        };
        assert_eq!(counts.to_string(), "5 passed, 1 failed");
    }
}
