//! What kind of failure it was: the table of exit codes and signals, and the
//! patterns of a preset that know better.
//!
//! | ended by | class |
//! |---|---|
//! | exit code 0 | no failure; the checks decide |
//! | exit code 75 (EX_TEMPFAIL) | transient |
//! | exit code 64, 65, 66, 67, 68, 72, 73, 76, 77, 78 (sysexits(3): wrong use, input or setup) | permanent |
//! | exit code 126, 127 (a shell couldn't execute or find it) | permanent |
//! | any other exit code, 69, 70, 71, 74 of sysexits(3) among them | transient |
//! | SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGSYS, or the exit code 128 + signal that a shell makes of it | poison |
//! | any other signal | transient |
//! | timeout | transient |
//! | the program or its working folder doesn't exist | permanent |
//!
//! A preset's own exit codes come before this table, and its patterns before both.

use std::collections::BTreeMap;

use collective_core::Timestamp;
use collective_core::task::FailureClass;
use rustix::process::Signal;
use serde::Deserialize;

use super::reading::Pattern;
use super::reset;
use crate::guard::End;

/// Exit codes that say that trying again is no use (sysexits(3), and the shell's).
const PERMANENT: [i32; 12] = [64, 65, 66, 67, 68, 72, 73, 76, 77, 78, 126, 127];

/// Signals that a program dies of when it, or what it was given, is broken.
const BROKEN: [Signal; 7] = [
    Signal::SEGV,
    Signal::ABORT,
    Signal::BUS,
    Signal::ILL,
    Signal::TRAP,
    Signal::FPE,
    Signal::SYS,
];

/// The class by the table alone; nothing for success.
pub fn class_of(end: End) -> Option<FailureClass> {
    let broken = |number: i32| BROKEN.iter().any(|signal| signal.as_raw() == number);
    match end {
        End::Code(0) => None,
        End::Code(code) if PERMANENT.contains(&code) => Some(FailureClass::Permanent),
        End::Code(code) if broken(code - 128) => Some(FailureClass::Poison),
        End::Code(_) => Some(FailureClass::Transient),
        End::Signal(number) if broken(number) => Some(FailureClass::Poison),
        End::Signal(_) => Some(FailureClass::Transient),
    }
}

/// The classes that a preset may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Tried again after a backoff.
    Transient,
    /// Tried again after the provider's reset.
    Quota,
    /// Not tried again.
    Permanent,
    /// Tried again once.
    Poison,
}

impl From<Class> for FailureClass {
    fn from(class: Class) -> Self {
        match class {
            Class::Transient => Self::Transient,
            Class::Quota => Self::Quota,
            Class::Permanent => Self::Permanent,
            Class::Poison => Self::Poison,
        }
    }
}

/// A pattern that recognises a failure by what is said of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The class that it gives.
    pub class: Class,
    /// What it looks for. The groups `epoch`, `epoch_ms`, `time`, `clock`,
    /// `zone`, `day` and `span` say when a quota resets.
    pub pattern: Pattern,
}

/// What a preset knows of failures.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Looked for in the error that the command tells of, or in the end of its
    /// output if it tells of none; in this order.
    pub patterns: Vec<Rule>,
    /// Exit codes with a meaning of their own.
    pub exit_codes: BTreeMap<i32, Class>,
}

/// What was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// The class.
    pub class: FailureClass,
    /// The line that told, if one did.
    pub line: Option<String>,
    /// When the quota resets, if it was said.
    pub retry_at: Option<Timestamp>,
}

impl Rules {
    /// Classifies an attempt that failed: `end` is how its command ended, `output`
    /// what it says of it: its error, or the end of what it printed. A command that ended with 0 and yet
    /// calls itself failed counts as transient if nothing else is known.
    pub fn classify(&self, end: Option<End>, output: &str, now: Timestamp) -> Recognised {
        if let Some(recognised) = self.by_pattern(output, now) {
            return recognised;
        }
        let own = match end {
            Some(End::Code(code)) => self.exit_codes.get(&code).copied(),
            Some(End::Signal(_)) | None => None,
        };
        let class = own
            .map(FailureClass::from)
            .or_else(|| end.and_then(class_of))
            .unwrap_or(FailureClass::Transient);
        Recognised {
            class,
            line: None,
            retry_at: None,
        }
    }

