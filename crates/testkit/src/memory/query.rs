//! Reading the memory store, for a reader of its own and inside a work alike.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use async_trait::async_trait;
use collective_core::agent::Agent;
use collective_core::event::Event;
use collective_core::key::ApiKey;
use collective_core::message::{Delivery, Message, Receipt};
use collective_core::ports::StoreError;
use collective_core::ports::store::{Edge, LaneCount, LogChunk, Query, Remembered, TaskFilter};
use collective_core::question::{Question, QuestionState};
use collective_core::queue::Queue;
use collective_core::reservation::Reservation;
use collective_core::schedule::Schedule;
use collective_core::task::{Attempt, Epoch, Lane, Priority, Task, TaskState};
use collective_core::{
    AgentName, KeyId, MessageId, QuestionId, QueueName, ReservationId, ScheduleId, TaskId,
    TeamName, Timestamp,
};
use uuid::Uuid;

use super::state::{State, Team};

/// A way to the state: through the lock for a reader, directly for a work.
pub(super) trait Access: Send {
    fn read<T>(&mut self, look: impl FnOnce(&State) -> T) -> Result<T, StoreError>;

    /// A look at one team; one that isn't there has nothing.
    fn of_team<T: Default>(
        &mut self,
        team: &TeamName,
        look: impl FnOnce(&Team) -> T,
    ) -> Result<T, StoreError> {
        self.read(|state| state.teams.get(team).map(look).unwrap_or_default())
    }

    /// The first `limit` of what all teams have, by time.
    fn earliest<T>(
        &mut self,
        limit: usize,
        look: impl Fn(&Team) -> Vec<(Timestamp, T)>,
    ) -> Result<Vec<(TeamName, T)>, StoreError> {
        self.read(|state| {
            let mut found: Vec<(Timestamp, TeamName, T)> = state
                .teams
                .iter()
                .flat_map(|(name, team)| {
                    look(team)
                        .into_iter()
                        .map(|(at, item)| (at, name.clone(), item))
                })
                .collect();
            found.sort_by_key(|(at, _, _)| *at);
            found.truncate(limit);
            found
                .into_iter()
                .map(|(_, name, item)| (name, item))
                .collect()
        })
    }
}

pub(super) struct View<A>(pub(super) A);

/// All keys whose first half is a task's.
fn of_task<B: Bound>(task: TaskId) -> RangeInclusive<(TaskId, B)> {
    (task, B::FIRST)..=(task, B::LAST)
}

/// The ends of a type's order, for ranges over half of a key.
trait Bound {
    const FIRST: Self;
    const LAST: Self;
}

impl Bound for TaskId {
    const FIRST: Self = TaskId(Uuid::nil());
    const LAST: Self = TaskId(Uuid::max());
}

impl Bound for Epoch {
    const FIRST: Self = Epoch(0);
    const LAST: Self = Epoch(u32::MAX);
}

pub(super) const FIRST_TIME: Timestamp = Timestamp::from_micros(i64::MIN);
pub(super) const LAST_TIME: Timestamp = Timestamp::from_micros(i64::MAX);

fn matches(filter: &TaskFilter, task: &Task) -> bool {
    let state = filter.states.is_empty() || filter.states.contains(&task.state);
    let lane = filter.lane.as_ref().is_none_or(|lane| task.lane() == *lane);
    let agent = filter
        .agent
        .as_ref()
        .is_none_or(|agent| task.lease.as_ref().is_some_and(|l| l.agent == *agent));
    let label = filter
        .label
        .as_ref()
        .is_none_or(|(key, value)| task.spec.labels.get(key) == Some(value));
    state && lane && agent && label
}

#[async_trait]
impl<A: Access> Query for View<A> {
    async fn task(&mut self, team: &TeamName, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.0.of_team(team, |team| team.tasks.get(&id).cloned())
    }

    async fn task_by_number(
        &mut self,
        team: &TeamName,
        number: u64,
    ) -> Result<Option<Task>, StoreError> {
        self.0.of_team(team, |team| {
            let id = team.numbers.get(&number)?;
            team.tasks.get(id).cloned()
        })
    }

