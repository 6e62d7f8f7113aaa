//! The connection: shared by all callers, made again when it is lost, and never
//! waited for longer than its bound.
//!
//! While the server is down, callers are told so at once; every [`PAUSE`] one
//! of them tries whether it is back. The driver's own manager isn't used: it
//! keeps a refused login for ever, and a connection whose other end is silent.
//!
//! It must never know what the commands mean.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::{AsyncConnectionConfig, Client, Cmd, RedisError, Value};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::{Instant, timeout};

use super::failure::Failure;

/// How long nobody tries after the server was found down: short against what
/// people notice, long against what one try costs.
const PAUSE: Duration = Duration::from_millis(250);
/// A refusal of the server is written to the log this often at most.
const COMPLAINT_EVERY: Duration = Duration::from_secs(30);

/// How long it is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) connect: Duration,
    pub(super) answer: Duration,
    pub(super) call: Duration,
}

/// How it is with the server, for readiness and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisState {
    /// Whether there is a connection.
    pub connected: bool,
    /// Why there is none, when one was tried.
    pub reason: Option<String>,
    /// Connections made since the start.
    pub connections: u64,
    /// Calls that failed since the start.
    pub failures: u64,
}

/// The connection.
pub(super) struct Link {
    client: Client,
    place: String,
    limits: Limits,
    phase: Mutex<Phase>,
    connections: Arc<AtomicU64>,
    failures: AtomicU64,
    complained: Mutex<Option<Instant>>,
}

/// Made once, by whoever needs it first; all others wait for the same.
type Connecting = Shared<BoxFuture<'static, Result<MultiplexedConnection, RedisError>>>;

enum Phase {
    /// There is a connection, or it is being made.
    Open(Line),
    /// It is down. The first caller after `retry_at` tries.
    Lost {
        serial: u64,
        reason: String,
        retry_at: Instant,
    },
}

/// One connection of many over time.
#[derive(Clone)]
struct Line {
    serial: u64,
    connecting: Connecting,
    /// Whether the server was down, and only this caller tries.
    probe: bool,
}

impl Link {
    pub(super) fn new(client: Client, place: String, limits: Limits) -> Self {
        let connections = Arc::new(AtomicU64::new(0));
        let connecting = connect(client.clone(), limits, Arc::clone(&connections));
        let first = Line {
            serial: 0,
            connecting,
            probe: false,
        };
        Self {
            client,
            place,
            limits,
            phase: Mutex::new(Phase::Open(first)),
            connections,
            failures: AtomicU64::new(0),
            complained: Mutex::new(None),
        }
    }

