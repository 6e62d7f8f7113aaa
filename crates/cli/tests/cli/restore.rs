//! `collective stack restore` with a Docker that only notes what it is asked:
//! everything that is refused before anything is changed, and what becomes of a
//! restore that was interrupted. The real one is in `on_docker`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Home, Ran};

const BASE: &str = "services:\n  postgres:\n    image: postgres:15-alpine\n";
/// What Compose says that the files come to.
const RESOLVED: &str = "\
services:
  postgres:
    image: postgres:15-alpine
    volumes:
    - postgres_data:/var/lib/postgresql/data:rw
    - postgres_wal:/var/lib/postgresql/wal_archive:rw
  redis:
    image: redis:7-alpine
    volumes:
    - redis_data:/data:rw
volumes:
  postgres_data:
    name: postgres_data
  postgres_wal:
    name: postgres_wal
  redis_data:
    name: redis_data
";
const COMPOSE: &str = r#"#!/bin/sh
case "$*" in
version) echo "docker-compose version 1.29.2, build unknown" ;;
*" config") cat "$(dirname "$0")/resolved.yml" ;;
esac
"#;
/// Notes its arguments, and has two volumes with something in them.
const DOCKER: &str = r#"#!/bin/sh
echo "docker $*" >> "$0.calls"
case "$1" in
compose) exit 1 ;;
info) echo '{"ServerVersion":"20.10.24","MemTotal":68719476736,"DockerRootDir":"/no-such-folder"}' ;;
ps) if [ -n "$RUNS" ]; then echo 1234; fi ;;
inspect) echo '[{"Name":"/agent_redis","State":{"Status":"running","ExitCode":0},
    "Config":{"Image":"x","Labels":{"com.docker.compose.service":"redis"}}}]' ;;
volume)
    case "$2" in
    ls) printf 'postgres_data\npostgres_wal\nredis_data\n' ;;
    inspect) exit 1 ;;
    esac ;;
run)
    case "$*" in
    *restore-copy*) ;;
    *) printf 'free %s\nholds 0 100 3\nholds 1 100 0\nwal %s\n' "${FREE:-99999999}" "${WAL:-0}" ;;
    esac ;;
esac
"#;

/// When the backup of these tests was begun, and from when on it can be brought
/// to a time.
const NAME: &str = "2025-11-25T02-00-00Z";
const WHOLE_AT: &str = "2025-11-25T02:00:07Z";

struct Project(Home);

impl Project {
    fn new() -> Self {
        let home = Home::new();
        for folder in ["infrastructure/docker/compose", "bin", "backups"] {
            std::fs::create_dir_all(home.path(folder)).unwrap();
        }
        let compose = "infrastructure/docker/compose";
        home.write(&format!("{compose}/docker-compose.yml"), BASE);
        home.write(&format!("{compose}/override.dev.yml"), "services: {}\n");
        home.write(".env", "STACK_ENV=dev\n");
        let only_mine = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(home.path(".env"), only_mine).unwrap();
        home.write("bin/resolved.yml", RESOLVED);
        for (name, text) in [("docker", DOCKER), ("docker-compose", COMPOSE)] {
            home.write(&format!("bin/{name}"), text);
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(home.path(&format!("bin/{name}")), mode).unwrap();
        }
        let project = Self(home);
        project.backup(NAME, None);
        project
    }

    fn run(&self, env: &[(&str, &str)], words: &[&str]) -> Ran {
        let path = format!("{}:/usr/bin:/bin", self.0.path("bin").display());
        let mut all = vec![("PATH", path.as_str())];
        all.extend(env);
        let words: Vec<&str> = ["stack"].iter().chain(words).copied().collect();
        self.0.run_with(&all, &words)
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.0.path(&format!("backups/{name}"))
    }

    /// A backup of PostgreSQL and Redis, as its manifest describes it.
    fn backup(&self, name: &str, key: Option<&Path>) {
        let folder = self.folder(name);
        let file = |path: &str| {
            let ending = if key.is_some() { ".age" } else { "" };
            let path = format!("{path}{ending}");
            let at = folder.join(&path);
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            match key {
                None => std::fs::write(&at, "what was in it").unwrap(),
                Some(key) => {
                    let mut age = Command::new("age");
                    age.arg("--encrypt").arg("--identity").arg(key);
                    let closed = age.arg("--output").arg(&at).stdin(Stdio::null()).status();
                    assert!(closed.unwrap().success());
                }
            }
            let said = Command::new("sha256sum").arg(&at).output().unwrap();
            let said = String::from_utf8(said.stdout).unwrap();
            json!({
                "path": path,
                "size": std::fs::metadata(&at).unwrap().len(),
                "sha256": said.split_whitespace().next().unwrap(),
            })
        };
        let manifest = json!({
            "format": 1,
            "began_at": "2025-11-25T02:00:00Z",
            "ended_at": "2025-11-25T02:00:30Z",
            "project": "compose",
            "encrypted": key.is_some(),
            "postgres": {
                "image": "postgres:15-alpine",
                "database": "agent_orchestrator",
                "user": "admin",
                "base": file("postgres/base.tar.gz"),
                "dump": file("postgres/dump.pgc"),
                "wal": file("postgres/wal.tar.gz"),
                "start_wal": "000000010000000000000005",
                "whole_at": WHOLE_AT,
                "bytes": 8_000_000,
                "tables": {},
            },
            "redis": {
                "image": "redis:7-alpine",
                "snapshot": file("redis/dump.rdb"),
                "keys": [3, 3],
            },
            "rabbitmq": null,
            "volumes": null,
        });
        std::fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    }

