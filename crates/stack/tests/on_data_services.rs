//! The settings, roles, users and setup scripts of PostgreSQL, RabbitMQ and
//! Redis, proven on the real servers by `infrastructure/docker/tests/data`,
//! with exactly the files that the stack mounts.

use std::path::PathBuf;
use std::process::Command;

fn prove(part: &str) {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../infrastructure/docker/tests/data/run.sh");
    let ran = Command::new(&script)
        .arg(part)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap_or_else(|error| panic!("{} can't be started: {error}", script.display()));
    let said = String::from_utf8_lossy(&ran.stdout);
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{}\n{said}\n{errors}", ran.status);
    // A run without a row proves nothing.
    assert!(!said.contains("\n0 passed"), "no row was tried:\n{said}");
    println!("{said}");
}

#[test]
fn postgresql_has_its_settings_roles_and_schema() {
    prove("postgres");
}

#[test]
fn rabbitmq_has_its_settings_topology_and_users() {
    prove("rabbitmq");
}

#[test]
fn redis_has_its_settings_and_users() {
    prove("redis");
}
