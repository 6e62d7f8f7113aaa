//! What the dispatch asks: who is next, who holds what, what is due, how many there are.
//!
//! Every statement here reads an index whose size is the number of tasks that
//! it is about, so its cost doesn't grow with the tasks that have ended.

use std::collections::BTreeMap;

use collective_core::ports::StoreError;
use collective_core::ports::store::{Head, LaneCount};
use collective_core::task::{Lane, Priority, TaskState};
use collective_core::{AgentName, TaskId, TeamName, Timestamp};
use tokio_postgres::Row;

use super::column::{Columns, at_most};
use super::query::Access;
use super::statements::{statements, team};
use super::writing::Writing;

/// The condition of the index `tasks_aside`: PostgreSQL uses a partial index
/// only where it can see that the query implies its condition.
macro_rules! aside {
    () => {
        "state IN ('blocked', 'scheduled', 'retrying', 'quota_wait', 'dead', 'cancelled',
                   'discarded')"
    };
}
pub(super) use aside;

statements! { "lanes":
    /// The ranks are those of `Priority::ALL`.
    HEADS = concat!("
        SELECT heads.id, heads.priority, heads.ready_at, heads.number
        FROM unnest($2::text[]) WITH ORDINALITY AS asked (lane, place)
        CROSS JOIN unnest($3::smallint[]) AS ranks (priority)
        CROSS JOIN LATERAL (
            SELECT id, priority, ready_at, number FROM tasks
            WHERE state = 'queued' AND team = ", team!(), " AND lane = asked.lane
              AND priority = ranks.priority
            ORDER BY ready_at, number LIMIT $4) AS heads
        ORDER BY asked.place, heads.priority, heads.ready_at, heads.number");
    /// In the order of the index, so that it ends at the limit. Without it the
    /// planner may take a bitmap, which reads every entry of the lane first,
    /// those of tasks that were taken since the last vacuum too.
    AHEAD = concat!("
        SELECT COUNT(*) FROM (
            SELECT 1 FROM tasks
            WHERE state = 'queued' AND team = ", team!(), " AND lane = $2
              AND (priority, ready_at, number) < ($3::smallint, $4::bigint, $5::bigint)
            ORDER BY priority, ready_at, number LIMIT $6) AS ahead");
    DUE = "
        SELECT teams.name, due.id FROM (
            SELECT team, id, due_at, number FROM tasks
            WHERE due_at <= $1 ORDER BY due_at, team, number LIMIT $2) AS due
        JOIN teams ON teams.number = due.team
        ORDER BY due.due_at, due.team, due.number";
    HELD = concat!("
        SELECT lease_agent, COUNT(*) FROM tasks
        WHERE team = ", team!(), " AND lease_agent IS NOT NULL GROUP BY lease_agent");
    HELD_BY = concat!("
        SELECT COUNT(*) FROM tasks WHERE team = ", team!(), " AND lease_agent = $2");
    /// Queued and leased tasks. Its cost is that of walking the queued ones.
    COUNTS = concat!("
        SELECT lane, priority, 'queued', COUNT(*) FROM tasks
        WHERE state = 'queued' AND team = ", team!(), " GROUP BY lane, priority
        UNION ALL
        SELECT lane, priority, state, COUNT(*) FROM tasks
        WHERE team = ", team!(), " AND lease_agent IS NOT NULL GROUP BY lane, priority, state");
    /// Queued and dead ones and the like are walked in their indexes; with how
    /// many there ever were, the succeeded ones are what is left.
    STATES = concat!("
        SELECT 'queued', COUNT(*) FROM tasks WHERE state = 'queued' AND team = ", team!(), "
        UNION ALL
        SELECT state, COUNT(*) FROM tasks
        WHERE team = ", team!(), " AND lease_agent IS NOT NULL GROUP BY state
        UNION ALL
        SELECT state, COUNT(*) FROM tasks WHERE team = ", team!(), " AND ", aside!(), "
        GROUP BY state
        UNION ALL
        SELECT NULL, tasks FROM teams WHERE name = $1");
    NEXT_DUE = "
        SELECT LEAST(
            (SELECT MIN(due_at) FROM tasks WHERE due_at IS NOT NULL),
            (SELECT MIN(next_at) FROM schedules WHERE NOT paused),
            (SELECT MIN(expires_at) FROM reservations))";
}

/// The first queued tasks of each lane and priority, for change.
pub(super) async fn heads(
    tx: &mut Writing,
    team: &TeamName,
    lanes: &[Lane],
    limit: usize,
) -> Result<Vec<Head>, StoreError> {
    tx.lock(team).await?;
    let lanes: Vec<String> = lanes.iter().map(ToString::to_string).collect();
    let ranks = Priority::ALL.map(|priority| i16::from(priority.rank()));
    let limit: i64 = at_most(limit);
    let rows = tx
        .rows(HEADS, &[&team.as_str(), &lanes, &ranks.as_slice(), &limit])
        .await?;
    let head = |row: &Row| {
        Ok(Head {
            id: TaskId(row.uuid(0)?),
            priority: priority(row, 1)?,
            ready_at: row.time(2)?,
            number: row.number(3)?,
        })
    };
    rows.iter().map(head).collect()
}

/// How many lie before a place, counted up to `limit`.
pub(super) async fn count_ahead(
    ask: &mut impl Access,
    team: &TeamName,
    lane: &Lane,
    (priority, ready_at, number): (Priority, Timestamp, u64),
    limit: u64,
) -> Result<u64, StoreError> {
    let rows = ask
        .rows(
            AHEAD,
            &[
                &team.as_str(),
                &lane.to_string(),
                &i16::from(priority.rank()),
                &ready_at.micros(),
                &at_most(number),
                &at_most(limit),
            ],
        )
        .await?;
    rows.first().map_or(Ok(0), |row| row.number(0))
}

/// Queued and leased tasks by lane and priority.
pub(super) async fn counts(
    ask: &mut impl Access,
    team: &TeamName,
) -> Result<Vec<LaneCount>, StoreError> {
    let rows = ask.rows(COUNTS, &[&team.as_str()]).await?;
    let count = |row: &Row| {
        Ok(LaneCount {
            lane: row.name(0)?,
            priority: priority(row, 1)?,
            state: row.word(2, TaskState::from_text)?,
            count: row.number(3)?,
        })
    };
    rows.iter().map(count).collect()
}

fn priority(row: &Row, column: usize) -> Result<Priority, StoreError> {
    let rank: i16 = row.value(column)?;
    u8::try_from(rank)
        .ok()
        .and_then(Priority::from_rank)
        .ok_or_else(|| StoreError::Corrupt(format!("{rank} is no priority's rank")))
}

/// Tasks by state.
pub(super) async fn state_counts(
    ask: &mut impl Access,
    team: &TeamName,
) -> Result<BTreeMap<TaskState, u64>, StoreError> {
    let rows = ask.rows(STATES, &[&team.as_str()]).await?;
    let (mut by_state, mut total) = (BTreeMap::new(), 0);
    for row in &rows {
        let count: u64 = row.number(1)?;
        match row.value::<Option<&str>>(0)? {
            Some(_) if count > 0 => {
                by_state.insert(row.word(0, TaskState::from_text)?, count);
            }
            Some(_) => {}
            None => total = count,
        }
    }
    // The running work's own tasks aren't in the team's row yet.
    let total = ask.known(team).map_or(total, |team| team.tasks);
    let succeeded = total.saturating_sub(by_state.values().sum());
    if succeeded > 0 {
        by_state.insert(TaskState::Succeeded, succeeded);
    }
    Ok(by_state)
}

/// Leases of each agent that holds any.
pub(super) async fn held(
    ask: &mut impl Access,
    team: &TeamName,
) -> Result<BTreeMap<AgentName, u32>, StoreError> {
    let rows = ask.rows(HELD, &[&team.as_str()]).await?;
    let held = |row: &Row| Ok((row.name(0)?, row.number(1)?));
    rows.iter().map(held).collect()
}

/// Leases of one agent.
pub(super) async fn held_by(
    ask: &mut impl Access,
    team: &TeamName,
    agent: &AgentName,
) -> Result<u32, StoreError> {
    let rows = ask
        .rows(HELD_BY, &[&team.as_str(), &agent.as_str()])
        .await?;
    rows.first().map_or(Ok(0), |row| row.number(0))
}

/// Tasks whose time has come, earliest first.
pub(super) async fn due(
    ask: &mut impl Access,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<(TeamName, TaskId)>, StoreError> {
    let limit: i64 = at_most(limit);
    let rows = ask.rows(DUE, &[&now.micros(), &limit]).await?;
    let due = |row: &Row| Ok((row.name(0)?, TaskId(row.uuid(1)?)));
    rows.iter().map(due).collect()
}

/// When something comes due next: a task, a schedule, a reservation.
pub(super) async fn next_due(ask: &mut impl Access) -> Result<Option<Timestamp>, StoreError> {
    let rows = ask.rows(NEXT_DUE, &[]).await?;
    rows.first().map_or(Ok(None), |row| row.optional_time(0))
}
