//! What the runner and the guard say to each other: one JSON object per line
//! over a socket pair, which is also how each learns that the other is gone.

use serde::{Deserialize, Serialize};

/// Longest line, so that a guard never reads without a bound: an argument list
/// can't be longer than this on any common system (`ARG_MAX` is 2 MiB), and
/// JSON at worst writes six bytes for one.
pub(crate) const MAX_LINE: u64 = 6 * 2 * 1024 * 1024;

/// What the runner tells the guard.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Run this. The first line, and only the first.
    Start {
        /// The program and its arguments.
        argv: Vec<String>,
        /// How long it may take to end after SIGTERM, when the runner dies.
        grace_ms: u64,
    },
    /// End it: SIGTERM now, SIGKILL after the grace period. A repeated order can
    /// shorten the period, not prolong it.
    Stop {
        /// The grace period.
        grace_ms: u64,
    },
}

/// What the guard tells the runner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// The program runs under this process id.
    Started(i32),
    /// The program couldn't be executed, with the system's error number.
    NotStarted(i32),
    /// The program ended.
    Ended(End),
    /// Everything that it started is gone, except so many processes that didn't
    /// die of SIGKILL in time.
    Cleared(u64),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// With this exit code.
    Code(i32),
    /// Killed by this signal.
    Signal(i32),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Code(code) => write!(f, "exit code {code}"),
            End::Signal(number) => match signal_name(*number) {
                Some(name) => write!(f, "signal {name}"),
                None => write!(f, "signal {number}"),
            },
        }
    }
}

/// The names of the signals that commands die of.
fn signal_name(number: i32) -> Option<&'static str> {
    use rustix::process::Signal;
    [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::XFSZ, "SIGXFSZ"),
        (Signal::SYS, "SIGSYS"),
    ]
    .into_iter()
    .find(|(signal, _)| signal.as_raw() == number)
    .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_reads_as_people_say_it() {
        assert_eq!(End::Code(3).to_string(), "exit code 3");
        assert_eq!(End::Signal(11).to_string(), "signal SIGSEGV");
        assert_eq!(End::Signal(42).to_string(), "signal 42");
    }
}
