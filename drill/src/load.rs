//! The team under load: a leader that creates, agents that claim, work, fail,
//! complete and die, and a reader that follows the event feed. Everything that
//! a server acknowledged is written down.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use collective_api::leases::{
    Beat, Claim, ClaimRequest, CompleteRequest, Completion, FailedAttempt, HeartbeatRequest,
};
use collective_api::tasks::CreateTasks;
use collective_client::{Client, ClientError};
use collective_core::agent::AgentSpec;
use collective_core::event::Event;
use collective_core::ports::Entropy;
use collective_core::task::{AttemptOutcome, Failure, FailureClass, RetryPolicy, TaskSpec, Usage};
use collective_core::{AgentName, Span};
use collective_testkit::history::Acknowledged;
use collective_testkit::world::SeededEntropy;
use futures_util::StreamExt;
use tokio::task::JoinHandle;

use crate::between;

/// Tasks of one request of the leader.
const BATCH: usize = 10;
/// The leader's pause between two requests.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(400));
/// Tasks that an agent takes at once.
const SLOTS: u32 = 4;
/// The lease: the shortest that there is, so that what dead agents held comes back soon.
const LEASE: Span = Span::from_secs(3);
/// How long a claim waits.
const CLAIM_WAIT: Span = Span::from_secs(2);
/// How long ordinary work takes at most.
const WORK: Duration = Duration::from_millis(150);
/// How long slow work takes: longer than a lease, so that it lives by heartbeats.
const SLOW_WORK: Duration = Duration::from_secs(4);
/// Pause before a call goes to the other replica.
const SWITCH: Duration = Duration::from_millis(100);
/// How long one thing is tried at either replica: longer than any part stays away.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Load {
    pub(crate) clients: Vec<Client>,
    seed: u64,
    told: Mutex<Acknowledged>,
    creating: AtomicBool,
    /// Leaders that still have a request under way.
    leading: AtomicUsize,
    working: AtomicBool,
    batches: AtomicU64,
    /// Each agent's death wish.
    condemned: Vec<AtomicBool>,
    agents: AtomicUsize,
}

/// Most agents.
const MAX_AGENTS: usize = 256;

/// What runs until the end.
pub(crate) struct Running {
    load: Arc<Load>,
    leader: JoinHandle<Result<()>>,
    agents: Vec<JoinHandle<Result<()>>>,
    reader: JoinHandle<Result<Vec<Event>>>,
}

/// What callers saw.
pub(crate) struct Told {
    pub(crate) acknowledged: Acknowledged,
    /// The feed as one reader had it.
    pub(crate) feed: Vec<Event>,
}

impl Load {
    pub(crate) fn new(clients: Vec<Client>, seed: u64) -> Self {
        Self {
            clients,
            seed,
            told: Mutex::default(),
            creating: AtomicBool::new(true),
            leading: AtomicUsize::new(1),
            working: AtomicBool::new(true),
            batches: AtomicU64::new(0),
            condemned: (0..MAX_AGENTS).map(|_| AtomicBool::new(false)).collect(),
            agents: AtomicUsize::new(0),
        }
    }

    /// Registers the agents.
    pub(crate) async fn found_team(&self, agents: usize) -> Result<()> {
        if agents == 0 || agents > MAX_AGENTS {
            bail!("1 to {MAX_AGENTS} agents, not {agents}");
        }
        self.agents.store(agents, Ordering::Relaxed);
        let spec = AgentSpec {
            slots: SLOTS,
            ..AgentSpec::default()
        };
        for number in 0..agents {
            let name = agent_name(number)?;
            self.persist(number, |client| {
                let (name, spec) = (name.clone(), spec.clone());
                async move { client.register_agent(&name, &spec).await.map(drop) }
            })
            .await?;
        }
        Ok(())
    }

    /// Starts everybody.
    pub(crate) fn start(self: &Arc<Self>, agents: usize) -> Running {
        let leader = tokio::spawn(Arc::clone(self).lead());
        let reader = tokio::spawn(Arc::clone(self).follow());
        let agents = (0..agents)
            .map(|number| tokio::spawn(Arc::clone(self).work(number)))
            .collect();
        Running {
            load: Arc::clone(self),
            leader,
            agents,
            reader,
        }
    }

    pub(crate) fn stop_creating(&self) {
        self.creating.store(false, Ordering::SeqCst);
    }

    /// One agent drops what it holds, without a word, and comes back under its name.
    pub(crate) fn kill_an_agent(&self, chance: &SeededEntropy) {
        let number = chance.below(self.agents.load(Ordering::Relaxed));
        self.condemned[number].store(true, Ordering::SeqCst);
    }

