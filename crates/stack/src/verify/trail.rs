//! What a request leaves behind is found again: a line of its log, and its trace.
//!
//! The request carries a `traceparent` of its own (W3C Trace Context). The server
//! logs a request whose caller keeps its trace, and the trace's id is in the line;
//! it must come out where the logs and traces of this stack are kept.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use super::{Outcome, away, running};
use crate::call::Call;
use crate::compose::{docker, exec};
use crate::container::Container;
use crate::error::StackError;
use crate::stack::Stack;

/// How long a line may take into the engine's own log.
const LOG_LIMIT: Duration = Duration::from_secs(20);
/// How long a line or a span may take through shippers and batches: a few
/// seconds each, more on a machine that has just started all of it.
const KEPT_LIMIT: Duration = Duration::from_secs(90);
/// How often it is looked for.
const GLANCE: Duration = Duration::from_millis(500);
/// How long one look may take.
const LOOK_LIMIT: Duration = Duration::from_secs(20);
/// Lines of the engine's log are looked at from this long before the request.
const SLACK: u64 = 5;

/// One place of a trace, and when it was taken.
pub(super) struct Trail {
    trace: String,
    span: String,
    begun: Instant,
}

/// What one look came to.
enum Look {
    /// There it is; where and what.
    Found(String),
    /// Not yet, and what was said instead.
    NotYet(String),
}

impl Trail {
    /// A new one, by chance.
    pub(super) fn new() -> Result<Self, StackError> {
        let mut bytes = [0_u8; 24];
        getrandom::fill(&mut bytes).map_err(|error| StackError::NoRandomness(error.to_string()))?;
        // Zeros at the front of an id are lost on the way through some tools.
        (bytes[0], bytes[16]) = (bytes[0] | 0x10, bytes[16] | 0x10);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            trace: hex(&bytes[..16]),
            span: hex(&bytes[16..]),
            begun: Instant::now(),
        })
    }

    /// A command of ours in a container, whose requests belong to the trail.
    pub(super) fn call<'a>(
        &self,
        container: &str,
        words: impl IntoIterator<Item = &'a str>,
    ) -> Call {
        let place = format!("TRACEPARENT=00-{}-{}-01", self.trace, self.span);
        docker(["exec", "--interactive", "--env"])
            .args([place.as_str(), container, "collective"])
            .args(words)
    }

    /// A request that only looks.
    pub(super) fn leave(&self, stack: &Stack, containers: &[Container]) -> Result<(), StackError> {
        if let Some(server) = running(containers, "server") {
            stack
                .runner()
                .look(&self.call(server, ["--json", "status"]))?;
        }
        Ok(())
    }

    /// The request's line, wherever this stack keeps lines.
    pub(super) fn line(
        &self,
        stack: &Stack,
        containers: &[Container],
    ) -> Result<(Outcome, String), StackError> {
        let mut seen = Vec::new();
        let mut outcome = Outcome::Passed;
        let is_part = |service: &str| containers.iter().any(|one| one.service == service);
        let mut kept = Vec::new();
        if is_part("elasticsearch-1") {
            kept.push((
                "elasticsearch-1",
                "filebeat, logstash",
                elasticsearch as Ask,
            ));
        }
        if is_part("loki") {
            kept.push(("loki", "promtail", loki as Ask));
        }
        for &(service, way, ask) in &kept {
            let Some(container) = running(containers, service) else {
                return Ok(away(service));
            };
            let look = || ask(stack, container, &self.trace);
            match wait_for(stack, KEPT_LIMIT, look)? {
                Look::Found(what) => seen.push(what),
                Look::NotYet(said) => {
                    outcome = Outcome::Failed;
                    seen.push(missing(service, &self.trace, KEPT_LIMIT, &said, way));
                }
            }
        }
        if !kept.is_empty() {
            return Ok((outcome, seen.join("; ")));
        }
        let servers: Vec<&str> = containers
            .iter()
            .filter(|container| container.service == "server" && container.runs())
            .map(|container| container.name.as_str())
            .collect();
        if servers.is_empty() {
            return Ok(away("server"));
        }
        let look = || self.in_own_log(stack, &servers);
        Ok(match wait_for(stack, LOG_LIMIT, look)? {
            Look::Found(what) => (Outcome::Passed, what),
            Look::NotYet(said) => {
                let hint =
                    "COLLECTIVE_LOG must let the lines of collective_server at level info through";
                let said = if said.is_empty() { hint } else { &said };
                (
                    Outcome::Failed,
                    format!(
                        "no line of the trace {} in the log of {} within {} s: {said}",
                        self.trace,
                        servers.join(", "),
                        LOG_LIMIT.as_secs()
                    ),
                )
            }
        })
    }

    fn in_own_log(&self, stack: &Stack, servers: &[&str]) -> Result<Look, StackError> {
        let since = format!("{}s", self.begun.elapsed().as_secs() + SLACK);
        let mut said = String::new();
        for server in servers {
            let call = docker(["logs", "--since", &since, server]).limit(LOOK_LIMIT);
            let ran = stack.runner().look(&call)?;
            let lines = ran.stdout.lines().chain(ran.stderr.lines());
            if let Some(line) = lines
                .filter_map(line_of)
                .find(|line| line.trace_id == self.trace)
            {
                return Ok(Look::Found(format!(
                    "{} {} of request {} is in the log of {server}",
                    line.method, line.route, line.request_id
                )));
            }
            if !ran.is_good() {
                said = ran.said();
            }
        }
        Ok(Look::NotYet(said))
    }

    /// The request's spans, if this stack keeps traces.
    pub(super) fn spans(
        &self,
        stack: &Stack,
        containers: &[Container],
    ) -> Result<(Outcome, String), StackError> {
        if !containers.iter().any(|one| one.service == "jaeger-query") {
            return Ok((
                Outcome::Skipped,
                "this environment keeps no traces; override.monitoring.yml adds Jaeger".to_owned(),
            ));
        }
        let Some(container) = running(containers, "jaeger-query") else {
            return Ok(away("jaeger-query"));
        };
        let look = || jaeger(stack, container, &self.trace);
        Ok(match wait_for(stack, KEPT_LIMIT, look)? {
            Look::Found(what) => (Outcome::Passed, what),
            Look::NotYet(said) => (
                Outcome::Failed,
                missing(
                    "jaeger-query",
                    &self.trace,
                    KEPT_LIMIT,
                    &said,
                    "the server's OTEL_EXPORTER_OTLP_ENDPOINT, jaeger-agent, jaeger-collector",
                ),
            ),
        })
    }
}

