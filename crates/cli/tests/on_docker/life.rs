//! A production stack from its first start to a proven backup.

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

fn add(site: &Site, title: &str) {
    let added = site.exec(
        "server",
        &["collective", "task", "add", title, "--wait", "--for", "60s"],
    );
    assert_eq!(added.code, Some(0), "{}", added.text());
}

#[test]
fn a_stack_lives_from_its_first_start_to_a_proven_backup() {
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

    // A backup that was tampered with is not proven.
    let name = taken["name"].as_str().unwrap();
    let dump = site.path(&format!("backups/{name}/redis/dump.rdb"));
    std::fs::write(&dump, "REDIS0011").unwrap();
    let broken = site.run(&["backup", "verify", "--json"]);
    assert_eq!(broken.code, Some(1), "{}", broken.text());
}
