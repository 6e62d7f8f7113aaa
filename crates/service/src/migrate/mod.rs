//! Moving a store's content to another store: everything, in the order of its events.
//!
//! The event log is the thread. Each step appends the next events to the target
//! together with the tasks, messages and questions that they brought into being,
//! as these stand today, in one commit. So how far a migration got is the number
//! of the target's newest event, an interrupted one goes on from there, and a
//! target whose log isn't the beginning of the source's is somebody else's.
//!
//! Nobody may write to either store meanwhile; whoever calls sees to that.

mod copy;
mod digest;

use collective_core::event::Event;
use collective_core::ports::{Store, StoreError};
use collective_core::{Code, Rejection, TeamName};

pub use digest::Digest;

/// How far a migration is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The team that is copied.
    pub team: TeamName,
    /// Its events that are there.
    pub done: u64,
    /// Its events in all.
    pub total: u64,
}

/// What a migration would do to a team, or has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamPlan {
    /// The team.
    pub team: TeamName,
    /// Its events in the source.
    pub events: u64,
    /// Those that are in the target already.
    pub copied: u64,
}

/// What is to be copied, after looking whether it may be. Changes nothing.
///
/// # Errors
///
/// `wrong_state` if the target holds anything that isn't an unfinished copy of
/// the source.
pub async fn plan(from: &dyn Store, to: &dyn Store) -> Result<Vec<TeamPlan>, Rejection> {
    let source = from.reader().await?.teams().await?;
    for team in to.reader().await?.teams().await? {
        if !source.contains(&team) {
            return Err(not_empty(&team, "the source has no such team"));
        }
    }
    let mut plans = Vec::with_capacity(source.len());
    for team in source {
        let events = from.reader().await?.last_seq(&team).await?;
        let copied = to.reader().await?.last_seq(&team).await?;
        for seq in [1, copied] {
            if copied > 0 && event(from, &team, seq).await? != event(to, &team, seq).await? {
                let why = format!("its event {seq} isn't the source's");
                return Err(not_empty(&team, &why));
            }
        }
        plans.push(TeamPlan {
            team,
            events,
            copied,
        });
    }
    Ok(plans)
}

/// Copies what is missing and compares both stores.
///
/// # Errors
///
/// Those of [`plan`]; `internal` if the copy differs from the source.
pub async fn run(
    from: &dyn Store,
    to: &dyn Store,
    mut tell: impl FnMut(&Progress) + Send,
) -> Result<Vec<(TeamName, Digest)>, Rejection> {
    let mut digests = Vec::new();
    for plan in plan(from, to).await? {
        copy::team(from, to, &plan, &mut tell).await?;
        let there = Digest::of(from, &plan.team).await?;
        let here = Digest::of(to, &plan.team).await?;
        if there != here {
            return Err(Rejection::new(
                Code::Internal,
                format!(
                    "the copy of team `{}` differs: {}",
                    plan.team,
                    there.difference(&here)
                ),
            )
            .hint("the source is untouched; empty the target and migrate again"));
        }
        digests.push((plan.team, here));
    }
    Ok(digests)
}

fn not_empty(team: &TeamName, why: &str) -> Rejection {
    Rejection::new(
        Code::WrongState,
        format!("the target isn't empty: it has the team `{team}`, and {why}"),
    )
    .hint("migrate into an empty store, or go on with the copy that was begun")
}

async fn event(store: &dyn Store, team: &TeamName, seq: u64) -> Result<Option<Event>, StoreError> {
    let mut query = store.reader().await?;
    Ok(query.events(team, seq - 1, 1).await?.pop())
}
