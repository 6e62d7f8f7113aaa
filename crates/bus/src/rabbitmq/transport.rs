//! tokio as the driver wants to have it, with connections that may be secure.
//!
//! The driver's own TLS is left out: it brings some forty crates, most of them
//! for a kind of key file that nobody asked for, and it silently connects in
//! plain text when a build forgets to name a backend.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::Task;
use async_rs::{Runtime, Tokio};
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::stream::Stream;
use lapin::{Connection, ConnectionProperties};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::error::Trouble;
use super::options::RabbitOptions;
use super::tls;

/// Connects and logs in; `purpose` tells the connections of one process apart
/// in the broker's listings.
pub(super) async fn connect(options: &RabbitOptions, purpose: &str) -> Result<Connection, Trouble> {
    let limit = options.connect_limit;
    let properties = ConnectionProperties::default()
        .with_connection_name(format!("{} ({purpose})", options.name).into());
    let runtime = Transport::of(options)?;
    let connecting = Connection::connect_uri_with_runtime(options.uri(), properties, runtime);
    match timeout(limit, connecting).await {
        Ok(connected) => {
            connected.map_err(|error| Trouble::read(&error, options, "connecting", None))
        }
        Err(_) => Err(Trouble::TimedOut {
            what: format!("connecting to {}", options.place()),
            limit,
        }),
    }
}

/// A connection, whatever it is made of.
pub(super) trait Duplex:
    tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static
{
}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static> Duplex for T {}

/// tokio with our connections.
#[derive(Clone)]
pub(super) struct Transport {
    tokio: Tokio,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Transport {
    /// The current runtime, with connections as the options say.
    pub(super) fn of(options: &RabbitOptions) -> Result<Runtime<Self>, Trouble> {
        let tls = match &options.tls {
            None => None,
            Some(wanted) => {
                let name = ServerName::try_from(options.host.clone());
                let name = name.map_err(|error| Trouble::Tls {
                    place: options.place(),
                    said: error.to_string(),
                })?;
                Some((tls::connector(wanted)?, name))
            }
        };
        let tokio = Tokio::current();
        Ok(Runtime::new(Self { tokio, tls }))
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

impl RuntimeKit for Transport {}

impl Executor for Transport {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.tokio.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        future: F,
    ) -> Task<Self::Task<T>> {
        self.tokio.spawn(future)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        work: F,
    ) -> Task<Self::Task<T>> {
        self.tokio.spawn_blocking(work)
    }
}

impl Reactor for Transport {
    type TcpStream = Compat<Box<dyn Duplex>>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.tokio.register(socket)
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.tokio.sleep(time)
    }

    fn interval(&self, time: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.tokio.interval(time)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let tls = self.tls.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            // Small frames must not wait for the answer to the one before.
            stream.set_nodelay(true)?;
            let stream: Box<dyn Duplex> = match tls {
                None => Box::new(stream),
                Some((connector, name)) => Box::new(connector.connect(name, stream).await?),
            };
            Ok(stream.compat())
        }
    }
}
