//! `collective config`: what counts, where it was said, and what is wrong with it.

use crate::support::Home;

/// A file with all that three servers need.
const DISTRIBUTED: &str = r#"
[server]
listen = "0.0.0.0:7420"
allow_remote = true
hosts = ["team.example"]

[engine]
kind = "distributed"

[store]
url = "postgres://ada:p%40ss@one,two:5433/team?sslmode=require"

[bus]
host = "mq"
user = "bob"
password = "hunter2"

[cache]
host = "redis"
"#;

#[test]
fn what_counts_is_shown_with_where_it_was_said() {
    let home = Home::new();
    home.write("server.toml", DISTRIBUTED);
    insta::assert_snapshot!(home.session(&[
        &["config", "show"],
        &["config", "show", "--config", "server.toml"],
        &["config", "check"],
        &["config", "check", "--config", "server.toml"],
        &["config", "check", "--connect"],
    ]));
    let shown = home.run_with(
        &[
            ("COLLECTIVE_CONFIG", "server.toml"),
            ("POSTGRES_PASSWORD", "other"),
            ("REDIS_PASSWORD", "hunter3"),
        ],
        &["config", "show", "--json"],
    );
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    for secret in ["p@ss", "p%40ss", "hunter", "other"] {
        assert!(!shown.stdout.contains(secret), "{secret} is shown");
    }
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    let settings = shown["settings"].as_array().unwrap();
    let setting = |key: &str| settings.iter().find(|entry| entry["key"] == key).unwrap();
    assert_eq!(setting("store.password")["value"], "***");
    assert_eq!(
        setting("store.password")["from"]["name"],
        "POSTGRES_PASSWORD"
    );
    assert_eq!(setting("store.user")["value"], "ada");
    assert_eq!(setting("store.user")["from"]["line"], 11);
}

#[test]
fn every_mistake_is_told_at_once() {
    let home = Home::new();
    home.write(
        "server.toml",
        "[server]\nlisten = \"nowhere\"\nalow_remote = true\n\n[engin]\n",
    );
    home.write("broken.toml", "[server\n");
    insta::assert_snapshot!(home.session(&[
        &["config", "check", "--config", "server.toml"],
        &["config", "show", "--config", "server.toml"],
        &["config", "check", "--config", "server.toml", "--json"],
        &["config", "check", "--config", "broken.toml"],
        &["config", "check", "--config", "missing.toml"],
        &["up", "--config", "server.toml"],
    ]));
    let told = home.run_with(
        &[
            ("COLLECTIVE_SERVER_LISTNE", "x"),
            ("COLLECTIVE_ENGINE", "cloud"),
        ],
        &["config", "check"],
    );
    assert_eq!(told.code, Some(2));
    insta::assert_snapshot!("mistakes_of_variables", told.stderr);
}

#[test]
fn the_file_in_the_data_folder_is_read_and_a_flag_beats_it() {
    let home = Home::new();
    std::fs::create_dir(home.path("data")).unwrap();
    home.write(
        "data/collective.toml",
        "[server]\nlisten = \"0.0.0.0:0\"\n\n[log]\nfilter = \"warn\"\n",
    );
    let refused = home.run(&["up"]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused
            .stderr
            .contains("data/collective.toml:2:10: error[not_together]: server.listen"),
        "{}",
        refused.stderr
    );
    let _server = home.start(&["up", "--listen", "127.0.0.1:0"]);
    crate::support::until("the server answers", || {
        home.run(&["status", "--json"]).code == Some(0)
    });
}
