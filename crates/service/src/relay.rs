//! The relay: tells the bus what was committed, and offers queued tasks to
//! agents that listen on the broker.
//!
//! It reads the event log from where the last relay got to, publishes with
//! confirms, then notes how far it got. A relay that dies in between is followed
//! by one that tells the same again, which harms nobody: events carry their
//! numbers, and an offer of a task that is taken is refused when it is claimed.
//! While the broker is down everything waits in the log.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use collective_core::agent::Transport;
use collective_core::event::{Event, Fact};
use collective_core::limits::MAX_PAGE;
use collective_core::ports::store::TaskFilter;
use collective_core::ports::{BusError, Duty, Offer, Post};
use collective_core::task::{Lane, Priority, Task, TaskState};
use collective_core::{Rejection, Span, TaskId, TeamName, Timestamp};
use tokio::time::Instant;
use tracing::Instrument;
use tracing::field::Empty;

use crate::{Hub, Shared, duty, trace};

/// Events that one round tells. Large enough that confirms are shared by many,
/// small enough that little is told again after a crash.
const BATCH: usize = 1_000;
/// The longest the relay trusts in being woken.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// The least time from one round to the next while there is always something to
/// tell: rounds cost the same whether they tell of one event or of a hundred.
const ROUND: Duration = Duration::from_millis(20);
/// How often the store is asked whether the duty is still ours. In between, a
/// relay that has lost it may tell what another one tells as well; what it notes
/// is refused.
const CONFIRM_EVERY: Span = Span::from_secs(1);
/// How often what lies on the broker is compared with the store.
const RECONCILE_EVERY: Span = Span::from_secs(15);
/// Most offers that one look at a lane makes: a broker that was emptied is
/// filled again step by step, and agents have enough to do meanwhile.
const MAX_OFFERS: usize = 1_000;
/// How long a broker that fails is left alone, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// Relays whenever this replica has the duty. Ends with `stop`.
pub async fn run(hub: Hub, stop: impl Future<Output = ()>) {
    let Some(shared) = hub.shared().cloned() else {
        return;
    };
    let work = |post| Relay::new(hub.clone(), shared.clone(), post).serve();
    tokio::select! {
        () = stop => {}
        () = duty::whenever_ours(&hub, &*shared.outbox, Duty::Relay, work) => {}
    }
}

/// The lanes of each team that agents on the broker serve.
type Lanes = BTreeMap<TeamName, BTreeSet<Lane>>;

struct Relay {
    hub: Hub,
    shared: Shared,
    post: Box<dyn Post>,
    lanes: Lanes,
    reconciled: Timestamp,
    confirmed: Timestamp,
    pause: Duration,
}

impl Relay {
    fn new(hub: Hub, shared: Shared, post: Box<dyn Post>) -> Self {
        Self {
            hub,
            shared,
            post,
            lanes: Lanes::new(),
            reconciled: Timestamp::default(),
            confirmed: Timestamp::default(),
            pause: FIRST_PAUSE,
        }
    }

