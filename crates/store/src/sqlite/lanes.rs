//! What the dispatch asks: who is next, who holds what, what is due, how many there are.
//!
//! Every statement here reads one index whose size is the number of tasks that
//! it is about, so its cost doesn't grow with the tasks that have ended.

use std::collections::BTreeMap;

use collective_core::ports::store::{Head, LaneCount};
use collective_core::task::{Lane, Priority, TaskState};
use collective_core::{AgentName, TaskId, TeamName, Timestamp};
use rusqlite::{Connection, Row, params};

use super::column::{Columns, Unsigned};
use super::range::{self, Range};

pub(super) const HEADS: &str = "
    SELECT id, ready_at, row FROM tasks INDEXED BY tasks_queued
    WHERE state = 'queued' AND team = ?1 AND lane = ?2 AND priority = ?3
    ORDER BY ready_at, row LIMIT ?4";

pub(super) const AHEAD: &str = "
    SELECT COUNT(*) FROM (
        SELECT 1 FROM tasks INDEXED BY tasks_queued
        WHERE state = 'queued' AND team = ?1 AND lane = ?2
          AND (priority, ready_at, row) < (?3, ?4, ?5)
        LIMIT ?6)";

pub(super) const DUE: &str = "
    SELECT teams.name, id FROM tasks INDEXED BY tasks_due
    JOIN teams ON teams.number = tasks.team
    WHERE due_at <= ?1 ORDER BY due_at, row LIMIT ?2";

pub(super) const HELD: &str = "
    SELECT lease_agent, COUNT(*) FROM tasks INDEXED BY tasks_leased
    WHERE team = ?1 AND lease_agent IS NOT NULL GROUP BY lease_agent";

pub(super) const HELD_BY: &str = "
    SELECT COUNT(*) FROM tasks INDEXED BY tasks_leased
    WHERE team = ?1 AND lease_agent = ?2";

pub(super) const QUEUED_COUNTS: &str = "
    SELECT lane, priority, 'queued', COUNT(*) FROM tasks INDEXED BY tasks_queued
    WHERE state = 'queued' AND team = ?1 GROUP BY lane, priority";

pub(super) const LEASED_COUNTS: &str = "
    SELECT lane, priority, state, COUNT(*) FROM tasks INDEXED BY tasks_leased
    WHERE team = ?1 AND lease_agent IS NOT NULL GROUP BY lane, priority, state";

/// The condition of the index `tasks_aside`, word for word: SQLite uses a
/// partial index only where it can see that the query implies its condition.
macro_rules! aside {
    () => {
        "(state = 'blocked' OR state = 'scheduled' OR state = 'retrying'
       OR state = 'quota_wait' OR state = 'dead' OR state = 'cancelled'
       OR state = 'discarded')"
    };
}

pub(super) const ASIDE_COUNTS: &str = concat!(
    "SELECT state, COUNT(*) FROM tasks INDEXED BY tasks_aside WHERE team = ?1 AND ",
    aside!(),
    " GROUP BY state"
);

pub(super) const NEXT_DUE: &str = "
    SELECT MIN(at) FROM (
        SELECT MIN(due_at) AS at FROM tasks WHERE due_at IS NOT NULL
        UNION ALL SELECT MIN(next_at) FROM schedules WHERE paused = 0
        UNION ALL SELECT MIN(expires_at) FROM reservations)";

/// The first queued tasks of each lane and priority.
pub(super) fn heads(
    connection: &Connection,
    team: &TeamName,
    lanes: &[Lane],
    limit: usize,
) -> rusqlite::Result<Vec<Head>> {
    let Some(range) = Range::find(connection, team)? else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare_cached(HEADS)?;
    let mut heads = Vec::new();
    for lane in lanes {
        let lane = lane.to_string();
        for priority in Priority::ALL {
            let mut rows = statement.query(params![
                range.team(),
                lane,
                priority.rank(),
                Unsigned::limit(limit)
            ])?;
            while let Some(row) = rows.next()? {
                heads.push(Head {
                    id: TaskId(row.uuid(0)?),
                    priority,
                    ready_at: row.time(1)?,
                    number: range::number(row.get(2)?),
                });
            }
        }
    }
    Ok(heads)
}

