//! The state of a team and of the server's parts.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use collective_api::operations::{PartHealth, Readiness, Status};
use collective_core::limits::MAX_PAGE;
use collective_core::ports::store::LaneCount;
use collective_core::question::QuestionState;
use collective_core::role::{Permission, Principal};
use collective_core::{Code, Rejection, Span, TeamName};

use crate::access::require;
use crate::{Hub, agents, queues};

/// How long a part may take to say how it is: well below the ten seconds that
/// whoever asks commonly waits, so that one part that hangs is named and hides nothing.
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// How far two clocks may be apart: less than the shortest lease by enough that
/// a heartbeat still comes in time.
const CLOCK_TOLERANCE: Span = Span::from_secs(2);
/// Most events that a backlog is counted up to; beyond it, it is just large.
pub const MAX_BACKLOG: u64 = 1_000_000;

/// `GET /v1/status`.
pub async fn status(hub: &Hub, who: &Principal, version: &str) -> Result<Status, Rejection> {
    require(hub, who, Permission::Read).await?;
    let agents = agents::views(hub, &who.team).await?;
    let mut query = hub.read().await?;
    let tasks = query.state_counts(&who.team).await?;
    let declared = query.queues(&who.team).await?;
    let counts = query.lane_counts(&who.team).await?;
    let open = query
        .questions(&who.team, Some(QuestionState::Open), None, MAX_PAGE)
        .await?;
    let last_event = query.last_seq(&who.team).await?;
    Ok(Status {
        team: who.team.clone(),
        version: version.to_owned(),
        uptime_seconds: hub.now().since(hub.started_at()).as_secs_f64(),
        tasks,
        queues: queues::views(declared, &counts, &agents),
        agents,
        open_questions: open.len() as u64,
        last_event,
    })
}

/// What the gauges of one team are made of.
#[derive(Clone, Debug)]
pub struct Census {
    /// Which team.
    pub team: TeamName,
    /// Queued and leased tasks by lane and priority.
    pub lanes: Vec<LaneCount>,
    /// The agents.
    pub agents: Vec<collective_api::agents::AgentView>,
    /// Dead letters.
    pub dead: u64,
}

/// What the gauges of every team are made of; for the server itself, so nobody's permission is asked.
/// A store that hangs is given up, as everywhere where someone only looks.
pub async fn census(hub: &Hub) -> Result<Vec<Census>, Rejection> {
    tokio::time::timeout(PROBE_LIMIT, count(hub))
        .await
        .unwrap_or_else(|_| {
            let limit = PROBE_LIMIT.as_secs();
            Err(Rejection::new(
                Code::Timeout,
                format!("the teams were not counted within {limit} s"),
            ))
        })
}

async fn count(hub: &Hub) -> Result<Vec<Census>, Rejection> {
    let teams = hub.read().await?.teams().await?;
    let mut all = Vec::with_capacity(teams.len());
    for team in teams {
        let agents = agents::views(hub, &team).await?;
        let mut query = hub.read().await?;
        let lanes = query.lane_counts(&team).await?;
        let states = query.state_counts(&team).await?;
        let dead = states
            .get(&collective_core::task::TaskState::Dead)
            .copied()
            .unwrap_or(0);
        all.push(Census {
            team,
            lanes,
            agents,
            dead,
        });
    }
    Ok(all)
}

/// `GET /readyz`. Without the store nothing works; without bus or cache the server degrades and says so.
/// A clock that is off is named as a part of its own, since leases end by it.
pub async fn readiness(hub: &Hub) -> Readiness {
    let (store, bus, cache, clock) = tokio::join!(
        answered(hub.store().health()),
        answered(hub.bus().health()),
        answered(hub.cache().health()),
        clock(hub),
    );
    let draining = hub.draining();
    let ready = store.is_ok() && !draining;
    let parts = [
        ("store", Some(store)),
        ("bus", Some(bus)),
        ("cache", Some(cache)),
        ("clock", clock),
    ];
    let parts = parts
        .into_iter()
        .filter_map(|(part, health)| {
            let health = health?;
            Some(PartHealth {
                part: part.to_owned(),
                ok: health.is_ok(),
                reason: health.err(),
            })
        })
        .collect();
    Readiness {
        ready,
        draining,
        parts,
    }
}

/// What a part says of itself; one that hangs is one that doesn't serve.
async fn answered<E: Display>(health: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    match tokio::time::timeout(PROBE_LIMIT, health).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer in {} s", PROBE_LIMIT.as_secs())),
    }
}

/// Whether this server's clock and the shared store's agree. Nothing if there
/// is no other clock, or if it can't be read: then the store says why.
async fn clock(hub: &Hub) -> Option<Result<(), String>> {
    let outbox = &hub.shared()?.outbox;
    let offset = tokio::time::timeout(PROBE_LIMIT, outbox.clock_offset(hub.now())).await;
    Some(judge_clock(offset.ok()?.ok()?))
}

fn judge_clock(offset: i64) -> Result<(), String> {
    let apart = Span::from_micros(offset.unsigned_abs());
    if apart <= CLOCK_TOLERANCE {
        return Ok(());
    }
    let direction = if offset > 0 { "behind" } else { "ahead of" };
    Err(format!(
        "this server's clock is {:.1} s {direction} the store's: leases end too early or too late; \
         set both by the same time source",
        apart.as_secs_f64()
    ))
}

/// What the gauges of a server on shared parts are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// Committed events that the bus was not told of, at most [`MAX_BACKLOG`];
    /// nothing if the store doesn't say in time.
    pub backlog: Option<u64>,
    /// Connections to the broker that this server made after its first.
    pub reconnects: u64,
}

/// How far the relay is behind, if there is one.
pub async fn relayed(hub: &Hub) -> Option<Relayed> {
    let shared = hub.shared()?;
    let backlog = tokio::time::timeout(PROBE_LIMIT, shared.outbox.backlog(MAX_BACKLOG)).await;
    Some(Relayed {
        backlog: backlog.ok().and_then(Result::ok),
        reconnects: shared.broker.reconnects(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_part_that_hangs_is_given_up_and_named() {
        let hung = answered(std::future::pending::<Result<(), String>>()).await;
        assert_eq!(hung, Err("no answer in 3 s".to_owned()));
    }

    #[test]
    fn a_clock_is_named_once_it_is_off_by_more_than_its_tolerance() {
        for (offset, expected) in [
            (0, None),
            (2_000_000, None),
            (-2_000_000, None),
            (2_100_000, Some("2.1 s behind the store's")),
            (-3_600_000_000, Some("3600.0 s ahead of the store's")),
            (i64::MIN, Some("ahead of the store's")),
        ] {
            let judged = judge_clock(offset).err();
            match expected {
                None => assert_eq!(judged, None, "{offset}"),
                Some(words) => assert!(judged.unwrap().contains(words), "{offset}"),
            }
        }
    }
}
