//! HTTP over the services, and the reports of agents that speak AMQP.
//!
//! Handlers are thin: extract, call one service function, answer. This crate
//! must never decide anything about tasks, and never name an adapter: it is
//! given a [`Hub`] and serves it, over HTTP and, if the hub has one, over its
//! broker.

pub mod amqp;
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
use tokio::task::JoinSet;
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
    app: App,
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
        let app = App::new(hub, &options, address, stop);
        Ok(Self {
            listener,
            address,
            router: http::router(app.clone()),
            app,
        })
    }

    /// Where it listens; the port is the system's choice if 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` ends, then drains: takes no connection and no
    /// report, hands out no task, ends long polls and streams, and answers
    /// what is in flight, for [`Limits::drain`] at most.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let (hub, limits, stop) = (&self.app.hub, &self.app.limits, &self.app.stop);
        let mut reports = JoinSet::new();
        if let Some(shared) = hub.shared() {
            reports.spawn(amqp::serve(self.app.clone(), shared.broker.clone()));
        }
        let mut connections = listen::accept_until(
            shutdown,
            self.listener,
            self.router,
            limits.max_connections,
            stop,
        )
        .await;
        hub.start_draining();
        stop.cancel();
        tracing::info!(open = connections.len(), "draining");
        let all_answered = async {
            while connections.join_next().await.is_some() {}
            while reports.join_next().await.is_some() {}
        };
        if tokio::time::timeout(limits.drain, all_answered)
            .await
            .is_err()
        {
            tracing::warn!(
                cut = connections.len() + reports.len(),
                "the drain took longer than its bound; what was left is cut"
            );
        }
        connections.shutdown().await;
        reports.shutdown().await;
    }
}
