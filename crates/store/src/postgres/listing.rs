//! Listings of tasks, newest first, each by the index that suits its filter.
//!
//! A statement first picks numbers, from an index where it can, and then reads
//! those tasks. By label and by agent there is one way; otherwise each state has
//! its own, and a page of dead letters among a million succeeded tasks costs
//! what the page has. Two listings walk more than they show: of queued tasks all
//! that are queued, and of a lane without a state all tasks until the page is full.

use collective_core::TeamName;
use collective_core::ports::StoreError;
use collective_core::ports::store::TaskFilter;
use collective_core::task::Task;
use tokio_postgres::types::ToSql;

use super::column::{Text, at_most};
use super::lanes::aside;
use super::query::Access;
use super::statements::{statements, team};
use super::tasks::{task, task_columns, task_spec};

/// Reads the tasks whose numbers were picked. `OFFSET 0` keeps the planner from
/// turning it round.
macro_rules! read {
    ($picked:expr) => {
        concat!(
            "SELECT ",
            task_columns!(),
            ", ",
            task_spec!(),
            " FROM (",
            $picked,
            ") AS picked
             CROSS JOIN LATERAL (
                 SELECT * FROM tasks WHERE team = ",
            team!(),
            " AND number = picked.number OFFSET 0) AS tasks
             ORDER BY tasks.number DESC"
        )
    };
}

/// Picks of the team's tasks the newest before `$2`, at most `$3`, in the lane
/// `$4` if there is one.
macro_rules! pick {
    ($condition:expr) => {
        concat!(
            "SELECT number FROM tasks WHERE team = ",
            team!(),
            " AND number < $2 AND ($4::text IS NULL OR lane = $4) AND ",
            $condition,
            " ORDER BY number DESC LIMIT $3"
        )
    };
}

/// The same where no index has the order: all that the condition lets through
/// are walked in its index. `+ 0` keeps PostgreSQL from walking all tasks instead.
macro_rules! walk {
    ($condition:expr) => {
        concat!(
            "SELECT number FROM tasks WHERE team = ",
            team!(),
            " AND number < $2 AND ($4::text IS NULL OR lane = $4) AND ",
            $condition,
            " ORDER BY number + 0 DESC LIMIT $3"
        )
    };
}

statements! { "listing":
    ALL = read!(pick!("TRUE"));
    /// One part for each index. Those that no state of `$5` is in aren't looked into.
    BY_STATE = read!(concat!(
        "(", walk!("state = 'queued' AND 'queued' = ANY ($5::text[])"), ")
         UNION ALL
         (", walk!("lease_agent IS NOT NULL AND state = ANY ($5::text[])
                    AND $5::text[] && ARRAY['running', 'needs_input']"), ")
         UNION ALL
         (", pick!("state = 'succeeded' AND 'succeeded' = ANY ($5::text[])"), ")
         UNION ALL
         SELECT aside.number
         FROM (SELECT DISTINCT unnest($5::text[]) AS state) AS asked
         CROSS JOIN LATERAL (", pick!(concat!("state = asked.state AND ", aside!())), ") AS aside
         ORDER BY number DESC LIMIT $3"
    ));
    BY_AGENT = read!(pick!(
        "lease_agent = $6 AND (cardinality($5::text[]) = 0 OR state = ANY ($5::text[]))"
    ));
    BY_LABEL = read!(concat!(
        "SELECT task_labels.number FROM task_labels
         CROSS JOIN LATERAL (
             SELECT lane, state, lease_agent FROM tasks
             WHERE tasks.team = task_labels.team AND tasks.number = task_labels.number
             OFFSET 0) AS tasks
         WHERE task_labels.team = ", team!(), " AND label = $7 AND value = $8
           AND task_labels.number < $2
           AND ($4::text IS NULL OR lane = $4)
           AND (cardinality($5::text[]) = 0 OR state = ANY ($5::text[]))
           AND ($6::text IS NULL OR lease_agent = $6)
         ORDER BY task_labels.number DESC LIMIT $3"
    ));
}

/// The newest tasks that the filter lets through, with numbers below `before`.
pub(super) async fn newest(
    ask: &mut impl Access,
    team: &TeamName,
    filter: &TaskFilter,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<Task>, StoreError> {
    let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
    let lane = filter.lane.as_ref().map(ToString::to_string);
    let agent = filter.agent.as_ref().map(|agent| agent.as_str());
    let label = filter.label.as_ref();
    let label = label.map(|(label, value)| (Text::of(label), Text::of(value)));
    let (label, value) = label.unzip();
    let (before, limit): (i64, i64) = (at_most(before.unwrap_or(u64::MAX)), at_most(limit));
    let name = team.as_str();
    let all: [&(dyn ToSql + Sync); 8] = [
        &name, &before, &limit, &lane, &states, &agent, &label, &value,
    ];
    // Each statement has the first so many values.
    let (statement, values) = match (&filter.label, &filter.agent, states.as_slice()) {
        (Some(_), _, _) => (BY_LABEL, 8),
        (None, Some(_), _) => (BY_AGENT, 6),
        (None, None, []) => (ALL, 4),
        (None, None, _) => (BY_STATE, 5),
    };
    let rows = ask.rows(statement, &all[..values]).await?;
    rows.iter().map(task).collect()
}