/// Asks one keeper once.
type Ask = fn(&Stack, &str, &str) -> Result<Look, StackError>;

fn missing(service: &str, trace: &str, limit: Duration, said: &str, way: &str) -> String {
    let said = if said.is_empty() {
        String::new()
    } else {
        format!(" ({said})")
    };
    format!(
        "{service} has nothing of the trace {trace} after {} s{said}: look at {way}",
        limit.as_secs()
    )
}

/// Looks again until it is found or the limit is over. The last look counts.
fn wait_for(
    stack: &Stack,
    limit: Duration,
    look: impl Fn() -> Result<Look, StackError>,
) -> Result<Look, StackError> {
    let until = Instant::now() + limit;
    loop {
        let seen = look()?;
        if matches!(seen, Look::Found(_)) || Instant::now() >= until {
            return Ok(seen);
        }
        stack.runner().go_on()?;
        std::thread::sleep(GLANCE);
    }
}

/// A line of our server about a request.
#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Line {
    trace_id: String,
    request_id: String,
    method: String,
    route: String,
}

fn line_of(line: &str) -> Option<Line> {
    serde_json::from_str(line).ok()
}

/// Asks Elasticsearch by the curl of its image; the password comes from the
/// container's own environment and travels by standard input.
fn elasticsearch(stack: &Stack, container: &str, trace: &str) -> Result<Look, StackError> {
    const SCRIPT: &str = r#"printf 'user = "elastic:%s"\n' "$ELASTIC_PASSWORD" |
curl --silent --show-error --max-time 15 --config - --cacert config/certs/ca/ca.crt "$1""#;
    let url =
        format!("https://localhost:9200/collective-logs-server/_search?size=1&q=trace.id:{trace}");
    let call = exec(container, None, ["sh", "-c", SCRIPT, "sh", &url]).limit(LOOK_LIMIT);
    let ran = stack.runner().look(&call)?;
    Ok(if ran.is_good() {
        in_elasticsearch(&ran.stdout)
    } else {
        Look::NotYet(ran.said())
    })
}

/// Reads the answer of `_search` (Elasticsearch, "Search API").
fn in_elasticsearch(answer: &str) -> Look {
    let Ok(answer) = serde_json::from_str::<Value>(answer) else {
        return Look::NotYet("its answer is no JSON".to_owned());
    };
    if let Some(reason) = answer.pointer("/error/reason").and_then(Value::as_str) {
        return Look::NotYet(reason.to_owned());
    }
    match answer.pointer("/hits/hits/0") {
        Some(hit) => {
            let text = |path| hit.pointer(path).and_then(Value::as_str).unwrap_or("?");
            Look::Found(format!(
                "{} {} is in Elasticsearch's {}",
                text("/_source/http/request/method"),
                text("/_source/url/path"),
                text("/_index")
            ))
        }
        None => Look::NotYet(String::new()),
    }
}

