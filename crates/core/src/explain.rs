//! The rule that dispatches, and what it says of a task that waits.
//!
//! [`offer`] decides whether an agent may take from a lane right now. A claim
//! asks it; [`explain`] asks the same function about every agent, so that an
//! explanation can't differ from what happens.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::task::{Epoch, Lane, Task, TaskState};
use crate::{AgentName, QuestionId, QueueName, TaskId, Timestamp};

/// Why an agent may not take from a lane now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// It doesn't serve the lane.
    DoesNotServe,
    /// The lane's queue is paused.
    QueuePaused,
    /// It is draining.
    Draining,
    /// All its slots are taken.
    SlotsFull,
}

/// Whether `agent`, holding `held` leases, may take from `lane` now.
pub fn offer(
    agent: &Agent,
    held: u32,
    paused: &HashSet<QueueName>,
    lane: &Lane,
) -> Result<(), Hold> {
    let serves = match lane {
        Lane::Agent(name) => *name == agent.name,
        Lane::Role(role) => *role == agent.spec.role,
        Lane::Queue(queue) => agent.spec.queues.contains(queue),
    };
    if !serves {
        return Err(Hold::DoesNotServe);
    }
    if matches!(lane, Lane::Queue(queue) if paused.contains(queue)) {
        return Err(Hold::QueuePaused);
    }
    if agent.draining {
        return Err(Hold::Draining);
    }
    if held >= agent.spec.slots {
        return Err(Hold::SlotsFull);
    }
    Ok(())
}

/// The lanes that `agent` may take from now, or what holds it back everywhere.
pub fn open_lanes(
    agent: &Agent,
    held: u32,
    paused: &HashSet<QueueName>,
) -> Result<Vec<Lane>, Hold> {
    let mut last = Hold::DoesNotServe;
    let mut open = Vec::new();
    for lane in agent.lanes() {
        match offer(agent, held, paused, &lane) {
            Ok(()) => open.push(lane),
            Err(hold) => last = hold,
        }
    }
    if open.is_empty() { Err(last) } else { Ok(open) }
}

/// An agent as the explanation sees it.
#[derive(Clone, Debug)]
pub struct Witness {
    /// The agent.
    pub agent: Agent,
    /// How many leases it holds.
    pub held: u32,
    /// Whether it showed a sign of life lately.
    pub present: bool,
}

/// What surrounds a task, as far as its waiting goes.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The team's agents.
    pub agents: Vec<Witness>,
    /// The team's paused queues.
    pub paused: HashSet<QueueName>,
    /// Tasks of the same lane that are handed out before it.
    pub ahead: u64,
    /// The dependencies that it still waits for: id, number, title, state.
    pub open_dependencies: Vec<OpenDependency>,
}

/// A dependency that hasn't ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenDependency {
    /// Its id.
    pub task: TaskId,
    /// Its number.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Where it stands.
    pub state: TaskState,
}

/// One thing that a task waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "waits_for", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "field names are the words of the design; each variant says what it means"
)]
pub enum Wait {
    /// Other tasks must end first.
    Dependencies { open: Vec<OpenDependency> },
    /// Its `run_at`.
    RunAt { at: Timestamp },
    /// The backoff after a failure.
    Backoff { at: Timestamp, reason: String },
    /// The provider's reset.
    QuotaReset { at: Timestamp, reason: String },
    /// Tasks of its lane that come before it.
    PlaceInLane { lane: Lane, ahead: u64 },
    /// No registered agent serves its lane.
    NoAgentServes { lane: Lane },
    /// Agents serve its lane, none of them has shown a sign of life lately.
    NoAgentPresent { lane: Lane, agents: Vec<AgentName> },
    /// Its queue is paused.
    QueuePaused { queue: QueueName },
    /// Every agent that serves its lane is draining.
    AgentsDraining { agents: Vec<AgentName> },
    /// Every agent that serves its lane has all its slots taken.
    AgentsBusy { agents: Vec<AgentName> },
    /// An agent is free: the next claim takes it.
    NextClaim { agents: Vec<AgentName> },
    /// The agent that works on it.
    Agent {
        agent: AgentName,
        epoch: Epoch,
        lease_until: Timestamp,
    },
    /// The agent that works on it, to hear that it is called off.
    AgentToStop { agent: AgentName, reason: String },
    /// An answer.
    Answer {
        question: QuestionId,
        until: Timestamp,
    },
    /// Nothing: it has ended.
    Nothing {
        state: TaskState,
        reason: Option<String>,
    },
}

