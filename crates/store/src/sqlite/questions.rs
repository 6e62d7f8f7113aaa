//! Questions that tasks asked.

use collective_core::question::{Question, QuestionState};
use collective_core::{QuestionId, TaskId, TeamName, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::column::{Columns, Unsigned, bytes, json};

const QUESTIONS: &str = "SELECT id, task, agent, text, options, asked_at, expires_at, state,
     answer, answered_by, closed_at FROM questions";

pub(super) fn put(
    connection: &Connection,
    team: &TeamName,
    question: &Question,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO questions (id, team, task, agent, text, options, asked_at, expires_at,
                 state, answer, answered_by, closed_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (id) DO UPDATE SET task = excluded.task, agent = excluded.agent,
                 text = excluded.text, options = excluded.options,
                 asked_at = excluded.asked_at, expires_at = excluded.expires_at,
                 state = excluded.state, answer = excluded.answer,
                 answered_by = excluded.answered_by, closed_at = excluded.closed_at",
        )?
        .execute(params![
            bytes(&question.id.0),
            team.as_str(),
            bytes(&question.task.0),
            question.agent.as_str(),
            question.text,
            json(&question.options)?,
            question.asked_at.micros(),
            question.expires_at.micros(),
            question.state.as_str(),
            question.answer,
            question.answered_by,
            question.closed_at.map(Timestamp::micros),
        ])?;
    Ok(())
}

pub(super) fn one(
    connection: &Connection,
    team: &TeamName,
    id: QuestionId,
) -> rusqlite::Result<Option<Question>> {
    connection
        .prepare_cached(&format!("{QUESTIONS} WHERE id = ?1 AND team = ?2"))?
        .query_row(params![bytes(&id.0), team.as_str()], question)
        .optional()
}

pub(super) fn list(
    connection: &Connection,
    team: &TeamName,
    state: Option<QuestionState>,
    task: Option<TaskId>,
    limit: usize,
) -> rusqlite::Result<Vec<Question>> {
    let team = team.as_str();
    let limit = Unsigned::limit(limit);
    let state = state.map(QuestionState::as_str);
    let task = task.as_ref().map(|task| bytes(&task.0));
    let mut conditions = "team = ?1".to_owned();
    let mut bound: Vec<&dyn ToSql> = vec![&team, &limit];
    if let Some(state) = &state {
        bound.push(state);
        conditions.push_str(&format!(" AND state = ?{}", bound.len()));
    }
    if let Some(task) = &task {
        bound.push(task);
        conditions.push_str(&format!(" AND task = ?{}", bound.len()));
    }
    connection
        .prepare_cached(&format!(
            "{QUESTIONS} WHERE {conditions} ORDER BY asked_at, id LIMIT ?2"
        ))?
        .query_map(bound.as_slice(), question)?
        .collect()
}

fn question(row: &Row<'_>) -> rusqlite::Result<Question> {
    Ok(Question {
        id: QuestionId(row.uuid(0)?),
        task: TaskId(row.uuid(1)?),
        agent: row.name(2)?,
        text: row.get(3)?,
        options: row.json(4)?,
        asked_at: row.time(5)?,
        expires_at: row.time(6)?,
        state: row.word(7, QuestionState::from_text)?,
        answer: row.get(8)?,
        answered_by: row.get(9)?,
        closed_at: row.optional_time(10)?,
    })
}
