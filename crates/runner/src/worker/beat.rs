//! One heartbeat for all the leases that an agent holds.
//!
//! The call waits at the server for a reason to stop one of them, so that a
//! cancellation arrives at once and not with the next beat.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use collective_api::leases::{Beat, BeatAnswer, HeartbeatRequest};
use collective_api::tasks::Progress;
use collective_client::Client;
use collective_core::task::LeaseToken;
use collective_core::{AgentName, Code, Span, TaskId};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{News, RETRY_PAUSE, rest, tell};
use crate::output;

/// Beats per lease: two may be lost before it runs out.
const BEATS_PER_LEASE: u64 = 3;

/// Why an attempt is to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// Someone called the task off.
    CalledOff(String),
    /// The lease is lost; nothing that is reported will count.
    Lost,
}

struct Lease {
    token: LeaseToken,
    progress: watch::Receiver<Option<output::Progress>>,
    stop: watch::Sender<Option<StopReason>>,
}

/// The leases that are kept alive.
#[derive(Clone)]
pub(super) struct Beats {
    client: Client,
    agent: AgentName,
    interval: Duration,
    news: mpsc::Sender<News>,
    leases: Arc<Mutex<HashMap<TaskId, Lease>>>,
    more: Arc<Notify>,
}

/// A lease that is kept alive until this is dropped.
pub(super) struct Held {
    task: TaskId,
    token: LeaseToken,
    /// Why to stop, once there is a reason.
    pub(super) stop: watch::Receiver<Option<StopReason>>,
    /// Where to say how far it is.
    pub(super) progress: watch::Sender<Option<output::Progress>>,
    leases: Arc<Mutex<HashMap<TaskId, Lease>>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        if leases
            .get(&self.task)
            .is_some_and(|lease| lease.token == self.token)
        {
            leases.remove(&self.task);
        }
    }
}

impl Beats {
    pub(super) fn new(
        client: Client,
        agent: AgentName,
        lease: Span,
        news: mpsc::Sender<News>,
    ) -> Self {
        Self {
            client,
            agent,
            interval: Span::from_micros(lease.micros() / BEATS_PER_LEASE).as_duration(),
            news,
            leases: Arc::default(),
            more: Arc::new(Notify::new()),
        }
    }

    /// Keeps a lease alive from now on.
    pub(super) fn hold(&self, task: TaskId, token: LeaseToken) -> Held {
        let (stop, stopped) = watch::channel(None);
        let (tell_progress, progress) = watch::channel(None);
        let lease = Lease {
            token,
            progress,
            stop,
        };
        self.leases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(task, lease);
        self.more.notify_one();
        Held {
            task,
            token,
            stop: stopped,
            progress: tell_progress,
            leases: Arc::clone(&self.leases),
        }
    }

    /// Beats until `quiet`, also while nothing is held: it is the agent's sign of life.
    pub(super) async fn run(self, quiet: CancellationToken) {
        let mut pause = RETRY_PAUSE.0;
        while !quiet.is_cancelled() {
            let (beats, stopping) = self.beats();
            // A lease whose end is under way gives its news again and again: don't wait for them.
            let wait = if stopping { Span::ZERO } else { self.wait() };
            let request = HeartbeatRequest {
                agent: self.agent.clone(),
                beats,
                wait,
            };
            let started = tokio::time::Instant::now();
            let answer = tokio::select! {
                answer = self.client.heartbeat(&request) => answer,
                // A new lease joins with the next call, so that its cancellation is heard too.
                () = self.more.notified() => continue,
                () = quiet.cancelled() => return,
            };
            match answer {
                Ok(answer) => {
                    pause = RETRY_PAUSE.0;
                    for (beat, item) in request.beats.iter().zip(answer.items) {
                        self.take(beat, item.into_result().map_err(|problem| problem.code));
                    }
                    let rest_of_interval = self.interval.saturating_sub(started.elapsed());
                    if stopping || request.wait == Span::ZERO {
                        drop(tokio::time::timeout(rest_of_interval, quiet.cancelled()).await);
                    }
                }
                Err(error) if error.is_passing() => {
                    rest(&mut pause, &quiet).await;
                }
                Err(error) => {
                    tell(
                        &self.news,
                        News::Warning(format!("a heartbeat was refused: {error}")),
                    );
                    rest(&mut pause, &quiet).await;
                }
            }
        }
    }

    fn wait(&self) -> Span {
        Span::from_micros(u64::try_from(self.interval.as_micros()).unwrap_or(u64::MAX))
            .min(collective_core::limits::MAX_WAIT)
    }

    fn beats(&self) -> (Vec<Beat>, bool) {
        let leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stopping = false;
        let beats = leases
            .iter()
            .map(|(task, lease)| {
                stopping |= lease.stop.borrow().is_some();
                let progress = lease.progress.borrow().as_ref().map(|progress| Progress {
                    percent: progress.percent,
                    note: progress.note.clone(),
                });
                Beat {
                    task: *task,
                    token: lease.token,
                    progress,
                }
            })
            .collect();
        (beats, stopping)
    }

    fn take(&self, beat: &Beat, answer: Result<BeatAnswer, String>) {
        let reason = match answer {
            Ok(BeatAnswer { cancel: None, .. }) => return,
            Ok(BeatAnswer {
                cancel: Some(reason),
                ..
            }) => StopReason::CalledOff(reason),
            Err(code) if code == Code::LeaseLost.as_str() || code == Code::NotFound.as_str() => {
                StopReason::Lost
            }
            Err(code) => {
                tracing::warn!(%code, task = %beat.task, "a lease could not be kept alive");
                return;
            }
        };
        let leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lease) = leases
            .get(&beat.task)
            .filter(|lease| lease.token == beat.token)
        {
            lease.stop.send_if_modified(|stop| {
                let first = stop.is_none();
                if first {
                    *stop = Some(reason);
                }
                first
            });
        }
    }
}
