//! A tour of every noun, as a person and as a program sees it.

use crate::support::Home;

#[test]
fn tasks_are_added_found_explained_and_controlled() {
    let (home, _server) = Home::with_server();
    home.write("prompt.md", "Count the lines.\nSay the sum.\n");
    insta::assert_snapshot!(home.session(&[
        &["task", "list"],
        &["queue", "add", "rust"],
        &[
            "task",
            "add",
            "count the lines",
            "--key",
            "count",
            "--queue",
            "rust",
            "--prompt-file",
            "prompt.md",
            "--priority",
            "high",
            "--label",
            "area=docs",
            "--check",
            "test -s sum",
            "--check-file",
            "sum",
            "--max-attempts",
            "2",
            "--timeout",
            "20m",
            "--input",
            r#"{"depth": 3}"#,
        ],
        &["task", "add", "report", "--after", "count"],
        &["task", "add", "later", "--run-at", "2030-01-01T00:00:00Z"],
        &["task", "list"],
        &["task", "list", "--state", "queued", "--queue", "rust"],
        &["task", "list", "--label", "area=docs"],
        &["task", "list", "--limit", "1"],
        &["task", "show", "count"],
        &["task", "explain", "count"],
        &["task", "explain", "report"],
        &["task", "logs", "count"],
        &["task", "cancel", "count", "--reason", "not needed"],
        &["task", "wait", "count"],
        &["task", "show", "report"],
        &["task", "retry", "count"],
        &["task", "wait", "count", "--for", "10ms"],
    ]));
}

#[test]
fn json_is_the_apis() {
    let (home, _server) = Home::with_server();
    insta::assert_snapshot!(home.session(&[
        &["task", "add", "one", "--json"],
        &["task", "add", "two", "--dry-run"],
        &["task", "list", "--json"],
        &["task", "explain", "3", "--json"],
        &["queue", "list", "--json"],
        &["dead", "list", "--json"],
        &["task", "cancel", "3", "--json"],
        &["events", "--json"],
        &["status", "--json"],
    ]));
}

#[test]
fn a_file_of_tasks_is_created_as_a_whole() {
    let (home, _server) = Home::with_server();
    let tasks = r#"{"tasks": [
        {"title": "first", "key": "a"},
        {"title": "second", "key": "b", "depends_on": [{"task": "a", "when": "ended"}]}
    ]}"#;
    let ran = home.run_given(tasks, &["task", "add", "--file", "-", "--json"]);
    let created = ran.json();
    assert_eq!(created["tasks"][1]["state"], "blocked", "{created}");
    let ran = home.run_given(r#"{"title": "alone"}"#, &["task", "add", "--file", "-"]);
    assert!(ran.stdout.contains("waits for an agent"), "{}", ran.text());
}

#[test]
fn the_same_idempotency_key_gives_the_same_task() {
    let (home, _server) = Home::with_server();
    let add = || {
        home.run(&["task", "add", "once", "--idempotency-key", "k", "--json"])
            .json()
    };
    assert_eq!(add()["number"], add()["number"]);
}

#[test]
fn agents_queues_messages_reservations_schedules_and_keys_are_looked_after() {
    let (home, _server) = Home::with_server();
    insta::assert_snapshot!(home.session(&[
        &["agent", "list"],
        &["queue", "list"],
        &["queue", "add", "rust"],
        &["queue", "pause", "rust"],
        &["task", "add", "x", "--queue", "rust"],
        &["queue", "list"],
        &["doctor"],
        &["queue", "resume", "rust"],
        &[
            "schedule",
            "add",
            "nightly",
            "0 3 * * *",
            "slow tests",
            "--queue",
            "rust",
            "--time-zone",
            "Europe/Berlin"
        ],
        &["schedule", "pause", "nightly"],
        &["schedule", "list"],
        &["schedule", "resume", "nightly"],
        &["schedule", "remove", "nightly"],
        &["schedule", "remove", "nightly", "--dry-run"],
        &["schedule", "remove", "nightly", "--yes"],
        &["schedule", "list"],
        &["reserve", "list"],
        &["key", "create", "--label", "ci", "--role", "leader"],
        &["key", "list"],
        &["dead", "list"],
        &["task", "questions"],
        &["events", "--type", "queue.*"],
        &["status"],
    ]));
}

#[test]
fn what_agents_and_people_write_cannot_drive_the_terminal() {
    let (home, _server) = Home::with_server();
    let prompt = "\u{1b}[2J\u{1b}]0;owned\u{7}wiped\u{9b}31m\r\nnext";
    home.run(&["task", "add", "plain", "--prompt", prompt]);
    let shown = home.run(&["task", "show", "3", "--color", "never"]);
    assert!(shown.stdout.contains("wiped\nnext"), "{:?}", shown.stdout);
    let driving = |c: char| c.is_control() && c != '\n';
    assert!(!shown.stdout.contains(driving), "{:?}", shown.stdout);
    let json = home.run(&["task", "show", "3", "--json"]);
    assert!(!json.stdout.contains(driving), "{:?}", json.stdout);
    assert_eq!(json.json()["spec"]["prompt"], prompt);
}

#[test]
fn colour_comes_when_it_is_asked_for_and_only_then() {
    let (home, _server) = Home::with_server();
    home.run(&["task", "add", "x"]);
    let colored = |ran: &crate::support::Ran| ran.stdout.contains('\u{1b}');
    assert!(!colored(&home.run(&["task", "list"])));
    assert!(colored(&home.run(&["task", "list", "--color", "always"])));
    assert!(!colored(
        &home.run(&["task", "list", "--color", "always", "--json"])
    ));
    assert!(!colored(
        &home.run_with(&[("NO_COLOR", "1")], &["task", "list"])
    ));
}

#[test]
fn a_reader_that_goes_away_ends_the_command_without_a_complaint() {
    let (home, _server) = Home::with_server();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_collective"))
        .args(["events", "--after", "0", "--follow"])
        .env("COLLECTIVE_DATA", home.path("data"))
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
