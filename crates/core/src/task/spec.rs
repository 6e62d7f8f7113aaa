//! What is asked of a task: written once, never changed.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check::Check;
use super::order::Priority;
use super::retry::RetryPolicy;
use crate::limits::{
    DEFAULT_TIMEOUT, MAX_AHEAD, MAX_DEPENDENCIES, MAX_INPUT_LEN, MAX_LABEL_LEN, MAX_LABELS,
    MAX_PROMPT_LEN, MAX_TIMEOUT, MAX_TITLE_LEN,
};
use crate::rejection::{Code, Rejection};
use crate::role::Role;
use crate::{AgentName, QueueName, Span, TaskId, Timestamp};

/// Where a task waits for an agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Any agent that serves the queue.
    Queue(QueueName),
    /// Any agent of the role.
    Role(Role),
    /// This agent only.
    Agent(AgentName),
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lane::Queue(name) => write!(f, "queue/{name}"),
            Lane::Role(role) => write!(f, "role/{role}"),
            Lane::Agent(name) => write!(f, "agent/{name}"),
        }
    }
}

impl FromStr for Lane {
    type Err = Rejection;

    fn from_str(text: &str) -> Result<Self, Rejection> {
        let bad = || {
            Rejection::new(
                Code::InvalidField,
                format!("`{}` is not a lane", crate::text::shown(text)),
            )
            .hint("write queue/NAME, role/ROLE or agent/NAME")
        };
        match text.split_once('/').ok_or_else(bad)? {
            ("queue", name) => name.parse().map(Lane::Queue),
            ("role", role) => Role::from_text(role).map(Lane::Role).ok_or_else(bad),
            ("agent", name) => name.parse().map(Lane::Agent),
            _ => Err(bad()),
        }
    }
}

impl Serialize for Lane {
    fn serialize<S: serde::Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        ser.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lane {
    fn deserialize<D: serde::Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(de)?;
        text.parse()
            .map_err(|rejection: Rejection| serde::de::Error::custom(rejection.message()))
    }
}

/// A task named in a dependency: by id, or by the `key` of a task of the same batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TaskRef {
    /// An existing task.
    Id(TaskId),
    /// The `key` of a task created in the same batch. Never stored.
    Key(String),
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskRef::Id(id) => id.fmt(f),
            TaskRef::Key(key) => f.write_str(&crate::text::shown(key)),
        }
    }
}

impl Serialize for TaskRef {
    fn serialize<S: serde::Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        match self {
            TaskRef::Id(id) => id.serialize(ser),
            TaskRef::Key(key) => key.serialize(ser),
        }
    }
}

impl<'de> Deserialize<'de> for TaskRef {
    fn deserialize<D: serde::Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let text = String::deserialize(de)?;
        Ok(text
            .parse()
            .map_or_else(|_| TaskRef::Key(text), TaskRef::Id))
    }
}

/// When a dependency counts as met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DependencyCondition {
    /// It succeeded. If it ends otherwise, the dependent is dead.
    #[default]
    Succeeded,
    /// It ended, however: for tasks that aggregate what there is.
    Ended,
}

/// Another task that must end first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    /// Which.
    pub task: TaskRef,
    /// How it must end.
    #[serde(default)]
    pub when: DependencyCondition,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// One line for people.
    pub title: String,
    /// A handle, unique in its batch, for dependencies and for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What the agent is told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt: String,
    /// What the agent is given, as JSON.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub input: Value,
    /// The queue that it waits in; `default` if neither role nor agent is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueName>,
    /// The role that it is for, instead of a queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The one agent that it is for, instead of a queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// How urgent it is.
    #[serde(default)]
    pub priority: Priority,
    /// How often it is tried.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// How long one attempt may run.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// After this time it is dead, whatever it was doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Not before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at: Option<Timestamp>,
    /// Tasks that must end first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    /// What must hold before it counts as done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// W3C trace context of whoever asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

fn default_timeout() -> Span {
    DEFAULT_TIMEOUT
}