/// What a task waits for, and what would free it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// Where the task stands.
    pub state: TaskState,
    /// What it waits for; the first is what holds it now.
    pub waits: Vec<Wait>,
    /// One sentence for people.
    pub summary: String,
    /// What would free it.
    pub frees: String,
}

/// Says what a task waits for.
pub fn explain(task: &Task, around: &Surroundings) -> Explanation {
    let reason = || {
        task.failure
            .as_ref()
            .map(|failure| failure.reason.clone())
            .unwrap_or_default()
    };
    let wake_at = task.wake_at.unwrap_or(task.ready_at);
    let waits = match task.state {
        TaskState::Blocked => vec![Wait::Dependencies {
            open: around.open_dependencies.clone(),
        }],
        TaskState::Scheduled => vec![Wait::RunAt { at: wake_at }],
        TaskState::Retrying => vec![Wait::Backoff {
            at: wake_at,
            reason: reason(),
        }],
        TaskState::QuotaWait => vec![Wait::QuotaReset {
            at: wake_at,
            reason: reason(),
        }],
        TaskState::Queued => queued(task, around),
        TaskState::Running | TaskState::NeedsInput => leased(task),
        _ => vec![Wait::Nothing {
            state: task.state,
            reason: task.failure.as_ref().map(|f| f.reason.clone()),
        }],
    };
    let (summary, frees) = words(&waits[0]);
    Explanation {
        state: task.state,
        waits,
        summary,
        frees,
    }
}

fn queued(task: &Task, around: &Surroundings) -> Vec<Wait> {
    let lane = task.lane();
    let held_by = |hold: Hold| -> Vec<AgentName> {
        around
            .agents
            .iter()
            .filter(|w| offer(&w.agent, w.held, &around.paused, &lane) == Err(hold))
            .map(|w| w.agent.name.clone())
            .collect()
    };
    let place = Wait::PlaceInLane {
        lane: lane.clone(),
        ahead: around.ahead,
    };
    let open: Vec<&Witness> = around
        .agents
        .iter()
        .filter(|w| offer(&w.agent, w.held, &around.paused, &lane).is_ok())
        .collect();
    let first = if let (true, Lane::Queue(queue)) = (open.is_empty(), &lane)
        && around.paused.contains(queue)
    {
        Wait::QueuePaused {
            queue: queue.clone(),
        }
    } else if let Some(present) = names(open.iter().filter(|w| w.present)) {
        if around.ahead > 0 {
            return vec![place, Wait::NextClaim { agents: present }];
        }
        Wait::NextClaim { agents: present }
    } else if let Some(absent) = names(open.iter()) {
        Wait::NoAgentPresent {
            lane,
            agents: absent,
        }
    } else {
        let (busy, draining) = (held_by(Hold::SlotsFull), held_by(Hold::Draining));
        match (busy.is_empty(), draining.is_empty()) {
            (false, _) => Wait::AgentsBusy { agents: busy },
            (true, false) => Wait::AgentsDraining { agents: draining },
            (true, true) => Wait::NoAgentServes { lane },
        }
    };
    vec![first, place]
}

fn names<'a>(witnesses: impl Iterator<Item = &'a &'a Witness>) -> Option<Vec<AgentName>> {
    let names: Vec<AgentName> = witnesses.map(|w| w.agent.name.clone()).collect();
    (!names.is_empty()).then_some(names)
}