    /// Changes the manifest of the backup.
    fn change(&self, change: impl FnOnce(&mut Value)) {
        let path = self.folder(NAME).join("manifest.json");
        let mut manifest = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut manifest);
        std::fs::write(&path, manifest.to_string()).unwrap();
    }

    /// Calls that change something, or might.
    fn changes(&self) -> Vec<String> {
        std::fs::read_to_string(self.0.path("bin/docker.calls"))
            .unwrap_or_default()
            .lines()
            .filter(|line| {
                let is_look = ["info", "ps", "inspect", "volume ls", "compose"]
                    .iter()
                    .any(|look| line.starts_with(&format!("docker {look}")));
                let is_probe = line.starts_with("docker run") && !line.contains(":/to");
                // The script that a look runs has lines of its own.
                !is_look && !is_probe && line.starts_with("docker ")
            })
            .map(str::to_owned)
            .collect()
    }

    fn key(&self, name: &str) -> PathBuf {
        let path = self.0.path(name);
        let mut make = Command::new("age-keygen");
        let made = make.arg("-o").arg(&path).stderr(Stdio::null()).status();
        assert!(made.unwrap().success());
        path
    }

    /// A restore of Redis that was interrupted after these steps.
    fn interrupted(&self, steps: &[&str]) {
        let swap = |part: &str, volume: &str| {
            json!({
                "part": part, "declared": volume, "volume": volume,
                "staged": format!("{volume}-restored-20251125t030000"),
                "aside": format!("{volume}-before-20251125t030000"),
            })
        };
        let begun = json!({"begun": {
            "at": "20251125t030000", "source": NAME, "project": "compose",
            "image": "postgres:15-alpine",
            "swaps": [swap("postgres", "postgres_data"), swap("redis", "redis_data")],
        }});
        let mut text = format!("{begun}\n");
        for step in steps {
            text.push_str(step);
            // Half a line is what somebody who is killed may leave.
            if step.ends_with(['}', '"']) {
                text.push('\n');
            }
        }
        self.0.write(".env.restoring", &text);
    }

    fn is_interrupted(&self) -> bool {
        self.0.path(".env.restoring").exists()
    }
}

