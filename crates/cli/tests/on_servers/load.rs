//! A light load: a leader who creates and an agent that completes, at any
//! replica that answers. What they were told is written down, and so is every
//! refusal; at the end the whole log is checked against both.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use collective_api::leases::{Claim, ClaimRequest, CompleteRequest, Completion};
use collective_api::operations::ReadEvents;
use collective_api::tasks::{CreateTasks, ListTasks};
use collective_client::{Client, ClientError};
use collective_core::agent::AgentSpec;
use collective_core::event::Event;
use collective_core::limits::{MAX_PAGE, MIN_LEASE};
use collective_core::task::{AttemptOutcome, RetryPolicy, TaskSpec, Usage};
use collective_core::{AgentName, Span};
use collective_testkit::history::{Acknowledged, History};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, DEADLINE, until};

/// Tasks of one request of the leader, and its pause after each.
const BATCH: usize = 2;
const PAUSE: Duration = Duration::from_millis(40);
/// Pause before a call goes to the other replica.
const SWITCH: Duration = Duration::from_millis(50);
/// The agent that works.
const WORKER: &str = "worker";

/// Who is at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    leader: JoinHandle<()>,
    agent: JoinHandle<()>,
}

struct Shared {
    clients: Vec<Client>,
    run: String,
    told: Mutex<Acknowledged>,
    refusals: Mutex<BTreeSet<String>>,
    completed: AtomicU64,
    no_more: CancellationToken,
    over: CancellationToken,
}

pub(crate) fn name(text: &str) -> AgentName {
    AgentName::new(text).unwrap()
}

/// A task that outlives any number of faults.
pub(crate) fn sturdy(title: &str) -> TaskSpec {
    TaskSpec {
        retry: RetryPolicy {
            max_attempts: 50,
            initial_delay: Span::from_millis(20),
            max_delay: Span::from_millis(100),
            ..RetryPolicy::default()
        },
        ..TaskSpec::new(title)
    }
}

pub(crate) fn claim_of(agent: &str, wait: Span) -> ClaimRequest {
    ClaimRequest {
        agent: name(agent),
        max: 16,
        lease: MIN_LEASE,
        wait,
    }
}