    async fn list_tasks(
        &mut self,
        team: &TeamName,
        filter: &TaskFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        self.0.of_team(team, |team| {
            team.numbers
                .range(..before.unwrap_or(u64::MAX))
                .rev()
                .filter_map(|(_, id)| team.tasks.get(id))
                .filter(|task| matches(filter, task))
                .take(limit)
                .cloned()
                .collect()
        })
    }

    async fn lane_counts(&mut self, team: &TeamName) -> Result<Vec<LaneCount>, StoreError> {
        self.0.of_team(team, |team| {
            let mut counts: BTreeMap<(Lane, Priority, TaskState), u64> = BTreeMap::new();
            for task in team.tasks.values() {
                if task.state == TaskState::Queued || task.state.is_leased() {
                    let key = (task.lane(), task.spec.priority, task.state);
                    *counts.entry(key).or_default() += 1;
                }
            }
            counts
                .into_iter()
                .map(|((lane, priority, state), count)| LaneCount {
                    lane,
                    priority,
                    state,
                    count,
                })
                .collect()
        })
    }

    async fn state_counts(
        &mut self,
        team: &TeamName,
    ) -> Result<BTreeMap<TaskState, u64>, StoreError> {
        self.0.of_team(team, |team| {
            let mut counts = BTreeMap::new();
            for task in team.tasks.values() {
                *counts.entry(task.state).or_default() += 1;
            }
            counts
        })
    }

    async fn count_ahead(
        &mut self,
        team: &TeamName,
        lane: &Lane,
        place: (Priority, Timestamp, u64),
        limit: u64,
    ) -> Result<u64, StoreError> {
        self.0.of_team(team, |team| {
            let first = (lane.clone(), Priority::Critical, FIRST_TIME, 0);
            let own = (lane.clone(), place.0, place.1, place.2);
            let cap = usize::try_from(limit).unwrap_or(usize::MAX);
            team.queued.range(first..own).take(cap).count() as u64
        })
    }

    async fn held(&mut self, team: &TeamName) -> Result<BTreeMap<AgentName, u32>, StoreError> {
        self.0.of_team(team, |team| {
            let mut held = BTreeMap::new();
            for (agent, _) in team.leased.keys() {
                *held.entry(agent.clone()).or_default() += 1;
            }
            held
        })
    }

    async fn held_by(&mut self, team: &TeamName, agent: &AgentName) -> Result<u32, StoreError> {
        self.0.of_team(team, |team| {
            let all = (agent.clone(), TaskId::FIRST)..=(agent.clone(), TaskId::LAST);
            u32::try_from(team.leased.range(all).count()).unwrap_or(u32::MAX)
        })
    }

    async fn attempts(
        &mut self,
        team: &TeamName,
        task: TaskId,
    ) -> Result<Vec<Attempt>, StoreError> {
        self.0.of_team(team, |team| {
            let all = team.attempts.range(of_task::<Epoch>(task));
            all.map(|(_, attempt)| attempt.clone()).collect()
        })
    }

    async fn attempt(
        &mut self,
        team: &TeamName,
        task: TaskId,
        epoch: Epoch,
    ) -> Result<Option<Attempt>, StoreError> {
        self.0
            .of_team(team, |team| team.attempts.get(&(task, epoch)).cloned())
    }

    async fn dependencies(
        &mut self,
        team: &TeamName,
        task: TaskId,
    ) -> Result<Vec<Edge>, StoreError> {
        self.0.of_team(team, |team| {
            let all = team.edges.range(of_task::<TaskId>(task));
            all.map(|(_, edge)| edge.clone()).collect()
        })
    }

    async fn dependents(
        &mut self,
        team: &TeamName,
        on: &[TaskId],
    ) -> Result<Vec<Edge>, StoreError> {
        self.0.of_team(team, |team| {
            let all = on
                .iter()
                .flat_map(|on| team.dependents.range(of_task::<TaskId>(*on)));
            all.filter_map(|((on, task), ())| team.edges.get(&(*task, *on)).cloned())
                .collect()
        })
    }

