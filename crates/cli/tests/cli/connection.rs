//! Where the server is found, which key is sent to whom, and what is said when there is none.

use crate::support::{Home, until};

#[test]
fn without_a_server_it_says_how_to_start_one() {
    let home = Home::new();
    insta::assert_snapshot!(home.session(&[
        &["task", "list"],
        &["task", "list", "--json"],
        &["status", "--server", "http://127.0.0.1:1"],
        &["status", "--server", "127.0.0.1:1"],
        &["status", "--server", "https://127.0.0.1:1"],
        &["doctor"],
    ]));
}

#[test]
fn a_server_that_was_killed_is_told_from_none() {
    let (home, server) = Home::with_server();
    server.signal(rustix::process::Signal::KILL);
    drop(server);
    insta::assert_snapshot!(home.session(&[&["task", "list"]]));
}

#[test]
fn the_token_of_the_folder_goes_to_the_server_of_the_folder_only() {
    let (home, _server) = Home::with_server();
    let note = std::fs::read_to_string(home.path("data/server.json")).unwrap();
    let note: serde_json::Value = serde_json::from_str(&note).unwrap();
    let url = note["url"].as_str().unwrap();
    assert_eq!(home.run(&["status", "--server", url]).code, Some(0));
    // The same server by another name isn't the folder's own.
    let other = url.replace("127.0.0.1", "localhost");
    let ran = home.run(&["status", "--server", &other]);
    assert_eq!(ran.code, Some(5), "{}", ran.text());
    let token = std::fs::read_to_string(home.path("data/token")).unwrap();
    let ran = home.run_with(
        &[("COLLECTIVE_TOKEN", &token)],
        &["status", "--server", &other],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    let file = home.path("data/token").display().to_string();
    let ran = home.run(&["status", "--server", &other, "--token-file", &file]);
    assert_eq!(ran.code, Some(0), "{}", ran.text());
}

#[test]
fn a_key_file_that_holds_no_key_is_refused_before_anything_is_sent() {
    let (home, _server) = Home::with_server();
    home.write("empty", "\n");
    home.write("words", "this is no key\n");
    insta::assert_snapshot!(home.session(&[
        &["status", "--token-file", "empty"],
        &["status", "--token-file", "words"],
        &["status", "--token-file", "missing"],
    ]));
}

#[test]
fn up_says_where_it_listens_and_stops_when_it_is_told_to() {
    let home = Home::new();
    let mut server = home.start(&["up", "--listen", "127.0.0.1:0", "--log", "warn", "--json"]);
    until("it listens", || home.log().contains('\n'));
    let said: serde_json::Value = serde_json::from_str(home.log().lines().next().unwrap()).unwrap();
    assert_eq!(said["data"], home.path("data").display().to_string());
    assert!(
        said["url"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.ended(), Some(0));
    assert!(!home.path("data/server.json").exists());
}

#[test]
fn up_refuses_what_is_not_safe_or_not_possible() {
    let (home, _server) = Home::with_server();
    insta::assert_snapshot!(home.session(&[
        &["up", "--listen", "0.0.0.0:0"],
        &["up", "--listen", "127.0.0.1:0"],
        &["up", "--listen", "nowhere"],
        &["up", "--listen", "127.0.0.1:0", "--log", "a=b=c"],
        &[
            "up",
            "--listen",
            "203.0.113.1:1",
            "--allow-remote",
            "--data",
            "other"
        ],
    ]));
}

#[test]
fn who_follows_the_events_sees_each_once_over_a_restart_of_the_server() {
    let (home, mut server) = Home::with_server();
    let note = std::fs::read_to_string(home.path("data/server.json")).unwrap();
    let note: serde_json::Value = serde_json::from_str(&note).unwrap();
    let address = note["url"]
        .as_str()
        .unwrap()
        .trim_start_matches("http://")
        .to_owned();
    let seen = || {
        let log = std::fs::read_to_string(home.path("seen")).unwrap_or_default();
        let events = log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_default());
        events
            .map(|event: serde_json::Value| event["seq"].as_u64().unwrap_or_default())
            .collect::<Vec<_>>()
    };
    let _follower = home.start_into("seen", &["events", "--follow", "--after", "0", "--json"]);
    home.run(&["task", "add", "before"]);
    until("the first is seen", || seen() == [1, 2, 3]);
    server.signal(rustix::process::Signal::KILL);
    server.ended();
    let _server = home.start(&["up", "--listen", &address, "--log", "warn"]);
    until("the server answers again", || {
        home.run(&["task", "add", "after"]).code == Some(0)
    });
    until("the next is seen", || seen() == [1, 2, 3, 4]);
}
