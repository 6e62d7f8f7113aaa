//! What is wrong is said with what to do about it, and the exit code tells what kind it is.

use crate::support::Home;

#[test]
fn arguments_that_cannot_be_read_are_told_at_once() {
    let home = Home::new();
    insta::assert_snapshot!(home.session(&[
        &["tsak"],
        &["task", "lsit"],
        &["task", "list", "--state", "runing"],
        &["task", "list", "--role", "cheif"],
        &["task", "add"],
        &["task", "add", "x", "--timeout", "5"],
        &["task", "add", "x", "--run-at", "tomorrow"],
        &["task", "add", "x", "--priority", "urgent"],
        &["task", "add", "x", "--label", "novalue"],
        &["task", "add", "x", "--queue", "Rust"],
        &["task", "add", "x", "--queue", "a", "--agent", "b"],
        &["task", "add", "x", "--input", "{"],
        &["task", "cancel"],
        &["task", "wait"],
        &["message", "send", "everyone", "hi"],
        &["key", "create", "--label", "x"],
        &["agent", "run"],
        &["status", "--every", "1s"],
    ]));
}

#[test]
fn what_the_server_refuses_comes_with_its_hint() {
    let (home, _server) = Home::with_server();
    home.write("spec.json", r#"{"title": "x", "prio": 1}"#);
    home.write("specs.json", r#"[{"title": "x"}, {"title": 5}]"#);
    home.write("broken.json", "{\n  \"title\": \n}");
    home.write(
        "cycle.json",
        r#"[{"title":"a","key":"a","depends_on":[{"task":"b"}]},{"title":"b","key":"b","depends_on":[{"task":"a"}]}]"#,
    );
    insta::assert_snapshot!(home.session(&[
        &["task", "show", "99"],
        &["task", "show", "nothing"],
        &["task", "add", ""],
        &["task", "add", "x", "--queue", "rsut"],
        &["task", "add", "x", "--agent", "nobody"],
        &["task", "add", "x", "--after", "99"],
        &["task", "add", "x", "--deadline", "2020-01-01T00:00:00Z"],
        &["task", "add", "--file", "spec.json"],
        &["task", "add", "--file", "specs.json"],
        &["task", "add", "--file", "broken.json"],
        &["task", "add", "--file", "missing.json"],
        &["task", "add", "--file", "cycle.json"],
        &["queue", "pause", "nothing"],
        &["agent", "show", "nobody"],
        &["schedule", "add", "x", "every day", "y"],
        &["schedule", "pause", "nothing"],
        &["message", "send", "agent:nobody", "hi"],
        &["reserve", "/etc", "--agent", "ada"],
        &[
            "task",
            "ask",
            "who?",
            "--task",
            "018f4e0e-7c1a-7000-8000-000000000001"
        ],
        &["task", "list", "--team", "nobodys"],
        &["task", "show", "99", "--json"],
    ]));
}

#[test]
fn a_key_may_do_what_its_role_allows_and_no_more() {
    let (home, _server) = Home::with_server();
    insta::assert_snapshot!(home.session(&[
        &[
            "key",
            "create",
            "--label",
            "watcher",
            "--role",
            "monitor",
            "--output",
            "watcher.key"
        ],
        &[
            "key",
            "create",
            "--label",
            "again",
            "--role",
            "monitor",
            "--output",
            "watcher.key"
        ],
        &["status", "--token-file", "watcher.key", "--quiet"],
        &["task", "add", "x", "--token-file", "watcher.key"],
        &["key", "list", "--token-file", "watcher.key"],
        &[
            "task",
            "list",
            "--token-file",
            "watcher.key",
            "--team",
            "other"
        ],
    ]));
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(home.path("watcher.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_cannot_be_taken_back_asks_first() {
    let (home, _server) = Home::with_server();
    home.run(&["task", "add", "one"]);
    home.run(&["task", "add", "two"]);
    insta::assert_snapshot!(home.session(&[
        &["task", "cancel", "--queue", "default"],
        &["task", "cancel", "--queue", "default", "--dry-run"],
        &["task", "cancel", "--queue", "default", "--yes"],
        &["task", "cancel", "--queue", "default", "--yes"],
    ]));
}
