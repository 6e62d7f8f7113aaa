//! Counters of tasks by team and queue, moved by committed events.
//!
//! A lane beyond the first [`MAX_LANES`] is counted as `other`, so that names
//! that someone makes up can't grow the metrics without end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use collective_core::TeamName;
use collective_core::event::{Event, Fact};
use collective_core::task::{AttemptOutcome, FailureClass, Lane};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::events::{LeaseLost, TaskDied};
use super::metrics::Metrics;

/// Most lanes with labels of their own: what a dashboard can still show.
pub(super) const MAX_LANES: usize = 200;
/// The label of the lanes beyond.
const OTHER: &str = "other";
/// From a shell command to a day's work.
const DURATION_BUCKETS: [f64; 16] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1_800.0, 3_600.0, 7_200.0,
    21_600.0, 86_400.0,
];

/// A team and one of its lanes: a queue's name, `role/NAME` or `agent/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LaneLabels {
    pub(super) team: String,
    pub(super) queue: String,
}

impl LaneLabels {
    pub(super) fn new(team: &TeamName, lane: &Lane) -> Self {
        let queue = match lane {
            Lane::Queue(name) => name.to_string(),
            other => other.to_string(),
        };
        Self {
            team: team.to_string(),
            queue,
        }
    }

    pub(super) fn other() -> Self {
        Self {
            team: OTHER.to_owned(),
            queue: OTHER.to_owned(),
        }
    }
}

/// Why tasks of a lane died, or how its attempts failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    team: String,
    queue: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    team: String,
    queue: String,
    outcome: &'static str,
    reason: &'static str,
}

/// The counters of one lane, found once and then moved without a lookup by label.
struct LaneCounters {
    labels: LaneLabels,
    created: Counter,
    completed: Counter,
    cancelled: Counter,
    seconds: Histogram,
}

/// The counters of all lanes.
pub(super) struct Lanes {
    known: Mutex<HashMap<(TeamName, Lane), Arc<LaneCounters>>>,
    created: Family<LaneLabels, Counter>,
    completed: Family<LaneLabels, Counter>,
    cancelled: Family<LaneLabels, Counter>,
    seconds: Family<LaneLabels, Histogram, fn() -> Histogram>,
    failed: Family<FailureLabels, Counter>,
    attempts_failed: Family<AttemptLabels, Counter>,
}

fn duration_histogram() -> Histogram {
    Histogram::new(DURATION_BUCKETS)
}

impl Lanes {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let lanes = Self {
            known: Mutex::default(),
            created: Family::default(),
            completed: Family::default(),
            cancelled: Family::default(),
            seconds: Family::new_with_constructor(duration_histogram),
            failed: Family::default(),
            attempts_failed: Family::default(),
        };
        registry.register(
            "orchestrator_tasks_created",
            "Tasks that were accepted",
            lanes.created.clone(),
        );
        registry.register(
            "orchestrator_tasks_completed",
            "Tasks that succeeded",
            lanes.completed.clone(),
        );
        registry.register(
            "orchestrator_tasks_cancelled",
            "Tasks that were called off",
            lanes.cancelled.clone(),
        );
        registry.register(
            "orchestrator_tasks_failed",
            "Tasks that became dead letters, by the class of their last failure",
            lanes.failed.clone(),
        );
        registry.register(
            "orchestrator_attempts_failed",
            "Attempts that ended without success, by outcome and class",
            lanes.attempts_failed.clone(),
        );
        registry.register(
            "orchestrator_task_duration_seconds",
            "How long successful attempts ran",
            lanes.seconds.clone(),
        );
        lanes
    }

    /// Counts committed events of this process.
    pub(super) fn count(&self, metrics: &Metrics, events: &[Event]) {
        for event in events {
            match &event.fact {
                Fact::TaskCreated { lane, .. } => {
                    self.lane(&event.team, lane).created.inc();
                }
                Fact::TaskSucceeded { lane, ran, .. } => {
                    let lane = self.lane(&event.team, lane);
                    lane.completed.inc();
                    lane.seconds.observe(ran.as_secs_f64());
                }
                Fact::TaskCancelled { lane, .. } => {
                    self.lane(&event.team, lane).cancelled.inc();
                }
                Fact::TaskDead {
                    task,
                    class,
                    reason,
                    lane,
                } => {
                    self.died(&event.team, lane, *class);
                    metrics.emit(&TaskDied {
                        team: &event.team,
                        task: *task,
                        class: class.as_str(),
                        reason,
                    });
                }
                Fact::TaskAttemptFailed {
                    task,
                    epoch,
                    agent,
                    outcome,
                    class,
                    lane,
                    ..
                } => {
                    self.attempt_failed(&event.team, lane, *outcome, *class);
                    if *outcome == AttemptOutcome::Lost {
                        metrics.emit(&LeaseLost {
                            team: &event.team,
                            task: *task,
                            agent,
                            epoch: epoch.0,
                        });
                    }
                }
                _ => {}
            }
        }
    }

    fn lane(&self, team: &TeamName, lane: &Lane) -> Arc<LaneCounters> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Names are shared text, so a key costs two counts, not two copies.
        let key = (team.clone(), lane.clone());
        if let Some(counters) = known.get(&key) {
            return Arc::clone(counters);
        }
        if known.len() >= MAX_LANES {
            return Arc::new(self.counters(LaneLabels::other()));
        }
        let counters = Arc::new(self.counters(LaneLabels::new(team, lane)));
        known.insert(key, Arc::clone(&counters));
        counters
    }

    fn counters(&self, labels: LaneLabels) -> LaneCounters {
        LaneCounters {
            created: self.created.get_or_create_owned(&labels),
            completed: self.completed.get_or_create_owned(&labels),
            cancelled: self.cancelled.get_or_create_owned(&labels),
            seconds: self.seconds.get_or_create_owned(&labels),
            labels,
        }
    }

    fn died(&self, team: &TeamName, lane: &Lane, class: FailureClass) {
        let lane = self.lane(team, lane);
        let labels = FailureLabels {
            team: lane.labels.team.clone(),
            queue: lane.labels.queue.clone(),
            reason: class.as_str(),
        };
        self.failed.get_or_create(&labels).inc();
    }

    fn attempt_failed(
        &self,
        team: &TeamName,
        lane: &Lane,
        outcome: AttemptOutcome,
        class: FailureClass,
    ) {
        let lane = self.lane(team, lane);
        let labels = AttemptLabels {
            team: lane.labels.team.clone(),
            queue: lane.labels.queue.clone(),
            outcome: outcome.as_str(),
            reason: class.as_str(),
        };
        self.attempts_failed.get_or_create(&labels).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_beyond_the_bound_are_counted_together() {
        let mut registry = Registry::default();
        let lanes = Lanes::register(&mut registry);
        let team = TeamName::default_team();
        let lane = |i: usize| {
            let name = format!("q{i}").parse().expect("a queue's name");
            Lane::Queue(name)
        };
        for i in 0..MAX_LANES + 50 {
            lanes.lane(&team, &lane(i)).created.inc();
            lanes.lane(&team, &lane(i)).created.inc();
        }
        let created = |labels: &LaneLabels| lanes.created.get_or_create(labels).get();
        let beyond = LaneLabels::new(&team, &lane(MAX_LANES));
        assert!(
            lanes.created.get(&beyond).is_none(),
            "it has no labels of its own"
        );
        assert_eq!(created(&LaneLabels::other()), 100);
        assert_eq!(created(&LaneLabels::new(&team, &lane(0))), 2);
    }
}
