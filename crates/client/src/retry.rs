//! When a call is sent again, and after how long.
//!
//! A call whose fate is unknown (the connection broke or the answer didn't come
//! in time) is sent again only if carrying it out twice gives what carrying it
//! out once gives:
//!
//! | call | sent again after |
//! |---|---|
//! | reading, heartbeat, complete, fail, release, cancel, discard, drain, pause, `PUT` | anything that passes |
//! | creating with an `Idempotency-Key` | anything that passes; the server answers a repetition from memory |
//! | removing | anything that passes; after an unknown fate, `not_found` counts as removed |
//! | claim, retry, ask, reserve, key creation | only what the server surely didn't carry out: no connection, 429, 503 |
//!
//! A claim is of the last kind for a reason of its own: if its answer is lost,
//! the server has leased tasks to an agent that doesn't know of them. Claiming
//! again would take more tasks beyond those. Nothing needs mending, since the
//! lost leases run out by themselves and their tasks are handed out again.
//!
//! Delays grow exponentially with full jitter, as in core's rule for tasks;
//! `Retry-After` is respected where the server sends it.

use std::time::Duration;

use crate::error::ClientError;

/// How often and how long a call is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryLimits {
    /// Most tries, the first included.
    pub tries: u32,
    /// After this time from the first try no further one starts.
    pub patience: Duration,
    /// Bound of the first delay.
    pub initial_delay: Duration,
    /// Bound that the delay never passes, unless the server asks for more.
    pub max_delay: Duration,
}

impl Default for RetryLimits {
    /// Long enough for a server's restart, short enough for a person who waits.
    fn default() -> Self {
        Self {
            tries: 12,
            patience: Duration::from_secs(15),
            initial_delay: Duration::from_millis(50),
            max_delay: Duration::from_secs(2),
        }
    }
}

impl RetryLimits {
    /// One try, nothing more.
    pub const NONE: RetryLimits = RetryLimits {
        tries: 1,
        patience: Duration::ZERO,
        initial_delay: Duration::ZERO,
        max_delay: Duration::ZERO,
    };

    /// Whether there is a next try, and after how long. `tries` have been made
    /// in `elapsed`; `chance` is in `0.0..1.0`.
    pub fn next_delay(
        &self,
        tries: u32,
        elapsed: Duration,
        retry_after: Option<Duration>,
        chance: f64,
    ) -> Option<Duration> {
        if tries >= self.tries {
            return None;
        }
        let delay = match retry_after {
            // Spread by up to a tenth, so that those who were told the same time don't return at once.
            Some(asked) => asked + asked.mul_f64(chance / 10.0),
            None => self.bound(tries).mul_f64(chance),
        };
        (elapsed + delay <= self.patience).then_some(delay)
    }

    fn bound(&self, tries: u32) -> Duration {
        // 2^20 times any sensible first delay is above any cap.
        let growth = 1u32 << tries.saturating_sub(1).min(20);
        self.initial_delay
            .saturating_mul(growth)
            .min(self.max_delay)
    }
}

/// What sending a call twice does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// The same as once.
    Harmless,
    /// The same as once, but the second is told that nothing is there.
    Removal,
    /// Something else than once.
    Harmful,
}

/// What an error says about the call's fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It surely wasn't carried out; trying later can help.
    NotDone,
    /// It may have been carried out.
    Unknown,
    /// Trying again can't help.
    Final,
}

/// What this error says about the call's fate.
pub(crate) fn fate(error: &ClientError) -> Fate {
    match error {
        ClientError::Unreachable { sent: false, .. } => Fate::NotDone,
        ClientError::Unreachable { sent: true, .. } | ClientError::Timeout { .. } => Fate::Unknown,
        ClientError::Refused { problem, .. } => match problem.status {
            429 | 503 => Fate::NotDone,
            504 => Fate::Unknown,
            _ => Fate::Final,
        },
        // A proxy's answer in the server's stead. Whether it passed the call on, only 429 says.
        ClientError::Protocol { status, .. } => match status {
            429 => Fate::NotDone,
            502..=504 => Fate::Unknown,
            _ => Fate::Final,
        },
        ClientError::InvalidOptions { .. } | ClientError::Unsendable { .. } => Fate::Final,
    }
}

/// Whether a call of this kind may be sent again after this fate.
pub(crate) fn may_repeat(repeat: Repeat, fate: Fate) -> bool {
    match fate {
        Fate::NotDone => true,
        Fate::Unknown => repeat != Repeat::Harmful,
        Fate::Final => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_stays_within_its_bound_and_its_patience() {
        let limits = RetryLimits::default();
        for tries in 1..limits.tries {
            let delay = limits
                .next_delay(tries, Duration::ZERO, None, 0.999)
                .unwrap();
            assert!(delay <= limits.max_delay, "{tries}: {delay:?}");
        }
        assert_eq!(
            limits.next_delay(limits.tries, Duration::ZERO, None, 0.0),
            None
        );
        assert_eq!(limits.next_delay(1, limits.patience, None, 0.5), None);
        assert_eq!(
            RetryLimits::NONE.next_delay(1, Duration::ZERO, None, 0.0),
            None
        );
    }

    #[test]
    fn retry_after_is_kept_unless_it_passes_the_patience() {
        let limits = RetryLimits::default();
        let asked = Duration::from_secs(3);
        let delay = limits
            .next_delay(1, Duration::ZERO, Some(asked), 0.5)
            .unwrap();
        assert!(delay >= asked, "{delay:?}");
        assert_eq!(
            limits.next_delay(1, Duration::ZERO, Some(Duration::from_secs(60)), 0.0),
            None
        );
    }

    #[test]
    fn what_may_have_been_done_is_repeated_only_where_that_is_harmless() {
        for (repeat, fate, expected) in [
            (Repeat::Harmless, Fate::Unknown, true),
            (Repeat::Removal, Fate::Unknown, true),
            (Repeat::Harmful, Fate::Unknown, false),
            (Repeat::Harmful, Fate::NotDone, true),
            (Repeat::Harmless, Fate::Final, false),
        ] {
            assert_eq!(may_repeat(repeat, fate), expected, "{repeat:?} {fate:?}");
        }
    }
}
