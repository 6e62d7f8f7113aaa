//! Questions that tasks asked.

use collective_core::ports::StoreError;
use collective_core::question::{Question, QuestionState};
use collective_core::{QuestionId, TaskId, TeamName, Timestamp};
use tokio_postgres::Row;

use super::column::{Columns, Text, at_most, json};
use super::query::Access;
use super::statements::{statements, team};
use super::writing::{Expect, Writing, owned};

/// Where `$of` is the team's number. `team + 0` keeps the planner from walking
/// the team's questions where one or a few are asked for by their id or task.
macro_rules! questions {
    ($of:literal) => {
        concat!(
            "SELECT id, task, agent, text, options, asked_at, expires_at, state, answer,
                 answered_by, closed_at FROM questions WHERE ",
            $of,
            " = ",
            team!()
        )
    };
}

statements! { "questions":
    PUT = "
        INSERT INTO questions (id, team, task, agent, text, options, asked_at, expires_at, state,
            answer, answered_by, closed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        ON CONFLICT (id) DO UPDATE SET task = excluded.task, agent = excluded.agent,
            text = excluded.text, options = excluded.options, asked_at = excluded.asked_at,
            expires_at = excluded.expires_at, state = excluded.state, answer = excluded.answer,
            answered_by = excluded.answered_by, closed_at = excluded.closed_at";
    ONE = concat!(questions!("team + 0"), " AND id = $2");
    ALL = concat!(questions!("team"), " ORDER BY asked_at, id LIMIT $2");
    BY_STATE = concat!(questions!("team"), " AND state = $3 ORDER BY asked_at, id LIMIT $2");
    /// A task has few questions: in which state they are is looked at.
    BY_TASK = concat!(
        questions!("team + 0"), " AND task = $3 AND ($4::text IS NULL OR state = $4)
         ORDER BY asked_at, id LIMIT $2"
    );
}

pub(super) async fn put(
    tx: &mut Writing,
    team: &TeamName,
    question: &Question,
) -> Result<(), StoreError> {
    let values = owned![
        question.id.0,
        tx.team(team).await?.number,
        question.task.0,
        question.agent.to_string(),
        Text::owned(&question.text),
        json(&question.options)?,
        question.asked_at.micros(),
        question.expires_at.micros(),
        question.state.as_str(),
        question.answer.as_deref().map(Text::owned),
        question.answered_by.as_deref().map(Text::owned),
        question.closed_at.map(Timestamp::micros),
    ];
    tx.send(PUT, values, Expect::Success).await
}

pub(super) async fn one(
    ask: &mut impl Access,
    team: &TeamName,
    id: QuestionId,
) -> Result<Option<Question>, StoreError> {
    let rows = ask.rows(ONE, &[&team.as_str(), &id.0]).await?;
    rows.first().map(question).transpose()
}

pub(super) async fn list(
    ask: &mut impl Access,
    team: &TeamName,
    state: Option<QuestionState>,
    task: Option<TaskId>,
    limit: usize,
) -> Result<Vec<Question>, StoreError> {
    let (team, limit) = (team.as_str(), at_most::<usize>(limit));
    let state = state.map(QuestionState::as_str);
    let rows = match (task, state) {
        (Some(task), state) => ask.rows(BY_TASK, &[&team, &limit, &task.0, &state]).await?,
        (None, Some(state)) => ask.rows(BY_STATE, &[&team, &limit, &state]).await?,
        (None, None) => ask.rows(ALL, &[&team, &limit]).await?,
    };
    rows.iter().map(question).collect()
}

fn question(row: &Row) -> Result<Question, StoreError> {
    Ok(Question {
        id: QuestionId(row.uuid(0)?),
        task: TaskId(row.uuid(1)?),
        agent: row.name(2)?,
        text: row.text(3)?,
        options: row.json(4)?,
        asked_at: row.time(5)?,
        expires_at: row.time(6)?,
        state: row.word(7, QuestionState::from_text)?,
        answer: row.optional_text(8)?,
        answered_by: row.optional_text(9)?,
        closed_at: row.optional_time(10)?,
    })
}