/// Asks Loki by the wget of its image.
fn loki(stack: &Stack, container: &str, trace: &str) -> Result<Look, StackError> {
    // {service="server"} |= "TRACE", as a URL has it; of the last hour.
    let query = format!("%7Bservice%3D%22server%22%7D%20%7C%3D%20%22{trace}%22");
    let url = format!("http://127.0.0.1:3100/loki/api/v1/query_range?limit=1&query={query}");
    Ok(match get(stack, container, &url)? {
        Ok(answer) => in_loki(&answer),
        Err(said) => Look::NotYet(said),
    })
}

/// Reads the answer of `query_range` (Loki, "HTTP API").
fn in_loki(answer: &str) -> Look {
    let Ok(answer) = serde_json::from_str::<Value>(answer) else {
        return Look::NotYet("its answer is no JSON".to_owned());
    };
    let line = answer
        .pointer("/data/result/0/values/0/1")
        .and_then(Value::as_str);
    match line.and_then(line_of) {
        Some(line) => Look::Found(format!("{} {} is in Loki", line.method, line.route)),
        None => Look::NotYet(String::new()),
    }
}

/// Asks Jaeger's query service by the wget of its image.
fn jaeger(stack: &Stack, container: &str, trace: &str) -> Result<Look, StackError> {
    let ran = stack.runner().look(&jaeger_call(container, trace))?;
    Ok(if ran.is_good() {
        in_jaeger(&ran.stdout)
    } else {
        // A trace that isn't there is a 404, which wget only calls an error.
        Look::NotYet(ran.said())
    })
}

/// Behind the proxy it answers under a path, which its container knows.
fn jaeger_call(container: &str, trace: &str) -> Call {
    const SCRIPT: &str =
        r#"wget -q -T 15 -O - "http://127.0.0.1:16686${JAEGER_BASE_PATH%/}/api/traces/$1""#;
    exec(container, None, ["sh", "-c", SCRIPT, "sh", trace]).limit(LOOK_LIMIT)
}

/// Reads the answer of `/api/traces/{id}` (Jaeger, "API").
fn in_jaeger(answer: &str) -> Look {
    let Ok(answer) = serde_json::from_str::<Value>(answer) else {
        return Look::NotYet("its answer is no JSON".to_owned());
    };
    if let Some(reason) = answer.pointer("/errors/0/msg").and_then(Value::as_str) {
        return Look::NotYet(reason.to_owned());
    }
    let spans = answer.pointer("/data/0/spans").and_then(Value::as_array);
    match spans.filter(|spans| !spans.is_empty()) {
        Some(spans) => {
            let name = |span: &Value| span["operationName"].as_str().map(str::to_owned);
            let names = spans.iter().filter_map(name);
            // A request is named by its method and route.
            let request = names.clone().find(|name| name.contains(" /v1/"));
            match request {
                Some(request) => {
                    Look::Found(format!("{} spans, {request} among them", spans.len()))
                }
                None => Look::NotYet(format!("only {}", names.collect::<Vec<_>>().join(", "))),
            }
        }
        None => Look::NotYet(String::new()),
    }
}

