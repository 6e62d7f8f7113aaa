//! A production stack from its first start to a restore.

use serde_json::Value;

use crate::site::{SERVICES, Site};

/// The lines of a proof that have an outcome.
fn lines(proofs: &Value, outcome: &str) -> Vec<String> {
    proofs
        .as_array()
        .unwrap()
        .iter()
        .filter(|proof| proof["outcome"] == outcome)
        .map(|proof| {
            format!(
                "{}: {}",
                proof["what"].as_str().unwrap(),
                proof["seen"].as_str().unwrap()
            )
        })
        .collect()
}

/// Everything passes but what isn't started: the pages for people, Prometheus.
fn assert_proven(site: &Site) {
    let proofs = site.run(&["verify", "--json"]).json();
    let failed = lines(&proofs, "failed");
    assert!(
        failed
            .iter()
            .all(|line| line.starts_with("containers: no container of ")),
        "{failed:#?}"
    );
    let passed = lines(&proofs, "passed");
    for what in [
        "login postgres collective_app",
        "login rabbitmq monitor",
        "login redis exporter",
        "topology",
        "migrations",
        "task",
    ] {
        assert!(
            passed.iter().any(|line| line.starts_with(what)),
            "{what} in {passed:#?}"
        );
    }
}

fn tasks(site: &Site) -> usize {
    let listed = site.exec("server", &["collective", "task", "list", "--json"]);
    assert_eq!(listed.code, Some(0), "{}", listed.text());
    listed.json()["items"].as_array().unwrap().len()
}

fn add(site: &Site, title: &str) {
    let added = site.exec(
        "server",
        &["collective", "task", "add", title, "--wait", "--for", "60s"],
    );
    assert_eq!(added.code, Some(0), "{}", added.text());
}

fn now(site: &Site) -> String {
    let sql =
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let asked = site.exec(
        "postgres",
        &[
            "psql",
            "-U",
            "admin",
            "-d",
            "agent_orchestrator",
            "-AtXc",
            sql,
        ],
    );
    asked.stdout.trim().to_owned()
}

#[test]
fn a_stack_lives_from_its_first_start_to_a_restore() {
    let Some(site) = Site::new("production") else {
        return;
    };
    site.up();
    let status = site.run(&["status", "--json"]).json();
    assert!(
        status.as_array().unwrap().len() >= SERVICES.len(),
        "{status:#}"
    );

    // New passwords everywhere; the old ones open nothing any more.
    let before = std::fs::read_to_string(site.path(".env")).unwrap();
    site.must(&["rotate", "--yes"]);
    let after = std::fs::read_to_string(site.path(".env")).unwrap();
    let changed = before
        .lines()
        .zip(after.lines())
        .filter(|(old, new)| old != new)
        .count();
    assert_eq!(changed, 10, "passwords of servers");
    assert!(!site.path(".env.rotating").exists());
    assert_proven(&site);

    add(&site, "before the backup");
    let at_backup = tasks(&site);
    let taken = site.must(&["backup", "--json"]).json();
    let parts: Vec<&str> = taken["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["part"].as_str().unwrap())
        .collect();
    assert_eq!(parts, ["postgres", "redis", "rabbitmq", "volumes"]);
    let proven = site.must(&["backup", "verify", "--json"]).json();
    assert!(
        proven
            .as_array()
            .unwrap()
            .iter()
            .all(|part| part["good"] == true),
        "{proven:#}"
    );
    let metrics = site.path("infrastructure/docker/monitoring/textfile/collective_backup.prom");
    let metrics = std::fs::read_to_string(metrics).unwrap();
    assert!(
        metrics.contains("collective_backup_last_verify_timestamp_seconds{part=\"rabbitmq\"}"),
        "{metrics}"
    );

    // A task after the backup, then a moment, then one that must not come back.
    add(&site, "after the backup");
    let moment = now(&site);
    let at_moment = tasks(&site);
    assert!(at_moment > at_backup);
    add(&site, "after the moment");
    site.exec(
        "postgres",
        &[
            "psql",
            "-U",
            "admin",
            "-d",
            "agent_orchestrator",
            "-qXc",
            "SELECT pg_switch_wal()",
        ],
    );

    let refused = site.run(&["restore", "--yes"]);
    assert_eq!(refused.code, Some(4), "{}", refused.text());
    assert!(
        refused.stderr.contains("the stack runs"),
        "{}",
        refused.stderr
    );
    assert_eq!(tasks(&site), at_moment + 1);

    site.must(&["down"]);
    let asked = site.run(&["restore", "--to", &moment]);
    assert_eq!(asked.code, Some(2), "nobody said yes: {}", asked.text());
    site.must(&["restore", "--to", &moment, "--yes"]);
    site.up();
    assert_eq!(tasks(&site), at_moment);
    assert_proven(&site);

    // A backup that was tampered with is neither proven nor restored.
    let name = taken["name"].as_str().unwrap();
    let dump = site.path(&format!("backups/{name}/redis/dump.rdb"));
    std::fs::write(&dump, "REDIS0011").unwrap();
    let broken = site.run(&["backup", "verify", "--json"]);
    assert_eq!(broken.code, Some(1), "{}", broken.text());
    site.must(&["down"]);
    let refused = site.run(&["restore", name, "--yes"]);
    assert_eq!(refused.code, Some(4), "{}", refused.text());
    assert!(
        refused.stderr.contains("nothing was changed"),
        "{}",
        refused.stderr
    );
}