    /// The first pattern that matches; of several matches the last, since it is
    /// the one that ended the command.
    fn by_pattern(&self, output: &str, now: Timestamp) -> Option<Recognised> {
        self.patterns.iter().find_map(|rule| {
            let captures = rule.pattern.0.captures_iter(output).last()?;
            let class = FailureClass::from(rule.class);
            let retry_at = (class == FailureClass::Quota)
                .then(|| reset::time(&captures, now))
                .flatten();
            let start = captures.get(0).map_or(0, |found| found.start());
            Some(Recognised {
                class,
                line: Some(line_at(output, start)),
                retry_at,
            })
        })
    }
}

/// The line of a text that has a byte in it, for a reason.
fn line_at(text: &str, at: usize) -> String {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next().unwrap_or_default().trim();
    let from = (at - start).min(line.len());
    // A long line of JSON is shown from where the pattern found something.
    match line.get(from..) {
        Some(rest) if line.len() > 200 => collective_core::text::shown(rest),
        _ => collective_core::text::head(line, 200).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FailureClass::{Permanent, Poison, Quota, Transient};

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    #[test]
    fn the_table_of_exit_codes_and_signals_holds() {
        let cases = [
            (End::Code(0), None),
            (End::Code(1), Some(Transient)),
            (End::Code(2), Some(Transient)),
            (End::Code(64), Some(Permanent)),
            (End::Code(65), Some(Permanent)),
            (End::Code(69), Some(Transient)),
            (End::Code(70), Some(Transient)),
            (End::Code(74), Some(Transient)),
            (End::Code(75), Some(Transient)),
            (End::Code(78), Some(Permanent)),
            (End::Code(126), Some(Permanent)),
            (End::Code(127), Some(Permanent)),
            (End::Code(134), Some(Poison)),
            (End::Code(137), Some(Transient)),
            (End::Code(139), Some(Poison)),
            (End::Code(143), Some(Transient)),
            (End::Signal(Signal::SEGV.as_raw()), Some(Poison)),
            (End::Signal(Signal::ABORT.as_raw()), Some(Poison)),
            (End::Signal(Signal::BUS.as_raw()), Some(Poison)),
            (End::Signal(Signal::ILL.as_raw()), Some(Poison)),
            (End::Signal(Signal::KILL.as_raw()), Some(Transient)),
            (End::Signal(Signal::TERM.as_raw()), Some(Transient)),
        ];
        for (end, class) in cases {
            assert_eq!(class_of(end), class, "{end}");
        }
    }

    #[test]
    fn a_pattern_comes_before_the_preset_s_exit_code_and_that_before_the_table() {
        let rules = Rules {
            patterns: vec![Rule {
                class: Class::Quota,
                pattern: Pattern(regex::Regex::new(r"limit reached\|(?P<epoch>\d+)").unwrap()),
            }],
            exit_codes: BTreeMap::from([(42, Class::Permanent)]),
        };
        let seen = rules.classify(
            Some(End::Code(42)),
            "hello\nusage limit reached|1700000100\nbye\n",
            NOW,
        );
        assert_eq!(seen.class, Quota);
        assert_eq!(seen.line.as_deref(), Some("usage limit reached|1700000100"));
        assert_eq!(
            seen.retry_at,
            Some(Timestamp::from_micros(1_700_000_100_000_000))
        );
        assert_eq!(
            rules.classify(Some(End::Code(42)), "", NOW).class,
            Permanent
        );
        assert_eq!(rules.classify(Some(End::Code(1)), "", NOW).class, Transient);
        assert_eq!(rules.classify(Some(End::Code(0)), "", NOW).class, Transient);
    }
}
