//! Everything moves from a data folder to PostgreSQL and back, also when the
//! migration is killed on its way; what isn't empty or is in use is refused.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use collective_api::tasks::CreateTasks;
use collective_client::{Client, ClientOptions, Token};
use collective_core::Span;
use collective_core::agent::AgentSpec;
use collective_testkit::process::{Process, free_port};
use rustix::process::Signal;
use serde_json::Value;

use crate::cluster::{Parts, collective, until};
use crate::load::{claim_of, done, events, name, sturdy};

/// Enough that a migration takes several commits.
const BATCHES: usize = 4;
/// Tasks of one request.
const BATCH: usize = 500;

/// A server on a folder, embedded unless the settings say otherwise.
struct Up {
    _process: Process,
    client: Client,
}

async fn up(data: &Path, settings: &[(&'static str, String)]) -> Up {
    let port = free_port().unwrap();
    let mut command = collective(settings);
    command.args(["up", "--listen", &format!("127.0.0.1:{port}"), "--data"]);
    command.arg(data);
    let process = Process::start("up", command, data.parent().unwrap(), Signal::TERM).unwrap();
    let token = data.join("token");
    until("the server writes its token", async || token.exists()).await;
    let token = fs::read_to_string(&token).unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let client = Client::new(ClientOptions::new(url, Token::new(token.trim()))).unwrap();
    until("the server answers", async || client.status().await.is_ok()).await;
    Up {
        _process: process,
        client,
    }
}

/// A team with a past: tasks in several states, attempts, an agent.
async fn live(client: &Client) {
    client
        .register_agent(&name("ada"), &AgentSpec::default())
        .await
        .unwrap();
    for batch in 0..BATCHES {
        let tasks = (0..BATCH).map(|_| sturdy("moved")).collect();
        let request = CreateTasks { tasks };
        let key = format!("batch-{batch}");
        client.create_tasks_once(&request, &key).await.unwrap();
    }
    for _ in 0..3 {
        let answer = client.claim(&claim_of("ada", Span::ZERO)).await.unwrap();
        for claim in &answer.claims {
            client.complete(done(claim)).await.unwrap();
        }
    }
}

fn migrate(to: &str, data: &Path, settings: &[(&'static str, String)]) -> Command {
    let mut command = collective(settings);
    command.args(["migrate", "--json", "--to", to, "--data"]);
    command.arg(data);
    command
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// What was copied, as counts and checksums.
fn moved(mut command: Command) -> Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(mut command: Command, words: &str) {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "it isn't refused");
    assert!(said(&output).contains(words), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_moves_there_and_back_and_nothing_is_overwritten() {
    let parts = Parts::start();
    let settings = parts.settings();
    let scratch = tempfile::tempdir().unwrap();
    let (here, back) = (scratch.path().join("here"), scratch.path().join("back"));

    let server = up(&here, &[]).await;
    live(&server.client).await;
    let history = events(&server.client).await;
    refused(migrate("distributed", &here, &settings), "in use");
    drop(server);

    // Killed on its way, it goes on where it was.
    let command = migrate("distributed", &here, &settings);
    let broken_off = Process::start("migrate", command, scratch.path(), Signal::TERM).unwrap();
    until("a part is copied", async || {
        let count = parts
            .postgres
            .sql("collective", "SELECT COALESCE(MAX(last_seq), 0) FROM teams");
        count.is_ok_and(|count| count.trim().parse().unwrap_or(0_u64) > 0)
    })
    .await;
    broken_off.kill();
    tokio::time::timeout(Duration::from_secs(60), async {
        // PostgreSQL notices the killed migration's connections by itself.
        while !migrate("distributed", &here, &settings)
            .arg("--dry-run")
            .output()
            .unwrap()
            .status
            .success()
        {}
    })
    .await
    .unwrap();
    let there = moved(migrate("distributed", &here, &settings));
    assert_eq!(there[0]["tasks"]["count"], (BATCHES * BATCH) as u64);
    assert_eq!(there[0]["answers"]["count"], BATCHES as u64);
    assert_eq!(there[0]["events"]["count"], history.len() as u64);

    // A server on the other side knows the same, and is told so by its key.
    fs::create_dir(&back).unwrap();
    fs::copy(here.join("token"), back.join("token")).unwrap();
    let server = up(&back, &settings).await;
    assert_eq!(events(&server.client).await[..history.len()], history[..]);
    refused(migrate("embedded", &back, &settings), "a server runs");
    drop(server);

    let home = scratch.path().join("home");
    let again = moved(migrate("embedded", &home, &settings));
    assert_eq!(again[0]["tasks"], there[0]["tasks"]);
    assert_eq!(again[0]["answers"], there[0]["answers"]);

    // What has gone on by itself isn't the beginning of anything else.
    let server = up(&home, &[]).await;
    server.client.create_task(&sturdy("new")).await.unwrap();
    drop(server);
    refused(migrate("embedded", &home, &settings), "isn't empty");
}
