//! A production stack from its first start to a proven backup.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::site::{SERVICES, Site, until};

/// The title of tasks that come in while passwords change.
const DURING: &str = "while passwords change";

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
pub(crate) fn assert_proven(site: &Site) {
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

pub(crate) fn add(site: &Site, title: &str) {
    let added = site.exec(
        "server",
        &["collective", "task", "add", title, "--wait", "--for", "60s"],
    );
    assert_eq!(added.code, Some(0), "{}", added.text());
}

/// New passwords while tasks come in and are worked on. Says how many tasks were
/// accepted: the servers are started anew with their new passwords, so that some
/// calls find none of them.
fn rotate_under_work(site: &Site) -> usize {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let adding = scope.spawn(|| {
            let mut accepted = 0;
            while !is_over.load(Ordering::Relaxed) {
                let words = ["collective", "task", "add", DURING];
                if site.exec("server", &words).code == Some(0) {
                    accepted += 1;
                }
            }
            accepted
        });
        let rotated = site.run(&["rotate", "--yes"]);
        is_over.store(true, Ordering::Relaxed);
        let accepted = adding.join().unwrap();
        assert_eq!(rotated.code, Some(0), "{}", rotated.text());
        assert!(accepted > 0, "nothing was accepted while passwords changed");
        println!("{accepted} tasks were accepted while passwords changed");
        accepted
    })
}

/// Every task that was accepted is done, at its first attempt.
fn assert_all_done(site: &Site, accepted: usize) {
    let count = |condition: &str| {
        site.sql(&format!(
            "SELECT count(*) FROM tasks JOIN task_specs USING (team, number) \
             WHERE spec LIKE '%{DURING}%' AND {condition}"
        ))
    };
    // A call whose server went away in between may have been accepted too.
    let is_done = || count("state = 'succeeded'") == count("true");
    until("every task that was accepted is done", is_done);
    let all: usize = count("true").parse().unwrap();
    assert!(all >= accepted, "{all} of {accepted} are there");
    assert_eq!(count("attempts_used > 1"), "0", "some were tried again");
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
    let accepted = rotate_under_work(&site);
    let after = std::fs::read_to_string(site.path(".env")).unwrap();
    let changed = before
        .lines()
        .zip(after.lines())
        .filter(|(old, new)| old != new)
        .count();
    assert_eq!(changed, 10, "passwords of servers");
    assert!(!site.path(".env.rotating").exists());
    assert_proven(&site);
    assert_all_done(&site, accepted);

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
