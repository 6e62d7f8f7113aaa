//! `collective stack` on a project of the test's own, with a Docker that only
//! notes what it is asked. The real one is in `on_docker`.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Home, Ran};

const BASE: &str = "\
services:
  postgres:
    image: postgres:15-alpine
    container_name: ${STACK_PREFIX:-}agent_postgres
    environment:
      POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:-postgres123}
";
const PRODUCTION: &str = "\
services:
  postgres:
    environment:
      POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?make one}
      COOKIE: ${RABBITMQ_ERLANG_COOKIE:?make one}
";
const TEMPLATE: &str = "\
# Who logs in
POSTGRES_USER=admin
POSTGRES_PASSWORD=postgres123
";
/// Notes its arguments; knows what `check` asks.
const DOCKER: &str = r#"#!/bin/sh
echo "docker $*" >> "$0.calls"
case "$1" in
compose) [ "$2" = version ] && [ -n "$PLUGIN" ] && echo "Docker Compose version v2.26.1" ;;
info) echo '{"ServerVersion":"20.10.24","MemTotal":68719476736,"DockerRootDir":"/no-such-folder"}' ;;
volume) exit 1 ;;
ps) [ -z "$STARTED_FROM" ] || echo 4711 ;;
inspect) [ -z "$STARTED_FROM" ] || printf '[{"Name": "/agent_grafana", "State": {"Status": "running", "ExitCode": 0},
  "Config": {"Image": "x", "Labels": {"com.docker.compose.service": "grafana",
  "com.docker.compose.project.config_files": "%s"}}}]' "$STARTED_FROM" ;;
esac
"#;
/// The same of Compose 1.
const COMPOSE: &str = r#"#!/bin/sh
echo "docker-compose $*" >> "$0.calls"
case "$*" in
version) echo "docker-compose version ${COMPOSE_SAYS:-1.29.2}, build unknown" ;;
*" config") printf 'services:\n  postgres:\n    image: postgres:15-alpine\n    ports:\n    - 127.0.0.1:%s:5432/tcp\n' "$TAKEN" ;;
*) echo "started" ;;
esac
"#;

/// A project, and tools before the real ones.
struct Project(Home);

impl Project {
    fn new() -> Self {
        let home = Home::new();
        std::fs::create_dir_all(home.path("infrastructure/docker/compose")).unwrap();
        std::fs::create_dir_all(home.path("bin")).unwrap();
        let file = |name: &str| format!("infrastructure/docker/compose/{name}");
        home.write(&file("docker-compose.yml"), BASE);
        home.write(&file("override.dev.yml"), "services: {}\n");
        home.write(&file("override.production.yml"), PRODUCTION);
        home.write(&file("override.monitoring.yml"), "services: {}\n");
        for name in ["override.proxy.yml", "override.proxy.monitoring.yml"] {
            let proxy = format!("infrastructure/docker/proxy/{name}");
            std::fs::create_dir_all(home.path("infrastructure/docker/proxy")).unwrap();
            home.write(&proxy, "services: {}\n");
        }
        home.write(".env.example", TEMPLATE);
        for (name, text) in [("docker", DOCKER), ("docker-compose", COMPOSE)] {
            home.write(&format!("bin/{name}"), text);
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(home.path(&format!("bin/{name}")), mode).unwrap();
        }
        Self(home)
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(&[], arguments)
    }

    fn run_with(&self, env: &[(&str, &str)], arguments: &[&str]) -> Ran {
        let path = format!("{}:/usr/bin:/bin", self.0.path("bin").display());
        let mut all = vec![("PATH", path.as_str())];
        all.extend(env);
        let words: Vec<&str> = ["stack"].iter().chain(arguments).copied().collect();
        self.0.run_with(&all, &words)
    }

    fn env_file(&self) -> String {
        std::fs::read_to_string(self.0.path(".env")).unwrap()
    }

    /// What Compose was asked for, beside its version.
    fn calls(&self) -> Vec<String> {
        std::fs::read_to_string(self.0.path("bin/docker-compose.calls"))
            .unwrap_or_default()
            .lines()
            .filter(|line| !line.ends_with(" version"))
            .map(str::to_owned)
            .collect()
    }
}

/// The findings of a check, as `code level place`.
fn findings(ran: &Ran) -> Vec<String> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    ran.json()["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            format!(
                "{} {} {}",
                text(&one["code"]),
                text(&one["level"]),
                text(&one["place"])
            )
        })
        .collect()
}

