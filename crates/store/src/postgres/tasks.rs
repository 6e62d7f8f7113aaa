//! Tasks as rows: written new, moved, and read. A batch is one statement, its
//! columns as arrays.

use std::collections::HashMap;

use collective_core::ports::StoreError;
use collective_core::task::{Epoch, Lease, LeaseToken, Task, TaskState};
use collective_core::{QuestionId, Span, TaskId, TeamName};
use tokio_postgres::Row;
use uuid::Uuid;

use super::column::{Columns, Text, at_most, json, signed};
use super::query::Access;
use super::statements::{statements, team};
use super::writing::{Expect, Writing, owned};

/// The columns that [`task`] reads, for a `SELECT` from `tasks`. What was asked
/// is a question of its own and no join: a join's order is the planner's to
/// choose, and while it believes that a table is empty it chooses badly.
macro_rules! task_columns {
    () => {
        "tasks.id, tasks.number, tasks.state, waiting_on, ready_at, wake_at, epoch, attempts_used,
         poisonings, lease_agent, lease_secret, lease_ttl, lease_expires_at, question,
         cancel_reason, created_by, created_at, started_at, finished_at, failure, result"
    };
}
pub(super) use task_columns;

/// The last column that [`task`] reads.
macro_rules! task_spec {
    () => {
        "(SELECT spec FROM task_specs
          WHERE task_specs.team = tasks.team AND task_specs.number = tasks.number)"
    };
}
pub(super) use task_spec;

/// The tasks that the condition picks by their ids.
macro_rules! by_ids {
    ($condition:literal) => {
        concat!(
            "SELECT ",
            task_columns!(),
            ", asked.spec FROM (
                 SELECT team, number, spec FROM task_specs WHERE ",
            $condition,
            " AND team + 0 = ",
            team!(),
            " OFFSET 0) AS asked
             CROSS JOIN LATERAL (
                 SELECT * FROM tasks WHERE team = asked.team AND number = asked.number
                 OFFSET 0) AS tasks"
        )
    };
}

statements! { "tasks":
    INSERT = "
        INSERT INTO tasks
            (team, number, id, lane, priority, created_by, created_at, state, waiting_on,
             ready_at, wake_at, due_at, epoch, attempts_used, poisonings, lease_agent,
             lease_secret, lease_ttl, lease_expires_at, question, cancel_reason, started_at,
             finished_at, failure, result)
        SELECT $1, * FROM unnest(
            $2::bigint[], $3::uuid[], $4::text[], $5::smallint[], $6::text[], $7::bigint[],
            $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[],
            $14::bigint[], $15::bigint[], $16::text[], $17::uuid[], $18::bigint[],
            $19::bigint[], $20::uuid[], $21::text[], $22::bigint[], $23::bigint[], $24::text[],
            $25::text[])";
    INSERT_SPECS = "
        INSERT INTO task_specs (team, number, id, spec)
        SELECT $1, * FROM unnest($2::bigint[], $3::uuid[], $4::text[])";
    INSERT_LABELS = "
        INSERT INTO task_labels (team, number, label, value)
        SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[])";
    /// Each row is looked up by its number, once, and then gone to: left to a
    /// join, the planner goes round in squares while it believes that there is
    /// little. Nobody else moves the rows, since the team is locked.
    UPDATE = "
        UPDATE tasks SET
            state = new.state, waiting_on = new.waiting_on, ready_at = new.ready_at,
            wake_at = new.wake_at, due_at = new.due_at, epoch = new.epoch,
            attempts_used = new.attempts_used, poisonings = new.poisonings,
            lease_agent = new.lease_agent, lease_secret = new.lease_secret,
            lease_ttl = new.lease_ttl, lease_expires_at = new.lease_expires_at,
            question = new.question, cancel_reason = new.cancel_reason,
            started_at = new.started_at, finished_at = new.finished_at,
            failure = new.failure, result = new.result
        FROM unnest(
            $2::bigint[], $3::uuid[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
            $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::text[], $13::uuid[],
            $14::bigint[], $15::bigint[], $16::uuid[], $17::text[], $18::bigint[],
            $19::bigint[], $20::text[], $21::text[])
        AS new (number, id, state, waiting_on, ready_at, wake_at, due_at, epoch, attempts_used,
            poisonings, lease_agent, lease_secret, lease_ttl, lease_expires_at, question,
            cancel_reason, started_at, finished_at, failure, result)
        CROSS JOIN LATERAL (
            SELECT ctid FROM tasks WHERE team = $1 AND number = new.number AND id = new.id
            OFFSET 0) AS place
        WHERE tasks.ctid = place.ctid";
    /// `+ 0` keeps the planner from walking all tasks of the team.
    BY_IDS = by_ids!("id = ANY ($2)");
    BY_ID = by_ids!("id = $2");
    BY_NUMBER = concat!(
        "SELECT ",
        task_columns!(),
        ", ",
        task_spec!(),
        " FROM tasks WHERE tasks.number = $2 AND tasks.team = ",
        team!()
    );
}

