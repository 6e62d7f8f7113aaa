//! Passwords: changed by `rotate`, tried by `verify` and `doctor`. The Docker here
//! only notes what it is asked and what it is given; the real one is in `on_docker`.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Home, Ran};

/// Every password that `rotate` knows.
const NAMES: [&str; 19] = [
    "POSTGRES_PASSWORD",
    "COLLECTIVE_DB_PASSWORD",
    "COLLECTIVE_READONLY_PASSWORD",
    "POSTGRES_EXPORTER_PASSWORD",
    "RABBITMQ_PASSWORD",
    "COLLECTIVE_RABBITMQ_PASSWORD",
    "RABBITMQ_MONITOR_PASSWORD",
    "REDIS_PASSWORD",
    "COLLECTIVE_REDIS_PASSWORD",
    "REDIS_EXPORTER_PASSWORD",
    "PGADMIN_PASSWORD",
    "REDIS_COMMANDER_PASSWORD",
    "GRAFANA_PASSWORD",
    "ELASTIC_PASSWORD",
    "KIBANA_PASSWORD",
    "LOGSTASH_ELASTICSEARCH_PASSWORD",
    "GRAFANA_ELASTICSEARCH_PASSWORD",
    "APM_ELASTICSEARCH_PASSWORD",
    "APM_SECRET_TOKEN",
];
/// Those of the three servers that no stack is without.
const CORE: usize = 10;

/// Notes arguments and inputs. What is named in RUNNING runs; a call that has
/// REFUSED in it fails; Redis forgets the passwords that it was told to.
const DOCKER: &str = r#"#!/bin/sh
printf '%s\n' "docker $*" >> "$0.calls"
case "$1" in
compose) exit 1 ;;
info) echo '{"ServerVersion":"20.10.24","MemTotal":68719476736,"DockerRootDir":"/no-such-folder"}' ;;
ps) for name in $RUNNING; do echo "$name"; done ;;
inspect)
    comma='['
    for name in $RUNNING; do
        printf '%s{"Name":"/%s","State":{"Status":"running","ExitCode":0},"Config":{"Image":"x","Labels":{"com.docker.compose.service":"%s"}}}' "$comma" "$name" "${name%_[0-9]}"
        comma=,
    done
    echo ']' ;;
exec)
    cat > "$0.input"
    cat "$0.input" >> "$0.inputs"
    if [ -n "$REFUSED" ]; then
        case "$* $(cat "$0.input")" in *"$REFUSED"*) echo "it is another password" >&2; exit 1 ;; esac
    fi
    case "$*" in
    *" ping") if grep -q "<$REDISCLI_AUTH" "$0.inputs"; then echo NOAUTH; else echo PONG; fi ;;
    *curl*) printf '{"version":"8"}\n200' ;;
    esac ;;
esac
exit 0
"#;
/// What the compose files come to, with the variables as they are now.
const COMPOSE: &str = r#"#!/bin/sh
case "$*" in
version) echo "docker-compose version 1.29.2, build unknown"; exit ;;
*" config") ;;
*) printf '%s\n' "docker-compose $*" >> "${0%-compose}.calls"; exit ;;
esac
value() { sed -n "s/^$1=//p" .env; }
cat <<END
services:
  postgres: {image: x, environment: {POSTGRES_PASSWORD: "$(value POSTGRES_PASSWORD)"}}
  server: {image: x, environment: {COLLECTIVE_STORE_PASSWORD: "$(value COLLECTIVE_DB_PASSWORD)"}}
  pgadmin: {image: x, environment: {PGADMIN_DEFAULT_PASSWORD: "$(value PGADMIN_PASSWORD)"}}
  redis-commander: {image: x, environment: {HTTP_PASSWORD: "$(value REDIS_COMMANDER_PASSWORD)"}}
  grafana: {image: x, environment: {GRAFANA_ELASTICSEARCH_PASSWORD: "$(value GRAFANA_ELASTICSEARCH_PASSWORD)"}}
  elasticsearch-1: {image: x, environment: {ELASTIC_PASSWORD: "$(value ELASTIC_PASSWORD)"}}
  elasticsearch-2: {image: x, environment: {ELASTIC_PASSWORD: "$(value ELASTIC_PASSWORD)"}}
  kibana: {image: x, environment: {ELASTICSEARCH_PASSWORD: "$(value KIBANA_PASSWORD)"}}
  logstash: {image: x, environment: {LOGSTASH_ELASTICSEARCH_PASSWORD: "$(value LOGSTASH_ELASTICSEARCH_PASSWORD)"}}
  apm-server: {image: x, environment: {APM_SECRET_TOKEN: "$(value APM_SECRET_TOKEN)"}}
  jaeger-agent: {image: x, environment: {APM_SECRET_TOKEN: "$(value APM_SECRET_TOKEN)"}}
  postgres-exporter: {image: x, environment: {DATA_SOURCE_PASS: "$(value POSTGRES_EXPORTER_PASSWORD)"}}
