//! Whose turn it is to look. News of one task wakes every agent that waits for
//! its lane, and each look costs a transaction; most would find nothing.
//!
//! Those who were woken look one after the other. Whoever's lanes were seen
//! empty by a look that began after the news had come needn't look: what the news
//! was about is taken. A look that got all it asked for has probably left
//! something, so twice as many may look at once from then on, until one finds the
//! lanes empty. Only this server's agents take turns; the store decides who gets
//! what, and everyone looks again by itself after a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use collective_core::TeamName;
use collective_core::task::Lane;
use tokio::sync::Notify;

/// Most looks of one team at once: as many as a store's transaction holds.
const MAX_LOOKING: usize = 64;
/// Most lanes of a team of which it is kept that they were empty; past it the memory starts anew.
const MAX_LANES: usize = 10_000;

/// A moment: later ones are greater. No clock, so that order is certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

/// The turns of every team of this server.
#[derive(Default)]
pub(crate) struct Turns {
    teams: Mutex<HashMap<TeamName, Arc<Team>>>,
}

struct Team {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    moment: u64,
    looking: usize,
    /// How many may look at once.
    allowed: usize,
    /// When the look began that found this lane empty.
    empty: HashMap<Lane, Moment>,
}

impl Turns {
    /// The turns of one team.
    pub(crate) fn of(&self, team: &TeamName) -> TeamTurns {
        let mut teams = lock(&self.teams);
        let team = teams.entry(team.clone()).or_insert_with(|| {
            Arc::new(Team {
                state: Mutex::new(State {
                    moment: 0,
                    looking: 0,
                    allowed: 1,
                    empty: HashMap::new(),
                }),
                changed: Notify::new(),
            })
        });
        TeamTurns(Arc::clone(team))
    }
}

/// The turns of one team.
pub(crate) struct TeamTurns(Arc<Team>);

impl TeamTurns {
    /// Now.
    pub(crate) fn moment(&self) -> Moment {
        lock(&self.0.state).next_moment()
    }

    /// Waits for a turn of somebody who was woken at that moment. Nothing if
    /// there is no need to look any more.
    pub(crate) async fn take(&self, lanes: &[Lane], woken: Moment) -> Option<Turn> {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            // Listen before looking, so that a change in between isn't missed.
            changed.as_mut().enable();
            {
                let mut state = lock(&self.0.state);
                if state.were_empty_since(lanes, woken) {
                    return None;
                }
                if state.looking < state.allowed {
                    state.looking += 1;
                    let began = state.next_moment();
                    let team = Arc::clone(&self.0);
                    return Some(Turn { team, began });
                }
            }
            changed.await;
        }
    }
}

/// The right to look. Dropping it gives it up.
pub(crate) struct Turn {
    team: Arc<Team>,
    began: Moment,
}

impl Turn {
    /// Ends a look that left nothing in these lanes, or, without any, one that
    /// may have left something.
    pub(crate) fn ended(self, emptied: Option<&[Lane]>) {
        let mut state = lock(&self.team.state);
        let Some(lanes) = emptied else {
            state.allowed = (state.allowed * 2).min(MAX_LOOKING);
            return;
        };
        state.allowed = 1;
        if state.empty.len() + lanes.len() > MAX_LANES {
            state.empty.clear();
        }
        for lane in lanes {
            let known = state.empty.entry(lane.clone()).or_insert(self.began);
            *known = self.began.max(*known);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.team.state).looking -= 1;
        self.team.changed.notify_waiters();
    }
}

impl State {
    fn next_moment(&mut self) -> Moment {
        self.moment += 1;
        Moment(self.moment)
    }

    fn were_empty_since(&self, lanes: &[Lane], moment: Moment) -> bool {
        lanes
            .iter()
            .all(|lane| self.empty.get(lane).is_some_and(|began| *began > moment))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn lanes(names: &[&str]) -> Vec<Lane> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn team() -> TeamTurns {
        Turns::default().of(&TeamName::default_team())
    }

    #[test]
    fn one_looks_and_the_others_need_not() {
        let (team, lanes) = (team(), lanes(&["queue/a", "queue/b"]));
        let woken = [team.moment(), team.moment()];
        let turn = team.take(&lanes, woken[0]).now_or_never().unwrap().unwrap();
        let other = team.take(&lanes, woken[1]);
        tokio::pin!(other);
        assert!(other.as_mut().now_or_never().is_none(), "two look at once");
        turn.ended(Some(&lanes));
        assert!(other.now_or_never().unwrap().is_none(), "it looks in vain");
    }

    #[test]
    fn whoever_was_woken_after_a_look_began_looks() {
        let (team, lanes) = (team(), lanes(&["queue/a"]));
        let early = team.moment();
        let turn = team.take(&lanes, early).now_or_never().unwrap().unwrap();
        let late = team.moment();
        turn.ended(Some(&lanes));
        assert!(team.take(&lanes, late).now_or_never().unwrap().is_some());
    }

    #[test]
    fn a_lane_that_nobody_saw_is_looked_at() {
        let team = team();
        let woken = team.moment();
        let one = lanes(&["queue/a"]);
        let turn = team.take(&one, woken).now_or_never().unwrap();
        turn.unwrap().ended(Some(&one));
        let both = lanes(&["queue/a", "queue/b"]);
        assert!(team.take(&both, woken).now_or_never().unwrap().is_some());
    }

    #[test]
    fn where_much_is_left_more_look_at_once() {
        let (team, lanes) = (team(), lanes(&["queue/a"]));
        let woken = team.moment();
        let take = || team.take(&lanes, woken).now_or_never().flatten();
        take().unwrap().ended(None);
        let both = [take().unwrap(), take().unwrap()];
        assert!(take().is_none());
        for turn in both {
            turn.ended(None);
        }
        let many: Vec<Turn> = std::iter::from_fn(take).collect();
        assert_eq!(many.len(), 8);
        for turn in many {
            turn.ended(Some(&[]));
        }
        let _one = take().unwrap();
        assert!(take().is_none());
    }

    #[test]
    fn a_look_that_breaks_off_leaves_its_turn_to_the_next() {
        let (team, lanes) = (team(), lanes(&["queue/a"]));
        let woken = team.moment();
        let turn = team.take(&lanes, woken).now_or_never().unwrap();
        let next = team.take(&lanes, woken);
        tokio::pin!(next);
        assert!(next.as_mut().now_or_never().is_none());
        drop(turn);
        assert!(next.now_or_never().unwrap().is_some());
    }
}
