//! Every statement is understood by the server, and those of the hot path go by
//! their index, whatever else there is.

use std::str::FromStr;

use collective_core::ports::Store;
use collective_store::postgres::all_statements;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::{database, open, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_statement_is_understood_and_goes_by_its_index() {
    let server = server();
    let options = database(&server, "plans");
    open(&options).await.close().await;
    let mut config = tokio_postgres::Config::from_str(&server.url("plans")).expect("a URL");
    // As the store's own sessions are set.
    config.options(options.session());
    let (client, connection) = config.connect(NoTls).await.expect("a connection");
    tokio::spawn(connection);
    for statement in all_statements() {
        if let Err(error) = client.prepare(statement.sql).await {
            panic!("{}: {error:?} in {}", statement.name, statement.sql);
        }
    }
    // A plan that was made while there was nothing is kept for a while.
    check_plans(&client, "without rows", |_| true).await;
    client.batch_execute("ANALYZE").await.expect("statistics");
    // Small tables are read by any way until there are statistics of their rows.
    let hot = ["tasks::", "lanes::", "events::", "listing::", "duty::"];
    let is_hot = |name: &str| hot.iter().any(|file| name.starts_with(file));
    check_plans(&client, "known to be empty", is_hot).await;
    // While there are few, an index with one page more looks the dearer one, and
    // what is planned then is kept until there are statistics, a minute later. What
    // is asked now and then may read all tasks of that minute.
    let now_and_then = ["lanes::COUNTS", "lanes::STATES", "listing::BY_STATE"];
    let is_dispatch = |name: &str| is_hot(name) && !now_and_then.contains(&name);
    for rows in [1, 100, 200, 300] {
        add_queued(&client, rows).await;
        check_plans(&client, &format!("with {rows} rows"), is_dispatch).await;
    }
    fill(&client).await;
    check_plans(&client, "with many rows", |_| true).await;
}

async fn check_plans(client: &Client, when: &str, of: impl Fn(&str) -> bool) {
    let mut wrong = Vec::new();
    for (name, conditions) in EXPECTED.into_iter().filter(|(name, _)| of(name)) {
        let statement = all_statements().into_iter().find(|s| s.name == name);
        let statement = statement.unwrap_or_else(|| panic!("there is no {name}"));
        let plan = plan(client, statement.sql).await;
        let missing = conditions.iter().find(|part| !plan.contains(**part));
        if let Some(missing) = missing {
            wrong.push(format!("{name} doesn't go by {missing}:\n{plan}"));
        }
        if plan.contains("Seq Scan") {
            wrong.push(format!("{name} reads all:\n{plan}"));
        }
    }
    assert!(wrong.is_empty(), "{when}:\n{}", wrong.join("\n"));
}

/// The specification of one task.
const SPEC: &str = "Index Cond: ((team = tasks.team) AND (number = tasks.number))";
/// The hot statements, the indexes that they must use, and what of them.
const EXPECTED: [(&str, &[&str]); 33] = [
    ("lanes::HEADS", &["tasks_queued"]),
    // In the index's order, so that it ends at the limit: what a bitmap finds is read whole.
    ("lanes::AHEAD", &["Index Only Scan using tasks_queued"]),
    ("lanes::DUE", &["tasks_due"]),
    ("lanes::HELD", &["tasks_leased"]),
    ("lanes::HELD_BY", &["tasks_leased"]),
    ("lanes::COUNTS", &["tasks_queued", "tasks_leased"]),
    (
        "lanes::STATES",
        &["tasks_queued", "tasks_leased", "tasks_aside"],
    ),
    (
        "lanes::NEXT_DUE",
        &["tasks_due", "schedules_due", "reservations_by_expiry"],
    ),
    ("tasks::BY_ID", &["task_specs_by_id", "tasks_pkey"]),
    (
        "tasks::BY_IDS",
        &["task_specs_by_id", "(id = ANY ($2))", "tasks_pkey"],
    ),
    ("tasks::BY_NUMBER", &["tasks_pkey", "(number = $2)", SPEC]),
    (
        "tasks::UPDATE",
        &["Tid Scan on tasks", "number = new.number"],
    ),
    ("events::AFTER", &["events_pkey"]),
    ("events::OF_TASK", &["events_by_task"]),
    ("listing::ALL", &["tasks_pkey"]),
    (
        "listing::BY_STATE",
        &["tasks_queued", "tasks_leased", "tasks_aside", "tasks_pkey"],
    ),
    ("listing::BY_AGENT", &["tasks_leased"]),
    ("listing::BY_LABEL", &["task_labels_pkey"]),
    (
        "messages::OPEN_INBOX",
        &["deliveries_open", "messages_pkey"],
    ),
    ("messages::DELIVERIES", &["deliveries_by_message"]),
    ("messages::SET_RECEIPTS", &["deliveries_by_message"]),
    ("questions::ONE", &["questions_pkey"]),
    ("questions::BY_TASK", &["questions_by_task"]),
    ("reservations::ONE", &["reservations_pkey"]),
    ("schedules::ONE", &["schedules_pkey"]),
    ("attempts::LOG", &["attempt_logs_pkey"]),
    ("edges::ON_TASKS", &["edges_by_dependency"]),
    ("agents::KEY", &["api_keys_pkey"]),
    ("answers::REMEMBERED", &["answers_pkey"]),
    ("answers::FORGET", &["answers_by_time"]),
    ("schedules::DUE", &["schedules_due"]),
    ("reservations::EXPIRED", &["reservations_by_expiry"]),
    ("duty::UNTOLD", &["events_pkey"]),
];

/// So many queued tasks and nothing else, without statistics of them.
async fn add_queued(client: &Client, rows: u32) {
    let add = format!(
        "TRUNCATE teams, tasks RESTART IDENTITY;
        INSERT INTO teams (name, created_at) VALUES ('default', 1);
        INSERT INTO tasks (team, number, id, lane, priority, state, waiting_on, ready_at, epoch,
            attempts_used, poisonings, created_by, created_at)
        SELECT 1, n, gen_random_uuid(), 'queue/default', 2, 'queued', 0, 1764532000000000 + n, 1,
            0, 0, 'admin', 1
        FROM generate_series(1, {rows}) AS n"
    );
    client.batch_execute(&add).await.expect("queued tasks");
}

/// Many tasks that have ended, and some of each other kind.
async fn fill(client: &Client) {
    let fill = "
        TRUNCATE teams, tasks RESTART IDENTITY;
        INSERT INTO teams (name, created_at) VALUES ('default', 1), ('other', 1);
        INSERT INTO tasks (team, number, id, lane, priority, state, waiting_on, ready_at, due_at,
            epoch, attempts_used, poisonings, lease_agent, created_by, created_at)
        SELECT 1 + n % 2, n, gen_random_uuid(), 'queue/default', n % 4,
            CASE WHEN n % 100 = 0 THEN 'queued' WHEN n % 100 = 1 THEN 'running'
                 WHEN n % 100 = 2 THEN 'dead' ELSE 'succeeded' END,
            0, n, CASE WHEN n % 100 = 1 THEN n END, 1, 0, 0,
            CASE WHEN n % 100 = 1 THEN 'ada' END, 'admin', 1
        FROM generate_series(1, 50000) AS n;
        INSERT INTO task_specs (team, number, id, spec) SELECT team, number, id, '{}' FROM tasks;
        INSERT INTO task_labels (team, label, value, number)
        SELECT team, 'a', (number % 10)::text, number FROM tasks;
        INSERT INTO events (team, seq, at, actor, task, fact)
        SELECT team, number, 1, 'admin', id, '{}' FROM tasks;
        INSERT INTO messages (id, team, sender, recipient, body, sent_at)
        SELECT id, team, 'a', '{}', '', 1 FROM tasks WHERE number <= 5000;
        INSERT INTO deliveries (team, agent, position, message, receipt, receipt_at)
        SELECT team, 'agent-' || number % 5, number, id, 'acknowledged', 1
        FROM tasks WHERE number <= 5000;
        INSERT INTO questions (id, team, task, agent, text, options, asked_at, expires_at, state)
        SELECT id, team, id, 'a', '', '[]', number, 1, 'open' FROM tasks WHERE number <= 5000;
        INSERT INTO reservations (id, team, agent, repository, paths, shared, reason, created_at,
            expires_at)
        SELECT id, team, 'a', '', '[]', TRUE, '', number, number FROM tasks WHERE number <= 5000;
        INSERT INTO schedules (id, team, name, cron, time_zone, spec, overlap, paused, next_at,
            created_at)
        SELECT id, team, number, '', '', '{}', 'skip', FALSE, number, 1
        FROM tasks WHERE number <= 5000;
        INSERT INTO answers (team, key, request_hash, answer, at)
        SELECT team, number, '', '', number FROM tasks WHERE number <= 5000;
        INSERT INTO api_keys (id, team, label, secret_hash, created_at)
        SELECT id, 'default', '', '', number FROM tasks WHERE number <= 5000;
        ANALYZE";
    client.batch_execute(fill).await.expect("rows");
}

/// What the server would do, for any values.
async fn plan(client: &Client, sql: &str) -> String {
    let statement = client.prepare(sql).await.expect("a statement");
    let count = statement.params().len();
    let types: Vec<String> = statement
        .params()
        .iter()
        .map(|of| match of.name() {
            array if array.starts_with('_') => format!("{}[]", &array[1..]),
            name => name.to_owned(),
        })
        .collect();
    let types = match count {
        0 => String::new(),
        _ => format!("({})", types.join(", ")),
    };
    let nulls = match count {
        0 => String::new(),
        _ => format!("({})", vec!["NULL"; count].join(", ")),
    };
    let asked =
        format!("PREPARE asked {types} AS {sql}; EXPLAIN EXECUTE asked {nulls}; DEALLOCATE asked");
    let answer = client.simple_query(&asked).await.expect("a plan");
    let lines = answer.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}
