//! `collective config check --connect`: what is wrong with the parts is found
//! before anything stands on them, all of it at once, and nothing is changed.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Output;
use std::time::Duration;

use collective_client::{Client, ClientOptions};
use collective_testkit::process::{Process, free_port};
use rustix::process::Signal;
use serde_json::Value;

use crate::cluster::{DATABASE, Parts, assert_secretless, collective, until};
use crate::start::{WRONG, with};

/// How long Redis may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_are_looked_at_before_anything_stands_on_them() {
    let parts = Parts::start();
    all_is_well_and_nothing_is_made(&parts);
    everything_that_is_wrong_is_found_at_once(&parts);
    a_permission_that_is_missing_is_named(&parts);
    a_part_that_is_full_is_found(&parts);
    what_is_there_already_is_compared(&parts).await;
}

/// One finding: part, code, setting, and who said it.
type Found = (String, String, String, String);

/// What is wrong, or with `fine` what is as it should be.
fn look(settings: &[(&'static str, String)], exit: i32, verdicts: &[&str]) -> Vec<Found> {
    let output = check(settings, &["--json"]);
    let (said, complaint) = texts(&output);
    assert_eq!(output.status.code(), Some(exit), "{said}{complaint}");
    let said: Value = serde_json::from_str(&said).unwrap();
    let findings = said["findings"].as_array().unwrap();
    let word = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    findings
        .iter()
        .filter(|it| verdicts.contains(&it["verdict"].as_str().unwrap()))
        .map(|it| {
            let at = it["at"]["name"].as_str().unwrap_or("default");
            assert!(
                it["verdict"] == "fine" || it["hint"].is_string() || it["message"].is_string(),
                "{it}"
            );
            (
                word(it, "part"),
                word(it, "code"),
                word(it, "key"),
                at.to_owned(),
            )
        })
        .collect()
}

fn check(settings: &[(&'static str, String)], arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = collective(settings);
    command.args(["config", "check", "--connect", "--data"]);
    command.arg(folder.path()).args(arguments);
    let output = command.output().unwrap();
    let (said, complaint) = texts(&output);
    assert_secretless(&said);
    assert_secretless(&complaint);
    output
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

fn found(rows: &[[&str; 4]]) -> Vec<Found> {
    let row = |[part, code, key, at]: &[&str; 4]| {
        let own = |text: &str| text.to_owned();
        (own(part), own(code), own(key), own(at))
    };
    rows.iter().map(row).collect()
}

fn all_is_well_and_nothing_is_made(parts: &Parts) {
    let settings = parts.settings();
    assert_eq!(look(&settings, 0, &["wrong"]), []);
    let codes = |verdict: &str| -> Vec<String> {
        let seen = look(&settings, 0, &[verdict]).into_iter();
        seen.map(|(part, code, ..)| format!("{part} {code}"))
            .collect()
    };
    assert_eq!(codes("notice"), ["store schema", "bus schema"]);
    let fine = [
        "store connected",
        "store permitted",
        "store clock",
        "bus connected",
        "bus permitted",
        "bus room",
        "cache connected",
        "cache permitted",
        "cache room",
    ];
    assert_eq!(codes("fine"), fine);
    let (said, _) = texts(&check(&settings, &[]));
    for words in [
        "PostgreSQL 1",
        "RabbitMQ 3",
        "Redis 7",
        "hint: the first `collective up`",
    ] {
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }

    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    let tables = parts.postgres.sql(DATABASE, tables).unwrap();
    assert_eq!(tables.trim(), "0");
    for list in ["list_queues", "list_exchanges", "list_bindings"] {
        let listed = parts.rabbitmq.control(&[list]).unwrap();
        assert!(!listed.contains("agent."), "{listed}");
    }
    assert_eq!(redis(parts, "DBSIZE"), ":0");
}

/// What Redis answers to a command of one line.
fn redis(parts: &Parts, command: &str) -> String {
    let redis = &parts.redis;
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, redis.port())).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let said = format!("AUTH {}\r\n{command}\r\nQUIT\r\n", redis.password());
    stream.write_all(said.as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    answers.lines().nth(1).unwrap().to_owned()
}

fn everything_that_is_wrong_is_found_at_once(parts: &Parts) {
    let closed = free_port().unwrap().to_string();
    let closed = closed.as_str();
    let nowhere = "nowhere.invalid";
    for (others, expected) in [
        (
            [
                ("POSTGRES_PASSWORD", WRONG),
                ("RABBITMQ_PASSWORD", WRONG),
                ("REDIS_PASSWORD", WRONG),
            ],
            [
                [
                    "store",
                    "login_refused",
                    "store.password",
                    "POSTGRES_PASSWORD",
                ],
                ["bus", "login_refused", "bus.password", "RABBITMQ_PASSWORD"],
                ["cache", "login_refused", "cache.password", "REDIS_PASSWORD"],
            ],
        ),
        (
            [
                ("POSTGRES_DB", "elsewhere"),
                ("RABBITMQ_VHOST", "elsewhere"),
                ("REDIS_DB", "99"),
            ],
            [
                ["store", "no_database", "store.database", "POSTGRES_DB"],
                ["bus", "no_vhost", "bus.vhost", "RABBITMQ_VHOST"],
                ["cache", "no_database", "cache.database", "REDIS_DB"],
            ],
        ),
        (
            [
                ("POSTGRES_PORT", closed),
                ("RABBITMQ_PORT", closed),
                ("REDIS_PORT", closed),
            ],
            [
                ["store", "unreachable", "store.port", "POSTGRES_PORT"],
                ["bus", "unreachable", "bus.port", "RABBITMQ_PORT"],
                ["cache", "unreachable", "cache.port", "REDIS_PORT"],
            ],
        ),
        (
            [
                ("POSTGRES_HOST", nowhere),
                ("RABBITMQ_HOST", nowhere),
                ("REDIS_HOST", nowhere),
            ],
            [
                ["store", "unreachable", "store.host", "POSTGRES_HOST"],
                ["bus", "unreachable", "bus.host", "RABBITMQ_HOST"],
                ["cache", "unreachable", "cache.host", "REDIS_HOST"],
            ],
        ),
        // None of them speaks TLS.
        (
            [
                ("POSTGRES_TLS", "require"),
                ("RABBITMQ_TLS", "true"),
                ("REDIS_TLS", "true"),
            ],
            [
                ["store", "tls_refused", "store.tls", "POSTGRES_TLS"],
                ["bus", "tls_refused", "bus.tls", "RABBITMQ_TLS"],
                // Redis waits for the end of a line.
                ["cache", "no_answer", "cache.tls", "REDIS_TLS"],
            ],
        ),
    ] {
        let settings = with(parts, &others);
        assert_eq!(
            look(&settings, 2, &["wrong"]),
            found(&expected),
            "{others:?}"
        );
        let output = check(&settings, &[]);
        let (said, complaint) = texts(&output);
        assert_eq!(output.status.code(), Some(2));
        assert!(complaint.contains("3 things are wrong"), "{complaint}");
        for [_, code, key, at] in expected {
            let place = format!("{at}: error[{code}]: {key}: ");
            assert!(said.contains(&place), "`{place}` is not in: {said}");
        }
    }
}

fn a_permission_that_is_missing_is_named(parts: &Parts) {
    let poor = format!("CREATE ROLE poor LOGIN PASSWORD '{WRONG}'");
    parts.postgres.sql("postgres", &poor).unwrap();
    for command in [
        &["add_user", "poor", WRONG][..],
        &["set_permissions", "poor", "^$", "^agent\\.", "^agent\\."],
    ] {
        parts.rabbitmq.control(command).unwrap();
    }
    // It may look at its keys and not write them.
    let user = format!("ACL SETUSER poor on >{WRONG} ~* +get +mget +info");
    assert_eq!(redis(parts, &user), "+OK");
    let poor = with(
        parts,
        &[
            ("POSTGRES_USER", "poor"),
            ("POSTGRES_PASSWORD", WRONG),
            ("RABBITMQ_USER", "poor"),
            ("RABBITMQ_PASSWORD", WRONG),
            ("REDIS_USER", "poor"),
            ("REDIS_PASSWORD", WRONG),
        ],
    );
    let expected = found(&[
        ["store", "no_permission", "store.user", "POSTGRES_USER"],
        ["bus", "no_permission", "bus.user", "RABBITMQ_USER"],
        ["cache", "no_permission", "cache.user", "REDIS_USER"],
    ]);
    assert_eq!(look(&poor, 2, &["wrong"]), expected);
    let (said, _) = texts(&check(&poor, &[]));
    for words in [
        "exchange 'agent.tasks'",
        "queue 'agent.results'",
        "rabbitmqctl set_permissions",
        "ALTER DATABASE",
    ] {
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
}

fn a_part_that_is_full_is_found(parts: &Parts) {
    let alarm = |level: &[&str]| parts.rabbitmq.control(level).unwrap();
    alarm(&["set_vm_memory_high_watermark", "absolute", "1MB"]);
    assert_eq!(redis(parts, "CONFIG SET maxmemory 1"), "+OK");
    let settings = parts.settings();
    let full = found(&[
        ["bus", "full", "bus.host", "RABBITMQ_HOST"],
        ["cache", "full", "cache.host", "REDIS_HOST"],
    ]);
    assert_eq!(look(&settings, 2, &["wrong"]), full);
    alarm(&["set_vm_memory_high_watermark", "0.6"]);
    // Room for now, and a policy that will refuse.
    assert_eq!(redis(parts, "CONFIG SET maxmemory 100mb"), "+OK");
    let notices = look(&settings, 0, &["notice"]);
    let refuses = found(&[["cache", "room", "cache.host", "REDIS_HOST"]]);
    assert!(notices.ends_with(&refuses), "{notices:?}");
    assert_eq!(redis(parts, "CONFIG SET maxmemory 0"), "+OK");
}

async fn what_is_there_already_is_compared(parts: &Parts) {
    let settings = parts.settings();
    serve_once(&settings).await;
    assert_eq!(look(&settings, 0, &["wrong", "notice"]), []);

    // A stranger's queue in place of ours.
    let stranger = "rabbit_amqqueue:declare(rabbit_misc:r(<<\"/\">>, queue, \
        <<\"agent.results\">>), true, false, [], none, <<\"stranger\">>).";
    for command in [&["delete_queue", "agent.results"][..], &["eval", stranger]] {
        parts.rabbitmq.control(command).unwrap();
    }
    let newer = "INSERT INTO schema_version (version) VALUES (99)";
    parts.postgres.sql(DATABASE, newer).unwrap();
    let expected = found(&[
        ["store", "schema_too_new", "store.database", "POSTGRES_DB"],
        ["bus", "other_arguments", "bus.vhost", "default"],
    ]);
    assert_eq!(look(&settings, 2, &["wrong"]), expected);
}

/// A server that makes all that it needs, and ends.
async fn serve_once(settings: &[(&'static str, String)]) {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    let mut command = collective(settings);
    command.arg("up").arg("--data").arg(folder.path());
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    let _server = Process::start("server", command, folder.path(), Signal::TERM).unwrap();
    let client = ClientOptions::anonymous(format!("http://127.0.0.1:{port}"));
    let client = Client::new(client).unwrap();
    until("all parts serve", async || {
        let said = client.readiness().await;
        said.is_ok_and(|it| it.readiness.parts.iter().all(|part| part.ok))
    })
    .await;
}
