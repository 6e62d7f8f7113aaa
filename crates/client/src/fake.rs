//! A server of a few lines for tests: real sockets, answers made to order, faults included.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::retry::RetryLimits;
use crate::{Client, ClientOptions, Token};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// How many came before it.
    pub(crate) count: usize,
    /// Path and query.
    pub(crate) path: String,
    headers: BTreeMap<String, String>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What is answered.
pub(crate) enum Reply {
    /// Status and body.
    Answer(u16, &'static str, String),
    /// An event stream that ends with the connection.
    Stream(String),
    /// The connection is closed without an answer.
    Drop,
    /// The connection stays open without an answer.
    Silence,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Reply::Answer(status, "application/json", body.to_owned())
    }

    pub(crate) fn problem(status: u16, code: &str) -> Self {
        let body = format!(
            r#"{{"type":"/docs/errors#{code}","title":"t","status":{status},"code":"{code}","detail":"d"}}"#
        );
        Reply::Answer(status, "application/problem+json", body)
    }

    pub(crate) fn stream(body: String) -> Self {
        Reply::Stream(body)
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

struct State {
    handler: Box<Handler>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
}

/// The server. It ends with the test's runtime.
pub(crate) struct Fake {
    address: SocketAddr,
    state: Arc<State>,
}

impl Fake {
    pub(crate) async fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            handler: Box::new(handler),
            seen: Mutex::new(Vec::new()),
            connections: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client that tries again quickly.
    pub(crate) fn client(&self) -> Client {
        Client::new(ClientOptions {
            retry: RetryLimits {
                initial_delay: Duration::from_millis(1),
                max_delay: Duration::from_millis(5),
                ..RetryLimits::default()
            },
            ..ClientOptions::new(self.url(), Token::new("ca_test"))
        })
        .unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn headers(&self, name: &str) -> Vec<Option<String>> {
        self.seen()
            .iter()
            .map(|seen| seen.header(name).map(str::to_owned))
            .collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let mut stream = BufReader::new(stream);
    while let Some(mut seen) = read_request(&mut stream).await {
        {
            let mut all = state.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.count = all.len();
            all.push(seen.clone());
        }
        let text = match (state.handler)(&seen) {
            Reply::Answer(status, kind, body) => format!(
                "HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ),
            Reply::Stream(body) => {
                let text = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{body}"
                );
                let _ = stream.write_all(text.as_bytes()).await;
                return;
            }
            Reply::Drop => return,
            Reply::Silence => return std::future::pending().await,
        };
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen {
        count: 0,
        path,
        headers,
    })
}
