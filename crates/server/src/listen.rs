//! The accept loop: bounded connections over HTTP/1.1, each with an owner and an end.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::stall::Stall;

/// How long a connection may take to send a request's head, waiting for the first byte included.
/// Above the 50 s for which our client keeps idle connections, so that it is the client who closes.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// Most headers of a request: several times what a proxy chain adds.
const MAX_HEADERS: usize = 100;
/// Largest head of a request, and the piece in which bodies are read: hyper's own lower end is 8 KiB.
const MAX_BUFFER: usize = 64 * 1024;
/// How long a peer may take nothing of an answer.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait when the system has no file or memory left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Serves connections until `shutdown` ends; gives those that are still open.
pub(crate) async fn accept_until(
    shutdown: impl Future<Output = ()>,
    listener: TcpListener,
    router: Router,
    max_connections: usize,
    stop: &CancellationToken,
) -> JoinSet<()> {
    let mut shutdown = pin!(shutdown);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => return connections,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < max_connections => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(serve(stream, Peer(peer), router.clone(), stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn serve(stream: TcpStream, peer: Peer, router: Router, stop: CancellationToken) {
    // Answers are written whole; waiting for more to send would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, peer = %peer.0, "no TCP_NODELAY");
    }
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        // A router is always ready, and a clone of it shares its routes.
        router.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(Stall::new(stream, STALL_TIMEOUT)), service);
    let mut connection = pin!(connection);
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, peer = %peer.0, "connection ended");
                }
                return;
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