#[test]
fn a_file_of_variables_has_new_secrets_for_its_owner_and_is_never_overwritten() {
    let project = Project::new();
    let made = project.run(&["init", "--env", "production", "--json"]);
    assert_eq!(made.code, Some(0), "{}", made.text());
    let names = made.json()["secrets"].clone();
    assert_eq!(
        names,
        serde_json::json!(["POSTGRES_PASSWORD", "RABBITMQ_ERLANG_COOKIE"])
    );
    let text = project.env_file();
    for line in text
        .lines()
        .filter(|line| line.contains("PASSWORD=") || line.contains("COOKIE="))
    {
        let value = line.split_once('=').unwrap().1;
        assert_eq!(value.len(), 48, "{line}");
        assert!(!made.text().contains(value), "a secret is shown");
    }
    let about = std::fs::metadata(project.0.path(".env")).unwrap();
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
    let again = project.run(&["init", "--env", "dev"]);
    assert_eq!(again.code, Some(4), "{}", again.text());
    assert!(
        again.stderr.contains("never overwritten"),
        "{}",
        again.stderr
    );
    assert_eq!(project.env_file(), text);
}

#[test]
fn init_takes_no_secret_from_arguments_and_asks_nobody_who_isnt_there() {
    let project = Project::new();
    let refused = project.run(&["init", "--env", "dev", "--set", "POSTGRES_PASSWORD=x"]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("--set-stdin POSTGRES_PASSWORD"),
        "{}",
        refused.stderr
    );
    let nobody = project.run(&["init"]);
    assert_eq!(nobody.code, Some(2));
    assert!(nobody.stderr.contains("--env dev"), "{}", nobody.stderr);
    let dry = project.run(&["init", "--env", "dev", "--dry-run"]);
    assert_eq!(dry.code, Some(0), "{}", dry.text());
    assert!(!project.0.path(".env").exists());
}

#[test]
fn a_dry_run_shows_the_command_and_starts_nothing() {
    let project = Project::new();
    let up = project.run(&["up", "--env", "dev", "--dry-run"]);
    assert_eq!(
        project.0.tidy(&up.text()),
        "docker-compose --project-name compose \
         -f infrastructure/docker/compose/docker-compose.yml \
         -f infrastructure/docker/compose/override.dev.yml up --detach\n"
    );
    let newer = project.run_with(&[("PLUGIN", "1")], &["down", "--env", "dev", "--dry-run"]);
    assert!(
        newer
            .stdout
            .starts_with("docker compose --project-name compose -f ")
            && newer.stdout.ends_with(" down --remove-orphans\n"),
        "{}",
        newer.text()
    );
    assert_eq!(project.calls(), [""; 0]);
}

#[test]
fn the_file_of_variables_says_which_stack_is_meant() {
    let project = Project::new();
    let made = project.run(&[
        "init",
        "--env",
        "production",
        "--monitoring",
        "--prefix",
        "blue-",
    ]);
    assert_eq!(made.code, Some(0), "{}", made.text());
    let logs = project.run(&["logs", "postgres", "--tail", "5", "--dry-run"]);
    assert_eq!(
        logs.stdout,
        "docker-compose --project-name blue-collective --env-file .env \
         -f infrastructure/docker/compose/docker-compose.yml \
         -f infrastructure/docker/compose/override.production.yml \
         -f infrastructure/docker/compose/override.monitoring.yml \
         logs --timestamps --tail=5 postgres\n"
    );
    let elsewhere = project.run(&["logs", "--dir", "/", "--dry-run"]);
    assert_eq!(elsewhere.code, Some(3), "{}", elsewhere.text());
    let unnamed = Project::new().run(&["status"]);
    assert_eq!(unnamed.code, Some(2), "{}", unnamed.text());
    assert!(unnamed.stderr.contains("STACK_ENV"), "{}", unnamed.stderr);
}

#[test]
fn the_proxy_is_a_part_of_every_command_once_it_is_noted() {
    let project = Project::new();
    let made = project.run(&["init", "--env", "production", "--monitoring", "--proxy"]);
    assert_eq!(made.code, Some(0), "{}", made.text());
    assert!(project.env_file().contains("\nSTACK_PROXY=true\n"));
    let folder = "infrastructure/docker";
    let files = format!(
        " -f {folder}/compose/docker-compose.yml -f {folder}/compose/override.production.yml \
         -f {folder}/compose/override.monitoring.yml -f {folder}/proxy/override.proxy.yml \
         -f {folder}/proxy/override.proxy.monitoring.yml "
    );
    for command in [&["up", "--no-check"][..], &["down"], &["logs"]] {
        let told = project.run(&[command, &["--dry-run"]].concat());
        assert!(told.stdout.contains(&files), "{}", told.text());
    }
    let alone = project.run(&["up", "--env", "dev", "--proxy", "--dry-run"]);
    assert!(
        alone
            .stdout
            .contains("-f infrastructure/docker/proxy/override.proxy.yml"),
        "{}",
        alone.text()
    );
}

