//! Traces, as a real collector's side of OTLP sees them.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::collector::{Collector, Manner, Span};
use crate::support::{Home, Running, until};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const PROMPT: &str = "the-prompt-is-nobodys-business";
const RESULT: &str = "the-result-neither";

fn traceparent() -> String {
    format!("00-{TRACE}-{CALLER}-01")
}

/// A server that sends its traces there.
fn server(home: &Home, endpoint: &str, more: &[(&str, &str)]) -> Running {
    let mut env = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)];
    env.extend(more);
    let arguments = ["up", "--listen", "127.0.0.1:0", "--log-format", "json"];
    let server = home.start_with(&env, &arguments);
    until("the server answers", || {
        home.run(&["status", "--json"]).code == Some(0)
    });
    server
}

fn add(home: &Home, env: &[(&str, &str)], title: &str) -> serde_json::Value {
    let ran = home.run_with(env, &["task", "add", title, "--prompt", PROMPT, "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    ran.json()
}

/// A sample of the server's metrics.
fn sample(home: &Home, start: &str) -> Option<u64> {
    let note = std::fs::read_to_string(home.path("data/server.json")).unwrap();
    let note: serde_json::Value = serde_json::from_str(&note).unwrap();
    let address = note["url"].as_str().unwrap().trim_start_matches("http://");
    let text = get(address, "/metrics");
    let line = text.lines().find(|line| line.starts_with(start))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn get(address: &str, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn attribute<'s>(span: &'s Span, name: &str) -> &'s str {
    span.attributes.get(name).map_or("", String::as_str)
}

#[test]
fn a_request_and_its_commit_arrive_in_the_callers_trace_and_tell_no_secret() {
    let collector = Collector::start(Manner::Takes);
    let home = Home::new();
    let more = [
        ("OTEL_SERVICE_NAME", "team-server"),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "x-key=from%20the%20door,x-more=1",
        ),
    ];
    let _server = server(&home, &collector.url(), &more);
    let place = traceparent();
    add(&home, &[("TRACEPARENT", &place)], "followed");
    until("both spans arrive", || {
        collector.find(TRACE, "POST /v1/tasks").is_some()
            && collector.find(TRACE, "commit").is_some()
    });

    let request = collector.find(TRACE, "POST /v1/tasks").unwrap();
    assert_eq!(request.parent, CALLER);
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/v1/tasks"),
        ("http.response.status_code", "201"),
        ("collective.team", "default"),
    ] {
        assert_eq!(attribute(&request, name), value, "{name} of {request:?}");
    }
    assert_eq!(request.resource["service.name"], "team-server");
    assert_eq!(
        request.resource["service.version"],
        env!("CARGO_PKG_VERSION")
    );
    assert!(request.resource.contains_key("service.instance.id"));
    let commit = collector.find(TRACE, "commit").unwrap();
    assert_eq!(commit.parent, request.id);
    assert_eq!(attribute(&commit, "collective.events"), "1");

    // The line and the span name each other.
    let id = attribute(&request, "collective.request_id");
    let log = home.log();
    let line = log
        .lines()
        .find(|line| line.contains(id))
        .unwrap_or_else(|| panic!("no {id} in {log}"));
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["trace_id"], TRACE, "{line}");
    assert_eq!(line["level"], "INFO", "{line}");

    let token = std::fs::read_to_string(home.path("data/token")).unwrap();
    for secret in [token.trim(), PROMPT, "followed", "from the door"] {
        assert!(!collector.holds(secret), "{secret:?} was sent");
        assert!(!log.contains(secret), "{secret:?} is in {log}");
    }
    assert!(collector.holds("POST /v1/tasks"), "nothing was looked at");
    let heads = collector.heads();
    assert!(heads[0].starts_with("post /v1/traces "), "{heads:?}");
    assert!(heads[0].contains("x-key: from the door\r\n"), "{heads:?}");
}

#[test]
fn an_attempt_is_in_its_tasks_trace_and_so_is_what_its_command_asks_for() {
    let collector = Collector::start(Manner::Takes);
    let (home, _server) = Home::with_server();
    let place = traceparent();
    let endpoint = collector.url();
    let task = add(&home, &[("TRACEPARENT", &place)], "followed");
    let number = task["number"].to_string();
    let script = format!("printf %s \"$TRACEPARENT\" > place; echo {RESULT}");
    let mut agent = home.start_with(
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)],
        &["agent", "run", "--name", "ada", "--", "sh", "-c", &script],
    );
    until("the task is done", || {
        let shown = home.run(&["task", "show", &number, "--json"]).json();
        shown["state"] == "succeeded"
    });
    agent.signal(Signal::TERM);
    agent.ended();
    // It has ended: what it had to send was sent before.
    let attempt = collector
        .find(TRACE, "attempt")
        .expect("the attempt arrived");
    assert_eq!(attempt.parent, CALLER);
    assert_eq!(
        attribute(&attempt, "collective.task"),
        task["id"].as_str().unwrap()
    );
    assert_eq!(attribute(&attempt, "collective.state"), "succeeded");
    assert_eq!(attempt.resource["service.name"], "collective-agent");
    let told = std::fs::read_to_string(home.path("place")).unwrap();
    assert_eq!(told, format!("00-{TRACE}-{}-01", attempt.id));
    assert!(!collector.holds(PROMPT) && !collector.holds(RESULT));
}

