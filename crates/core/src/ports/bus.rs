//! The bus moves work and news; it decides nothing and may lose, repeat and reorder.
//!
//! Whoever waits subscribes first, then looks at the store, then waits for a
//! wake-up with a bound, then looks again. A lost wake-up therefore costs time, never a task.

use std::collections::HashSet;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::event::{Event, Fact};
use crate::task::Lane;
use crate::{AgentName, TaskId, TeamName};

/// What one can wait for. As JSON it is news of one server to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Something became ready in this lane.
    Lane(TeamName, Lane),
    /// The team's log has grown.
    Feed(TeamName),
    /// This task moved.
    Task(TaskId),
    /// This agent's inbox has grown, or it is to drain. That a task it holds is
    /// to be called off is news of that task.
    Agent(TeamName, AgentName),
}

impl Topic {
    /// Whom an event wakes.
    pub fn of(event: &Event) -> Vec<Topic> {
        let mut topics = vec![Topic::Feed(event.team.clone())];
        topics.extend(event.fact.task().map(Topic::Task));
        match &event.fact {
            Fact::TaskQueued { lane, .. } => {
                topics.push(Topic::Lane(event.team.clone(), lane.clone()));
            }
            Fact::TaskCreated {
                lane,
                state: crate::task::TaskState::Queued,
                ..
            } => {
                topics.push(Topic::Lane(event.team.clone(), lane.clone()));
            }
            Fact::QueuePaused {
                queue,
                paused: false,
            } => {
                topics.push(Topic::Lane(event.team.clone(), Lane::Queue(queue.clone())));
            }
            Fact::MessageSent { recipients, .. } => {
                topics.extend(
                    recipients
                        .iter()
                        .map(|agent| Topic::Agent(event.team.clone(), agent.clone())),
                );
            }
            Fact::AgentDraining { agent, .. } => {
                topics.push(Topic::Agent(event.team.clone(), agent.clone()));
            }
            _ => {}
        }
        topics
    }

    /// Whom events wake, each once, in the order that they come up.
    pub fn of_all(events: &[Event]) -> Vec<Topic> {
        let mut known = HashSet::new();
        let mut topics = Vec::new();
        for topic in events.iter().flat_map(Topic::of) {
            if !known.contains(&topic) {
                known.insert(topic.clone());
                topics.push(topic);
            }
        }
        topics
    }
}

/// Why the bus can't serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// Its broker doesn't answer.
    #[error("the message bus doesn't answer: {0}")]
    Unavailable(String),
    /// A bound of its own is reached.
    #[error("the message bus takes no more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
}

/// A place to wait for wake-ups. Wake-ups that come while nobody waits are kept, as one.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for a wake-up of any of its topics. The caller bounds the wait; dropping the future loses nothing.
    async fn wake(&mut self) -> Result<(), BusError>;
}

/// The bus.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Gives every live subscription of this process its wake-up, and nobody else.
    fn wake(&self, events: &[Event]);

    /// Tells the world about committed events, in their order. When it
    /// returns, every live subscription of this process has its wake-up and a
    /// broker, if there is one, has confirmed.
    async fn publish(&self, events: &[Event]) -> Result<(), BusError>;

    /// Starts to listen; wake-ups count from the moment it returns.
    async fn subscribe(&self, topics: &[Topic]) -> Result<Box<dyn Subscription>, BusError>;

    /// Whether it can serve now.
    async fn health(&self) -> Result<(), BusError>;
}