/// What an address gives inside of a container, or what wget says instead.
fn get(stack: &Stack, container: &str, url: &str) -> Result<Result<String, String>, StackError> {
    let call = exec(container, None, ["wget", "-q", "-T", "15", "-O", "-", url]);
    let ran = stack.runner().look(&call.limit(LOOK_LIMIT))?;
    Ok(if ran.is_good() {
        Ok(ran.stdout)
    } else {
        Err(ran.said())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"timestamp":"2026-11-25T03:00:00.000001Z","level":"INFO","request_id":"019","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","method":"POST","route":"/v1/tasks","status":201,"took_ms":3.1,"message":"request served","target":"collective_server::telemetry::events"}"#;

    fn found(look: &Look) -> Option<&str> {
        match look {
            Look::Found(what) => Some(what),
            Look::NotYet(_) => None,
        }
    }

    fn not_yet(look: &Look) -> Option<&str> {
        match look {
            Look::Found(_) => None,
            Look::NotYet(said) => Some(said),
        }
    }

    #[test]
    fn a_trail_is_a_traceparent_that_its_caller_keeps_and_no_two_are_the_same() {
        let (one, two) = (Trail::new().unwrap(), Trail::new().unwrap());
        assert_ne!(one.trace, two.trace);
        assert_eq!((one.trace.len(), one.span.len()), (32, 16));
        let call = one.call("c_agent_server", ["status"]).to_string();
        let place = format!("TRACEPARENT=00-{}-{}-01", one.trace, one.span);
        assert_eq!(
            call,
            format!("docker exec --interactive --env {place} c_agent_server collective status")
        );
    }

    #[test]
    fn only_a_line_of_a_request_with_a_trace_is_one() {
        let line = line_of(LINE).unwrap();
        assert_eq!(line.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(
            (line.method.as_str(), line.route.as_str()),
            ("POST", "/v1/tasks")
        );
        for other in [
            "entrypoint: 4bf92f3577b34da6a3ce929d0e0e4736",
            r#"{"level":"INFO","message":"4bf92f3577b34da6a3ce929d0e0e4736"}"#,
            &LINE.replace("trace_id", "trace"),
        ] {
            assert_eq!(line_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_hit_of_elasticsearch_is_read_and_an_error_is_said() {
        let hit = r#"{"took":4,"timed_out":false,"_shards":{"total":1,"successful":1,"skipped":0,"failed":0},
            "hits":{"total":{"value":1,"relation":"eq"},"max_score":0.2,"hits":[{"_index":".ds-collective-logs-server-2026.11.25-000001",
            "_id":"x","_score":0.2,"_source":{"trace":{"id":"4bf9"},"url":{"path":"/v1/tasks"},"http":{"request":{"method":"POST","id":"019"}}}}]}}"#;
        assert_eq!(
            found(&in_elasticsearch(hit)),
            Some(
                "POST /v1/tasks is in Elasticsearch's .ds-collective-logs-server-2026.11.25-000001"
            )
        );
        let none = r#"{"took":1,"timed_out":false,"hits":{"total":{"value":0,"relation":"eq"},"max_score":null,"hits":[]}}"#;
        assert_eq!(not_yet(&in_elasticsearch(none)), Some(""));
        let error = r#"{"error":{"root_cause":[],"type":"index_not_found_exception","reason":"no such index [collective-logs-server]"},"status":404}"#;
        assert_eq!(
            not_yet(&in_elasticsearch(error)),
            Some("no such index [collective-logs-server]")
        );
        assert_eq!(
            not_yet(&in_elasticsearch("<html>")),
            Some("its answer is no JSON")
        );
    }

    #[test]
    fn a_stream_of_loki_is_read() {
        let streams = serde_json::json!({"status": "success", "data": {"resultType": "streams",
            "result": [{"stream": {"service": "server", "level": "info"},
                        "values": [["1795575600000001000", LINE]]}], "stats": {}}});
        assert_eq!(
            found(&in_loki(&streams.to_string())),
            Some("POST /v1/tasks is in Loki")
        );
        let none = r#"{"status":"success","data":{"resultType":"streams","result":[],"stats":{}}}"#;
        assert_eq!(not_yet(&in_loki(none)), Some(""));
    }

    #[test]
    fn jaeger_is_asked_where_its_pages_are() {
        let call = jaeger_call("c_agent_jaeger_query", "4bf9");
        let script = call
            .words()
            .find(|word| word.contains("wget"))
            .unwrap()
            .replace("wget -q -T 15 -O -", "echo");
        for (path, expected) in [
            ("/", "http://127.0.0.1:16686/api/traces/4bf9\n"),
            ("", "http://127.0.0.1:16686/api/traces/4bf9\n"),
            ("/jaeger", "http://127.0.0.1:16686/jaeger/api/traces/4bf9\n"),
        ] {
            let said = std::process::Command::new("sh")
                .args(["-c", &script, "sh", "4bf9"])
                .env("JAEGER_BASE_PATH", path)
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&said.stdout), expected, "{path}");
        }
    }

    #[test]
    fn a_trace_of_jaeger_counts_once_the_request_is_in_it() {
        let trace = |name: &str| {
            format!(
                r#"{{"data":[{{"traceID":"4bf92f3577b34da6a3ce929d0e0e4736","spans":[
                {{"traceID":"4bf92f3577b34da6a3ce929d0e0e4736","spanID":"00f067aa0ba902b7","operationName":"commit",
                  "references":[],"startTime":1795575600000001,"duration":900,"tags":[],"logs":[],"processID":"p1","warnings":null}},
                {{"traceID":"4bf92f3577b34da6a3ce929d0e0e4736","spanID":"10f067aa0ba902b7","operationName":"{name}",
                  "references":[],"startTime":1795575600000000,"duration":1200,"tags":[],"logs":[],"processID":"p1","warnings":null}}],
                "processes":{{"p1":{{"serviceName":"collective-server","tags":[]}}}},"warnings":null}}],
                "total":0,"limit":0,"offset":0,"errors":null}}"#
            )
        };
        assert_eq!(
            found(&in_jaeger(&trace("POST /v1/tasks"))),
            Some("2 spans, POST /v1/tasks among them")
        );
        assert_eq!(
            not_yet(&in_jaeger(&trace("relay"))),
            Some("only commit, relay")
        );
        let none = r#"{"data":null,"total":0,"limit":0,"offset":0,"errors":[{"code":404,"msg":"trace not found"}]}"#;
        assert_eq!(not_yet(&in_jaeger(none)), Some("trace not found"));
    }
}
