//! The state of a team and of the server's parts.

use collective_api::operations::{PartHealth, Readiness, Status};
use collective_core::limits::MAX_PAGE;
use collective_core::ports::store::LaneCount;
use collective_core::question::QuestionState;
use collective_core::role::{Permission, Principal};
use collective_core::{Rejection, TeamName};

use crate::access::require;
use crate::{Hub, agents, queues};

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
pub async fn census(hub: &Hub) -> Result<Vec<Census>, Rejection> {
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
pub async fn readiness(hub: &Hub) -> Readiness {
    let store = hub
        .store()
        .health()
        .await
        .map_err(|error| error.to_string());
    let bus = hub.bus().health().await.map_err(|error| error.to_string());
    let cache = hub
        .cache()
        .health()
        .await
        .map_err(|error| error.to_string());
    let draining = hub.draining();
    let ready = store.is_ok() && !draining;
    let parts = [("store", store), ("bus", bus), ("cache", cache)]
        .into_iter()
        .map(|(part, health)| PartHealth {
            part: part.to_owned(),
            ok: health.is_ok(),
            reason: health.err(),
        })
        .collect();
    Readiness {
        ready,
        draining,
        parts,
    }
}
