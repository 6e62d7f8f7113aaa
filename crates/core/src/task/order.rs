//! Who is next: strict priorities, with ageing so that no lane starves.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::limits::AGEING_STEP;

/// How urgent a task is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Before everything else.
    Critical,
    /// Before the ordinary.
    High,
    /// The ordinary.
    #[default]
    Normal,
    /// When there is nothing else.
    Low,
}

impl Priority {
    /// Every priority, most urgent first.
    pub const ALL: [Priority; 4] = [
        Priority::Critical,
        Priority::High,
        Priority::Normal,
        Priority::Low,
    ];

    /// The priority's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Priority::Critical => "critical",
            Priority::High => "high",
            Priority::Normal => "normal",
            Priority::Low => "low",
        }
    }

    /// The priority with this word.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|priority| priority.as_str() == text)
    }

    /// 0 for critical to 3 for low, as the store keeps it.
    pub const fn rank(self) -> u8 {
        self as u8
    }

    /// The priority of a rank.
    pub fn from_rank(rank: u8) -> Option<Self> {
        Self::ALL.get(usize::from(rank)).copied()
    }

    /// The rank that counts now: one class better for each [`AGEING_STEP`] waited.
    pub fn effective_rank(self, ready_at: Timestamp, now: Timestamp) -> u8 {
        let steps = now.since(ready_at).micros() / AGEING_STEP.micros();
        self.rank()
            .saturating_sub(u8::try_from(steps).unwrap_or(u8::MAX))
    }
}

impl std::fmt::Display for Priority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A queued task as a candidate of a claim.
pub trait Candidate {
    /// Its priority, since when it is ready, its number.
    fn place(&self) -> (Priority, Timestamp, u64);
}

/// The order in which candidates are handed out: effective rank, then the
/// longest wait, then the number. Adapters give the heads of each lane and
/// priority, so that sorting a few is as good as sorting all.
pub fn sort_candidates<C: Candidate>(candidates: &mut [C], now: Timestamp) {
    candidates.sort_by_key(|candidate| {
        let (priority, ready_at, number) = candidate.place();
        (priority.effective_rank(ready_at, now), ready_at, number)
    });
}

/// For each priority, the first place that is no longer ahead of `place` now;
/// `None` means that every task of that priority is ahead. Together they count
/// what [`sort_candidates`] would put before a task, ageing included.
pub fn bounds_ahead(
    place: (Priority, Timestamp, u64),
    now: Timestamp,
) -> [Option<(Timestamp, u64)>; 4] {
    let (priority, ready_at, number) = place;
    let own = priority.effective_rank(ready_at, now);
    Priority::ALL.map(|other| {
        let behind = other.rank().checked_sub(own)?;
        // Waited long enough to be a class better than ours, or of our class and longer than we.
        let better = now - AGEING_STEP.times(u64::from(behind) + 1);
        let equal = now - AGEING_STEP.times(u64::from(behind));
        let past = |at: Timestamp| (at + crate::Span::from_micros(1), 0);
        let of_our_class = if behind == 0 {
            (ready_at, number)
        } else {
            (ready_at, number).min(past(equal))
        };
        // Rank 0 is the best there is, so nothing can be better than it.
        Some(if own == 0 {
            of_our_class
        } else {
            of_our_class.max(past(better))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Span;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    struct Waiting(Priority, Timestamp, u64);

    impl Candidate for Waiting {
        fn place(&self) -> (Priority, Timestamp, u64) {
            (self.0, self.1, self.2)
        }
    }

    #[test]
    fn urgent_comes_first_until_the_patient_one_has_aged() {
        let start = Timestamp::from_micros(0);
        let low = Waiting(Priority::Low, start, 1);
        let at = |now: Timestamp| {
            let mut both = [Waiting(Priority::Critical, now, 2), low.clone()];
            sort_candidates(&mut both, now);
            both[0].2
        };
        assert_eq!(at(start + Span::from_secs(1)), 2);
        assert_eq!(at(start + AGEING_STEP.times(3)), 1);
    }

    proptest! {
        #[test]
        fn no_task_waits_behind_newer_work_for_longer_than_three_steps(
            waits in prop::collection::vec((0u8..4, 0u64..4_000_000_000), 1..40)
        ) {
            let now = Timestamp::from_micros(4_000_000_000);
            let mut tasks: Vec<_> = waits
                .iter()
                .enumerate()
                .map(|(i, (rank, at))| {
                    Waiting(Priority::from_rank(*rank).unwrap(), Timestamp::from_micros(*at as i64), i as u64)
                })
                .collect();
            sort_candidates(&mut tasks, now);
            for pair in tasks.windows(2) {
                let aged = now.since(pair[1].1) >= AGEING_STEP.times(3);
                prop_assert!(!aged || pair[0].1 <= pair[1].1);
            }
        }

        #[test]
        fn what_the_bounds_count_is_what_the_order_puts_first(
            waits in prop::collection::vec((0u8..4, 0i64..2_000_000_000), 1..40), pick in 0usize..40
        ) {
            let now = Timestamp::from_micros(2_000_000_000);
            let mut tasks: Vec<_> = waits
                .iter()
                .enumerate()
                .map(|(i, (rank, at))| {
                    Waiting(Priority::from_rank(*rank).unwrap(), Timestamp::from_micros(*at), i as u64)
                })
                .collect();
            let subject = tasks[pick % tasks.len()].clone();
            let bounds = bounds_ahead(subject.place(), now);
            let counted = tasks
                .iter()
                .filter(|t| bounds[usize::from(t.0.rank())].is_none_or(|bound| (t.1, t.2) < bound))
                .count();
            sort_candidates(&mut tasks, now);
            let place = tasks.iter().position(|t| t.2 == subject.2).unwrap();
            prop_assert_eq!(counted, place);
        }
    }
}
