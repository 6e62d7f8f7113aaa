//! How attempts and tasks end: results, failures, and what is kept of both.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check::Evidence;
use super::lease::{Epoch, LeaseToken};
use crate::limits::{
    MAX_ARTIFACTS, MAX_FEEDBACK_LEN, MAX_NAME_LEN, MAX_PATH_LEN, MAX_REASON_LEN, MAX_RESULT_LEN,
};
use crate::rejection::{Code, Rejection};
use crate::{AgentName, Timestamp};

/// What kind of failure it was; decides what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// May go away: tried again after a backoff.
    Transient,
    /// The provider's limit: tried again after its reset; the attempt doesn't count.
    Quota,
    /// Will not go away: dead at once.
    Permanent,
    /// Kills what touches it: dead after two.
    Poison,
    /// A task that it depends on didn't succeed. Given by the server only.
    Dependency,
}

impl FailureClass {
    /// The class's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            FailureClass::Transient => "transient",
            FailureClass::Quota => "quota",
            FailureClass::Permanent => "permanent",
            FailureClass::Poison => "poison",
            FailureClass::Dependency => "dependency",
        }
    }

    /// The class with this word.
    pub fn from_text(text: &str) -> Option<Self> {
        [
            Self::Transient,
            Self::Quota,
            Self::Permanent,
            Self::Poison,
            Self::Dependency,
        ]
        .into_iter()
        .find(|class| class.as_str() == text)
    }
}

/// Why an attempt, or the task, didn't succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Its class.
    pub class: FailureClass,
    /// What happened, in a sentence.
    pub reason: String,
    /// What the next attempt is told: a check's output, the end of a log.
    #[serde(default)]
    pub feedback: String,
    /// When the provider's limit resets, for the class `quota`.
    #[serde(default)]
    pub retry_at: Option<Timestamp>,
}

impl Failure {
    /// A failure with no feedback.
    pub fn new(class: FailureClass, reason: impl Into<String>) -> Self {
        Self {
            class,
            reason: reason.into(),
            feedback: String::new(),
            retry_at: None,
        }
    }

    /// Checks every bound of a failure that an agent reports.
    pub fn validate(&self) -> Result<(), Rejection> {
        if self.class == FailureClass::Dependency {
            return Err(
                Rejection::new(Code::InvalidField, "an agent can't report this class").at("class"),
            );
        }
        if self.reason.is_empty() {
            return Err(
                Rejection::new(Code::InvalidField, "a failure needs a reason").at("reason"),
            );
        }
        if self.reason.len() > MAX_REASON_LEN {
            return Err(
                Rejection::too_large("the reason", self.reason.len(), MAX_REASON_LEN).at("reason"),
            );
        }
        if self.feedback.len() > MAX_FEEDBACK_LEN {
            return Err(Rejection::too_large(
                "the feedback",
                self.feedback.len(),
                MAX_FEEDBACK_LEN,
            )
            .at("feedback"));
        }
        Ok(())
    }
}

/// How one attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// Its work passed every check.
    Succeeded,
    /// Its agent reported a failure, or a check failed.
    Failed,
    /// Its lease ran out.
    Lost,
    /// It ran longer than the task allows, or past its deadline.
    TimedOut,
    /// The task was called off.
    Cancelled,
    /// Its agent gave it back untouched (draining); doesn't count.
    Released,
}

impl AttemptOutcome {
    /// Every outcome.
    pub const ALL: [AttemptOutcome; 6] = [
        Self::Succeeded,
        Self::Failed,
        Self::Lost,
        Self::TimedOut,
        Self::Cancelled,
        Self::Released,
    ];

    /// The outcome's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Released => "released",
        }
    }

    /// The outcome with this word.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
    }
}

/// One ended execution of a task by one agent. The running one is the task's lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Attempt {
    /// Its number: the epoch of its claim.
    pub epoch: Epoch,
    /// Who worked.
    pub agent: AgentName,
    /// What the holder had to show, kept so that a repeated report gets the same answer.
    #[serde(skip)]
    pub token: Option<LeaseToken>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Why, unless it succeeded.
    pub failure: Option<Failure>,
    /// What the checks showed.
    pub evidence: Vec<Evidence>,
}