    /// The answer to a command. A command that finds its connection dead is
    /// sent again on a new one, once: it may have been carried out twice.
    pub(super) async fn run(&self, command: &Cmd) -> Result<Value, Failure> {
        let result = self.within_bounds(command).await;
        if let Err(failure) = &result
            && !failure.is_unknown_script()
        {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// The sentence for a failure.
    pub(super) fn text(&self, failure: &Failure) -> String {
        failure.text(&self.place)
    }

    pub(super) fn state(&self) -> RedisState {
        let (connected, reason) = match &*self.lock() {
            Phase::Open(line) => match line.connecting.peek() {
                Some(Ok(_)) => (true, None),
                Some(Err(_)) | None => (false, None),
            },
            Phase::Lost { reason, .. } => (false, Some(reason.clone())),
        };
        RedisState {
            connected,
            reason,
            connections: self.connections.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }

    async fn within_bounds(&self, command: &Cmd) -> Result<Value, Failure> {
        let mut line = self.enter()?;
        let deadline = Instant::now() + self.limits.call;
        let mut failure = match self.send(&line, command, deadline).await {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        if matches!(failure, Failure::Dropped(_)) && !line.probe {
            line = self.renew(line.serial)?;
            failure = match self.send(&line, command, deadline).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
        }
        if failure.is_of_this_connection() {
            self.lose(line.serial, &failure);
        } else {
            self.arrive(&line);
            self.complain(&failure);
        }
        Err(failure)
    }

    async fn send(&self, line: &Line, command: &Cmd, deadline: Instant) -> Result<Value, Failure> {
        let rest = deadline.saturating_duration_since(Instant::now());
        let call = async {
            let connection = line.connecting.clone().await;
            let mut connection = connection.map_err(Failure::Connecting)?;
            let answer = connection.req_packed_command(command).await;
            answer
                .and_then(Value::extract_error)
                .map_err(|error| Failure::of_command(error, self.limits.answer))
        };
        let value = timeout(rest, call)
            .await
            .map_err(|_| Failure::Late(self.limits.call))??;
        self.arrive(line);
        Ok(value)
    }

    /// The connection to use, or what is known to be wrong.
    fn enter(&self) -> Result<Line, Failure> {
        let now = Instant::now();
        match &mut *self.lock() {
            Phase::Open(line) => Ok(line.clone()),
            Phase::Lost {
                reason, retry_at, ..
            } if now < *retry_at => Err(Failure::Known(reason.clone())),
            Phase::Lost {
                serial, retry_at, ..
            } => {
                // Should this caller go away, the next one tries after its time.
                *retry_at = now + self.limits.call + PAUSE;
                *serial += 1;
                Ok(self.line(*serial, true))
            }
        }
    }

    /// Another connection instead of the one with this number, or what is known to be wrong.
    fn renew(&self, serial: u64) -> Result<Line, Failure> {
        let mut phase = self.lock();
        match &*phase {
            Phase::Open(line) if line.serial != serial => Ok(line.clone()),
            Phase::Lost { reason, .. } => Err(Failure::Known(reason.clone())),
            Phase::Open(_) => {
                let line = self.line(serial + 1, false);
                *phase = Phase::Open(line.clone());
                Ok(line)
            }
        }
    }

    fn line(&self, serial: u64, probe: bool) -> Line {
        let connecting = connect(
            self.client.clone(),
            self.limits,
            Arc::clone(&self.connections),
        );
        Line {
            serial,
            connecting,
            probe,
        }
    }

    /// Somebody got an answer on this connection: all may use it.
    fn arrive(&self, line: &Line) {
        if !line.probe {
            return;
        }
        let mut phase = self.lock();
        if matches!(&*phase, Phase::Lost { serial, .. } if *serial == line.serial) {
            *phase = Phase::Open(Line {
                probe: false,
                ..line.clone()
            });
            tracing::info!(place = %self.place, "Redis is back");
        }
    }

    /// The connection with this number is of no use any more.
    fn lose(&self, lost: u64, failure: &Failure) {
        let why = self.text(failure);
        let mut phase = self.lock();
        let is_news = match &*phase {
            Phase::Open(line) if line.serial == lost => true,
            Phase::Lost { serial, reason, .. } if *serial == lost => *reason != why,
            _ => return,
        };
        if is_news {
            tracing::warn!(reason = %why, "Redis is down; what it keeps is done without");
        }
        *phase = Phase::Lost {
            serial: lost,
            reason: why,
            retry_at: Instant::now() + PAUSE,
        };
    }

    /// Writes a refusal to the log, now and then.
    fn complain(&self, failure: &Failure) {
        if failure.is_unknown_script() {
            return;
        }
        let now = Instant::now();
        let mut complained = self
            .complained
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|at| now >= at + COMPLAINT_EVERY) {
            *complained = Some(now);
            tracing::warn!(reason = %self.text(failure), "Redis refuses; what it keeps is done without");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is made when it is first waited for.
fn connect(client: Client, limits: Limits, made: Arc<AtomicU64>) -> Connecting {
    async move {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limits.connect))
            .set_response_timeout(Some(limits.answer));
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        made.fetch_add(1, Ordering::Relaxed);
        Ok(connection)
    }
    .boxed()
    .shared()
}
