//! Gauges that are read when someone looks: queues, agents, the server's parts,
//! and how far the world is behind the log. No part that hangs keeps a look waiting.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use collective_api::agents::AgentView;
use collective_api::operations::Readiness;
use collective_core::task::{Lane, TaskState};
use collective_service::Hub;
use collective_service::status::{self, Census, Relayed};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::lanes::{LaneLabels, MAX_LANES};

/// How long a census counts: two scrapers at once cost one.
const FRESH: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TeamLabels {
    team: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartLabels {
    part: String,
}

/// For a metric without labels that is absent while it isn't known, rather than 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoLabels {}

/// The gauges, and when they were last set.
pub(super) struct Gauges {
    taken_at: Mutex<Option<Instant>>,
    queue_size: Family<LaneLabels, Gauge>,
    running: Family<LaneLabels, Gauge>,
    dead_letters: Family<TeamLabels, Gauge>,
    agents_total: Family<TeamLabels, Gauge>,
    agents_available: Family<TeamLabels, Gauge>,
    agents_busy: Family<TeamLabels, Gauge>,
    part_up: Family<PartLabels, Gauge>,
    relay_backlog: Family<NoLabels, Gauge>,
    broker_reconnects: Family<NoLabels, Counter>,
}

impl Gauges {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let gauges = Self {
            taken_at: Mutex::new(None),
            queue_size: Family::default(),
            running: Family::default(),
            dead_letters: Family::default(),
            agents_total: Family::default(),
            agents_available: Family::default(),
            agents_busy: Family::default(),
            part_up: Family::default(),
            relay_backlog: Family::default(),
            broker_reconnects: Family::default(),
        };
        registry.register(
            "orchestrator_task_queue_size",
            "Tasks that wait for an agent",
            gauges.queue_size.clone(),
        );
        registry.register(
            "orchestrator_tasks_running",
            "Tasks that an agent holds",
            gauges.running.clone(),
        );
        registry.register(
            "orchestrator_dead_letters",
            "Dead letters that were neither retried nor discarded",
            gauges.dead_letters.clone(),
        );
        registry.register(
            "orchestrator_agents_total",
            "Registered agents",
            gauges.agents_total.clone(),
        );
        registry.register(
            "orchestrator_agents_available",
            "Agents that are present, take tasks and have a free slot",
            gauges.agents_available.clone(),
        );
        registry.register(
            "orchestrator_agents_busy",
            "Agents that are present and hold tasks",
            gauges.agents_busy.clone(),
        );
        registry.register(
            "orchestrator_part_up",
            "Whether a part that the server needs serves: 1 or 0",
            gauges.part_up.clone(),
        );
        registry.register(
            "orchestrator_relay_backlog_events",
            "Committed events that the broker was not told of yet, of all replicas together",
            gauges.relay_backlog.clone(),
        );
        registry.register(
            "orchestrator_broker_reconnects",
            "Connections to the broker that this server made after its first",
            gauges.broker_reconnects.clone(),
        );
        gauges
    }

    /// Brings the gauges up to date. Without the store they are gone rather than stale.
    pub(super) async fn refresh(&self, hub: &Hub) {
        if self.is_fresh() {
            return;
        }
        let (readiness, census, relayed) = tokio::join!(
            status::readiness(hub),
            status::census(hub),
            status::relayed(hub)
        );
        let census = match census {
            Ok(census) => census,
            Err(error) => {
                tracing::warn!(%error, "the gauges can't be read");
                Vec::new()
            }
        };
        let mut taken_at = self.taken_at.lock().unwrap_or_else(PoisonError::into_inner);
        self.set(&readiness, &census);
        self.set_relayed(relayed);
        *taken_at = Some(Instant::now());
    }

    fn is_fresh(&self) -> bool {
        let taken_at = self.taken_at.lock().unwrap_or_else(PoisonError::into_inner);
        taken_at.is_some_and(|at| at.elapsed() < FRESH)
    }

    fn set_relayed(&self, relayed: Option<Relayed>) {
        self.relay_backlog.clear();
        if let Some(backlog) = relayed.and_then(|relayed| relayed.backlog) {
            self.relay_backlog
                .get_or_create(&NoLabels {})
                .set(as_gauge(backlog));
        }
        if let Some(relayed) = relayed {
            let counter = self.broker_reconnects.get_or_create(&NoLabels {});
            // It is counted where connections are made; here it is only shown.
            counter.inner().store(relayed.reconnects, Ordering::Relaxed);
        }
    }

    fn set(&self, readiness: &Readiness, census: &[Census]) {
        self.part_up.clear();
        for part in &readiness.parts {
            let labels = PartLabels {
                part: part.part.clone(),
            };
            self.part_up.get_or_create(&labels).set(i64::from(part.ok));
        }
        for family in [&self.queue_size, &self.running] {
            family.clear();
        }
        for family in [
            &self.dead_letters,
            &self.agents_total,
            &self.agents_available,
            &self.agents_busy,
        ] {
            family.clear();
        }
        let mut lanes = 0;
        for team in census {
            let labels = TeamLabels {
                team: team.team.to_string(),
            };
            let count = |of: &dyn Fn(&AgentView) -> bool| {
                as_gauge(team.agents.iter().filter(|view| of(view)).count() as u64)
            };
            self.dead_letters
                .get_or_create(&labels)
                .set(as_gauge(team.dead));
            self.agents_total
                .get_or_create(&labels)
                .set(count(&|_| true));
            self.agents_available
                .get_or_create(&labels)
                .set(count(&|view| {
                    view.present && !view.agent.draining && view.held < view.agent.spec.slots
                }));
            self.agents_busy
                .get_or_create(&labels)
                .set(count(&|view| view.present && view.held > 0));
            for (lane, (queued, running)) in by_lane(team) {
                lanes += 1;
                let labels = if lanes > MAX_LANES {
                    LaneLabels::other()
                } else {
                    LaneLabels::new(&team.team, lane)
                };
                self.queue_size
                    .get_or_create(&labels)
                    .inc_by(as_gauge(queued));
                self.running
                    .get_or_create(&labels)
                    .inc_by(as_gauge(running));
            }
        }
    }
}

/// Queued and running tasks of each lane, priorities together.
fn by_lane(census: &Census) -> BTreeMap<&Lane, (u64, u64)> {
    let mut lanes: BTreeMap<&Lane, (u64, u64)> = BTreeMap::new();
    for count in &census.lanes {
        let (queued, running) = lanes.entry(&count.lane).or_default();
        match count.state {
            TaskState::Queued => *queued += count.count,
            _ => *running += count.count,
        }
    }
    lanes
}

fn as_gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