/// What a task cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Usage {
    /// Tokens read by the model.
    pub input_tokens: u64,
    /// Tokens written by the model.
    pub output_tokens: u64,
    /// Money, in millionths of a US dollar.
    pub cost_micro_usd: u64,
    /// Wall-clock time of the command, in seconds.
    pub seconds: f64,
}

/// What kind of thing an artifact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ArtifactKind {
    /// A branch of a repository; `reference` is its name.
    Branch,
    /// A patch, kept in the store.
    Patch,
    /// A file, kept in the store.
    File,
}

/// Something that a task made. Its bytes, where kept, are fetched apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Artifact {
    /// Its name, unique in the result.
    pub name: String,
    /// What it is.
    pub kind: ArtifactKind,
    /// Where else it is to be found: a branch's name, a path.
    pub reference: Option<String>,
    /// Size of its content in bytes; 0 if none is kept.
    pub size: u64,
    /// SHA-256 of its content in hex, if any is kept.
    pub sha256: Option<String>,
}

impl Artifact {
    /// Checks its name and reference.
    pub fn validate(&self) -> Result<(), Rejection> {
        let name_ok = !self.name.is_empty()
            && self.name.len() <= 2 * MAX_NAME_LEN
            && !self.name.starts_with('.')
            && self
                .name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        if !name_ok {
            return Err(Rejection::new(
                Code::InvalidName,
                format!(
                    "artifact name `{}` isn't a plain file name",
                    crate::text::shown(&self.name)
                ),
            )
            .hint("use letters, digits, `.`, `_`, `-`, not starting with a dot")
            .at("name"));
        }
        match &self.reference {
            Some(reference) if reference.len() > MAX_PATH_LEN => {
                Err(
                    Rejection::too_large("the reference", reference.len(), MAX_PATH_LEN)
                        .at("reference"),
                )
            }
            _ => Ok(()),
        }
    }
}

/// What a finished task gives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskResult {
    /// What the agent says.
    #[serde(default)]
    pub text: String,
    /// What it gives for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// What it made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// What it cost.
    #[serde(default)]
    pub usage: Usage,
    /// The commit that was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// What the checks showed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

impl TaskResult {
    /// Checks every bound.
    pub fn validate(&self) -> Result<(), Rejection> {
        if self.text.len() > MAX_RESULT_LEN {
            return Err(
                Rejection::too_large("the result's text", self.text.len(), MAX_RESULT_LEN)
                    .at("text"),
            );
        }
        if let Some(json) = &self.json {
            let size = json.to_string().len();
            if size > MAX_RESULT_LEN {
                return Err(
                    Rejection::too_large("the result's JSON", size, MAX_RESULT_LEN).at("json"),
                );
            }
        }
        if self.artifacts.len() > MAX_ARTIFACTS {
            return Err(
                Rejection::too_large("artifacts", self.artifacts.len(), MAX_ARTIFACTS)
                    .at("artifacts"),
            );
        }
        for (i, artifact) in self.artifacts.iter().enumerate() {
            artifact
                .validate()
                .map_err(|r| r.at(format!("artifacts[{i}]")))?;
            if self.artifacts[..i]
                .iter()
                .any(|other| other.name == artifact.name)
            {
                return Err(Rejection::new(
                    Code::InvalidField,
                    format!("two artifacts are named `{}`", artifact.name),
                )
                .at(format!("artifacts[{i}].name")));
            }
        }
        for (i, piece) in self.evidence.iter().enumerate() {
            if piece.output.len() > MAX_FEEDBACK_LEN {
                return Err(Rejection::too_large(
                    "a check's output",
                    piece.output.len(),
                    MAX_FEEDBACK_LEN,
                )
                .at(format!("evidence[{i}].output")));
            }
        }
        Ok(())
    }
}
