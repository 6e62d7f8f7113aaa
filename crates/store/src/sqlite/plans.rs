//! Every statement of the hot path goes by its index, and is planned once.

use collective_core::ports::store::TaskFilter;
use collective_core::task::{Lane, TaskState};
use collective_core::{AgentName, QueueName, TeamName, Timestamp};
use rusqlite::{Connection, StatementStatus};
use tempfile::TempDir;

use super::folder::Folder;
use super::{
    SqliteOptions, agents, connection, events, lanes, listing, reservations, schedules, tasks,
};

fn database() -> (TempDir, Connection) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = Folder::hold(folder.path())
        .and_then(|folder| folder.database())
        .expect("a database");
    let connection =
        connection::open_writer(&path, &SqliteOptions::default()).expect("a connection");
    (folder, connection)
}

/// What SQLite would do, one step a line.
fn plan(connection: &Connection, statement: &str) -> Vec<String> {
    let mut explained = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
        .unwrap_or_else(|error| panic!("{error} in {statement}"));
    // Parameters stay unbound: the plan doesn't depend on them.
    let mut rows = explained.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().expect("a step") {
        steps.push(row.get::<_, String>(3).expect("its text"));
    }
    steps
}

#[test]
fn each_statement_of_the_hot_path_goes_by_its_index() {
    let (_folder, connection) = database();
    for (statement, steps) in [
        (
            lanes::HEADS,
            vec!["SEARCH tasks USING INDEX tasks_queued (team=? AND lane=? AND priority=?)"],
        ),
        (
            lanes::DUE,
            vec![
                "SEARCH tasks USING INDEX tasks_due (due_at<?)",
                "SEARCH teams USING INTEGER PRIMARY KEY (rowid=?)",
            ],
        ),
        (
            lanes::HELD,
            vec!["SEARCH tasks USING COVERING INDEX tasks_leased (team=? AND lease_agent>?)"],
        ),
        (
            lanes::HELD_BY,
            vec!["SEARCH tasks USING COVERING INDEX tasks_leased (team=? AND lease_agent=?)"],
        ),
        (
            tasks::BY_ID,
            vec![
                "SEARCH tasks USING INDEX tasks_by_id (id=? AND rowid>? AND rowid<?)",
                "SEARCH task_specs USING INTEGER PRIMARY KEY (rowid=?)",
            ],
        ),
        (
            tasks::BY_NUMBER,
            vec![
                "SEARCH tasks USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH task_specs USING INTEGER PRIMARY KEY (rowid=?)",
            ],
        ),
        (
            tasks::UPDATE,
            vec!["SEARCH tasks USING INTEGER PRIMARY KEY (rowid=?)"],
        ),
        (
            events::AFTER,
            vec!["SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"],
        ),
        (
            events::NEWEST,
            vec!["SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"],
        ),
        (
            events::OF_TASK,
            vec!["SEARCH events USING INDEX events_by_task (task=? AND rowid>? AND rowid<?)"],
        ),
        (
            schedules::DUE,
            vec!["SEARCH schedules USING INDEX schedules_due (next_at<?)"],
        ),
        (
            reservations::EXPIRED,
            vec!["SEARCH reservations USING INDEX reservations_by_expiry (expires_at<?)"],
        ),
    ] {
        assert_eq!(plan(&connection, statement), steps, "{statement}");
    }
}

/// What may grow with the tasks that have ended is walked in none of these.
#[test]
fn counts_walk_indexes_of_what_they_count() {
    let (_folder, connection) = database();
    for (statement, index) in [
        (lanes::AHEAD, "COVERING INDEX tasks_queued"),
        (lanes::QUEUED_COUNTS, "COVERING INDEX tasks_queued"),
        (lanes::LEASED_COUNTS, "INDEX tasks_leased"),
        (lanes::ASIDE_COUNTS, "COVERING INDEX tasks_aside"),
        (lanes::NEXT_DUE, "COVERING INDEX tasks_due"),
    ] {
        let steps = plan(&connection, statement);
        let of_tasks: Vec<_> = steps.iter().filter(|step| step.contains("tasks")).collect();
        assert_eq!(of_tasks.len(), 1, "{statement}: {steps:?}");
        assert!(of_tasks[0].contains(index), "{statement}: {steps:?}");
    }
}