/// Writes new tasks, and counts them.
pub(super) async fn insert(
    tx: &mut Writing,
    team: &TeamName,
    tasks: &[Task],
) -> Result<(), StoreError> {
    let of = tx.team(team).await?.number;
    if tasks.is_empty() {
        return Ok(());
    }
    let mut born = Born::with_capacity(tasks.len());
    for task in tasks {
        born.add(task)?;
    }
    let moves = Moves::of(tasks)?;
    let (numbers, ids) = (moves.numbers.clone(), moves.ids.clone());
    let values = owned![
        of,
        moves.numbers,
        moves.ids,
        born.lanes,
        born.priorities,
        born.creators,
        born.created_at,
        moves.states,
        moves.waiting_on,
        moves.ready_at,
        moves.wake_at,
        moves.due_at,
        moves.epochs,
        moves.attempts_used,
        moves.poisonings,
        moves.lease_agents,
        moves.lease_secrets,
        moves.lease_ttls,
        moves.lease_expires_at,
        moves.questions,
        moves.cancel_reasons,
        moves.started_at,
        moves.finished_at,
        moves.failures,
        moves.results,
    ];
    tx.send(INSERT, values, Expect::Success).await?;
    let values = owned![of, numbers, ids, born.specs];
    tx.send(INSERT_SPECS, values, Expect::Success).await?;
    if !born.labels.is_empty() {
        let values = owned![of, born.labelled, born.labels, born.label_values];
        tx.send(INSERT_LABELS, values, Expect::Success).await?;
    }
    tx.note(team, |team| team.tasks += tasks.len() as u64);
    Ok(())
}

/// Writes everything of tasks but what was asked. A task that isn't there is an error.
pub(super) async fn update(
    tx: &mut Writing,
    team: &TeamName,
    tasks: &[Task],
) -> Result<(), StoreError> {
    let of = tx.team(team).await?.number;
    if tasks.is_empty() {
        return Ok(());
    }
    let moves = Moves::of(tasks)?;
    let values = owned![
        of,
        moves.numbers,
        moves.ids,
        moves.states,
        moves.waiting_on,
        moves.ready_at,
        moves.wake_at,
        moves.due_at,
        moves.epochs,
        moves.attempts_used,
        moves.poisonings,
        moves.lease_agents,
        moves.lease_secrets,
        moves.lease_ttls,
        moves.lease_expires_at,
        moves.questions,
        moves.cancel_reasons,
        moves.started_at,
        moves.finished_at,
        moves.failures,
        moves.results,
    ];
    let expect = Expect::Rows(tasks.len() as u64, "tasks");
    tx.send(UPDATE, values, expect).await
}

/// What is written of a task once, as columns.
#[derive(Default)]
struct Born {
    lanes: Vec<String>,
    priorities: Vec<i16>,
    creators: Vec<Text<'static>>,
    created_at: Vec<i64>,
    specs: Vec<String>,
    labelled: Vec<i64>,
    labels: Vec<Text<'static>>,
    label_values: Vec<Text<'static>>,
}

impl Born {
    fn with_capacity(tasks: usize) -> Self {
        Self {
            lanes: Vec::with_capacity(tasks),
            priorities: Vec::with_capacity(tasks),
            creators: Vec::with_capacity(tasks),
            created_at: Vec::with_capacity(tasks),
            specs: Vec::with_capacity(tasks),
            ..Self::default()
        }
    }

    fn add(&mut self, task: &Task) -> Result<(), StoreError> {
        self.lanes.push(task.lane().to_string());
        self.priorities.push(task.spec.priority.rank().into());
        self.creators.push(Text::owned(&task.created_by));
        self.created_at.push(task.created_at.micros());
        self.specs.push(json(&task.spec)?);
        for (label, value) in &task.spec.labels {
            self.labelled.push(signed(task.number)?);
            self.labels.push(Text::owned(label));
            self.label_values.push(Text::owned(value));
        }
        Ok(())
    }
}

/// What is written of a task with each move, as columns.
#[derive(Default)]
struct Moves {
    numbers: Vec<i64>,
    ids: Vec<Uuid>,
    states: Vec<&'static str>,
    waiting_on: Vec<i64>,
    ready_at: Vec<i64>,
    wake_at: Vec<Option<i64>>,
    due_at: Vec<Option<i64>>,
    epochs: Vec<i64>,
    attempts_used: Vec<i64>,
    poisonings: Vec<i64>,
    lease_agents: Vec<Option<String>>,
    lease_secrets: Vec<Option<Uuid>>,
    lease_ttls: Vec<Option<i64>>,
    lease_expires_at: Vec<Option<i64>>,
    questions: Vec<Option<Uuid>>,
    cancel_reasons: Vec<Option<Text<'static>>>,
    started_at: Vec<Option<i64>>,
    finished_at: Vec<Option<i64>>,
    failures: Vec<Option<String>>,
    results: Vec<Option<String>>,
}

