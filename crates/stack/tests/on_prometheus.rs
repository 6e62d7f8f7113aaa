//! The content of the Docker infrastructure, checked by the real tools: rules
//! and their unit tests by promtool, Alertmanager's routes by amtool, boards and
//! log filters by their own checks, compose files by what they must hold to,
//! documents by their commands, development's tasks by the schema.

use std::path::PathBuf;
use std::process::Command;

/// Runs a check of `infrastructure/docker/tests` and shows what it said if it fails.
fn check(script: &str, arguments: &[&str]) {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../infrastructure/docker/tests");
    let program = folder.join(script);
    let ran = Command::new(&program)
        .args(arguments)
        .current_dir(&folder)
        // The checks are read where they are; nothing may be left beside them.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap_or_else(|error| panic!("{} can't be started: {error}", program.display()));
    let said = String::from_utf8_lossy(&ran.stdout);
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(
        ran.status.success(),
        "{script}: {}\n{said}\n{errors}",
        ran.status
    );
    println!("{said}");
}

#[test]
fn alerts_boards_routes_and_log_filters_hold() {
    check("monitoring/run", &[]);
}

#[test]
fn compose_files_hold_to_their_rules() {
    check("compose/lint.py", &[]);
}

#[test]
fn the_documents_commands_are_all_accounted_for_and_what_they_name_is_there() {
    check("docs/run", &["--check"]);
}

#[test]
fn tasks_for_development_fit_the_schema() {
    check("data/check_seeds.py", &[]);
}
