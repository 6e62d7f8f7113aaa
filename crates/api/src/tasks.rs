//! Creating, finding, waiting for and controlling tasks.

use collective_core::question::Question;
use collective_core::task::{Attempt, DependencyCondition, Task, TaskSpec, TaskState};
use collective_core::{Span, TaskId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// `POST /v1/tasks/batch`: all of them, or none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTasks {
    /// The tasks; dependencies may name a `key` of the same batch.
    pub tasks: Vec<TaskSpec>,
}

/// A task that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedTask {
    /// Its id.
    pub id: TaskId,
    /// Its number.
    pub number: u64,
    /// Its key, if it was given one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where it stands.
    pub state: TaskState,
}

/// The answer of a batch, in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedTasks {
    /// The accepted tasks.
    pub tasks: Vec<CreatedTask>,
}

/// What to list: `GET /v1/tasks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListTasks {
    /// States, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// A lane: `queue/NAME`, `role/ROLE` or `agent/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// The agent that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// A label, as `key=value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Where the last page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// How many, 50 if nothing is said, 500 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A dependency with where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DependencyState {
    /// The task that must end first.
    pub task: TaskId,
    /// Its number.
    pub number: u64,
    /// Its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its title.
    pub title: String,
    /// Where it stands.
    pub state: TaskState,
    /// How it must end.
    pub when: DependencyCondition,
    /// Whether it ended so.
    pub met: bool,
}

/// What a lease's holder says of how far it is; kept for a minute, not for ever.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// What it does now.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// A task with what belongs to it: `GET /v1/tasks/{task}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskDetail {
    /// The task.
    #[serde(flatten)]
    pub task: Task,
    /// Its ended attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// What it depends on.
    pub dependencies: Vec<DependencyState>,
    /// What it asked.
    pub questions: Vec<Question>,
    /// How far its running attempt says it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
}

/// How long to wait: `GET /v1/tasks/{task}/result`, `GET /v1/questions/{question}`, `GET /v1/agents/{agent}/inbox`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct WaitFor {
    /// How long to wait for it, at most `55s`; without it the answer comes at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub wait: Option<Span>,
}

/// Which attempt's output: `GET /v1/tasks/{task}/log`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ReadLog {
    /// The attempt; the newest if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The position after which to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// How long to wait for more while the attempt runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub wait: Option<Span>,
}

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogPiece {
    /// Its place; send it as `after`.
    pub position: u64,
    /// When it came.
    pub at: collective_core::Timestamp,
    /// The text; bytes that aren't UTF-8 are shown as U+FFFD.
    pub text: String,
}

/// Output of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogPage {
    /// The attempt.
    pub attempt: u32,
    /// The pieces, in order.
    pub pieces: Vec<LogPiece>,
    /// Whether the attempt has ended and nothing follows after these.
    pub ended: bool,
}

/// `POST /v1/tasks/{task}/retry`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Revived {
    /// The task and everything that had died of it, now on their way again.
    pub tasks: Vec<CreatedTask>,
}

/// `POST /v1/questions/{question}/answer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The answer.
    pub text: String,
}

/// Which questions: `GET /v1/questions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuestions {
    /// `open`, `answered`, `expired` or `withdrawn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The task that asked: id or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
}