    /// Waits until every task has ended.
    pub(crate) async fn finish(&self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let status = self
                .persist(0, |client| async move { client.status().await })
                .await?;
            let open: u64 = status
                .tasks
                .iter()
                .filter(|(state, _)| !state.is_terminal())
                .map(|(_, count)| count)
                .sum();
            if open == 0 && self.leading.load(Ordering::SeqCst) == 0 {
                self.working.store(false, Ordering::SeqCst);
                return Ok(());
            }
            if Instant::now() > deadline {
                let states: Vec<String> = status
                    .tasks
                    .iter()
                    .map(|(state, count)| format!("{count} {state}"))
                    .collect();
                bail!(
                    "the team doesn't finish within {limit:?}: {}",
                    states.join(", ")
                );
            }
            tokio::time::sleep(SWITCH).await;
        }
    }

    fn note<T>(&self, what: impl FnOnce(&mut Acknowledged) -> T) -> T {
        what(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does something at one replica or the other until it is acknowledged or refused.
    pub(crate) async fn persist<T, F, Fut>(&self, first: usize, mut call: F) -> Result<T>
    where
        F: FnMut(Client) -> Fut,
        Fut: Future<Output = Result<T, ClientError>>,
    {
        let deadline = Instant::now() + PATIENCE;
        let mut at = first;
        loop {
            match call(self.clients[at % self.clients.len()].clone()).await {
                Ok(value) => return Ok(value),
                Err(error) if error.is_passing() && Instant::now() < deadline => {
                    at += 1;
                    tokio::time::sleep(SWITCH).await;
                }
                Err(error) => return Err(anyhow!(error).context("a call was refused for good")),
            }
        }
    }

    async fn lead(self: Arc<Self>) -> Result<()> {
        let chance = SeededEntropy::new(self.seed ^ 0x1ead);
        while self.creating.load(Ordering::SeqCst) {
            let number = self.batches.fetch_add(1, Ordering::Relaxed);
            let request = CreateTasks {
                tasks: (0..BATCH)
                    .map(|at| task(number * BATCH as u64 + at as u64))
                    .collect(),
            };
            let key = format!("drill-{}-{number}", self.seed);
            let created = self
                .persist(number as usize, |client| {
                    let (request, key) = (request.clone(), key.clone());
                    async move { client.create_tasks_once(&request, &key).await }
                })
                .await
                .context("the leader")?;
            self.note(|told| {
                told.created
                    .extend(created.tasks.iter().map(|task| task.id));
            });
            tokio::time::sleep(between(&chance, PAUSE.0, PAUSE.1)).await;
        }
        self.leading.store(0, Ordering::SeqCst);
        Ok(())
    }

    async fn work(self: Arc<Self>, number: usize) -> Result<()> {
        let chance = SeededEntropy::new(self.seed ^ (number as u64 + 1) << 20);
        let name = agent_name(number)?;
        let mut at = number;
        while self.working.load(Ordering::SeqCst) {
            let client = &self.clients[at % self.clients.len()];
            let request = ClaimRequest {
                agent: name.clone(),
                max: SLOTS,
                lease: LEASE,
                wait: CLAIM_WAIT,
            };
            match client.claim(&request).await {
                Ok(answer) => {
                    self.note(|told| {
                        told.claimed.extend(
                            answer
                                .claims
                                .iter()
                                .map(|claim| (claim.task.id, claim.task.epoch)),
                        );
                    });
                    self.attempt(number, &name, &answer.claims, &chance)
                        .await
                        .with_context(|| format!("agent {name}"))?;
                }
                Err(error) if error.is_passing() => {
                    at += 1;
                    tokio::time::sleep(SWITCH).await;
                }
                Err(error) => return Err(anyhow!(error).context("a claim was refused for good")),
            }
        }
        Ok(())
    }

    /// Works on what was claimed, as long as the agent isn't killed.
    async fn attempt(
        &self,
        number: usize,
        name: &AgentName,
        claims: &[Claim],
        chance: &SeededEntropy,
    ) -> Result<()> {
        if claims.is_empty() {
            return Ok(());
        }
        let slow = chance.percent(3);
        let ends = Instant::now()
            + if slow {
                SLOW_WORK
            } else {
                WORK.mul_f64(chance.chance())
            };
        loop {
            if self.condemned[number].swap(false, Ordering::SeqCst) {
                return Ok(());
            }
            let left = ends.saturating_duration_since(Instant::now());
            tokio::time::sleep(left.min(Duration::from_secs(1))).await;
            if Instant::now() >= ends {
                break;
            }
            // A heartbeat that doesn't get through is missed, as with any agent.
            let request = HeartbeatRequest {
                agent: name.clone(),
                beats: claims
                    .iter()
                    .map(|claim| Beat {
                        task: claim.task.id,
                        token: claim.token,
                        progress: None,
                    })
                    .collect(),
                wait: Span::ZERO,
            };
            let _missed = self.clients[number % self.clients.len()]
                .heartbeat(&request)
                .await;
        }
        let (failing, succeeding): (Vec<&Claim>, Vec<&Claim>) =
            claims.iter().partition(|_| chance.percent(5));
        for claim in failing {
            self.fail(number, claim).await?;
        }
        if succeeding.is_empty() {
            return Ok(());
        }
        let request = CompleteRequest {
            completions: succeeding.iter().map(|claim| completion(claim)).collect(),
        };
        let reports = self
            .persist(number, |client| {
                let request = request.clone();
                async move { client.complete_many(&request).await }
            })
            .await?;
        self.note(|told| {
            let settled = reports.into_iter().flatten();
            told.succeeded.extend(
                settled
                    .filter(|settled| settled.outcome == AttemptOutcome::Succeeded)
                    .map(|settled| (settled.task, settled.attempt)),
            );
        });
        Ok(())
    }

    async fn fail(&self, number: usize, claim: &Claim) -> Result<()> {
        let failed = FailedAttempt {
            task: claim.task.id,
            token: claim.token,
            outcome: AttemptOutcome::Failed,
            failure: Failure::new(FailureClass::Transient, "the drill says so"),
        };
        let deadline = Instant::now() + PATIENCE;
        let mut at = number;
        loop {
            match self.clients[at % self.clients.len()]
                .fail(failed.clone())
                .await
            {
                Ok(settled) => {
                    if settled.outcome == AttemptOutcome::Failed {
                        self.note(|told| told.failed.push((settled.task, settled.attempt)));
                    }
                    return Ok(());
                }
                Err(error) if error.is_passing() && Instant::now() < deadline => {
                    at += 1;
                    tokio::time::sleep(SWITCH).await;
                }
                // The lease ran out meanwhile: nothing was acknowledged.
                Err(error) if error.code() == Some(collective_core::Code::LeaseLost) => {
                    return Ok(());
                }
                Err(error) => return Err(anyhow!(error).context("a failure was refused for good")),
            }
        }
    }

    /// Reads the feed from its beginning, at whichever replica answers.
    async fn follow(self: Arc<Self>) -> Result<Vec<Event>> {
        let mut seen: Vec<Event> = Vec::new();
        let mut at = 0;
        while self.working.load(Ordering::SeqCst) {
            let client = self.clients[at % self.clients.len()].clone();
            let mut feed = client.events(Some(seen.last().map_or(0, |event| event.seq)));
            loop {
                let next = tokio::time::timeout(Duration::from_secs(5), feed.next()).await;
                match next {
                    Ok(Some(Ok(event))) => seen.push(event),
                    Ok(Some(Err(error))) if !error.is_passing() => {
                        return Err(anyhow!(error).context("the feed was refused"));
                    }
                    // It broke or is silent: the other replica knows more, or there is nothing.
                    Ok(Some(Err(_)) | None) | Err(_) => break,
                }
                if !self.working.load(Ordering::SeqCst) {
                    break;
                }
            }
            at += 1;
            tokio::time::sleep(SWITCH).await;
        }
        Ok(seen)
    }
}

impl Running {
    /// What callers were told, once everybody has gone home.
    pub(crate) async fn end(self) -> Result<Told> {
        self.leader.await.context("the leader panicked")??;
        for agent in self.agents {
            agent.await.context("an agent panicked")??;
        }
        let feed = self.reader.await.context("the reader panicked")??;
        let acknowledged = self.load.note(|told| told.clone());
        Ok(Told { acknowledged, feed })
    }
}

fn agent_name(number: usize) -> Result<AgentName> {
    format!("worker-{number}")
        .parse()
        .map_err(|error| anyhow!("{error}"))
}

fn task(number: u64) -> TaskSpec {
    TaskSpec {
        input: number.into(),
        retry: RetryPolicy {
            // Enough that a task rather survives the drill than dies of it.
            max_attempts: 50,
            initial_delay: Span::from_millis(100),
            factor: 2,
            max_delay: Span::from_secs(2),
        },
        ..TaskSpec::new("drill")
    }
}

fn completion(claim: &Claim) -> Completion {
    Completion {
        task: claim.task.id,
        token: claim.token,
        text: "done".to_owned(),
        json: None,
        artifacts: Vec::new(),
        usage: Usage::default(),
        commit: None,
        evidence: Vec::new(),
    }
}
