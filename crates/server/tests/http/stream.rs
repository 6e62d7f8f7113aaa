//! The event stream: nothing is missing, nothing comes twice, whatever is cut.

use std::time::{Duration, Instant};

use bytes::Bytes;
use collective_server::{Limits, ServerOptions};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::{DEADLINE, TestServer};

/// A stream as its reader has it.
struct Reader {
    chunks: BoxStream<'static, reqwest::Result<Bytes>>,
    text: String,
}

impl Reader {
    async fn open(request: RequestBuilder) -> Self {
        let response = request
            .header("accept", "text/event-stream")
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            chunks: response.bytes_stream().boxed(),
            text: String::new(),
        }
    }

    /// The next event; none when the stream has ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = parse(block);
                self.text = rest.to_owned();
                match event {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let chunk = timeout(DEADLINE, self.chunks.next())
                .await
                .expect("something comes in time")?;
            let chunk = chunk.ok()?;
            self.text
                .push_str(std::str::from_utf8(&chunk).expect("whole events are sent"));
        }
    }
}

/// An event from its block; none for a comment.
fn parse(block: &str) -> Option<Value> {
    let field = |name: &str| {
        block
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let event: Value = serde_json::from_str(field("data")?).expect("data is JSON");
    assert_eq!(field("id"), Some(&*event["seq"].to_string()));
    assert_eq!(field("event"), event["type"].as_str());
    Some(event)
}

#[tokio::test]
async fn a_reader_that_is_cut_again_and_again_misses_nothing_under_load() {
    const TASKS: usize = 2_000;
    const BATCH: usize = 20;
    let server = TestServer::start().await;
    let writing = async {
        let batch: Vec<_> = (0..BATCH).map(|_| json!({"title": "x"})).collect();
        for _ in 0..TASKS / BATCH {
            server
                .post("/v1/tasks/batch", &json!({"tasks": batch}))
                .await
                .ok(201);
        }
    };
    let reading = async {
        let mut last = 0;
        let mut created = 0;
        let mut connections = 0;
        while created < TASKS {
            connections += 1;
            let request = server
                .request(Method::GET, "/v1/events")
                .header("last-event-id", last.to_string());
            let mut reader = Reader::open(request).await;
            // Cut after a few: sometimes within a page, sometimes after one.
            for _ in 0..(37 * connections) % 101 + 1 {
                let event = reader.next().await.expect("the stream goes on");
                let seq = event["seq"].as_u64().expect("a number");
                assert_eq!(seq, last + 1, "no gap, nothing twice");
                last = seq;
                created += usize::from(event["type"] == "task.created");
                if created == TASKS {
                    break;
                }
            }
        }
        connections
    };
    let ((), connections) = tokio::join!(writing, reading);
    assert!(connections > 10, "{connections}");
}

#[tokio::test]
async fn a_stream_without_a_place_to_start_begins_now() {
    let server = TestServer::start().await;
    server.create(&json!({"title": "before"})).await;
    let mut reader = Reader::open(server.request(Method::GET, "/v1/events")).await;
    server.create(&json!({"title": "after"})).await;
    let event = reader.next().await.expect("an event");
    assert_eq!(event["title"], "after");
}

#[tokio::test]
async fn an_event_reaches_its_reader_at_once() {
    let server = TestServer::start().await;
    let mut reader = Reader::open(server.request(Method::GET, "/v1/events")).await;
    for _ in 0..20 {
        server.create(&json!({"title": "x"})).await;
        let created = Instant::now();
        reader.next().await.expect("an event");
        // Far below the ten seconds after which the stream looks by itself.
        assert!(created.elapsed() < Duration::from_secs(3));
    }
}

#[tokio::test]
async fn streams_beyond_the_bound_are_refused_and_a_closed_one_makes_room() {
    let server = TestServer::start_with(ServerOptions {
        limits: Limits {
            max_streams: 1,
            ..Limits::default()
        },
        ..ServerOptions::default()
    })
    .await;
    let open = || {
        server
            .request(Method::GET, "/v1/events")
            .header("accept", "text/event-stream")
    };
    let first = Reader::open(open()).await;
    server.send(open()).await.refused(409, "limit_reached");
    drop(first);
    let started = Instant::now();
    loop {
        let answer = open().send().await.expect("an answer");
        if answer.status() == 200 {
            break;
        }
        assert!(started.elapsed() < DEADLINE, "the place stays taken");
    }
}

#[tokio::test]
async fn a_stream_ends_when_its_key_is_revoked() {
    let server = TestServer::start().await;
    let body = json!({"label": "watcher", "role": "monitor"});
    let made = server.post("/v1/keys", &body).await.ok(201);
    let token = made["token"].as_str().expect("a token");
    let request = server.plain(Method::GET, "/v1/events").bearer_auth(token);
    let mut reader = Reader::open(request).await;
    let id = made["key"]["id"].as_str().expect("an id");
    server.delete(&format!("/v1/keys/{id}")).await.ok(204);
    let last = reader.next().await.expect("the event of its own end");
    assert_eq!(last["type"], "key.revoked");
    assert_eq!(reader.next().await, None);
}

#[tokio::test]
async fn a_stream_is_of_the_whole_team() {
    let server = TestServer::start().await;
    let request = server
        .request(Method::GET, "/v1/events?task=1")
        .header("accept", "text/event-stream");
    server.send(request).await.refused(422, "invalid_field");
}

#[tokio::test]
async fn a_stream_ends_when_the_server_stops() {
    let mut server = TestServer::start().await;
    let mut reader = Reader::open(server.request(Method::GET, "/v1/events")).await;
    let stopped = server.stop();
    assert_eq!(reader.next().await, None);
    timeout(DEADLINE, stopped)
        .await
        .expect("the server ends")
        .expect("no panic");
}
