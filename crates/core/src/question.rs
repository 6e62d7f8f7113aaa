//! Questions: a running task asks, the leader or a person answers, the task goes on.

use serde::{Deserialize, Serialize};

use crate::limits::MAX_QUESTION_LEN;
use crate::rejection::{Code, Rejection};
use crate::{AgentName, QuestionId, TaskId, Timestamp};

/// A question of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Question {
    /// Its id.
    pub id: QuestionId,
    /// The task that waits for the answer.
    pub task: TaskId,
    /// The agent that asked.
    pub agent: AgentName,
    /// What it asks.
    pub text: String,
    /// Answers it offers, if it offers any.
    pub options: Vec<String>,
    /// When it asked.
    pub asked_at: Timestamp,
    /// Until when its lease is held open for the answer.
    pub expires_at: Timestamp,
    /// What became of it.
    pub state: QuestionState,
    /// The answer.
    pub answer: Option<String>,
    /// Who answered.
    pub answered_by: Option<String>,
    /// When it was answered, expired or withdrawn.
    pub closed_at: Option<Timestamp>,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum QuestionState {
    /// Waits for an answer.
    Open,
    /// Has one.
    Answered,
    /// Nobody answered in time.
    Expired,
    /// The attempt that asked ended before an answer came.
    Withdrawn,
}

impl QuestionState {
    /// The state's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            QuestionState::Open => "open",
            QuestionState::Answered => "answered",
            QuestionState::Expired => "expired",
            QuestionState::Withdrawn => "withdrawn",
        }
    }

    /// The state with this word.
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Open, Self::Answered, Self::Expired, Self::Withdrawn]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// Checks a question's or an answer's text.
pub fn validate_text(what: &str, text: &str) -> Result<(), Rejection> {
    match text.len() {
        0 => Err(Rejection::new(Code::InvalidField, format!("the {what} is empty")).at("text")),
        size if size > MAX_QUESTION_LEN => {
            Err(Rejection::too_large(what, size, MAX_QUESTION_LEN).at("text"))
        }
        _ => Ok(()),
    }
}

/// Records an answer. A second, different answer is refused; the same one again is fine.
pub fn answer(
    question: &mut Question,
    text: &str,
    by: &str,
    now: Timestamp,
) -> Result<bool, Rejection> {
    validate_text("answer", text)?;
    match question.state {
        QuestionState::Open => {
            question.state = QuestionState::Answered;
            question.answer = Some(text.to_owned());
            question.answered_by = Some(by.to_owned());
            question.closed_at = Some(now);
            Ok(true)
        }
        QuestionState::Answered if question.answer.as_deref() == Some(text) => Ok(false),
        state => Err(Rejection::new(
            Code::WrongState,
            format!("question {} is {}", question.id, state.as_str()),
        )),
    }
}

/// Closes a question without an answer.
pub fn close(question: &mut Question, state: QuestionState, now: Timestamp) {
    debug_assert!(matches!(
        state,
        QuestionState::Expired | QuestionState::Withdrawn
    ));
    if question.state == QuestionState::Open {
        question.state = state;
        question.closed_at = Some(now);
    }
}