#[test]
fn what_no_caller_follows_is_kept_by_the_ratio_and_a_callers_own_trace_always() {
    let collector = Collector::start(Manner::Takes);
    let home = Home::new();
    let _server = server(&home, &collector.url(), &[("COLLECTIVE_TRACE_RATIO", "0")]);
    for _ in 0..5 {
        add(&home, &[], "alone");
    }
    let place = traceparent();
    add(&home, &[("TRACEPARENT", &place)], "followed");
    until("the followed one arrives", || {
        collector.find(TRACE, "POST /v1/tasks").is_some()
    });
    let others: Vec<Span> = collector
        .spans()
        .into_iter()
        .filter(|span| span.trace != TRACE)
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn a_server_that_stops_sends_what_it_still_has() {
    let collector = Collector::start(Manner::Takes);
    let home = Home::new();
    let mut server = server(&home, &collector.url(), &[]);
    let place = traceparent();
    add(&home, &[("TRACEPARENT", &place)], "followed");
    server.signal(Signal::TERM);
    assert_eq!(server.ended(), Some(0), "{}", home.log());
    assert!(collector.find(TRACE, "POST /v1/tasks").is_some());
}

#[test]
fn a_collector_that_is_away_is_said_once_and_when_it_is_back() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let home = Home::new();
    let endpoint = format!("http://127.0.0.1:{port}");
    let mut server = server(&home, &endpoint, &[]);
    add(&home, &[], "lost");
    until("it is said", || {
        home.log().contains("traces don't reach the collector")
    });
    add(&home, &[], "lost too");
    until("it is counted", || {
        sample(&home, "orchestrator_trace_spans_total{outcome=\"lost\"}")
            .is_some_and(|lost| lost >= 4)
    });
    assert_eq!(sample(&home, "orchestrator_trace_collector_up"), Some(0));

    let collector = Collector::at(port, Manner::Takes);
    let place = traceparent();
    until("a span arrives", || {
        add(&home, &[("TRACEPARENT", &place)], "found");
        collector.find(TRACE, "POST /v1/tasks").is_some()
    });
    until("it is back", || {
        home.log().contains("traces reach the collector again")
    });
    assert_eq!(sample(&home, "orchestrator_trace_collector_up"), Some(1));
    assert!(sample(&home, "orchestrator_trace_spans_total{outcome=\"sent\"}") > Some(0));
    server.signal(Signal::TERM);
    assert_eq!(server.ended(), Some(0));
    assert_eq!(
        home.log()
            .matches("traces don't reach the collector")
            .count(),
        1
    );
}

#[test]
fn a_collector_that_hangs_keeps_nobody_waiting() {
    let collector = Collector::start(Manner::Hangs);
    let home = Home::new();
    let mut server = server(&home, &collector.url(), &[]);
    for _ in 0..3 {
        let asked = Instant::now();
        add(&home, &[], "at once");
        assert!(
            asked.elapsed() < Duration::from_secs(4),
            "{:?}",
            asked.elapsed()
        );
    }
    let stopped = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.ended(), Some(0));
    // The drain has nothing to wait for, the collector gets 3 s.
    assert!(
        stopped.elapsed() < Duration::from_secs(9),
        "{:?}",
        stopped.elapsed()
    );
    assert!(
        home.log().contains("the last spans are lost"),
        "{}",
        home.log()
    );
}

#[test]
fn spans_that_the_collector_does_not_want_are_counted_apart() {
    let collector = Collector::start(Manner::Refuses(1));
    let home = Home::new();
    let _server = server(&home, &collector.url(), &[]);
    until("one is refused", || {
        sample(&home, "orchestrator_trace_spans_total{outcome=\"refused\"}") > Some(0)
    });
    assert!(home.log().contains("the collector refuses spans"));

    let collector = Collector::start(Manner::Forbids);
    let home = Home::new();
    let _server = server_of(&home, &collector);
    until("it is said with its reason", || {
        home.log().contains("403 Forbidden")
    });
}

fn server_of(home: &Home, collector: &Collector) -> Running {
    server(home, &collector.url(), &[])
}

#[test]
fn without_a_collector_a_followed_request_is_still_found_in_the_log() {
    let home = Home::new();
    let _server = home.start(&["up", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    until("the server answers", || {
        home.run(&["status", "--json"]).code == Some(0)
    });
    let place = traceparent();
    add(&home, &[("TRACEPARENT", &place)], "followed");
    until("its line is there", || home.log().contains(TRACE));
    assert_eq!(sample(&home, "orchestrator_trace"), None);
}

#[test]
fn a_collector_that_cannot_be_one_is_refused_before_anything_starts() {
    let home = Home::new();
    for (name, value, said) in [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "https://collector:4318",
            "needs TLS",
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://user:hush@collector:4318",
            "carries a user or a password",
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "collector:4318",
            "is not an address",
        ),
        ("COLLECTIVE_TRACE_RATIO", "1.5", "0 to 1"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization", "NAME=VALUE"),
    ] {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
        let ran = home.run_with(
            &[endpoint, (name, value)],
            &["up", "--listen", "127.0.0.1:0"],
        );
        assert_eq!(ran.code, Some(2), "{}", ran.text());
        assert!(ran.stderr.contains(said), "{}", ran.text());
        assert!(!ran.stderr.contains("hush"), "{}", ran.text());
    }
}