#[test]
fn a_part_that_runs_and_is_not_said_is_told() {
    let project = Project::new();
    let files = "/p/docker-compose.yml,/p/override.dev.yml,/proxy/override.proxy.yml";
    let env = [("STARTED_FROM", files)];
    let told = "part_unsaid wrong the running stack".to_owned();
    let without = project.run_with(&env, &["check", "--env", "dev", "--json"]);
    assert!(findings(&without).contains(&told), "{}", without.text());
    assert!(without.stdout.contains("--proxy"), "{}", without.stdout);
    let with = project.run_with(&env, &["check", "--env", "dev", "--proxy", "--json"]);
    assert!(!findings(&with).contains(&told), "{}", with.text());
}

#[test]
fn certificates_that_are_asked_for_are_looked_at() {
    let project = Project::new();
    let tls = "infrastructure/docker/tls";
    let arguments = ["check", "--env", "production", "--proxy", "--json"];
    let found = findings(&project.run(&arguments));
    for expected in [
        format!("certificate_missing wrong {tls}/proxy/server.crt"),
        format!("certificate_missing wrong {tls}/proxy/server.key"),
        format!("pages_closed notice {tls}/proxy/htpasswd"),
    ] {
        assert!(found.contains(&expected), "{expected} in {found:#?}");
    }
    // Nobody asks for those of the servers.
    assert!(!found.iter().any(|one| one.contains("tls/redis")));
    project.0.write(".env", "REDIS_REQUIRE_TLS=true\n");
    let found = findings(&project.run(&["check", "--env", "production", "--json"]));
    for file in ["redis/server.crt", "redis/server.key", "ca/ca.crt"] {
        let expected = format!("certificate_missing wrong {tls}/{file}");
        assert!(found.contains(&expected), "{expected} in {found:#?}");
    }
    // Where there is neither, none of it is asked for.
    std::fs::remove_file(project.0.path(".env")).unwrap();
    let found = findings(&project.run(&["check", "--env", "production", "--json"]));
    assert!(!found.iter().any(|one| one.contains("certificate_")));
}

#[test]
fn what_is_missing_weak_or_open_to_others_is_found_before_anything_is_started() {
    let project = Project::new();
    project.0.write(
        ".env",
        "POSTGRES_PASSWORD=postgres123\nPOSTGRES_PASSWORD=postgres123\nx y\n",
    );
    let mode = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(project.0.path(".env"), mode).unwrap();
    let found = project.run(&["check", "--env", "production", "--json"]);
    assert_eq!(found.code, Some(1), "{}", found.text());
    let base = "infrastructure/docker/compose";
    for expected in [
        "env_permissions wrong .env",
        "variable_twice wrong .env:2",
        "env_line wrong .env:3",
        "variable_weak wrong .env:2",
        &format!("variable_missing wrong {base}/override.production.yml:5"),
        "docker fine docker",
        "compose fine docker-compose",
    ] {
        let all = findings(&found);
        assert!(
            all.iter().any(|one| one == expected),
            "{expected} in {all:#?}"
        );
    }
    assert!(
        found.json()["findings"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| {
                one["level"] == "fine" || one["mend"].as_str().is_some_and(|mend| !mend.is_empty())
            })
    );
    let up = project.run(&["up", "--env", "production"]);
    assert_eq!(up.code, Some(1), "{}", up.text());
    assert!(up.stderr.contains("nothing was started"), "{}", up.stderr);
    assert_eq!(project.calls(), [""; 0]);
    let in_dev = project.run(&["check", "--env", "dev", "--json"]);
    assert!(findings(&in_dev).contains(&"variable_weak notice .env:2".to_owned()));
}

