//! What holds for every request: ids, sizes, rates, names, methods.

use collective_core::Span;
use collective_core::ports::RateLimit;
use collective_server::{Limits, ServerOptions};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::TestServer;

async fn with_limits(limits: Limits) -> TestServer {
    TestServer::start_with(ServerOptions {
        limits,
        ..ServerOptions::default()
    })
    .await
}

#[tokio::test]
async fn a_request_keeps_the_id_that_it_came_with() {
    let server = TestServer::start().await;
    let request = server
        .request(Method::GET, "/v1/tasks/0")
        .header("x-request-id", "build-17");
    let problem = server.send(request).await.refused(404, "not_found");
    assert_eq!(problem["request_id"], "build-17");
}

#[tokio::test]
async fn a_wrong_method_is_answered_with_the_right_ones() {
    let server = TestServer::start().await;
    let answer = server.delete("/v1/queues").await;
    assert_eq!(answer.header("allow"), "GET,HEAD");
    answer.refused(405, "method_not_allowed");
}

#[tokio::test]
async fn a_probe_needs_no_known_host_name() {
    let server = TestServer::start().await;
    for path in ["/healthz", "/readyz"] {
        let request = server.plain(Method::GET, path).header("host", "10.1.2.3");
        assert_eq!(server.send(request).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn metrics_are_asked_for_by_any_address_and_nothing_else_is() {
    let server = TestServer::start().await;
    for (path, host, known) in [
        ("/metrics", "10.1.2.3:7420", true),
        ("/metrics", "[fd00::1]:7420", true),
        ("/metrics", "rebound.example:7420", false),
        ("/v1/status", "10.1.2.3:7420", false),
        ("/docs", "10.1.2.3:7420", false),
    ] {
        let request = server.plain(Method::GET, path).header("host", host);
        let answer = server.send(request).await;
        if known {
            assert_eq!(answer.status, 200, "{path} at {host}");
        } else {
            answer.refused(421, "wrong_host");
        }
    }
}

#[tokio::test]
async fn a_key_that_sends_too_much_is_told_when_to_go_on() {
    let server = with_limits(Limits {
        requests: RateLimit {
            burst: 3,
            period: Span::from_secs(60),
        },
        ..Limits::default()
    })
    .await;
    // Making the key is the administrator's first request of three.
    let worker = server.key("worker", None).await;
    let status = |token: &str| {
        let request = server.plain(Method::GET, "/v1/status").bearer_auth(token);
        server.send(request)
    };
    for _ in 0..3 {
        status(&worker).await.ok(200);
    }
    let slowed = status(&worker).await;
    let wait: u64 = slowed.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    slowed.refused(429, "rate_limited");
    assert_eq!(
        server.get("/v1/status").await.status,
        200,
        "another key has a rate of its own"
    );
}

#[tokio::test]
async fn whoever_guesses_keys_is_slowed_down_and_others_are_not() {
    let server = with_limits(Limits {
        auth_failures: RateLimit {
            burst: 2,
            period: Span::from_secs(60),
        },
        ..Limits::default()
    })
    .await;
    let guess = || server.send(server.plain(Method::GET, "/v1/status").bearer_auth("ca_x"));
    let first = guess().await;
    assert_eq!(first.header("www-authenticate"), "Bearer");
    first.refused(401, "unauthenticated");
    guess().await.refused(401, "unauthenticated");
    guess().await.refused(429, "rate_limited");
    server.get("/v1/status").await.ok(200);
}

#[tokio::test]
async fn a_body_without_an_announced_length_is_bounded_too() {
    let server = TestServer::start().await;
    let address = server.url.trim_start_matches("http://");
    let mut peer = TcpStream::connect(address).await.expect("a connection");
    let head = format!(
        "POST /v1/tasks HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        crate::harness::ADMIN
    );
    peer.write_all(head.as_bytes()).await.expect("it is sent");
    let chunk = [b"100000\r\n".as_slice(), &[b' '; 0x10_0000], b"\r\n"].concat();
    for _ in 0..17 {
        peer.write_all(&chunk).await.expect("it is taken");
    }
    peer.write_all(b"0\r\n\r\n").await.expect("it is taken");
    let mut answer = String::new();
    peer.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\"code\":\"too_large\""), "{answer}");
}

#[tokio::test]
async fn a_task_belongs_to_the_trace_of_its_request() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let server = TestServer::start().await;
    for (sent, kept) in [(TRACE, json!(TRACE)), ("00-bad", json!(null))] {
        let request = server
            .request(Method::POST, "/v1/tasks")
            .header("traceparent", sent)
            .json(&json!({"title": "x"}));
        let created = server.send(request).await.ok(201);
        let id = created["id"].as_str().expect("an id");
        let task = server.get(&format!("/v1/tasks/{id}")).await.ok(200);
        assert_eq!(task["spec"]["traceparent"], kept);
    }
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_a_place() {
    let server = with_limits(Limits {
        max_connections: 1,
        ..Limits::default()
    })
    .await;
    let address = server.url.trim_start_matches("http://").to_owned();
    let ask = format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let mut first = TcpStream::connect(&address).await.expect("a connection");
    first.write_all(ask.as_bytes()).await.expect("it is sent");
    let mut buffer = [0; 1024];
    let read = first.read(&mut buffer).await.expect("an answer");
    assert!(read > 0, "the first one is served");

    let mut second = TcpStream::connect(&address).await.expect("a connection");
    second.write_all(ask.as_bytes()).await.expect("it is sent");
    let early = second.try_read(&mut buffer);
    assert!(early.is_err(), "it has no place yet");
    drop(first);
    let read = second.read(&mut buffer).await.expect("an answer");
    assert!(read > 0, "the place of the first one is free");
}
