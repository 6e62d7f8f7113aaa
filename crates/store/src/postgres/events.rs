//! The log of events, numbered per team without gaps: whoever appends has the
//! team's row, and its newest number with it.

use collective_core::event::{Event, Fact};
use collective_core::ports::StoreError;
use collective_core::{TaskId, TeamName, Timestamp};
use tokio_postgres::Row;

use super::column::{Columns, Text, at_most, json, signed};
use super::query::Access;
use super::statements::{statements, team};
use super::writing::{Expect, Writing, owned};

statements! { "events":
    APPEND = "
        INSERT INTO events (team, seq, at, actor, task, fact)
        SELECT $1, $2::bigint + new.place, $3, $4, new.task, new.fact
        FROM unnest($5::uuid[], $6::text[]) WITH ORDINALITY AS new (task, fact, place)";
    NEWEST = "SELECT last_seq FROM teams WHERE name = $1";
    AFTER = concat!("
        SELECT seq, at, actor, fact FROM events
        WHERE team = ", team!(), " AND seq > $2 ORDER BY seq LIMIT $3");
    /// `+ 0` keeps the planner from walking the team's whole log.
    OF_TASK = concat!("
        SELECT seq, at, actor, fact FROM events
        WHERE task = $2 AND team + 0 = ", team!(), " ORDER BY seq LIMIT $3");
}

/// Appends facts; gives the number of the first.
pub(super) async fn append(
    tx: &mut Writing,
    team: &TeamName,
    actor: &str,
    at: Timestamp,
    facts: Vec<Fact>,
) -> Result<u64, StoreError> {
    let of = tx.team(team).await?;
    let newest = of.last_seq;
    if facts.is_empty() {
        return Ok(newest + 1);
    }
    let tasks: Vec<_> = facts
        .iter()
        .map(|fact| fact.task().map(|task| task.0))
        .collect();
    let texts: Vec<String> = facts.iter().map(json).collect::<Result<_, _>>()?;
    let values = owned![
        of.number,
        signed(newest)?,
        at.micros(),
        Text::owned(actor),
        tasks,
        texts
    ];
    tx.send(APPEND, values, Expect::Success).await?;
    let mut seq = newest;
    for fact in facts {
        seq += 1;
        tx.appended(Event {
            team: team.clone(),
            seq,
            at,
            actor: actor.to_owned(),
            fact,
        });
    }
    tx.note(team, |team| team.last_seq = seq);
    Ok(newest + 1)
}

pub(super) async fn last_seq(ask: &mut impl Access, team: &TeamName) -> Result<u64, StoreError> {
    // What the running work has appended isn't in the team's row yet.
    if let Some(team) = ask.known(team) {
        return Ok(team.last_seq);
    }
    let rows = ask.rows(NEWEST, &[&team.as_str()]).await?;
    rows.first().map_or(Ok(0), |row| row.number(0))
}

pub(super) async fn after(
    ask: &mut impl Access,
    team: &TeamName,
    after: u64,
    limit: usize,
) -> Result<Vec<Event>, StoreError> {
    let (after, limit): (i64, i64) = (at_most(after), at_most(limit));
    let rows = ask.rows(AFTER, &[&team.as_str(), &after, &limit]).await?;
    rows.iter().map(|row| event_at(team, row)).collect()
}

pub(super) async fn of_task(
    ask: &mut impl Access,
    team: &TeamName,
    task: TaskId,
    limit: usize,
) -> Result<Vec<Event>, StoreError> {
    let limit: i64 = at_most(limit);
    let rows = ask
        .rows(OF_TASK, &[&team.as_str(), &task.0, &limit])
        .await?;
    rows.iter().map(|row| event_at(team, row)).collect()
}

/// Reads `seq, at, actor, fact`.
pub(super) fn event_at(team: &TeamName, row: &Row) -> Result<Event, StoreError> {
    Ok(Event {
        team: team.clone(),
        seq: row.number(0)?,
        at: row.time(1)?,
        actor: row.text(2)?,
        fact: row.json(3)?,
    })
}