#[test]
fn each_listing_goes_by_the_index_of_its_filter() {
    let (_folder, connection) = database();
    let states = |states: &[TaskState]| TaskFilter {
        states: states.to_vec(),
        ..TaskFilter::default()
    };
    let rows = "SEARCH tasks USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
    let aside = "SEARCH tasks USING COVERING INDEX tasks_aside (team=? AND state=? AND rowid>? AND rowid<?)";
    let lane = Some(Lane::Queue(QueueName::default_queue()));
    for (filter, picking) in [
        (TaskFilter::default(), vec![rows]),
        (states(&[TaskState::Succeeded]), vec![rows]),
        (
            states(&[TaskState::Cancelled, TaskState::Dead, TaskState::Dead]),
            vec![aside, aside],
        ),
        (states(&[TaskState::Blocked]), vec![aside]),
        (
            states(&[TaskState::Queued]),
            vec!["SEARCH tasks USING COVERING INDEX tasks_queued (team=?)"],
        ),
        (
            TaskFilter {
                lane,
                ..states(&[TaskState::Queued])
            },
            vec!["SEARCH tasks USING COVERING INDEX tasks_queued (team=? AND lane=?)"],
        ),
        (
            states(&[TaskState::Running]),
            vec!["SEARCH tasks USING INDEX tasks_leased (team=? AND lease_agent>?)"],
        ),
        (
            TaskFilter {
                agent: Some(AgentName::new("ada").expect("a name")),
                ..TaskFilter::default()
            },
            vec![
                "SEARCH tasks USING COVERING INDEX tasks_leased \
                 (team=? AND lease_agent=? AND rowid>? AND rowid<?)",
            ],
        ),
        (
            TaskFilter {
                label: Some(("a".to_owned(), "b".to_owned())),
                ..states(&[TaskState::Queued])
            },
            vec![
                "SEARCH task_labels USING PRIMARY KEY \
                 (team=? AND label=? AND value=? AND row>? AND row<?)",
            ],
        ),
    ] {
        let found: Vec<String> = listing::statements(&filter)
            .iter()
            .map(|statement| {
                let mut steps = plan(&connection, statement);
                assert!(steps[0].starts_with("CO-ROUTINE"), "{steps:?}");
                let read = steps.split_off(steps.len() - 2);
                for (table, step) in ["tasks", "task_specs"].iter().zip(read) {
                    let by_row = format!("SEARCH {table} USING INTEGER PRIMARY KEY (rowid=?)");
                    assert_eq!(step, by_row, "{statement}");
                }
                steps.swap_remove(1)
            })
            .collect();
        assert_eq!(found, picking, "{filter:?}");
    }
}

/// A statement that is planned anew with each use costs more than it does.
#[test]
fn statements_are_planned_once_whatever_is_bound() {
    let (_folder, connection) = database();
    let team = TeamName::default_team();
    agents::insert_team(&connection, &team, Timestamp::from_micros(1)).expect("a team");
    for text in [lanes::HEADS, tasks::BY_ID, tasks::BY_NUMBER, lanes::HELD_BY] {
        for bound in 0..5_i64 {
            let mut statement = connection.prepare_cached(text).expect("a statement");
            for place in 1..=statement.parameter_count() {
                statement
                    .raw_bind_parameter(place, bound)
                    .expect("a parameter");
            }
            assert!(statement.raw_query().next().is_ok());
            let planned = statement.get_status(StatementStatus::RePrepare);
            assert_eq!(planned, 0, "{text}");
        }
    }
}