pub(crate) fn done(claim: &Claim) -> Completion {
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

impl Load {
    /// Starts both; `run` names this load's requests.
    pub(crate) async fn start(cluster: &Cluster, run: &str) -> Self {
        let shared = Arc::new(Shared {
            clients: cluster.clients(),
            run: run.to_owned(),
            told: Mutex::default(),
            refusals: Mutex::default(),
            completed: AtomicU64::new(0),
            no_more: CancellationToken::new(),
            over: CancellationToken::new(),
        });
        let spec = AgentSpec {
            slots: 16,
            ..AgentSpec::default()
        };
        let admin = &shared.clients[0];
        admin.register_agent(&name(WORKER), &spec).await.unwrap();
        let mut load = Self {
            leader: tokio::spawn(Arc::clone(&shared).lead()),
            agent: tokio::spawn(Arc::clone(&shared).work()),
            shared,
        };
        load.completes(5).await;
        load.refusals();
        load
    }

    /// Waits until so many more tasks were completed.
    pub(crate) async fn completes(&mut self, more: u64) {
        let completed = &self.shared.completed;
        let goal = completed.load(Ordering::Relaxed) + more;
        until("the load goes on", async || {
            let gone = self.leader.is_finished() || self.agent.is_finished();
            assert!(!gone, "somebody gave up");
            completed.load(Ordering::Relaxed) >= goal
        })
        .await;
    }

    /// What was refused since this was asked last: status and code.
    pub(crate) fn refusals(&self) -> BTreeSet<String> {
        let refusals = self.shared.refusals.lock();
        std::mem::take(&mut refusals.unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until something was refused with this. Beside it, a commit whose
    /// answer was lost may be of unknown fate, and nothing else may be refused.
    pub(crate) async fn is_refused(&self, with: &str) {
        let mut seen = BTreeSet::new();
        until(&format!("something is refused with {with}"), async || {
            seen.extend(self.refusals());
            seen.contains(with)
        })
        .await;
        assert_only(&seen, with);
    }

    /// Creates no more, waits until all is done, and checks the whole log
    /// against what callers were told.
    pub(crate) async fn finish(self) {
        self.shared.no_more.cancel();
        self.leader.await.unwrap();
        let client = &self.shared.clients[0];
        let told = |shared: &Shared| {
            let told = shared.told.lock();
            told.unwrap_or_else(PoisonError::into_inner).clone()
        };
        until("every acknowledged task has ended", async || {
            let Ok(status) = client.status().await else {
                return false;
            };
            let mut states = status.tasks.iter();
            states.all(|(state, count)| state.is_terminal() || *count == 0)
        })
        .await;
        self.shared.over.cancel();
        self.agent.await.unwrap();
        let told = told(&self.shared);
        assert!(!told.succeeded.is_empty());
        assert_sound(client, &told).await;
    }
}

impl Shared {
    fn note(&self, note: impl FnOnce(&mut Acknowledged)) {
        note(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Writes a refusal down; one that can't pass is a defect.
    fn refused(&self, error: &ClientError) {
        assert!(error.is_passing(), "refused for good: {error}");
        let said = match error {
            ClientError::Refused { problem, .. } => {
                format!("{} {}", problem.status, problem.code)
            }
            ClientError::Unreachable { .. } => "no connection".to_owned(),
            other => other.to_string(),
        };
        let refusals = self.refusals.lock();
        refusals
            .unwrap_or_else(PoisonError::into_inner)
            .insert(said);
    }

    /// Tries at one replica after the other until it is acknowledged.
    async fn persist<T, Fut>(&self, first: usize, mut call: impl FnMut(Client) -> Fut) -> T
    where
        Fut: Future<Output = Result<T, ClientError>>,
    {
        let deadline = Instant::now() + DEADLINE;
        for at in first.. {
            match call(self.clients[at % self.clients.len()].clone()).await {
                Ok(value) => return value,
                Err(error) => self.refused(&error),
            }
            assert!(Instant::now() < deadline, "nobody takes it");
            tokio::time::sleep(SWITCH).await;
        }
        unreachable!("it tries for ever");
    }

    async fn lead(self: Arc<Self>) {
        for round in 0.. {
            if self.no_more.is_cancelled() {
                return;
            }
            let tasks = (0..BATCH).map(|_| sturdy("load")).collect();
            let request = CreateTasks { tasks };
            let key = format!("{}-{round}", self.run);
            let created = self
                .persist(round, |client| {
                    let (request, key) = (request.clone(), key.clone());
                    async move { client.create_tasks_once(&request, &key).await }
                })
                .await;
            let ids = created.tasks.iter().map(|task| task.id);
            self.note(|told| told.created.extend(ids));
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn work(self: Arc<Self>) {
        let request = claim_of(WORKER, Span::from_secs(1));
        for round in 0.. {
            if self.over.is_cancelled() {
                return;
            }
            // If the answer is lost, so is the claim: its lease runs out.
            let claims = match self.clients[round % self.clients.len()]
                .claim(&request)
                .await
            {
                Ok(answer) => answer.claims,
                Err(error) => {
                    self.refused(&error);
                    tokio::time::sleep(SWITCH).await;
                    continue;
                }
            };
            if claims.is_empty() {
                continue;
            }
            self.note(|told| {
                let claimed = claims.iter().map(|it| (it.task.id, it.token.epoch));
                told.claimed.extend(claimed);
            });
            let request = CompleteRequest {
                completions: claims.iter().map(done).collect(),
            };
            // At the other replica: a lease is good at all of them.
            let reports = self
                .persist(round + 1, |client| {
                    let request = request.clone();
                    async move { client.complete_many(&request).await }
                })
                .await;
            let settled: Vec<_> = reports.into_iter().flatten().collect();
            let succeeded: Vec<_> = settled
                .iter()
                .filter(|it| it.outcome == AttemptOutcome::Succeeded)
                .map(|it| (it.task, it.attempt))
                .collect();
            let many = succeeded.len() as u64;
            self.note(|told| told.succeeded.extend(succeeded));
            self.completed.fetch_add(many, Ordering::Relaxed);
        }
    }
}

/// Nothing was refused but with this, or because its fate is unknown.
pub(crate) fn assert_only(refused: &BTreeSet<String>, with: &str) {
    let fine = |it: &String| it == with || it == "504 timeout";
    assert!(refused.iter().all(fine), "refused: {refused:?}");
}

/// The whole log, page after page.
pub(crate) async fn events(client: &Client) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let query = ReadEvents {
            after: events.last().map(|event| event.seq),
            task: None,
            limit: Some(MAX_PAGE),
        };
        let page = client.list_events(&query).await.unwrap();
        if page.items.is_empty() {
            return events;
        }
        events.extend(page.items);
    }
}

/// Checks the log against the tasks and against what callers were told.
/// Nothing may happen meanwhile.
pub(crate) async fn assert_sound(client: &Client, told: &Acknowledged) {
    let events = events(client).await;
    let query = ListTasks::default();
    let tasks = client.list_tasks_up_to(&query, usize::MAX).await.unwrap();
    let history = History::of(&events)
        .with_tasks(&tasks.items)
        .with_acknowledged(told);
    if let Err(violations) = history.check() {
        let said: Vec<String> = violations.iter().map(ToString::to_string).collect();
        panic!("the history is broken:\n{}", said.join("\n"));
    }
}
