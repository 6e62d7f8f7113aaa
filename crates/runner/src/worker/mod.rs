//! The claim loop: an agent that takes tasks, works on them in its slots, and
//! lets go of them without losing any.
//!
//! One [`Worker`] is one agent. It registers, claims as many tasks as it has
//! free slots, runs each in a task of its own, keeps all their leases alive
//! with one heartbeat, and reports. A server that is away stops none of this:
//! commands go on, reports wait, and the lease's token decides at the end
//! whether the work still counts.
//!
//! It ends by draining: no new claims, what runs may finish within the time it
//! was given, the rest is given back.

mod beat;
mod briefing;
mod job;
mod logs;
mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use collective_api::leases::{Claim, ClaimRequest, LeaseRef};
use collective_client::{Client, ClientError, Token};
use collective_core::agent::AgentSpec;
use collective_core::task::{Epoch, TaskState};
use collective_core::{AgentName, Code, Span, TaskId, TeamName};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::attempt::Delivery;
use crate::preset::failure::Rules;
use crate::preset::reading::Reading;
use crate::runs::Run;

use beat::Beats;

/// How long one claim waits at the server for a task.
const CLAIM_WAIT: Span = Span::from_secs(20);
/// First and longest pause before a call is tried again while the server is away.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What an agent runs for each task.
#[derive(Clone, Debug)]
pub struct Work {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// How the prompt reaches it.
    pub delivery: Delivery,
    /// Whether it is told everything in one text (language models), or the prompt as it is.
    pub briefing: bool,
    /// How its standard output is read.
    pub reading: Arc<Reading>,
    /// How its failures are recognised.
    pub rules: Arc<Rules>,
    /// Variables to set.
    pub env: Vec<(String, String)>,
    /// Variables of the runner to leave out.
    pub drop_env: Vec<String>,
    /// Where it runs: a folder, or a repository when it works in worktrees.
    pub workdir: PathBuf,
    /// Whether each attempt gets a worktree and a branch of its own.
    pub worktree: bool,
    /// How long a command may take to end once it was asked to.
    pub grace: Duration,
}

/// An agent.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// The server's address, as the commands are told.
    pub url: String,
    /// The agent's key: the worker's own, and what its commands are told.
    pub token: Token,
    /// The team, for an administrator's key.
    pub team: TeamName,
    /// Its name.
    pub agent: AgentName,
    /// What it says of itself.
    pub spec: AgentSpec,
    /// How long each lease lasts without a heartbeat.
    pub lease: Span,
    /// What it runs.
    pub work: Work,
    /// Opens the span of an attempt.
    pub open_span: OpenSpan,
}

/// Opens the span of an attempt in its task's trace, and gives its place there as
/// a `traceparent`, if traces are made.
pub type OpenSpan = fn(&Claim) -> (tracing::Span, Option<String>);

/// For a worker that makes no traces.
pub fn no_span(_: &Claim) -> (tracing::Span, Option<String>) {
    (tracing::Span::none(), None)
}

/// What happens at a worker, for whoever shows it.
#[derive(Clone, Debug)]
pub enum News {
    /// It took a task.
    Started {
        /// The task.
        task: TaskId,
        /// Its number.
        number: u64,
        /// Its title.
        title: String,
        /// The attempt.
        attempt: Epoch,
    },
    /// An attempt ended and was reported.
    Ended {
        /// The task.
        task: TaskId,
        /// Its number.
        number: u64,
        /// The attempt.
        attempt: Epoch,
        /// Where the task stands now; absent when the lease was lost and nothing was recorded.
        state: Option<TaskState>,
        /// Why it isn't done, if it isn't.
        reason: Option<String>,
    },
    /// Something that a person should know.
    Warning(String),
    /// The server is away; the worker goes on and keeps trying.
    ServerAway(String),
    /// The server is back.
    ServerBack,
}

/// Why a worker could not work.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The server refuses the agent.
    #[error("agent `{agent}` can't work: {error}")]
    Refused {
        /// Which agent.
        agent: AgentName,
        /// What the server said.
        error: ClientError,
    },
}

/// How a worker is told to end.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// No new claims; what runs may finish.
    pub drain: CancellationToken,
    /// What still runs is stopped and given back.
    pub now: CancellationToken,
}

/// One agent at work.
pub struct Worker {
    options: Arc<WorkerOptions>,
    client: Client,
    run: Arc<Run>,
    news: mpsc::Sender<News>,
}

impl Worker {
    /// An agent below `run`, whose news go to `news`. News that nobody takes are dropped.
    pub fn new(
        options: WorkerOptions,
        run: Arc<Run>,
        news: mpsc::Sender<News>,
    ) -> Result<Self, ClientError> {
        let client = Client::new(
            collective_client::ClientOptions::new(options.url.clone(), options.token.clone())
                .team(options.team.clone()),
        )?;
        Ok(Self {
            options: Arc::new(options),
            client,
            run,
            news,
        })
    }

    /// Works until it is told to stop.
    pub async fn work(self, stop: Stop) -> Result<(), WorkerError> {
        if !self.register(&stop).await? {
            return Ok(());
        }
        let beats = Beats::new(
            self.client.clone(),
            self.options.agent.clone(),
            self.options.lease,
            self.news.clone(),
        );
        let quiet = CancellationToken::new();
        let heart = tokio::spawn(beats.clone().run(quiet.clone()));
        let result = self.claim_and_run(&stop, &beats).await;
        quiet.cancel();
        if let Err(error) = heart.await {
            tracing::error!(%error, "the heartbeat ended badly");
        }
        result
    }