impl TaskSpec {
    /// A task with this title and defaults for everything else.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            key: None,
            prompt: String::new(),
            input: Value::Null,
            queue: None,
            role: None,
            agent: None,
            priority: Priority::default(),
            retry: RetryPolicy::default(),
            timeout: DEFAULT_TIMEOUT,
            deadline: None,
            run_at: None,
            depends_on: Vec::new(),
            checks: Vec::new(),
            labels: BTreeMap::new(),
            traceparent: None,
        }
    }

    /// The lane that it waits in.
    pub fn lane(&self) -> Lane {
        match (&self.agent, self.role, &self.queue) {
            (Some(agent), _, _) => Lane::Agent(agent.clone()),
            (None, Some(role), _) => Lane::Role(role),
            (None, None, Some(queue)) => Lane::Queue(queue.clone()),
            (None, None, None) => Lane::Queue(QueueName::default_queue()),
        }
    }

    /// Checks every bound; the field of the rejection says where.
    pub fn validate(&self, now: Timestamp) -> Result<(), Rejection> {
        bounded("title", &self.title, 1, MAX_TITLE_LEN)?;
        if self.title.chars().any(char::is_control) {
            return Err(
                Rejection::new(Code::InvalidField, "the title has a control character").at("title"),
            );
        }
        bounded("prompt", &self.prompt, 0, MAX_PROMPT_LEN)?;
        if let Some(key) = &self.key {
            bounded("key", key, 1, MAX_LABEL_LEN)?;
            if key.parse::<TaskId>().is_ok() || key.chars().any(char::is_control) {
                return Err(Rejection::new(
                    Code::InvalidField,
                    "a key must be readable and not look like an id",
                )
                .at("key"));
            }
        }
        if !self.input.is_null() {
            let size = self.input.to_string().len();
            if size > MAX_INPUT_LEN {
                return Err(Rejection::too_large("input", size, MAX_INPUT_LEN).at("input"));
            }
        }
        let addressed = [
            self.queue.is_some(),
            self.role.is_some(),
            self.agent.is_some(),
        ]
        .into_iter()
        .filter(|set| *set)
        .count();
        if addressed > 1 {
            return Err(Rejection::new(
                Code::InvalidField,
                "a task goes to a queue, a role or an agent, not to several",
            )
            .at("queue"));
        }
        self.retry.validate().map_err(|r| r.at("retry"))?;
        if self.timeout == Span::ZERO || self.timeout > MAX_TIMEOUT {
            return Err(Rejection::new(
                Code::InvalidField,
                format!(
                    "must be above 0 and at most {MAX_TIMEOUT}, not {}",
                    self.timeout
                ),
            )
            .at("timeout"));
        }
        self.validate_times(now)?;
        if self.depends_on.len() > MAX_DEPENDENCIES {
            return Err(Rejection::too_large(
                "depends_on",
                self.depends_on.len(),
                MAX_DEPENDENCIES,
            )
            .at("depends_on"));
        }
        for (i, dependency) in self.depends_on.iter().enumerate() {
            if self.depends_on[..i]
                .iter()
                .any(|other| other.task == dependency.task)
            {
                return Err(Rejection::new(
                    Code::InvalidField,
                    format!("names `{}` twice", dependency.task),
                )
                .at(format!("depends_on[{i}]")));
            }
        }
        super::check::validate(&self.checks).map_err(|r| r.at("checks"))?;
        if self.labels.len() > MAX_LABELS {
            return Err(Rejection::too_large("labels", self.labels.len(), MAX_LABELS).at("labels"));
        }
        for (key, value) in &self.labels {
            bounded("labels", key, 1, MAX_LABEL_LEN)?;
            bounded("labels", value, 0, MAX_LABEL_LEN)?;
        }
        if let Some(traceparent) = &self.traceparent {
            bounded("traceparent", traceparent, 1, MAX_LABEL_LEN)?;
        }
        Ok(())
    }

    fn validate_times(&self, now: Timestamp) -> Result<(), Rejection> {
        for (field, at) in [("run_at", self.run_at), ("deadline", self.deadline)] {
            if at.is_some_and(|at| at > now + MAX_AHEAD) {
                return Err(Rejection::new(
                    Code::InvalidTime,
                    format!("lies more than {MAX_AHEAD} ahead"),
                )
                .at(field));
            }
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Rejection::new(Code::InvalidTime, "has passed already").at("deadline"));
        }
        if let (Some(run_at), Some(deadline)) = (self.run_at, self.deadline)
            && run_at >= deadline
        {
            return Err(Rejection::new(Code::InvalidTime, "lies after the deadline").at("run_at"));
        }
        Ok(())
    }
}

fn bounded(field: &str, text: &str, min: usize, max: usize) -> Result<(), Rejection> {
    if text.len() < min {
        return Err(Rejection::new(Code::InvalidField, "is empty").at(field));
    }
    if text.len() > max {
        return Err(Rejection::too_large(field, text.len(), max).at(field));
    }
    Ok(())
}