/// How many lie before a place, counted up to `limit`.
pub(super) fn count_ahead(
    connection: &Connection,
    team: &TeamName,
    lane: &Lane,
    (priority, ready_at, number): (Priority, Timestamp, u64),
    limit: u64,
) -> rusqlite::Result<u64> {
    let Some(range) = Range::find(connection, team)? else {
        return Ok(0);
    };
    let count: Unsigned = connection.prepare_cached(AHEAD)?.query_row(
        params![
            range.team(),
            lane.to_string(),
            priority.rank(),
            ready_at.micros(),
            range.place(number),
            Unsigned(limit.min(i64::MAX.unsigned_abs())),
        ],
        |row| row.get(0),
    )?;
    Ok(count.0)
}

/// Queued and leased tasks by lane and priority. Its cost is that of walking
/// the queued ones in their index (about 0.1 s for a million).
pub(super) fn counts(connection: &Connection, team: &TeamName) -> rusqlite::Result<Vec<LaneCount>> {
    let Some(range) = Range::find(connection, team)? else {
        return Ok(Vec::new());
    };
    let mut counts = Vec::new();
    for question in [QUEUED_COUNTS, LEASED_COUNTS] {
        let mut statement = connection.prepare_cached(question)?;
        let mut rows = statement.query(params![range.team()])?;
        while let Some(row) = rows.next()? {
            counts.push(LaneCount {
                lane: row.name(0)?,
                priority: priority(row, 1)?,
                state: row.word(2, TaskState::from_text)?,
                count: row.get::<_, Unsigned>(3)?.0,
            });
        }
    }
    Ok(counts)
}

fn priority(row: &Row<'_>, column: usize) -> rusqlite::Result<Priority> {
    let rank: u8 = row.get(column)?;
    Priority::from_rank(rank).ok_or(rusqlite::Error::IntegralValueOutOfRange(
        column,
        rank.into(),
    ))
}

/// Tasks by state. Queued and dead ones and the like are walked in their
/// indexes; the succeeded ones, of which there may be any number, are what is
/// left of the total.
pub(super) fn state_counts(
    connection: &Connection,
    team: &TeamName,
) -> rusqlite::Result<BTreeMap<TaskState, u64>> {
    let mut by_state = BTreeMap::new();
    let Some(range) = Range::find(connection, team)? else {
        return Ok(by_state);
    };
    for count in counts(connection, team)? {
        *by_state.entry(count.state).or_insert(0) += count.count;
    }
    let mut statement = connection.prepare_cached(ASIDE_COUNTS)?;
    let mut rows = statement.query(params![range.team()])?;
    while let Some(row) = rows.next()? {
        let state = row.word(0, TaskState::from_text)?;
        by_state.insert(state, row.get::<_, Unsigned>(1)?.0);
    }
    let total: Unsigned = connection
        .prepare_cached("SELECT COALESCE(SUM(tasks), 0) FROM task_totals WHERE team = ?1")?
        .query_row(params![range.team()], |row| row.get(0))?;
    let succeeded = total.0.saturating_sub(by_state.values().sum());
    if succeeded > 0 {
        by_state.insert(TaskState::Succeeded, succeeded);
    }
    Ok(by_state)
}

/// Leases of each agent that holds any.
pub(super) fn held(
    connection: &Connection,
    team: &TeamName,
) -> rusqlite::Result<BTreeMap<AgentName, u32>> {
    let Some(range) = Range::find(connection, team)? else {
        return Ok(BTreeMap::new());
    };
    connection
        .prepare_cached(HELD)?
        .query_map(params![range.team()], |row| Ok((row.name(0)?, row.get(1)?)))?
        .collect()
}

/// Leases of one agent.
pub(super) fn held_by(
    connection: &Connection,
    team: &TeamName,
    agent: &AgentName,
) -> rusqlite::Result<u32> {
    let Some(range) = Range::find(connection, team)? else {
        return Ok(0);
    };
    connection
        .prepare_cached(HELD_BY)?
        .query_row(params![range.team(), agent.as_str()], |row| row.get(0))
}

/// Tasks whose time has come, earliest first.
pub(super) fn due(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<(TeamName, TaskId)>> {
    connection
        .prepare_cached(DUE)?
        .query_map(params![now.micros(), Unsigned::limit(limit)], |row| {
            Ok((row.name(0)?, TaskId(row.uuid(1)?)))
        })?
        .collect()
}

/// When something comes due next: a task, a schedule, a reservation.
pub(super) fn next_due(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    connection
        .prepare_cached(NEXT_DUE)?
        .query_row(params![], |row| row.optional_time(0))
}