impl Moves {
    fn of(tasks: &[Task]) -> Result<Self, StoreError> {
        let mut moves = Self::default();
        for task in tasks {
            moves.add(task)?;
        }
        Ok(moves)
    }

    fn add(&mut self, task: &Task) -> Result<(), StoreError> {
        self.numbers.push(signed(task.number)?);
        self.ids.push(task.id.0);
        self.states.push(task.state.as_str());
        self.waiting_on.push(task.waiting_on.into());
        self.ready_at.push(task.ready_at.micros());
        self.wake_at.push(task.wake_at.map(|at| at.micros()));
        self.due_at.push(task.due_at().map(|at| at.micros()));
        self.epochs.push(task.epoch.0.into());
        self.attempts_used.push(task.attempts_used.into());
        self.poisonings.push(task.poisonings.into());
        self.add_lease(task.lease.as_ref())?;
        self.questions.push(task.question.map(|id| id.0));
        let reason = task.cancel_reason.as_deref();
        self.cancel_reasons.push(reason.map(Text::owned));
        self.started_at.push(task.started_at.map(|at| at.micros()));
        self.finished_at
            .push(task.finished_at.map(|at| at.micros()));
        self.failures
            .push(task.failure.as_ref().map(json).transpose()?);
        self.results
            .push(task.result.as_ref().map(json).transpose()?);
        Ok(())
    }

    /// A lease is four columns, all empty without one.
    fn add_lease(&mut self, lease: Option<&Lease>) -> Result<(), StoreError> {
        self.lease_agents
            .push(lease.map(|lease| lease.agent.to_string()));
        let token = lease.and_then(|lease| lease.token);
        self.lease_secrets
            .push(token.map(|token| Uuid::from_u128(token.secret)));
        let ttl = lease.map(|lease| signed(lease.ttl.micros()));
        self.lease_ttls.push(ttl.transpose()?);
        self.lease_expires_at
            .push(lease.map(|lease| lease.expires_at.micros()));
        Ok(())
    }
}

pub(super) async fn by_id(
    ask: &mut impl Access,
    team: &TeamName,
    id: TaskId,
) -> Result<Option<Task>, StoreError> {
    let rows = ask.rows(BY_ID, &[&team.as_str(), &id.0]).await?;
    rows.first().map(task).transpose()
}

pub(super) async fn by_number(
    ask: &mut impl Access,
    team: &TeamName,
    number: u64,
) -> Result<Option<Task>, StoreError> {
    let number = at_most(number);
    let rows = ask.rows(BY_NUMBER, &[&team.as_str(), &number]).await?;
    rows.first().map(task).transpose()
}

/// The tasks with these ids, in their order, for change; unknown ones are left out.
pub(super) async fn by_ids(
    tx: &mut Writing,
    team: &TeamName,
    ids: &[TaskId],
) -> Result<Vec<Task>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    tx.lock(team).await?;
    let asked: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = tx.rows(BY_IDS, &[&team.as_str(), &asked]).await?;
    let found = rows.iter().map(|row| task(row).map(|task| (task.id, task)));
    let found: HashMap<TaskId, Task> = found.collect::<Result<_, _>>()?;
    Ok(ids.iter().filter_map(|id| found.get(id).cloned()).collect())
}

/// Reads a row of [`task_columns`].
pub(super) fn task(row: &Row) -> Result<Task, StoreError> {
    let epoch = Epoch(row.number(6)?);
    let lease = match row.optional_name(9)? {
        Some(agent) => Some(Lease {
            agent,
            token: row
                .optional_secret(10)?
                .map(|secret| LeaseToken { epoch, secret }),
            ttl: Span::from_micros(row.number(11)?),
            expires_at: row.time(12)?,
        }),
        None => None,
    };
    Ok(Task {
        id: TaskId(row.uuid(0)?),
        number: row.number(1)?,
        state: row.word(2, TaskState::from_text)?,
        waiting_on: row.number(3)?,
        ready_at: row.time(4)?,
        wake_at: row.optional_time(5)?,
        epoch,
        attempts_used: row.number(7)?,
        poisonings: row.number(8)?,
        lease,
        question: row.optional_uuid(13)?.map(QuestionId),
        cancel_reason: row.optional_text(14)?,
        created_by: row.text(15)?,
        created_at: row.time(16)?,
        started_at: row.optional_time(17)?,
        finished_at: row.optional_time(18)?,
        failure: row.optional_json(19)?,
        result: row.optional_json(20)?,
        spec: row.json(21)?,
    })
}