    /// Until the duty is lost.
    async fn serve(mut self) -> Result<(), Rejection> {
        loop {
            let begun = Instant::now();
            let now = self.hub.now();
            if now.since(self.confirmed) >= CONFIRM_EVERY {
                if !self.post.confirm(now).await? {
                    return Ok(());
                }
                self.confirmed = now;
            }
            match self.round().await? {
                Ok(0) => self.wait().await,
                Ok(told) => {
                    self.pause = FIRST_PAUSE;
                    if told < BATCH {
                        tokio::time::sleep_until(begun + ROUND).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "committed events wait for the broker");
                    tokio::time::sleep(self.pause.mul_f64(0.5 + self.hub.entropy().chance() / 2.0))
                        .await;
                    self.pause = (self.pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }

    async fn wait(&mut self) {
        if let Ok(Err(error)) =
            tokio::time::timeout(LOOK_AGAIN, self.shared.outbox.committed()).await
        {
            tracing::warn!(%error, "the store doesn't say when something is committed");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Tells one batch and notes it. The inner error is the broker's.
    async fn round(&mut self) -> Result<Result<usize, BusError>, Rejection> {
        let now = self.hub.now();
        if now.since(self.reconciled) >= RECONCILE_EVERY {
            if let Err(error) = self.reconcile().await? {
                return Ok(Err(error));
            }
            self.reconciled = now;
        }
        let events = self.post.untold(BATCH).await?;
        if events.is_empty() {
            return Ok(Ok(0));
        }
        if events.iter().any(|event| moves_lanes(&event.fact)) {
            self.find_lanes().await?;
        }
        let offers = offers(&self.hub, &self.lanes, &events).await?;
        let span = tracing::info_span!(
            "relay",
            otel.kind = "producer",
            otel.status_code = Empty,
            messaging.system = "rabbitmq",
            "messaging.operation.type" = "send",
            messaging.batch.message_count = trace::count(events.len()),
            collective.offers = trace::count(offers.len()),
        );
        let told = async {
            self.hub.bus().publish(&events).await?;
            self.shared.broker.offer(&offers).await
        };
        if let Err(error) = told.instrument(span.clone()).await {
            span.record("otel.status_code", "ERROR");
            return Ok(Err(error));
        }
        let mut up_to: BTreeMap<TeamName, u64> = BTreeMap::new();
        for event in &events {
            let last = up_to.entry(event.team.clone()).or_default();
            *last = event.seq.max(*last);
        }
        let up_to: Vec<(TeamName, u64)> = up_to.into_iter().collect();
        self.post.told(&up_to).await?;
        Ok(Ok(events.len()))
    }

    /// Looks anew which lanes agents on the broker serve.
    async fn find_lanes(&mut self) -> Result<(), Rejection> {
        let mut query = self.hub.read().await?;
        let mut lanes = Lanes::new();
        for team in query.teams().await? {
            let served: BTreeSet<Lane> = query
                .agents(&team)
                .await?
                .iter()
                .filter(|agent| agent.spec.transport == Transport::Amqp)
                .flat_map(collective_core::agent::Agent::lanes)
                .collect();
            if !served.is_empty() {
                lanes.insert(team, served);
            }
        }
        self.lanes = lanes;
        Ok(())
    }

    /// Makes sure that every queued task of those lanes lies on the broker: it
    /// may have been emptied, or an agent may have come after its tasks.
    async fn reconcile(&mut self) -> Result<Result<(), BusError>, Rejection> {
        self.find_lanes().await?;
        for (team, lanes) in &self.lanes {
            let counts = self.hub.read().await?.lane_counts(team).await?;
            for lane in lanes {
                if let Err(error) = self.shared.broker.declare(team, lane).await {
                    return Ok(Err(error));
                }
                for priority in Priority::ALL {
                    let queued: u64 = counts
                        .iter()
                        .filter(|count| {
                            count.lane == *lane
                                && count.priority == priority
                                && count.state == TaskState::Queued
                        })
                        .map(|count| count.count)
                        .sum();
                    if queued == 0 {
                        continue;
                    }
                    let there = match self.shared.broker.depth(team, lane, priority).await {
                        Ok(depth) => depth.map_or(0, |depth| depth.ready),
                        Err(error) => return Ok(Err(error)),
                    };
                    if there >= queued {
                        continue;
                    }
                    let offers = queued_offers(&self.hub, team, lane, priority).await?;
                    tracing::info!(%team, %lane, priority = priority.as_str(), queued, there,
                        offered = offers.len(), "offers are missing on the broker");
                    if let Err(error) = self.shared.broker.offer(&offers).await {
                        return Ok(Err(error));
                    }
                }
            }
        }
        Ok(Ok(()))
    }
}

/// What the events make ready for agents on the broker.
async fn offers(hub: &Hub, served: &Lanes, events: &[Event]) -> Result<Vec<Offer>, Rejection> {
    let mut offers = Vec::new();
    if served.is_empty() {
        return Ok(offers);
    }
    let mut query = hub.read().await?;
    for event in events {
        let Some((task, lane)) = readied(&event.fact) else {
            continue;
        };
        let lanes = served.get(&event.team);
        if !lanes.is_some_and(|lanes| lanes.contains(lane)) {
            continue;
        }
        if let Some(task) = query.task(&event.team, task).await?
            && task.state == TaskState::Queued
        {
            offers.push(offer(&event.team, &task));
        }
    }
    Ok(offers)
}

/// Queued tasks of a lane and priority, the oldest first, bounded.
async fn queued_offers(
    hub: &Hub,
    team: &TeamName,
    lane: &Lane,
    priority: Priority,
) -> Result<Vec<Offer>, Rejection> {
    let filter = TaskFilter {
        states: vec![TaskState::Queued],
        lane: Some(lane.clone()),
        ..TaskFilter::default()
    };
    let mut query = hub.read().await?;
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let page = query.list_tasks(team, &filter, before, MAX_PAGE).await?;
        before = page.last().map(|task| task.number);
        let of_priority = page.iter().filter(|task| task.spec.priority == priority);
        found.extend(of_priority.map(|task| offer(team, task)));
        if page.len() < MAX_PAGE || found.len() >= MAX_OFFERS {
            break;
        }
    }
    found.sort_by_key(|offer| (offer.ready_at, offer.number));
    found.truncate(MAX_OFFERS);
    Ok(found)
}

fn moves_lanes(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::AgentRegistered { .. } | Fact::AgentRemoved { .. }
    )
}

/// The task that a fact made ready, and its lane.
fn readied(fact: &Fact) -> Option<(TaskId, &Lane)> {
    match fact {
        Fact::TaskQueued { task, lane, .. }
        | Fact::TaskCreated {
            task,
            lane,
            state: TaskState::Queued,
            ..
        } => Some((*task, lane)),
        _ => None,
    }
}

fn offer(team: &TeamName, task: &Task) -> Offer {
    Offer {
        team: team.clone(),
        lane: task.lane(),
        priority: task.spec.priority,
        task: task.id,
        number: task.number,
        title: task.spec.title.clone(),
        ready_at: task.ready_at,
        traceparent: task.spec.traceparent.clone(),
    }
}
