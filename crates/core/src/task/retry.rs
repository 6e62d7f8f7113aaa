//! What follows a failed attempt: exponential backoff with full jitter and a cap.
//!
//! Full jitter as in "Exponential Backoff And Jitter" (AWS architecture blog,
//! 2015): the delay is uniform between zero and the exponential bound.

use serde::{Deserialize, Serialize};

use crate::Span;
use crate::limits::{MAX_ATTEMPTS, MAX_DELAY};
use crate::rejection::{Code, Rejection};

/// How often and how fast a task is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// How many attempts may count, the first included.
    pub max_attempts: u32,
    /// Bound of the first delay.
    pub initial_delay: Span,
    /// By how much the bound grows with each attempt.
    pub factor: u32,
    /// Bound that the delay never passes.
    pub max_delay: Span,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            initial_delay: Span::from_secs(1),
            factor: 2,
            max_delay: Span::from_secs(300),
        }
    }
}

impl RetryPolicy {
    /// Checks every bound.
    pub fn validate(&self) -> Result<(), Rejection> {
        let bad =
            |field: &str, what: String| Err(Rejection::new(Code::InvalidField, what).at(field));
        if self.max_attempts == 0 || self.max_attempts > MAX_ATTEMPTS {
            return bad(
                "max_attempts",
                format!("must be 1 to {MAX_ATTEMPTS}, not {}", self.max_attempts),
            );
        }
        if self.factor == 0 || self.factor > 10 {
            return bad("factor", format!("must be 1 to 10, not {}", self.factor));
        }
        if self.initial_delay > MAX_DELAY || self.max_delay > MAX_DELAY {
            return bad("max_delay", format!("must be at most {MAX_DELAY}"));
        }
        Ok(())
    }

    /// The longest that the delay after the `used`-th counted attempt may be.
    pub fn bound(&self, used: u32) -> Span {
        let growth = u64::from(self.factor).saturating_pow(used.saturating_sub(1));
        self.initial_delay.times(growth).min(self.max_delay)
    }

    /// The delay after the `used`-th counted attempt; `chance` is in `0.0..1.0`.
    pub fn delay(&self, used: u32, chance: f64) -> Span {
        debug_assert!((0.0..1.0).contains(&chance));
        Span::from_micros((self.bound(used).micros() as f64 * chance) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_delay_stays_below_its_bound_and_its_cap(
            used in 1u32..200, factor in 1u32..=10, chance in 0.0f64..1.0, initial in 0u64..1_000_000_000
        ) {
            let policy = RetryPolicy { factor, initial_delay: Span::from_micros(initial), ..RetryPolicy::default() };
            let delay = policy.delay(used, chance);
            prop_assert!(delay <= policy.bound(used));
            prop_assert!(delay <= policy.max_delay);
            prop_assert!(policy.bound(used) <= policy.bound(used + 1));
        }
    }
}
