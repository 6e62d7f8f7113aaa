//! Writing the memory store, inside a work.

use async_trait::async_trait;
use collective_core::agent::Agent;
use collective_core::event::Fact;
use collective_core::key::ApiKey;
use collective_core::message::{Delivery, Message, Receipt};
use collective_core::ports::StoreError;
use collective_core::ports::store::{Edge, Head, LogChunk, Remembered, Tx};
use collective_core::question::Question;
use collective_core::queue::Queue;
use collective_core::reservation::Reservation;
use collective_core::schedule::Schedule;
use collective_core::task::{Attempt, Epoch, Lane, Priority, Task};
use collective_core::{
    AgentName, MessageId, ReservationId, ScheduleId, TaskId, TeamName, Timestamp,
};

use super::query::{FIRST_TIME, LAST_TIME, View};
use super::state::State;

fn twice(what: &str) -> StoreError {
    StoreError::Internal(format!("{what} is there already"))
}

/// Works run one after the other, so that a lock is a read.
#[async_trait]
impl Tx for View<&mut State> {
    async fn append(
        &mut self,
        team: &TeamName,
        actor: &str,
        at: Timestamp,
        facts: Vec<Fact>,
    ) -> Result<u64, StoreError> {
        self.0.append(team, actor, at, facts)
    }

    async fn insert_tasks(&mut self, team: &TeamName, tasks: &[Task]) -> Result<(), StoreError> {
        let team = self.0.team_mut(team)?;
        tasks.iter().try_for_each(|task| team.insert_task(task))
    }

    async fn lock_tasks(
        &mut self,
        team: &TeamName,
        ids: &[TaskId],
    ) -> Result<Vec<Task>, StoreError> {
        let team = self.0.team_mut(team)?;
        let found = ids.iter().filter_map(|id| team.tasks.get(id));
        Ok(found.cloned().collect())
    }

    async fn lock_heads(
        &mut self,
        team: &TeamName,
        lanes: &[Lane],
        limit: usize,
    ) -> Result<Vec<Head>, StoreError> {
        let team = self.0.team_mut(team)?;
        let mut heads = Vec::new();
        for lane in lanes {
            for priority in Priority::ALL {
                let first = (lane.clone(), priority, FIRST_TIME, 0);
                let last = (lane.clone(), priority, LAST_TIME, u64::MAX);
                let places = team.queued.range(first..=last).take(limit);
                heads.extend(places.map(|((_, _, ready_at, number), id)| Head {
                    id: *id,
                    priority,
                    ready_at: *ready_at,
                    number: *number,
                }));
            }
        }
        Ok(heads)
    }

    async fn update_tasks(&mut self, team: &TeamName, tasks: &[Task]) -> Result<(), StoreError> {
        let team = self.0.team_mut(team)?;
        tasks.iter().try_for_each(|task| team.update_task(task))
    }

    async fn insert_attempts(
        &mut self,
        team: &TeamName,
        attempts: &[(TaskId, Attempt)],
    ) -> Result<(), StoreError> {
        let team = self.0.team_mut(team)?;
        for (task, attempt) in attempts {
            let key = (*task, attempt.epoch);
            if !team.attempts.insert_new(key, attempt.clone()) {
                return Err(twice(&format!("attempt {} of task {task}", attempt.epoch)));
            }
        }
        Ok(())
    }

    async fn insert_edges(&mut self, team: &TeamName, edges: &[Edge]) -> Result<(), StoreError> {
        let team = self.0.team_mut(team)?;
        for edge in edges {
            if !team.edges.insert_new((edge.task, edge.on), edge.clone()) {
                return Err(twice(&format!("edge {} on {}", edge.task, edge.on)));
            }
            team.dependents.put((edge.on, edge.task), ());
        }
        Ok(())
    }

    async fn set_edge_met(
        &mut self,
        team: &TeamName,
        task: TaskId,
        on: TaskId,
        met: bool,
    ) -> Result<(), StoreError> {
        let team = self.0.team_mut(team)?;
        if let Some(edge) = team.edges.get(&(task, on)).cloned() {
            team.edges.put((task, on), Edge { met, ..edge });
        }
        Ok(())
    }

    async fn append_log(
        &mut self,
        team: &TeamName,
        task: TaskId,
        epoch: Epoch,
        chunk: LogChunk,
    ) -> Result<u64, StoreError> {
        let team = self.0.team_mut(team)?;
        team.logs.insert_new((task, epoch, chunk.position), chunk);
        let all = (task, epoch, 0)..=(task, epoch, u64::MAX);
        let bytes = team.logs.range(all).map(|(_, c)| c.bytes.len() as u64);
        Ok(bytes.sum())
    }

