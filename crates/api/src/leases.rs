//! What an agent does with tasks that it holds: claim, keep alive, complete, fail, ask.
//!
//! Everything but asking comes in batches; each item stands for itself.

use collective_core::explain::Hold;
use collective_core::limits::DEFAULT_LEASE;
use collective_core::question::Question;
use collective_core::task::{
    Artifact, ArtifactKind, AttemptOutcome, Epoch, Evidence, Failure, LeaseToken, Task, TaskState,
    Usage,
};
use collective_core::{AgentName, Span, TaskId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::tasks::Progress;

/// `POST /v1/leases/claim`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// Who claims; registered before.
    pub agent: AgentName,
    /// How many at most; its free slots bound it too.
    #[serde(default = "one")]
    pub max: u32,
    /// How long each lease lasts without a heartbeat.
    #[serde(default = "default_lease")]
    pub lease: Span,
    /// How long to wait for a first task.
    #[serde(default)]
    pub wait: Span,
}

fn one() -> u32 {
    1
}

fn default_lease() -> Span {
    DEFAULT_LEASE
}

/// What a claim gives; empty when the wait ended without a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClaimAnswer {
    /// The tasks that the agent now holds.
    pub claims: Vec<Claim>,
    /// Why it could get none, if that isn't for lack of tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
}

/// A claimed task, with everything that the attempt needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Claim {
    /// The task. Its `epoch` is the attempt's number, its `failure` what the last attempt failed of.
    pub task: Task,
    /// What to show with every report.
    pub token: LeaseToken,
    /// Until when the lease lasts without a heartbeat.
    pub expires_at: Timestamp,
    /// What the tasks that it depended on gave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<DependencyResult>,
    /// What earlier attempts asked and were answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Question>,
}

/// What a dependency gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DependencyResult {
    /// The task.
    pub task: TaskId,
    /// Its number.
    pub number: u64,
    /// Its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its title.
    pub title: String,
    /// How it ended.
    pub state: TaskState,
    /// The text of its result, or why it has none.
    pub text: String,
    /// The JSON of its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// Whether text or JSON was left out, since all results together were over their bound.
    #[serde(default)]
    pub cut: bool,
}

/// A lease, by what its holder knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseRef {
    /// The task.
    pub task: TaskId,
    /// The token of the claim.
    pub token: LeaseToken,
}

/// One heartbeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Beat {
    /// The task.
    pub task: TaskId,
    /// The token of the claim.
    pub token: LeaseToken,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
}

/// `POST /v1/leases/heartbeat`. It is also the agent's sign of life, so it may be empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatRequest {
    /// Who is alive.
    pub agent: AgentName,
    /// The leases that it holds.
    #[serde(default)]
    pub beats: Vec<Beat>,
    /// Wait this long for a reason to stop one of them, and answer as soon as there is one.
    #[serde(default)]
    pub wait: Span,
}

/// What a heartbeat gives for one lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BeatAnswer {
    /// Until when the lease now lasts.
    pub expires_at: Timestamp,
    /// Present when the task is to be called off: stop it and report `cancelled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<String>,
}

/// `POST /v1/leases/heartbeat`: the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatAnswer {
    /// One for each beat.
    pub items: Vec<crate::Item<BeatAnswer>>,
    /// Whether the agent is to take no new tasks.
    pub draining: bool,
}

/// Something that a task made, with its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ArtifactUpload {
    /// Its name, a plain file name, unique in the result.
    pub name: String,
    /// What it is.
    pub kind: ArtifactKind,
    /// Where else it is to be found: a branch's name, a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Its content in base64 (RFC 4648 section 4), to be kept in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// A claim to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Completion {
    /// The task.
    pub task: TaskId,
    /// The token of the claim.
    pub token: LeaseToken,
    /// What the agent says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// What it gives for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// What it made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<ArtifactUpload>,
    /// What it cost.
    #[serde(default)]
    pub usage: Usage,
    /// The commit that was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// What the checks showed: one piece for each check but JSON schemas, which the server checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

/// `POST /v1/leases/complete`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompleteRequest {
    /// The completions.
    pub completions: Vec<Completion>,
}

/// A reported failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FailedAttempt {
    /// The task.
    pub task: TaskId,
    /// The token of the claim.
    pub token: LeaseToken,
    /// `failed`, `timed_out` or `cancelled`.
    #[serde(default = "failed")]
    pub outcome: AttemptOutcome,
    /// What happened.
    pub failure: Failure,
}

fn failed() -> AttemptOutcome {
    AttemptOutcome::Failed
}

/// `POST /v1/leases/fail`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FailRequest {
    /// The failures.
    pub failures: Vec<FailedAttempt>,
}

/// `POST /v1/leases/release`: gives tasks back untouched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// The leases.
    pub leases: Vec<LeaseRef>,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// Where a task stands after a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Settled {
    /// The task.
    pub task: TaskId,
    /// The attempt that was reported on.
    pub attempt: Epoch,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Where the task stands now.
    pub state: TaskState,
}

/// `POST /v1/tasks/{task}/log`: a piece of output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppendLog {
    /// The token of the claim.
    pub token: LeaseToken,
    /// Its place, from 1; a piece that is there already stays.
    pub position: u64,
    /// The bytes in base64.
    pub content: String,
}

/// `POST /v1/tasks/{task}/ask`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskRequest {
    /// The token of the claim.
    pub token: LeaseToken,
    /// The question.
    pub text: String,
    /// Answers to choose from, if it offers any; 16 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// How long the lease is held open for the answer, 24 hours if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Span>,
}

impl ArtifactUpload {
    /// What is kept of it beside its bytes.
    pub fn describe(&self, size: u64, sha256: Option<String>) -> Artifact {
        Artifact {
            name: self.name.clone(),
            kind: self.kind,
            reference: self.reference.clone(),
            size,
            sha256,
        }
    }
}
