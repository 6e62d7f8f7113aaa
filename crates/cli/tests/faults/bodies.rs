//! Requests that are broken on the way: nothing of them is done, and the server goes on.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use collective_core::limits::MAX_BODY_LEN;
use collective_core::task::TaskSpec;
use collective_testkit::history::Acknowledged;
use rand::{RngExt, SeedableRng};

use crate::support::{DEADLINE, Place, Server, assert_sound, events};

/// What is to come of a broken request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// This status.
    Status(u16),
    /// No answer: there was no request.
    Nothing,
}
use Expected::{Nothing, Status};

/// A whole request, as it should be.
fn request(server: &Server, length: usize, body: &[u8]) -> Vec<u8> {
    with_headers(server, &format!("content-length: {length}"), body)
}

fn with_headers(server: &Server, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "POST /v1/tasks/batch HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\nconnection: close\r\n{headers}\r\n\r\n",
        server.token().reveal()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// What becomes of the sending side once the bytes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It waits for an answer.
    Wait,
    /// It is gone.
    Leave,
}

/// Sends bytes and reads until the server closes: the statuses of all answers.
fn statuses(server: &Server, bytes: &[u8], then: Then) -> Vec<u16> {
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut answer = Vec::new();
    // A server that has refused already may close before it has read all.
    let sent = stream.write_all(bytes);
    if then == Then::Leave {
        // Fails if the server has closed before.
        drop(stream.shutdown(Shutdown::Write));
    }
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{sent:?}"),
    }
    let text = String::from_utf8_lossy(&answer);
    let answers = text
        .lines()
        .filter_map(|line| line.strip_prefix("HTTP/1.1 "));
    answers
        .map(|line| line.split(' ').next().unwrap().parse().unwrap())
        .collect()
}

fn check(server: &Server, what: &str, bytes: &[u8], expected: Expected) {
    let then = match expected {
        Status(_) => Then::Wait,
        Nothing => Then::Leave,
    };
    let got = statuses(server, bytes, then);
    match expected {
        Status(status) => assert_eq!(got.first(), Some(&status), "{what}: {got:?}"),
        Nothing => assert!(
            got.iter().all(|status| (400..500).contains(status)),
            "{what}: {got:?}"
        ),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_request_does_nothing_and_harms_nobody() {
    let place = Place::new();
    let server = place.server().await;
    let client = server.client();
    let log = events(&client).await;
    let good = br#"{"tasks":[{"title":"one"},{"title":"two"}]}"#;
    let all = good.len();
    let mut bad_text = good.to_vec();
    bad_text[20] = 0xff;
    let chunked = "transfer-encoding: chunked";
    let table: Vec<(&str, Vec<u8>, Expected)> = vec![
        ("no body", request(&server, 0, b""), Status(400)),
        (
            "JSON cut short",
            request(&server, all - 2, &good[..all - 2]),
            Status(400),
        ),
        (
            "more than one document",
            request(&server, all + 2, &[good, &b"{}"[..]].concat()),
            Status(400),
        ),
        ("not UTF-8", request(&server, all, &bad_text), Status(400)),
        (
            "a length that is too small",
            request(&server, all - 2, good),
            Status(400),
        ),
        (
            "a length that is too large",
            request(&server, all + 9, good),
            Nothing,
        ),
        (
            "half a body",
            request(&server, all, &good[..all / 2]),
            Nothing,
        ),
        (
            "a length beyond the bound, and not sent",
            request(&server, usize::MAX >> 1, good),
            Nothing,
        ),
        (
            "a body beyond the bound",
            request(&server, MAX_BODY_LEN + 1, &vec![b' '; MAX_BODY_LEN + 1]),
            Status(413),
        ),
        (
            "a length that is no number",
            with_headers(&server, "content-length: many", good),
            Status(400),
        ),
        (
            "two lengths",
            with_headers(&server, "content-length: 43\r\ncontent-length: 3", good),
            Status(400),
        ),
        (
            "a chunk that isn't whole",
            with_headers(&server, chunked, b"2b\r\n{\"tasks\""),
            Nothing,
        ),
        (
            "chunks without sizes",
            with_headers(&server, chunked, b"zz\r\n{}"),
            Nothing,
        ),
        (
            "no HTTP",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            Nothing,
        ),
        ("nothing at all", Vec::new(), Nothing),
        (
            "deep nesting",
            request(&server, 20_000, &b"[".repeat(20_000)),
            Status(400),
        ),
        (
            "half a header",
            request(&server, all, good)[..40].to_vec(),
            Nothing,
        ),
    ];
    for (what, bytes, expected) in table {
        check(&server, what, &bytes, expected);
        assert!(client.health().await.is_ok(), "after {what}");
    }
    assert_eq!(events(&client).await, log, "something was done");

    let created = client.create_task(&TaskSpec::new("good")).await.unwrap();
    let told = Acknowledged {
        created: vec![created.id],
        ..Acknowledged::default()
    };
    assert_eq!(assert_sound(&client, &told).await.tasks(), 1);
    assert_eq!(server.stop().await, Some(0), "{}", place.log());
}

/// Bodies that are spoilt at random places: refused, or what they then say is a
/// whole batch. The seed makes a failure come again.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_spoilt_at_random_is_a_whole_batch_or_nothing() {
    const ROUNDS: u64 = 300;
    let place = Place::new();
    let server = place.server().await;
    let client = server.client();
    let good = br#"{"tasks":[{"title":"one","priority":"high"},{"title":"two","key":"a"},{"title":"three","depends_on":[{"task":"a"}]}]}"#;
    let mut whole = 0;
    for seed in 0..ROUNDS {
        let mut random = rand::rngs::StdRng::seed_from_u64(seed);
        let mut body = good.to_vec();
        if seed % 3 == 0 {
            body = (0..random.random_range(1..200))
                .map(|_| random.random())
                .collect();
        } else {
            for _ in 0..random.random_range(1..4) {
                let place = random.random_range(0..body.len());
                body[place] = random.random();
            }
        }
        let got = statuses(&server, &request(&server, body.len(), &body), Then::Wait);
        match got.as_slice() {
            [200 | 201] => whole += 3,
            [400 | 409 | 413 | 422] => {}
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    let summary = assert_sound(&client, &Acknowledged::default()).await;
    assert_eq!(summary.tasks(), whole, "{summary}");
    assert!(!place.log().contains("panic"), "{}", place.log());
    assert_eq!(server.stop().await, Some(0), "{}", place.log());
}
