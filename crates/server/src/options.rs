//! What a server is started with, and its bounds.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use collective_core::Span;
use collective_core::ports::RateLimit;

/// Where and how to listen.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The address; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Host names that requests may be sent to besides the loopback names, without a port.
    /// A server on loopback answers for these only; one on another address
    /// answers for every name if none is given.
    pub allowed_hosts: Vec<String>,
    /// Its bounds.
    pub limits: Limits,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            allowed_hosts: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// The bounds of a server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most open connections; further ones wait in the system's queue.
    pub max_connections: usize,
    /// Most open event streams.
    pub max_streams: usize,
    /// How many requests one key may send.
    pub requests: RateLimit,
    /// How many requests without a valid key one address may send before they are put off.
    pub auth_failures: RateLimit,
    /// How long a stopping server answers what is in flight.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // An agent holds about three: a claim, a heartbeat, a report. Below the usual 4,096 files of a process.
            max_connections: 2_048,
            // People and dashboards that watch; each reads the log by itself.
            max_streams: 256,
            // 2,000 per second: ten times what a busy leader with batches needs, a runaway loop is stopped.
            requests: RateLimit {
                burst: 4_000,
                period: Span::from_micros(500),
            },
            // A forgotten key is tried a few times a minute; whoever tries more often guesses.
            auth_failures: RateLimit {
                burst: 20,
                period: Span::from_secs(2),
            },
            // Below the usual grace of a service manager or of Docker (10 s) plus the kill.
            drain: Duration::from_secs(10),
        }
    }
}
