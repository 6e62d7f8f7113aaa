//! Questions of running tasks, and their answers.

use std::time::Instant;

use collective_api::Page;
use collective_api::tasks::{Answer, ListQuestions, WaitFor};
use collective_core::limits::MAX_WAIT;
use collective_core::question::{Question, QuestionState};
use collective_core::{QuestionId, Span};

use crate::tasks::left;
use crate::{Client, ClientError};

impl Client {
    /// `GET /v1/questions`.
    pub async fn list_questions(
        &self,
        query: &ListQuestions,
    ) -> Result<Page<Question>, ClientError> {
        self.get(&["v1", "questions"]).query(query).answer().await
    }

    /// `GET /v1/questions/{question}`: waits once, at most [`MAX_WAIT`]; it may still be open.
    pub async fn question(
        &self,
        question: QuestionId,
        wait: Span,
    ) -> Result<Question, ClientError> {
        let wait = wait.min(MAX_WAIT);
        self.get(&["v1", "questions", &question.to_string()])
            .query(&WaitFor { wait: Some(wait) })
            .waiting(wait)
            .answer()
            .await
    }

    /// Waits until the question is no longer open, or until `until`; the question says which it was.
    pub async fn wait_for_answer(
        &self,
        question: QuestionId,
        until: Option<Instant>,
    ) -> Result<Question, ClientError> {
        loop {
            let wait = left(until);
            let found = self.question(question, wait).await?;
            if found.state != QuestionState::Open || wait < MAX_WAIT && left(until) == Span::ZERO {
                return Ok(found);
            }
        }
    }

    /// `POST /v1/questions/{question}/answer`. The same answer again is fine.
    pub async fn answer_question(
        &self,
        question: QuestionId,
        text: &str,
    ) -> Result<Question, ClientError> {
        self.post(&["v1", "questions", &question.to_string(), "answer"])
            .json(&Answer {
                text: text.to_owned(),
            })
            .harmless()
            .answer()
            .await
    }
}