END
"#;
const ALL: &str = "postgres rabbitmq redis server_1 server_2 pgadmin redis-commander grafana \
                   elasticsearch-1 elasticsearch-2 kibana logstash apm-server jaeger-agent";

struct Project(Home);

impl Project {
    fn new() -> Self {
        let home = Home::new();
        let folder = "infrastructure/docker/compose";
        std::fs::create_dir_all(home.path(folder)).unwrap();
        std::fs::create_dir_all(home.path("bin")).unwrap();
        for name in [
            "docker-compose.yml",
            "override.production.yml",
            "override.monitoring.yml",
        ] {
            home.write(&format!("{folder}/{name}"), "services: {}\n");
        }
        let mut env = "STACK_ENV=production\nSTACK_MONITORING=true\n".to_owned();
        for name in NAMES {
            env.push_str(&format!("{name}=old-{name}-of-before\n"));
        }
        home.write(".env", &env);
        for (name, text) in [("docker", DOCKER), ("docker-compose", COMPOSE)] {
            home.write(&format!("bin/{name}"), text);
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(home.path(&format!("bin/{name}")), mode).unwrap();
        }
        Self(home)
    }

    fn run(&self, running: &str, refused: &str, arguments: &[&str]) -> Ran {
        let path = format!("{}:/usr/bin:/bin", self.0.path("bin").display());
        let env = [
            ("PATH", path.as_str()),
            ("RUNNING", running),
            ("REFUSED", refused),
        ];
        let words: Vec<&str> = ["stack"].iter().chain(arguments).copied().collect();
        self.0.run_with(&env, &words)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path(name)).unwrap_or_default()
    }

    /// The passwords in the file of variables.
    fn passwords(&self) -> BTreeMap<String, String> {
        self.read(".env")
            .lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(name, _)| NAMES.contains(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

#[test]
fn every_password_is_changed_by_what_its_server_has_and_none_is_an_argument() {
    let project = Project::new();
    let old = project.passwords();
    let ran = project.run(ALL, "", &["rotate", "--yes"]);
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    let new = project.passwords();
    let (calls, inputs) = (
        project.read("bin/docker.calls"),
        project.read("bin/docker.inputs"),
    );
    for name in NAMES {
        assert_ne!(old[name], new[name], "{name}");
        assert_eq!(new[name].len(), 48, "{name}");
        for value in [&old[name], &new[name]] {
            assert!(!calls.contains(value), "{name} is an argument:\n{calls}");
            assert!(
                !ran.text().contains(value),
                "{name} is shown: {}",
                ran.text()
            );
        }
    }
    for name in NAMES {
        assert!(inputs.contains(&new[name]), "{name} in {inputs}");
    }
    for expected in [
        "exec --interactive pgadmin /venv/bin/python3 -",
        "exec --interactive redis-commander node -",
        "exec --interactive grafana grafana cli admin reset-admin-password --password-from-stdin",
        r"exec --interactive elasticsearch-1 curl --silent --show-error --max-time 20 --write-out \n%{http_code} --fail --cacert config/certs/ca/ca.crt --config - https://localhost:9200/_security/user/kibana_system/_password",
        r"exec --interactive elasticsearch-1 curl --silent --show-error --max-time 20 --write-out \n%{http_code} --cacert config/certs/ca/ca.crt --config - https://localhost:9200/_security/_authenticate",
        r"exec --interactive apm-server curl --silent --show-error --max-time 20 --write-out \n%{http_code} --config - http://localhost:8200/",
    ] {
        let line = format!("docker {expected}");
        assert!(calls.lines().any(|call| call == line), "{line} in\n{calls}");
    }
    // Elasticsearch's administrator signs each change with what it knows then.
    let login = format!("user = \"elastic:{}\"", new["ELASTIC_PASSWORD"]);
    let body = format!(
        r#"data = "{{\"password\":\"{}\"}}""#,
        new["KIBANA_PASSWORD"]
    );
    let settings = format!("{login}\nheader = \"Content-Type: application/json\"\n{body}\n");
    assert!(inputs.contains(&settings), "{settings} in\n{inputs}");
    assert!(!project.0.path(".env.rotating").exists());
}

#[test]
fn who_was_told_a_password_is_started_anew_and_replicas_one_after_the_other() {
    let project = Project::new();
    let ran = project.run(ALL, "", &["rotate", "--yes"]);
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    let calls = project.read("bin/docker.calls");
    let compose = "docker-compose --project-name compose --env-file .env \
                   -f infrastructure/docker/compose/docker-compose.yml \
                   -f infrastructure/docker/compose/override.production.yml \
                   -f infrastructure/docker/compose/override.monitoring.yml \
                   up --detach --no-deps";
    let others =
        format!("{compose} apm-server grafana jaeger-agent kibana logstash redis-commander");
    let again = format!("{compose} --no-recreate --scale server=2 server");
    let changes: Vec<&str> = calls
        .lines()
        .filter(|call| {
            ["docker stop", "docker rm", "docker-compose "]
                .iter()
                .any(|start| call.starts_with(start))
        })
        .collect();
    assert_eq!(
        changes,
        [
            others.as_str(),
            "docker stop server_1",
            "docker rm --volumes server_1",
            again.as_str(),
            "docker stop server_2",
            "docker rm --volumes server_2",
            again.as_str(),
        ],
        "{calls}"
    );
}

#[test]
fn what_doesnt_run_is_left_and_told() {
    let project = Project::new();
    let before = project.passwords();
    let core = "postgres rabbitmq redis";
    let dry = project.run(core, "", &["rotate", "--dry-run"]);
    assert_eq!(dry.code, Some(0), "{}", dry.text());
    assert_eq!(dry.stdout.lines().count(), CORE, "{}", dry.text());
    let told = "GRAFANA_PASSWORD stays as it is: grafana doesn't run";
    assert!(dry.stderr.contains(told), "{}", dry.stderr);
    assert_eq!(project.passwords(), before);
    let done = project.run(core, "", &["rotate", "--yes"]);
    assert_eq!(done.code, Some(0), "{}", done.text());
    let after = project.passwords();
    for (at, name) in NAMES.iter().enumerate() {
        assert_eq!(before[*name] == after[*name], at >= CORE, "{name}");
    }
    let named = project.run(core, "", &["rotate", "--yes", "GRAFANA_PASSWORD"]);
    assert_eq!(named.code, Some(4), "{}", named.text());
}

#[test]
fn a_wrong_password_of_a_page_stops_it_before_anything_is_changed() {
    let project = Project::new();
    let before = project.passwords();
    let wrong = format!("PASSWORD = \"{}\"", before["PGADMIN_PASSWORD"]);
    let ran = project.run(ALL, &wrong, &["rotate", "--yes"]);
    assert_eq!(ran.code, Some(4), "{}", ran.text());
    assert!(
        ran.stderr
            .contains("PGADMIN_PASSWORD doesn't open the door"),
        "{}",
        ran.stderr
    );
    assert_eq!(project.passwords(), before);
}

#[test]
fn the_proof_tries_the_doors_of_pages_that_run_and_of_no_others() {
    let project = Project::new();
    let running = "postgres rabbitmq redis pgadmin redis-commander grafana apm-server";
    let wrong = format!("admin:{}", project.passwords()["GRAFANA_PASSWORD"]);
    let ran = project.run(running, &wrong, &["verify", "--json"]);
    let proofs = ran.json();
    let logins: Vec<String> = proofs
        .as_array()
        .unwrap()
        .iter()
        .filter(|proof| proof["what"].as_str().unwrap().starts_with("login "))
        .skip(CORE)
        .map(|proof| format!("{} {}", proof["what"].as_str().unwrap(), proof["outcome"]))
        .collect();
    assert_eq!(
        logins,
        [
            "login pgadmin admin@example.com \"passed\"",
            "login redis-commander admin \"passed\"",
            "login grafana admin \"failed\"",
            "login apm-server agents \"passed\"",
        ],
        "{}",
        ran.text()
    );
}

#[test]
fn the_doctor_tries_the_passwords_of_all_three_servers() {
    let project = Project::new();
    let running = "postgres rabbitmq redis";
    let place = |refused: &str| {
        let found = project.run(running, refused, &["doctor", "--json"]);
        found.json()["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["code"] == "login" && one["level"] == "wrong")
            .map(|one| one["place"].as_str().unwrap().to_owned())
            .collect::<Vec<String>>()
    };
    assert_eq!(place(""), [""; 0]);
    assert_eq!(
        place("authenticate_user monitor"),
        ["monitor (RABBITMQ_MONITOR_PASSWORD)"]
    );
    assert_eq!(
        place("--user exporter ping"),
        ["exporter (REDIS_EXPORTER_PASSWORD)"]
    );
    assert_eq!(
        place("-U collective_readonly"),
        ["collective_readonly (COLLECTIVE_READONLY_PASSWORD)"]
    );
}
