//! Stopping: what is in flight is answered, what waits is sent home, then nothing listens.

use std::time::{Duration, Instant};

use collective_server::{Limits, ServerOptions};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{ADMIN, DEADLINE, TestServer};

#[tokio::test]
async fn a_long_poll_ends_early_with_an_empty_answer() {
    let mut server = TestServer::start().await;
    server.register("ada").await;
    let request = server
        .request(Method::POST, "/v1/leases/claim")
        .json(&json!({"agent": "ada", "wait": "50s"}));
    let polling = tokio::spawn(request.send());
    // The agent's presence is noted when its claim has arrived.
    let started = Instant::now();
    while server.get("/v1/agents/ada").await.body["seen_at"].is_null() {
        assert!(started.elapsed() < DEADLINE);
    }
    let stopped = server.stop();
    let answer = timeout(DEADLINE, polling)
        .await
        .expect("an answer in time")
        .expect("no panic")
        .expect("an answer, not a broken connection");
    assert_eq!(answer.status(), 200);
    let body: serde_json::Value = answer.json().await.expect("JSON");
    assert_eq!(body["claims"], json!([]));
    timeout(DEADLINE, stopped)
        .await
        .expect("the server ends")
        .expect("no panic");
    let refused = server.plain(Method::GET, "/healthz").send().await;
    assert!(refused.is_err(), "nothing listens any more");
}

#[tokio::test]
async fn a_stopping_server_says_so_and_hands_out_nothing() {
    let server = TestServer::start().await;
    server.register("ada").await;
    server.create(&json!({"title": "x"})).await;
    server.hub.start_draining();
    let answer = server
        .post("/v1/leases/claim", &json!({"agent": "ada"}))
        .await;
    assert_eq!(answer.header("retry-after"), "1");
    answer.refused(503, "draining");
    let ready = server.get("/readyz").await.ok(503);
    assert_eq!(
        (&ready["ready"], &ready["draining"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_peer_that_never_finishes_is_cut_after_the_bound() {
    let limits = Limits {
        drain: Duration::from_millis(300),
        ..Limits::default()
    };
    let mut server = TestServer::start_with(ServerOptions {
        limits,
        ..ServerOptions::default()
    })
    .await;
    let address = server.url.trim_start_matches("http://").to_owned();
    let mut peer = TcpStream::connect(&address).await.expect("a connection");
    let head = format!(
        "POST /v1/tasks HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {ADMIN}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
    );
    peer.write_all(head.as_bytes()).await.expect("it is sent");
    // Answered on another connection: the first one is being read by now.
    server.get("/healthz").await;
    let started = Instant::now();
    timeout(DEADLINE, server.stop())
        .await
        .expect("the server ends")
        .expect("no panic");
    assert!(started.elapsed() >= Duration::from_millis(300));
    let mut rest = Vec::new();
    let end = timeout(DEADLINE, peer.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the connection is closed");
}