fn leased(task: &Task) -> Vec<Wait> {
    let Some(lease) = &task.lease else {
        return vec![Wait::Nothing {
            state: task.state,
            reason: None,
        }];
    };
    let mut waits = Vec::new();
    if let Some(reason) = &task.cancel_reason {
        waits.push(Wait::AgentToStop {
            agent: lease.agent.clone(),
            reason: reason.clone(),
        });
    }
    if let Some(question) = task.question {
        waits.push(Wait::Answer {
            question,
            until: lease.expires_at,
        });
    }
    waits.push(Wait::Agent {
        agent: lease.agent.clone(),
        epoch: task.epoch,
        lease_until: lease.expires_at,
    });
    waits
}

fn words(wait: &Wait) -> (String, String) {
    let list = |agents: &[AgentName]| {
        agents
            .iter()
            .map(AgentName::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    };
    match wait {
        Wait::Dependencies { open } => {
            let tasks: Vec<String> = open
                .iter()
                .map(|d| format!("#{} ({})", d.number, d.state))
                .collect();
            (
                format!("waits for {} other tasks: {}", open.len(), tasks.join(", ")),
                "these tasks ending".to_owned(),
            )
        }
        Wait::RunAt { at } => (format!("is scheduled for {at}"), format!("the time {at}")),
        Wait::Backoff { at, reason } => (
            format!("backs off until {at} after: {reason}"),
            format!("the time {at}"),
        ),
        Wait::QuotaReset { at, reason } => (
            format!("waits until {at} for the provider's limit to reset: {reason}"),
            format!("the time {at}"),
        ),
        Wait::PlaceInLane { lane, ahead } => (
            format!("has {ahead} tasks before it in {lane}"),
            "the tasks before it being taken, or more agents".to_owned(),
        ),
        Wait::NoAgentServes { lane } => (
            format!("no agent serves {lane}"),
            match lane {
                Lane::Queue(queue) => format!(
                    "an agent that serves it: collective agent run --queue {queue} -- COMMAND"
                ),
                Lane::Role(role) => {
                    format!("an agent of this role: collective agent run --role {role} -- COMMAND")
                }
                Lane::Agent(name) => {
                    format!("this agent: collective agent run --name {name} -- COMMAND")
                }
            },
        ),
        Wait::NoAgentPresent { agents, .. } => (
            format!(
                "the agents that could take it are not there: {}",
                list(agents)
            ),
            "one of these agents coming back".to_owned(),
        ),
        Wait::QueuePaused { queue } => (
            format!("queue {queue} is paused"),
            format!("resuming it: collective queue resume {queue}"),
        ),
        Wait::AgentsDraining { agents } => (
            format!(
                "the agents that could take it are draining: {}",
                list(agents)
            ),
            "another agent, or one of these undrained".to_owned(),
        ),
        Wait::AgentsBusy { agents } => (
            format!("the agents that could take it are busy: {}", list(agents)),
            "one of their tasks ending, or more slots".to_owned(),
        ),
        Wait::NextClaim { agents } => (
            format!("is next for {}", list(agents)),
            "the next claim of one of them".to_owned(),
        ),
        Wait::Agent {
            agent,
            epoch,
            lease_until,
        } => (
            format!("attempt {epoch} runs at {agent}, lease until {lease_until}"),
            "the agent ending it, or its lease running out".to_owned(),
        ),
        Wait::AgentToStop { agent, reason } => (
            format!("is being called off at {agent}: {reason}"),
            "the agent's next heartbeat".to_owned(),
        ),
        Wait::Answer { question, until } => (
            format!("asked a question and waits for the answer until {until}"),
            format!("an answer: collective task answer {question} TEXT"),
        ),
        Wait::Nothing { state, reason } => (
            match reason {
                Some(reason) => format!("is {state}: {reason}"),
                None => format!("is {state}"),
            },
            match state {
                TaskState::Dead | TaskState::Cancelled => {
                    "a new start: collective task retry".to_owned()
                }
                _ => "nothing: it has ended".to_owned(),
            },
        ),
    }
}