#[test]
fn secrets_that_others_can_read_are_found_wherever_they_lie() {
    let project = Project::new();
    let made = project.run(&["init", "--env", "production"]);
    assert_eq!(made.code, Some(0), "{}", made.text());
    let docker = "infrastructure/docker";
    let alerts = format!("{docker}/monitoring/alertmanager/secrets");
    let secrets = [
        format!("{alerts}/slack_url"),
        format!("{docker}/tls/postgres/server.key"),
        format!("{docker}/tls/proxy/server.key"),
        format!("{docker}/backup.key"),
        "backup.key".to_owned(),
    ];
    for folder in [
        alerts.as_str(),
        "infrastructure/docker/tls/postgres",
        "infrastructure/docker/tls/proxy",
    ] {
        std::fs::create_dir_all(project.0.path(folder)).unwrap();
    }
    // Neither a certificate nor somebody else's key is a secret of ours.
    project.0.write(&format!("{alerts}/.gitkeep"), "");
    project
        .0
        .write(&format!("{docker}/tls/proxy/server.crt"), "x");
    project.0.write("other.key", "x");
    let set_mode = |mode: u32| {
        for secret in &secrets {
            let text = "# made\nAGE-SECRET-KEY-1X\n";
            project.0.write(secret, text);
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(project.0.path(secret), mode).unwrap();
        }
    };
    let found = |environment: &str| {
        let ran = project.run(&["check", "--env", environment, "--json"]);
        let mut all = findings(&ran);
        all.retain(|one| one.starts_with("secret_permissions "));
        all.sort();
        all
    };
    let told = |level: &str| {
        let mut all = secrets
            .clone()
            .map(|secret| format!("secret_permissions {level} {secret}"));
        all.sort();
        all
    };
    set_mode(0o644);
    assert_eq!(found("production"), told("wrong"));
    assert_eq!(found("dev"), told("notice"));
    let ran = project.run(&["check", "--env", "production"]);
    let mend = format!("chown 101 {docker}/tls/proxy/server.key && chmod 400");
    assert!(ran.text().contains(&mend), "{}", ran.text());
    set_mode(0o400);
    assert_eq!(found("production"), ["secret_permissions fine 5 files"]);
}

#[test]
fn a_file_of_variables_made_for_less_keeps_production_from_starting() {
    let project = Project::new();
    let made = project.run(&["init", "--env", "dev"]);
    assert_eq!(made.code, Some(0), "{}", made.text());
    let line = 1 + project
        .env_file()
        .lines()
        .position(|line| line.starts_with("STACK_ENV="))
        .unwrap();
    let found = findings(&project.run(&["check", "--env", "production", "--json"]));
    let told = format!("env_file wrong .env:{line}");
    assert!(found.contains(&told), "{told} in {found:#?}");
}

#[test]
fn a_taken_port_is_told_with_who_has_it() {
    let project = Project::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let env = [("TAKEN", port.as_str())];
    let found = project.run_with(&env, &["check", "--env", "dev", "--json"]);
    let taken = format!("port_taken wrong 127.0.0.1:{port}");
    assert!(findings(&found).contains(&taken), "{}", found.text());
    let me = format!("process {}", std::process::id());
    assert!(found.stdout.contains(&me), "{}", found.stdout);
    drop(listener);
    let free = project.run_with(&env, &["check", "--env", "dev", "--json"]);
    assert!(!findings(&free).contains(&taken), "{}", free.text());
}

#[test]
fn old_and_missing_tools_and_a_wrong_order_of_files_are_found() {
    let project = Project::new();
    let env = [
        ("COMPOSE_SAYS", "1.25.0"),
        ("COMPOSE_FILE", "override.dev.yml:docker-compose.yml"),
    ];
    let found = findings(&project.run_with(&env, &["check", "--env", "dev", "--json"]));
    assert!(
        found.contains(&"compose wrong docker-compose".to_owned()),
        "{found:#?}"
    );
    assert!(
        found.contains(&"override_order wrong COMPOSE_FILE".to_owned()),
        "{found:#?}"
    );
    let empty = project.0.path("infrastructure").display().to_string();
    let nothing = project.run_with(&[("PATH", &empty)], &["check", "--env", "dev", "--json"]);
    let found = findings(&nothing);
    assert!(
        found.contains(&"docker wrong docker".to_owned()),
        "{found:#?}"
    );
    assert!(
        found.contains(&"compose wrong docker compose".to_owned()),
        "{found:#?}"
    );
}

#[test]
fn data_is_only_removed_by_someone_who_says_yes() {
    let project = Project::new();
    let refused = project.run(&["down", "--env", "dev", "--volumes"]);
    assert_eq!(refused.code, Some(2), "{}", refused.text());
    assert_eq!(project.calls(), [""; 0]);
    let done = project.run(&["down", "--env", "dev", "--volumes", "--yes"]);
    assert_eq!(done.code, Some(0), "{}", done.text());
    assert!(done.stderr.contains("$ docker-compose "), "{}", done.stderr);
    let calls = project.calls();
    assert!(
        calls.len() == 1 && calls[0].ends_with("down --remove-orphans --volumes"),
        "{calls:?}"
    );
}