fn wrong(ran: &Ran) -> Vec<String> {
    let line = ran.stdout.lines().next().unwrap_or_default();
    let told: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{}", ran.text()));
    let findings = told["findings"].as_array().unwrap();
    findings
        .iter()
        .filter(|one| one["level"] == "wrong")
        .map(|one| {
            assert!(one["mend"].as_str().is_some_and(|mend| !mend.is_empty()));
            one["code"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// What is wrong is told by its code, and nothing is changed.
fn refuses(project: &Project, env: &[(&str, &str)], words: &[&str], codes: &[&str]) {
    let all: Vec<&str> = ["restore", "--yes", "--json"]
        .iter()
        .chain(words)
        .copied()
        .collect();
    let ran = project.run(env, &all);
    assert_eq!(ran.code, Some(1), "{words:?}: {}", ran.text());
    assert_eq!(wrong(&ran), codes, "{words:?}: {}", ran.text());
    assert!(ran.stderr.contains("nothing was changed"), "{}", ran.stderr);
    assert_eq!(project.changes(), [""; 0], "{words:?}");
}

#[test]
fn what_does_not_fit_is_refused_by_its_code_before_anything_is_changed() {
    let project = Project::new();
    refuses(
        &project,
        &[],
        &["2020-01-01T00-00-00Z"],
        &["backup_missing"],
    );
    refuses(&project, &[], &["--from", "nowhere"], &["backup_missing"]);
    refuses(&project, &[("RUNS", "1")], &[], &["restore_running"]);
    refuses(&project, &[("FREE", "1000")], &[], &["restore_disk"]);
    refuses(
        &project,
        &[],
        &["--part", "redis,rabbitmq"],
        &["backup_part"],
    );
    let early = ["--until", "2025-11-25T02:00:06Z"];
    refuses(&project, &[], &early, &["backup_missing"]);
    let early = [NAME, "--until", "2025-11-25T02:00:06Z"];
    refuses(&project, &[], &early, &["restore_time"]);
    let beyond = ["--until", "2025-11-25T03:00:00Z"];
    refuses(&project, &[], &beyond, &["restore_time"]);
    let ahead = ["--until", "2126-11-25T03:00:00Z"];
    refuses(&project, &[], &ahead, &["restore_time", "restore_time"]);
    let without = ["--until", WHOLE_AT, "--part", "redis"];
    refuses(&project, &[], &without, &["restore_time"]);

    project.change(|manifest| manifest["postgres"]["image"] = json!("postgres:14-alpine"));
    refuses(&project, &[], &[], &["backup_version"]);
    project.change(|manifest| {
        manifest["postgres"]["image"] = json!("postgres:15-alpine");
        manifest["postgres"]["user"] = json!("boss");
    });
    refuses(&project, &[], &[], &["backup_names"]);
    project.change(|manifest| {
        manifest["postgres"]["user"] = json!("admin");
        manifest["postgres"]["wal"] = Value::Null;
    });
    refuses(&project, &[], &["--until", "latest"], &["restore_time"]);
}

#[test]
fn a_flipped_byte_anywhere_is_found() {
    let project = Project::new();
    let dump = project.folder(NAME).join("redis/dump.rdb");
    std::fs::write(&dump, "What was in it").unwrap();
    refuses(&project, &[], &[], &["backup_broken"]);
    // A part that holds can still be had.
    let other = project.run(&[], &["restore", "--part", "postgres", "--dry-run"]);
    assert_eq!(other.code, Some(0), "{}", other.text());
    std::fs::remove_file(&dump).unwrap();
    refuses(&project, &[], &["--part", "redis"], &["backup_broken"]);
    std::fs::write(project.folder(NAME).join("manifest.json"), "{").unwrap();
    refuses(&project, &[], &[], &["backup_broken"]);
    refuses(&project, &[], &[NAME], &["backup_broken"]);
}

#[test]
fn a_key_that_is_missing_public_or_another_one_is_told() {
    if Command::new("age").arg("--version").output().is_err() {
        println!("left out: the program age is not installed");
        return;
    }
    let project = Project::new();
    let key = project.key("key");
    project.backup(NAME, None);
    std::fs::remove_dir_all(project.folder(NAME)).unwrap();
    project.backup(NAME, Some(&key));
    // One line for each part.
    let both = ["backup_key", "backup_key"];
    refuses(&project, &[], &[], &both);
    let other = project.key("other").display().to_string();
    refuses(&project, &[], &["--key", &other], &both);
    let public = Command::new("age-keygen")
        .arg("-y")
        .arg(&key)
        .output()
        .unwrap();
    std::fs::write(project.0.path("public"), public.stdout).unwrap();
    let public = project.0.path("public").display().to_string();
    refuses(&project, &[], &["--key", &public], &both);
    let right = key.display().to_string();
    let fine = project.run(&[], &["restore", "--key", &right, "--dry-run"]);
    assert_eq!(fine.code, Some(0), "{}", fine.text());
    let nowhere = project.run(&[], &["restore", "--key", "nowhere", "--yes"]);
    assert_eq!(nowhere.code, Some(2), "{}", nowhere.text());
    assert_eq!(project.changes(), [""; 0]);
}

#[test]
fn a_dry_run_tells_every_command_and_carries_none_out() {
    let project = Project::new();
    let told = project.run(
        &[("WAL", "1764043200")],
        &["restore", "latest", "--dry-run"],
    );
    assert_eq!(told.code, Some(0), "{}", told.text());
    let commands: Vec<&str> = told
        .stdout
        .lines()
        .filter(|line| line.starts_with("docker "))
        .collect();
    // What is in the first volume is set aside; the second one is empty.
    for (number, expected) in [
        (
            0,
            "docker volume create --label collective.stack.aside=compose",
        ),
        (
            1,
            "docker run --rm --name compose-restore-copy --network none --user 0 --volume postgres_data:/from:ro",
        ),
        (
            2,
            "docker run --rm --name compose-restore-copy --network none --user 0 --volume postgres_data-restored-",
        ),
        (
            3,
            "docker run --rm --name compose-restore-copy --network none --user 0 --volume redis_data-restored-",
        ),
    ] {
        assert!(
            commands[number].starts_with(expected),
            "{number}: {}",
            told.text()
        );
    }
    assert_eq!(commands.len(), 4, "{}", told.text());
    assert!(told.stdout.contains("restore_volume"), "{}", told.text());
    assert_eq!(project.changes(), [""; 0]);
    assert!(!project.is_interrupted());
    // Nobody is asked, so nothing is done.
    let nobody = project.run(&[], &["restore"]);
    assert_eq!(nobody.code, Some(2), "{}", nobody.text());
    assert!(nobody.stderr.contains("--yes"), "{}", nobody.stderr);
    assert_eq!(project.changes(), [""; 0]);
}

#[test]
fn whoever_starts_or_looks_is_told_of_an_unfinished_restore() {
    let project = Project::new();
    project.interrupted(&["\"staged\""]);
    for words in [&["up"][..], &["up", "--no-check"], &["up", "--dry-run"]] {
        let up = project.run(&[], words);
        assert_eq!(up.code, Some(1), "{words:?}: {}", up.text());
        assert!(up.text().contains("restore --undo"), "{}", up.text());
    }
    for words in [&["check"][..], &["doctor"], &["restore", "--dry-run"]] {
        let found = project.run(&[], words);
        assert_eq!(found.code, Some(1), "{words:?}: {}", found.text());
        assert!(
            found.stdout.contains("restore_unfinished"),
            "{words:?}: {}",
            found.text()
        );
    }
    assert!(project.is_interrupted());
}

#[test]
fn a_restore_that_was_interrupted_before_it_changed_anything_is_cleared_away() {
    let project = Project::new();
    project.interrupted(&[]);
    let undone = project.run(&[], &["restore", "--undo", "--yes"]);
    assert_eq!(undone.code, Some(0), "{}", undone.text());
    assert!(
        undone.stdout.contains("had changed nothing"),
        "{}",
        undone.text()
    );
    assert!(!project.is_interrupted());
    let copies = project.changes();
    assert!(
        copies.iter().all(|call| !call.contains(":/to")),
        "a volume was written: {copies:#?}"
    );
}

#[test]
fn a_restore_that_was_interrupted_in_between_is_finished_by_the_next_one() {
    let project = Project::new();
    project.interrupted(&[
        "\"staged\"",
        r#"{"aside":"postgres_data"}"#,
        r#"{"aside":"redis_data"}"#,
        r#"{"placed":"postgres_data"}"#,
        r#"{"placed":"redi"#,
    ]);
    let finished = project.run(&[], &["restore", "--yes", "--json"]);
    assert_eq!(finished.code, Some(0), "{}", finished.text());
    assert_eq!(finished.json()["source"], NAME);
    assert!(!project.is_interrupted());
    let copies: Vec<String> = project
        .changes()
        .into_iter()
        .filter(|call| call.contains(":/to"))
        .collect();
    // Only what was left to do is done.
    assert_eq!(copies.len(), 1, "{copies:#?}");
    assert!(
        copies[0].contains("redis_data-restored-20251125t030000:/from:ro --volume redis_data:/to"),
        "{copies:#?}"
    );
}

#[test]
fn a_restore_that_was_interrupted_in_between_can_be_taken_back() {
    let project = Project::new();
    project.interrupted(&[
        "\"staged\"",
        r#"{"aside":"postgres_data"}"#,
        r#"{"aside":"redis_data"}"#,
        r#"{"placed":"postgres_data"}"#,
    ]);
    let running = project.run(&[("RUNS", "1")], &["restore", "--undo", "--yes"]);
    assert_eq!(running.code, Some(4), "{}", running.text());
    assert!(project.is_interrupted());
    let undone = project.run(&[], &["restore", "--undo", "--yes"]);
    assert_eq!(undone.code, Some(0), "{}", undone.text());
    assert!(!project.is_interrupted());
    let copies: Vec<String> = project
        .changes()
        .into_iter()
        .filter(|call| call.contains(":/to"))
        .collect();
    for (copy, volume) in copies.iter().zip(["postgres_data", "redis_data"]) {
        let expected = format!("{volume}-before-20251125t030000:/from:ro --volume {volume}:/to");
        assert!(copy.contains(&expected), "{copies:#?}");
    }
    assert_eq!(copies.len(), 2, "{copies:#?}");
}

#[test]
fn there_is_nothing_to_go_back_to_before_a_restore() {
    let project = Project::new();
    project.0.write(
        "bin/docker",
        &DOCKER.replace(
            "ls) printf 'postgres_data\\npostgres_wal\\nredis_data\\n' ;;",
            "ls) ;;",
        ),
    );
    let nothing = project.run(&[], &["restore", "--undo", "--yes"]);
    assert_eq!(nothing.code, Some(2), "{}", nothing.text());
    assert!(nothing.stderr.contains("set aside"), "{}", nothing.stderr);
    let both = project.run(&[], &["restore", "--undo", "--until", "latest"]);
    assert_eq!(both.code, Some(2), "{}", both.text());
}