    async fn put_artifact(
        &mut self,
        team: &TeamName,
        task: TaskId,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let team = self.0.team_mut(team)?;
        team.artifacts.put((task, name.to_owned()), bytes.to_vec());
        Ok(())
    }

    async fn insert_team(&mut self, team: &TeamName, _now: Timestamp) -> Result<bool, StoreError> {
        Ok(self.0.found(team))
    }

    async fn put_agent(&mut self, team: &TeamName, agent: &Agent) -> Result<(), StoreError> {
        let team = self.0.team_mut(team)?;
        team.agents.put(agent.name.clone(), agent.clone());
        Ok(())
    }

    async fn remove_agent(&mut self, team: &TeamName, name: &AgentName) -> Result<(), StoreError> {
        self.0.team_mut(team)?.agents.remove(name);
        Ok(())
    }

    async fn put_queue(&mut self, team: &TeamName, queue: &Queue) -> Result<(), StoreError> {
        let team = self.0.team_mut(team)?;
        team.queues.put(queue.name.clone(), queue.clone());
        Ok(())
    }

    async fn put_key(&mut self, key: &ApiKey) -> Result<(), StoreError> {
        self.0.keys.put(key.id, key.clone());
        Ok(())
    }

    async fn insert_message(
        &mut self,
        team: &TeamName,
        message: &Message,
        to: &[AgentName],
    ) -> Result<(), StoreError> {
        let team = self.0.team_mut(team)?;
        if !team.messages.insert_new(message.id, message.clone()) {
            return Err(twice(&format!("message {}", message.id)));
        }
        for recipient in to {
            let all = (recipient.clone(), 0)..=(recipient.clone(), u64::MAX);
            let last = team.inboxes.range(all).next_back();
            let position = last.map_or(0, |((_, position), _)| *position) + 1;
            let delivery = Delivery {
                message: message.clone(),
                recipient: recipient.clone(),
                position,
                receipt: Receipt::Durable,
                receipt_at: message.sent_at,
            };
            let key = (message.id, recipient.clone());
            if !team.deliveries.insert_new(key, position) {
                return Err(twice(&format!("message {} for {recipient}", message.id)));
            }
            team.inboxes.put((recipient.clone(), position), delivery);
        }
        Ok(())
    }

    async fn set_receipts(
        &mut self,
        team: &TeamName,
        agent: &AgentName,
        receipts: &[(MessageId, Receipt)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let team = self.0.team_mut(team)?;
        for (message, receipt) in receipts {
            let Some(position) = team.deliveries.get(&(*message, agent.clone())) else {
                continue;
            };
            let key = (agent.clone(), *position);
            if let Some(mut delivery) = team.inboxes.get(&key).cloned() {
                delivery.receipt = *receipt;
                delivery.receipt_at = now;
                team.inboxes.put(key, delivery);
            }
        }
        Ok(())
    }

    async fn put_question(
        &mut self,
        team: &TeamName,
        question: &Question,
    ) -> Result<(), StoreError> {
        let team = self.0.team_mut(team)?;
        team.questions.put(question.id, question.clone());
        Ok(())
    }

    async fn put_reservation(
        &mut self,
        team: &TeamName,
        reservation: &Reservation,
    ) -> Result<(), StoreError> {
        let team = self.0.team_mut(team)?;
        team.reservations.put(reservation.id, reservation.clone());
        Ok(())
    }

    async fn remove_reservation(
        &mut self,
        team: &TeamName,
        id: ReservationId,
    ) -> Result<(), StoreError> {
        self.0.team_mut(team)?.reservations.remove(&id);
        Ok(())
    }

    async fn put_schedule(
        &mut self,
        team: &TeamName,
        schedule: &Schedule,
    ) -> Result<(), StoreError> {
        let team = self.0.team_mut(team)?;
        team.schedules.put(schedule.id, schedule.clone());
        Ok(())
    }

    async fn remove_schedule(&mut self, team: &TeamName, id: ScheduleId) -> Result<(), StoreError> {
        self.0.team_mut(team)?.schedules.remove(&id);
        Ok(())
    }

    async fn remember(
        &mut self,
        team: &TeamName,
        key: &str,
        answer: &Remembered,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let team = self.0.team_mut(team)?;
        team.remembered.put(key.to_owned(), (answer.clone(), now));
        Ok(())
    }

    async fn forget(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        let mut forgotten = 0;
        for team in self.0.teams.values_mut() {
            let all = team.remembered.iter();
            let old: Vec<String> = all
                .filter(|(_, (_, at))| *at < before)
                .map(|(key, _)| key.clone())
                .collect();
            forgotten += old.len() as u64;
            old.iter().for_each(|key| team.remembered.remove(key));
        }
        Ok(forgotten)
    }
}
