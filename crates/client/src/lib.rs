//! Typed client of `/v1`: one method per route, retries, the event feed.
//!
//! ```no_run
//! # async fn example() -> Result<(), collective_client::ClientError> {
//! use collective_client::{Client, ClientOptions, Token};
//! use collective_core::task::TaskSpec;
//!
//! let client = Client::new(ClientOptions::new("http://127.0.0.1:7420", Token::new("ca_…")))?;
//! let task = client.create_task(&TaskSpec::new("count the lines")).await?;
//! let ended = client.wait_for_result(task.id, None).await?;
//! println!("{}", ended.state);
//! # Ok(())
//! # }
//! ```
//!
//! A call is sent again only where that can't do harm; [`retry`] has the rule.
//! This crate must never know what the server does with a command, and never
//! touches the terminal, the environment or the file system.

mod agents;
mod call;
mod error;
mod events;
mod keys;
mod leases;
mod messages;
mod operations;
mod options;
mod questions;
mod queues;
mod reservations;
pub mod retry;
mod schedules;
mod sse;
mod task_name;
mod tasks;
mod teams;

#[cfg(test)]
mod fake;

use std::sync::Arc;
use std::time::Duration;

use collective_core::TeamName;
use reqwest::Url;

pub use collective_api as api;
pub use error::ClientError;
pub use events::EventStream;
pub use leases::Reports;
pub use operations::Ready;
pub use options::{ClientOptions, Token};
pub use task_name::TaskName;

use retry::RetryLimits;

/// Longest time to open a connection: an address that doesn't answer is found out soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections that are kept: more than the calls of one agent at once.
const MAX_IDLE_CONNECTIONS: usize = 64;
/// How long an idle connection is kept: below the idle limit of common proxies (60 s).
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// A client of one server, for one team and one key. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    settings: Arc<Settings>,
}

/// What a client was made with.
#[derive(Clone)]
struct Settings {
    url: Url,
    token: Option<Token>,
    team: Option<TeamName>,
    traceparent: Option<String>,
    limits: RetryLimits,
    timeout: Duration,
}

impl Client {
    /// A client with these options. Nothing is sent yet.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        let url = options::parse_url(&options.url)?;
        install_crypto();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("collective/", env!("CARGO_PKG_VERSION")));
        if options::is_loopback(&url) {
            // A proxy from the environment can't reach this machine's own loopback.
            builder = builder.no_proxy();
        }
        let http = builder
            .build()
            .map_err(|error| ClientError::InvalidOptions {
                what: error::chain(&error),
                hint: "check the address and the TLS settings".to_owned(),
            })?;
        Ok(Self {
            http,
            settings: Arc::new(Settings {
                url,
                token: options.token,
                team: options.team,
                traceparent: options.traceparent,
                limits: options.retry,
                timeout: options.timeout,
            }),
        })
    }

    /// The same server and team with another key, over the same connections.
    #[must_use]
    pub fn with_token(&self, token: Token) -> Self {
        self.change(|settings| settings.token = Some(token))
    }

    /// The same server and key with another team, over the same connections.
    #[must_use]
    pub fn with_team(&self, team: TeamName) -> Self {
        self.change(|settings| settings.team = Some(team))
    }

    /// The same with calls that belong to this place in a trace, or to none.
    #[must_use]
    pub fn with_traceparent(&self, traceparent: Option<String>) -> Self {
        self.change(|settings| settings.traceparent = traceparent)
    }

    /// The same with other bounds of retrying.
    #[must_use]
    pub fn with_retry(&self, limits: RetryLimits) -> Self {
        self.change(|settings| settings.limits = limits)
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        self.settings.url.as_str().trim_end_matches('/')
    }

    /// The team that calls go to, if one was named.
    pub fn team(&self) -> Option<&TeamName> {
        self.settings.team.as_ref()
    }

    fn change(&self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::clone(&self.settings);
        change(&mut settings);
        Self {
            http: self.http.clone(),
            settings: Arc::new(settings),
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.url())
            .field("team", &self.settings.team)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "tls")]
fn install_crypto() {
    // An error says that a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(not(feature = "tls"))]
fn install_crypto() {}