    async fn due_tasks(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(TeamName, TaskId)>, StoreError> {
        self.0.earliest(limit, |team| {
            let due = team.due.range(..=(now, u64::MAX)).take(limit);
            due.map(|((at, _), task)| (*at, *task)).collect()
        })
    }

    async fn next_due(&mut self) -> Result<Option<Timestamp>, StoreError> {
        self.0.read(|state| {
            let of_one = |team: &Team| {
                let task = team.due.keys().next().map(|(at, _)| *at);
                let schedules = team.schedules.values();
                let schedule = schedules.filter(|s| !s.paused).map(|s| s.next_at).min();
                let reservation = team.reservations.values().map(|r| r.expires_at).min();
                task.into_iter().chain(schedule).chain(reservation).min()
            };
            state.teams.values().filter_map(of_one).min()
        })
    }

    async fn log(
        &mut self,
        team: &TeamName,
        task: TaskId,
        epoch: Epoch,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LogChunk>, StoreError> {
        self.0.of_team(team, |team| {
            let rest = (task, epoch, after.saturating_add(1))..=(task, epoch, u64::MAX);
            let chunks = team.logs.range(rest).take(limit);
            chunks.map(|(_, chunk)| chunk.clone()).collect()
        })
    }

    async fn artifact(
        &mut self,
        team: &TeamName,
        task: TaskId,
        name: &str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.of_team(team, |team| {
            team.artifacts.get(&(task, name.to_owned())).cloned()
        })
    }

    async fn team_exists(&mut self, team: &TeamName) -> Result<bool, StoreError> {
        self.0.read(|state| state.teams.contains_key(team))
    }

    async fn teams(&mut self) -> Result<Vec<TeamName>, StoreError> {
        self.0.read(|state| state.teams.keys().cloned().collect())
    }

    async fn agent(
        &mut self,
        team: &TeamName,
        name: &AgentName,
    ) -> Result<Option<Agent>, StoreError> {
        self.0.of_team(team, |team| team.agents.get(name).cloned())
    }

    async fn agents(&mut self, team: &TeamName) -> Result<Vec<Agent>, StoreError> {
        self.0
            .of_team(team, |team| team.agents.values().cloned().collect())
    }

    async fn queue(
        &mut self,
        team: &TeamName,
        name: &QueueName,
    ) -> Result<Option<Queue>, StoreError> {
        self.0.of_team(team, |team| team.queues.get(name).cloned())
    }

    async fn queues(&mut self, team: &TeamName) -> Result<Vec<Queue>, StoreError> {
        self.0
            .of_team(team, |team| team.queues.values().cloned().collect())
    }

    async fn key(&mut self, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
        self.0.read(|state| state.keys.get(&id).cloned())
    }

    async fn keys(&mut self, team: &TeamName) -> Result<Vec<ApiKey>, StoreError> {
        self.0.read(|state| {
            let of_team = state.keys.values().filter(|key| key.team == *team);
            let mut keys: Vec<ApiKey> = of_team.cloned().collect();
            keys.sort_by_key(|key| (key.created_at, key.id));
            keys
        })
    }

    async fn message(
        &mut self,
        team: &TeamName,
        id: MessageId,
    ) -> Result<Option<Message>, StoreError> {
        self.0.of_team(team, |team| team.messages.get(&id).cloned())
    }

    async fn inbox(
        &mut self,
        team: &TeamName,
        agent: &AgentName,
        after: u64,
        unacknowledged: bool,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.0.of_team(team, |team| {
            let rest = (agent.clone(), after.saturating_add(1))..=(agent.clone(), u64::MAX);
            team.inboxes
                .range(rest)
                .map(|(_, delivery)| delivery)
                .filter(|d| !unacknowledged || d.receipt != Receipt::Acknowledged)
                .take(limit)
                .cloned()
                .collect()
        })
    }

    async fn deliveries(
        &mut self,
        team: &TeamName,
        id: MessageId,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.0.of_team(team, |team| {
            let message = team.deliveries.iter().filter(|((m, _), _)| *m == id);
            message
                .filter_map(|((_, agent), at)| team.inboxes.get(&(agent.clone(), *at)).cloned())
                .collect()
        })
    }

    async fn question(
        &mut self,
        team: &TeamName,
        id: QuestionId,
    ) -> Result<Option<Question>, StoreError> {
        self.0
            .of_team(team, |team| team.questions.get(&id).cloned())
    }

    async fn questions(
        &mut self,
        team: &TeamName,
        state: Option<QuestionState>,
        task: Option<TaskId>,
        limit: usize,
    ) -> Result<Vec<Question>, StoreError> {
        self.0.of_team(team, |team| {
            let wanted = |q: &&Question| {
                state.is_none_or(|state| q.state == state) && task.is_none_or(|id| q.task == id)
            };
            let mut found: Vec<&Question> = team.questions.values().filter(wanted).collect();
            found.sort_by_key(|question| (question.asked_at, question.id));
            found.into_iter().take(limit).cloned().collect()
        })
    }

    async fn reservation(
        &mut self,
        team: &TeamName,
        id: ReservationId,
    ) -> Result<Option<Reservation>, StoreError> {
        self.0
            .of_team(team, |team| team.reservations.get(&id).cloned())
    }

    async fn reservations(&mut self, team: &TeamName) -> Result<Vec<Reservation>, StoreError> {
        self.0.of_team(team, |team| {
            let mut found: Vec<Reservation> = team.reservations.values().cloned().collect();
            found.sort_by_key(|reservation| (reservation.created_at, reservation.id));
            found
        })
    }

    async fn expired_reservations(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(TeamName, ReservationId)>, StoreError> {
        self.0.earliest(limit, |team| {
            let over = team.reservations.values().filter(|r| r.expires_at <= now);
            over.map(|r| (r.expires_at, r.id)).collect()
        })
    }

    async fn schedule(
        &mut self,
        team: &TeamName,
        id: ScheduleId,
    ) -> Result<Option<Schedule>, StoreError> {
        self.0
            .of_team(team, |team| team.schedules.get(&id).cloned())
    }

    async fn schedules(&mut self, team: &TeamName) -> Result<Vec<Schedule>, StoreError> {
        self.0.of_team(team, |team| {
            let mut found: Vec<Schedule> = team.schedules.values().cloned().collect();
            found.sort_by(|a, b| a.name.cmp(&b.name));
            found
        })
    }

    async fn due_schedules(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(TeamName, ScheduleId)>, StoreError> {
        self.0.earliest(limit, |team| {
            let schedules = team.schedules.values();
            let due = schedules.filter(|s| !s.paused && s.next_at <= now);
            due.map(|s| (s.next_at, s.id)).collect()
        })
    }

    async fn events(
        &mut self,
        team: &TeamName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        self.0.of_team(team, |team| {
            let after = usize::try_from(after).unwrap_or(usize::MAX);
            team.events
                .iter()
                .skip(after)
                .take(limit)
                .cloned()
                .collect()
        })
    }

    async fn task_events(
        &mut self,
        team: &TeamName,
        task: TaskId,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        self.0.of_team(team, |team| {
            let about = team.events.iter().filter(|e| e.fact.task() == Some(task));
            about.take(limit).cloned().collect()
        })
    }

    async fn last_seq(&mut self, team: &TeamName) -> Result<u64, StoreError> {
        self.0.of_team(team, |team| team.events.len() as u64)
    }

    async fn remembered(
        &mut self,
        team: &TeamName,
        key: &str,
        since: Timestamp,
    ) -> Result<Option<Remembered>, StoreError> {
        self.0.of_team(team, |team| {
            let (answer, at) = team.remembered.get(key)?;
            (*at >= since).then(|| answer.clone())
        })
    }

    async fn answers(
        &mut self,
        team: &TeamName,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Remembered, Timestamp)>, StoreError> {
        self.0.of_team(team, |team| {
            team.remembered
                .iter()
                .filter(|(key, _)| key.as_str() > after)
                .map(|(key, (answer, at))| (key.clone(), answer.clone(), *at))
                .take(limit)
                .collect()
        })
    }
}