    /// Says whether it is registered; it isn't if it was told to stop before.
    async fn register(&self, stop: &Stop) -> Result<bool, WorkerError> {
        let mut pause = RETRY_PAUSE.0;
        loop {
            match self
                .client
                .register_agent(&self.options.agent, &self.options.spec)
                .await
            {
                Ok(_) => return Ok(true),
                Err(error) if error.is_passing() => {
                    self.tell(News::ServerAway(error.to_string()));
                    if rest(&mut pause, &stop.drain).await {
                        return Ok(false);
                    }
                }
                Err(error) => return Err(self.refused(error)),
            }
        }
    }

    async fn claim_and_run(&self, stop: &Stop, beats: &Beats) -> Result<(), WorkerError> {
        let slots = self.options.spec.slots as usize;
        let mut jobs = JoinSet::new();
        let mut pause = RETRY_PAUSE.0;
        let mut away = false;
        while !stop.drain.is_cancelled() {
            if jobs.len() >= slots {
                tokio::select! {
                    _ = jobs.join_next() => {}
                    () = stop.drain.cancelled() => {}
                }
                continue;
            }
            let request = ClaimRequest {
                agent: self.options.agent.clone(),
                max: u32::try_from(slots - jobs.len()).unwrap_or(1),
                lease: self.options.lease,
                wait: CLAIM_WAIT,
            };
            let claim = self.client.claim(&request);
            tokio::pin!(claim);
            let answer = loop {
                tokio::select! {
                    answer = &mut claim => break answer,
                    // A slot that becomes free waits for the claim under way: it asks for too few, at worst.
                    Some(_) = jobs.join_next(), if !jobs.is_empty() => {}
                    () = stop.drain.cancelled() => {
                        // The server ends the wait of an agent that drains, so that
                        // nothing is claimed by a request that nobody listens to.
                        self.drain().await;
                        break claim.await;
                    }
                }
            };
            match answer {
                Ok(answer) => {
                    if std::mem::take(&mut away) {
                        self.tell(News::ServerBack);
                    }
                    pause = RETRY_PAUSE.0;
                    for claim in answer.claims {
                        if stop.drain.is_cancelled() {
                            self.give_back(&claim, "the agent is draining").await;
                        } else {
                            self.start(claim, stop, beats, &mut jobs);
                        }
                    }
                }
                // Forgotten by the server (its data is new), or removed: it takes its name again.
                Err(error) if error.is(Code::NotFound) => {
                    if !self.register(stop).await? {
                        break;
                    }
                }
                Err(error) if error.is_passing() => {
                    if !std::mem::replace(&mut away, true) {
                        self.tell(News::ServerAway(error.to_string()));
                    }
                    rest(&mut pause, &stop.drain).await;
                }
                Err(error) => return self.end(jobs, stop).await.and(Err(self.refused(error))),
            }
        }
        self.drain().await;
        self.end(jobs, stop).await
    }

    fn start(&self, claim: Claim, stop: &Stop, beats: &Beats, jobs: &mut JoinSet<()>) {
        self.tell(News::Started {
            task: claim.task.id,
            number: claim.task.number,
            title: claim.task.spec.title.clone(),
            attempt: claim.task.epoch,
        });
        let (span, place) = (self.options.open_span)(&claim);
        let traceparent = place.or_else(|| claim.task.spec.traceparent.clone());
        let job = job::Job {
            options: Arc::clone(&self.options),
            client: self.client.with_traceparent(traceparent.clone()),
            traceparent,
            run: Arc::clone(&self.run),
            news: self.news.clone(),
            held: beats.hold(claim.task.id, claim.token),
            stop_now: stop.now.clone(),
            claim,
        };
        jobs.spawn(job.work().instrument(span));
    }

    /// Waits for what runs; each job sees by itself that it is to stop now.
    async fn end(&self, mut jobs: JoinSet<()>, stop: &Stop) -> Result<(), WorkerError> {
        while let Some(ended) = jobs.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, stopping = stop.now.is_cancelled(), "an attempt's task ended badly");
            }
        }
        Ok(())
    }

    async fn drain(&self) {
        if let Err(error) = self.client.drain_agent(&self.options.agent, true).await {
            tracing::debug!(%error, "the server was not told that the agent drains");
        }
    }

    async fn give_back(&self, claim: &Claim, reason: &str) {
        let lease = LeaseRef {
            task: claim.task.id,
            token: claim.token,
        };
        if let Err(error) = self.client.release(lease, reason).await {
            tracing::warn!(%error, task = claim.task.number, "a task could not be given back; its lease will run out");
        }
    }

    fn refused(&self, error: ClientError) -> WorkerError {
        WorkerError::Refused {
            agent: self.options.agent.clone(),
            error,
        }
    }

    fn tell(&self, news: News) {
        tell(&self.news, news);
    }
}

/// News are for showing; a viewer that is slow misses some, work never waits for it.
fn tell(to: &mpsc::Sender<News>, news: News) {
    if to.try_send(news).is_err() {
        tracing::trace!("news were dropped");
    }
}

/// Rests for a while that doubles; says whether it was told to stop.
async fn rest(pause: &mut Duration, stop: &CancellationToken) -> bool {
    let now = *pause;
    *pause = (now * 2).min(RETRY_PAUSE.1);
    tokio::time::timeout(now, stop.cancelled()).await.is_ok()
}
