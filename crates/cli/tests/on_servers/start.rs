//! Servers that start with something wrong: without the store they refuse and
//! say why; without broker or cache they serve and say so. No message holds a
//! password.

use std::fs::{self, File};
use std::path::Path;

use collective_client::{Client, ClientOptions};
use collective_testkit::process::{Process, free_port};
use rustix::process::Signal;

use crate::cluster::{Parts, assert_secretless, collective, doctor, until};

/// A password that opens nothing.
pub(crate) const WRONG: &str = "not-the-password";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_at_the_start_is_said_without_a_password() {
    let parts = Parts::start();
    without_the_store_it_refuses(&parts).await;
    settings_are_told_all_their_mistakes_at_once(&parts).await;
    without_broker_or_cache_it_serves_and_says_so(&parts).await;
    a_schema_that_is_newer_is_refused(&parts).await;
}

/// The settings of the parts, with others in their place.
pub(crate) fn with(parts: &Parts, others: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let mut settings = parts.settings();
    settings.retain(|(name, _)| others.iter().all(|(other, _)| other != name));
    settings.extend(
        others
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    settings
}

/// Runs `up` to its end: the exit code, and what it says.
async fn refused(settings: &[(&'static str, String)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let file = File::create(&said).unwrap();
    let mut command = collective(settings);
    command.args(["up", "--listen", "127.0.0.1:0", "--data"]);
    command.arg(folder.path().join("data"));
    command.stdout(file.try_clone().unwrap()).stderr(file);
    let mut child = command.spawn().unwrap();
    let mut exit = None;
    until("the server ends", async || {
        exit = child.try_wait().unwrap();
        exit.is_some()
    })
    .await;
    let said = fs::read_to_string(said).unwrap();
    assert_secretless(&said);
    (exit.unwrap().code(), said)
}

async fn says(settings: &[(&'static str, String)], exit: i32, words: &[&str]) {
    let (code, said) = refused(settings).await;
    assert_eq!(code, Some(exit), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

async fn without_the_store_it_refuses(parts: &Parts) {
    let closed = free_port().unwrap().to_string();
    for (settings, words) in [
        (
            [("POSTGRES_PASSWORD", WRONG)],
            ["refuses the log-in", "check the user and the password"],
        ),
        (
            [("POSTGRES_USER", "nobody")],
            ["refuses the log-in", "nobody"],
        ),
        (
            [("POSTGRES_DB", "elsewhere")],
            ["has no such database", "elsewhere"],
        ),
        (
            [("POSTGRES_PORT", closed.as_str())],
            ["no connection to PostgreSQL", closed.as_str()],
        ),
    ] {
        says(&with(parts, &settings), 6, &words).await;
    }
}

async fn settings_are_told_all_their_mistakes_at_once(parts: &Parts) {
    let settings = with(
        parts,
        &[
            ("POSTGRES_PORT", "many"),
            ("RABBITMQ_PASSWORD", WRONG),
            ("REDIS_PORT", "0x10"),
            ("COLLECTIVE_ENGIN_KIND", "distributed"),
        ],
    );
    let words = ["POSTGRES_PORT", "REDIS_PORT", "COLLECTIVE_ENGIN_KIND"];
    says(&settings, 2, &words).await;
}

async fn without_broker_or_cache_it_serves_and_says_so(parts: &Parts) {
    for (setting, part, words) in [
        (
            ("RABBITMQ_PASSWORD", WRONG),
            "bus",
            "refuses the login of user `guest`",
        ),
        (
            ("RABBITMQ_VHOST", "elsewhere"),
            "bus",
            "no virtual host `elsewhere`",
        ),
        (("REDIS_PASSWORD", WRONG), "cache", "WRONGPASS"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port().unwrap();
        let mut command = collective(&with(parts, &[setting]));
        command.arg("up").arg("--data").arg(folder.path());
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        let server = Process::start("server", command, folder.path(), Signal::TERM).unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let client = Client::new(ClientOptions::anonymous(url)).unwrap();
        until(&format!("/readyz says `{words}`"), async || {
            let Ok(said) = client.readiness().await else {
                return false;
            };
            let named = said.readiness.parts.iter().any(|it| {
                let reason = it.reason.as_deref().unwrap_or_default();
                it.part == part && !it.ok && reason.contains(words)
            });
            named && said.readiness.ready
        })
        .await;
        assert_secretless(&format!("{:?}", client.readiness().await));
        doctor_names(folder.path(), part, words);
        assert_secretless(&server.output());
    }
}

fn doctor_names(data: &Path, part: &str, words: &str) {
    let (exit, said) = doctor(data);
    assert_eq!(exit, Some(1), "{said}");
    assert!(
        said.contains(&format!("{part}: ")) && said.contains(words),
        "{said}"
    );
    assert_secretless(&said);
}

async fn a_schema_that_is_newer_is_refused(parts: &Parts) {
    let newer = "INSERT INTO schema_version (version) VALUES (99)";
    parts.postgres.sql(crate::cluster::DATABASE, newer).unwrap();
    says(&parts.settings(), 70, &["99", "newer"]).await;
}
