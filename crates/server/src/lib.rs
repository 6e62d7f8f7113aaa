//! HTTP over the services.
//!
//! Handlers are thin: extract, call one service function, answer. This crate
//! must never decide anything about tasks, and never name an adapter: it is
//! given a [`Hub`] and serves it.

mod http;
mod listen;
mod options;
mod stall;
pub mod telemetry;

use std::future::Future;
use std::net::SocketAddr;

use axum::Router;
use collective_service::Hub;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use http::openapi::document;
pub use options::{Limits, ServerOptions};

use http::app::App;

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address can't be listened on.
    #[error("can't listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
}

/// A server that holds its address and answers once [`Server::serve`] runs.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    hub: Hub,
    limits: Limits,
    stop: CancellationToken,
}

impl Server {
    /// Takes the address. Connections wait until [`Server::serve`] runs.
    pub async fn bind(options: ServerOptions, hub: Hub) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Listen {
            address: options.listen,
            source,
        };
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let stop = CancellationToken::new();
        let app = App::new(hub.clone(), &options, address, stop.clone());
        Ok(Self {
            listener,
            address,
            router: http::router(app),
            hub,
            limits: options.limits,
            stop,
        })
    }

    /// Where it listens; the port is the system's choice if 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` ends, then drains: takes no connection, hands
    /// out no task, ends long polls and streams, and answers what is in
    /// flight, for [`Limits::drain`] at most.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let mut connections = listen::accept_until(
            shutdown,
            self.listener,
            self.router,
            self.limits.max_connections,
            &self.stop,
        )
        .await;
        self.hub.start_draining();
        self.stop.cancel();
        tracing::info!(open = connections.len(), "draining");
        let all_answered = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(self.limits.drain, all_answered)
            .await
            .is_err()
        {
            tracing::warn!(
                cut = connections.len(),
                "the drain took longer than its bound; what was left is cut"
            );
        }
        connections.shutdown().await;
    }
}
