//! A collector of traces that takes OTLP over HTTP, decodes it and keeps it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use prost::Message;

/// How a collector answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It takes everything.
    Takes,
    /// It takes the connection and never answers.
    Hangs,
    /// It takes the batch and refuses this many of its spans.
    Refuses(i64),
    /// It answers with a status that isn't worth another try.
    Forbids,
}

/// A span as it came, with the attributes of who sent it.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) resource: BTreeMap<String, String>,
}

#[derive(Default)]
struct Kept {
    spans: Vec<Span>,
    bytes: Vec<u8>,
    heads: Vec<String>,
}

/// A collector on a port of its own.
pub(crate) struct Collector {
    port: u16,
    kept: Arc<Mutex<Kept>>,
}

impl Collector {
    pub(crate) fn start(manner: Manner) -> Self {
        Self::at(0, manner)
    }

    /// On this port; 0 is any free one.
    pub(crate) fn at(port: u16, manner: Manner) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let kept = Arc::new(Mutex::new(Kept::default()));
        let of_thread = Arc::clone(&kept);
        // They end with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let kept = Arc::clone(&of_thread);
                std::thread::spawn(move || serve(&stream.unwrap(), manner, &kept));
            }
        });
        Self { port, kept }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.kept.lock().unwrap().spans.clone()
    }

    /// The span of this name in this trace.
    pub(crate) fn find(&self, trace: &str, name: &str) -> Option<Span> {
        let mut spans = self.spans().into_iter();
        spans.find(|span| span.trace == trace && span.name == name)
    }

    /// Whether the decoded bytes hold this.
    pub(crate) fn holds(&self, text: &str) -> bool {
        let kept = self.kept.lock().unwrap();
        kept.bytes
            .windows(text.len())
            .any(|bytes| bytes == text.as_bytes())
    }

    /// Heads of the requests, in lower case.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.kept.lock().unwrap().heads.clone()
    }
}

fn serve(stream: &TcpStream, manner: Manner, kept: &Mutex<Kept>) {
    let mut reader = BufReader::new(stream);
    while let Some((head, body)) = request(&mut reader) {
        if manner == Manner::Hangs {
            std::thread::park();
        }
        let sent = ExportTraceServiceRequest::decode(&*body).unwrap();
        let mut kept = kept.lock().unwrap();
        kept.spans.extend(spans(&sent));
        kept.bytes.extend(body);
        kept.heads.push(head);
        drop(kept);
        let partial_success = match manner {
            Manner::Refuses(rejected_spans) => Some(ExportTracePartialSuccess {
                rejected_spans,
                error_message: "no".to_owned(),
            }),
            _ => None,
        };
        let answer = ExportTraceServiceResponse { partial_success }.encode_to_vec();
        let status = match manner {
            Manner::Forbids => "403 Forbidden",
            _ => "200 OK",
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        let mut stream = stream;
        if stream.write_all(head.as_bytes()).is_err() || stream.write_all(&answer).is_err() {
            return;
        }
    }
}

/// One request: its head and its body. None once the peer is gone.
fn request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    let (_, rest) = head.split_once("content-length: ")?;
    let length = rest.split("\r\n").next()?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn spans(request: &ExportTraceServiceRequest) -> Vec<Span> {
    let mut all = Vec::new();
    for of_resource in &request.resource_spans {
        let resource = attributes(&of_resource.resource.as_ref().unwrap().attributes);
        for of_scope in &of_resource.scope_spans {
            all.extend(of_scope.spans.iter().map(|span| Span {
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                name: span.name.clone(),
                attributes: attributes(&span.attributes),
                resource: resource.clone(),
            }));
        }
    }
    all
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref().and_then(|value| value.value.clone()) {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::BoolValue(flag)) => flag.to_string(),
        other => format!("{other:?}"),
    };
    pairs
        .iter()
        .map(|pair| (pair.key.clone(), text(pair)))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
