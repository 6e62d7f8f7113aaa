//! What the simulation met, so that it can't silently stop meeting something.

use std::collections::BTreeMap;
use std::fmt;

/// Everything that a full run must have met at least once.
const MUST_HAPPEN: &[&str] = &[
    "agent drained",
    "agent registered anew",
    "agent removed",
    "answer after expiry refused",
    "answers lost",
    "attempt cancelled",
    "attempt failed",
    "attempt lost",
    "attempt released",
    "attempt timed out",
    "batch refused whole",
    "cache down",
    "cache emptied",
    "cancel heard by heartbeat",
    "check failed",
    "claim of several",
    "claimed",
    "clock went back",
    "completion without evidence refused",
    "created",
    "created in batch",
    "cycle refused",
    "dead by dependency",
    "dependency met",
    "forged token refused",
    "hub drained",
    "idempotency mismatch refused",
    "idempotent answer repeated",
    "late report refused",
    "log written",
    "message acknowledged",
    "message read",
    "message sent",
    "poisoned to death",
    "question answered",
    "question asked",
    "question expired",
    "queue paused",
    "queue resumed",
    "report repeated apart",
    "report repeated in one batch",
    "reservation ended with its attempt",
    "reservation refused",
    "reservation released",
    "reservation ran out",
    "reserved",
    "restart",
    "schedule fired",
    "schedule fired without a task",
    "stale token refused",
    "stolen token refused",
    "task cancelled",
    "task dead",
    "task discarded",
    "task queued again",
    "task quota wait",
    "task retrying",
    "task revived",
    "task scheduled",
    "task succeeded",
    "works aborted",
];

/// How often each thing happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    pub(crate) fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    pub(crate) fn add(&mut self, what: &'static str, times: u64) {
        debug_assert!(
            MUST_HAPPEN.contains(&what) || what == "steps",
            "{what} is in no list"
        );
        *self.0.entry(what).or_default() += times;
    }

    pub(crate) fn join(&mut self, other: &Tally) {
        for (what, times) in &other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }

    /// What never happened and should have.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let met = |what: &&&'static str| self.0.get(**what).is_none_or(|times| *times == 0);
        MUST_HAPPEN.iter().filter(met).copied().collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, times) in &self.0 {
            writeln!(f, "{times:>12}  {what}")?;
        }
        Ok(())
    }
}
