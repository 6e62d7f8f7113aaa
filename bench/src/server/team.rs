//! A leader and agents that do nothing but create, claim and complete.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use collective_api::agents::CreateKey;
use collective_api::leases::{Claim, ClaimRequest, CompleteRequest, Completion};
use collective_api::tasks::CreateTasks;
use collective_client::{Client, Token};
use collective_core::agent::AgentSpec;
use collective_core::limits::DEFAULT_LEASE;
use collective_core::role::Role;
use collective_core::task::{TaskSpec, Usage};
use collective_core::{AgentName, Span};
use futures_util::future::try_join_all;

/// Requests that the leader has in flight at once.
const LEADER_REQUESTS: u64 = 4;
/// Requests that an agent has in flight at once: it takes its next batch while
/// it reports the last one, as a runner with many slots does.
const AGENT_REQUESTS: u32 = 2;
/// How long one claim waits for tasks: short, so that a run ends soon.
const CLAIM_WAIT: Span = Span::from_millis(500);
/// A run in which nothing is completed for so long has hung.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// An agent with a key of its own, as real ones have.
#[derive(Clone)]
pub(super) struct Agent {
    pub(super) name: AgentName,
    /// Tasks that one request claims or completes.
    pub(super) batch: u32,
    pub(super) client: Client,
}

impl Agent {
    /// Registers it under a name made of a word and a number.
    pub(super) async fn register(
        admin: &Client,
        word: &str,
        number: usize,
        batch: u32,
    ) -> Result<Self> {
        let name: AgentName = format!("{word}-{number}")
            .parse()
            .map_err(|error| anyhow!("{error}"))?;
        let request = CreateKey {
            label: name.to_string(),
            role: Some(Role::Worker),
            agent: Some(name.clone()),
            admin: false,
        };
        let key = admin
            .create_key(&request)
            .await
            .context("cannot create a key")?;
        let client = admin.with_token(Token::new(&key.token));
        let spec = AgentSpec {
            slots: batch * AGENT_REQUESTS,
            ..AgentSpec::default()
        };
        client
            .register_agent(&name, &spec)
            .await
            .context("cannot register an agent")?;
        Ok(Self {
            name,
            batch,
            client,
        })
    }

    /// A batch of tasks, or none after a wait.
    pub(super) async fn claim(&self, wait: Span) -> Result<Vec<Claim>> {
        let request = ClaimRequest {
            agent: self.name.clone(),
            max: self.batch,
            lease: DEFAULT_LEASE,
            wait,
        };
        Ok(self
            .client
            .claim(&request)
            .await
            .context("cannot claim")?
            .claims)
    }

    /// Completes what was claimed with one request.
    pub(super) async fn complete(&self, claims: &[Claim]) -> Result<()> {
        let completions = claims.iter().map(completion).collect();
        let reports = self
            .client
            .complete_many(&CompleteRequest { completions })
            .await
            .context("cannot complete")?;
        for report in reports {
            report.map_err(|problem| anyhow!("a completion was refused: {problem:?}"))?;
        }
        Ok(())
    }

    /// Claims and completes until all agents together have done all tasks.
    async fn work(&self, run: &Run) -> Result<()> {
        let mut idle_since = Instant::now();
        while !run.is_over() {
            let claims = self.claim(CLAIM_WAIT).await?;
            if claims.is_empty() {
                if idle_since.elapsed() > STALLED_AFTER {
                    bail!("no more tasks come, and some are not done");
                }
                continue;
            }
            let count = claims.len() as u64;
            self.complete(&claims).await?;
            run.count(count);
            idle_since = Instant::now();
        }
        Ok(())
    }
}

/// How far all agents together are.
struct Run {
    total: u64,
    done: AtomicU64,
    /// When the last task was completed.
    ended: OnceLock<Instant>,
}

impl Run {
    fn is_over(&self) -> bool {
        self.ended.get().is_some()
    }

    fn count(&self, completed: u64) {
        if self.done.fetch_add(completed, Ordering::Relaxed) + completed >= self.total {
            self.ended.get_or_init(Instant::now);
        }
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

/// A task as small as those of the peers: a title and a number.
pub(super) fn task(number: u64) -> TaskSpec {
    TaskSpec {
        input: number.into(),
        ..TaskSpec::new("noop")
    }
}

/// Creates the tasks in batches, a few requests at once.
pub(super) async fn create(leader: &Client, total: u64, batch: usize) -> Result<()> {
    let next = AtomicU64::new(0);
    let one = || async {
        loop {
            let from = next.fetch_add(batch as u64, Ordering::Relaxed);
            if from >= total {
                return Ok(());
            }
            let to = total.min(from + batch as u64);
            let request = CreateTasks {
                tasks: (from..to).map(task).collect(),
            };
            leader
                .create_tasks(&request)
                .await
                .context("cannot create tasks")?;
        }
    };
    try_join_all((0..LEADER_REQUESTS).map(|_| one()))
        .await
        .map(drop)
}

/// Creates tasks while agents claim and complete them; gives the time from the
/// first create to the last completion.
pub(super) async fn run(
    leader: &Client,
    agents: &[Agent],
    total: u64,
    batch: usize,
) -> Result<Duration> {
    let run = Arc::new(Run {
        total,
        done: AtomicU64::new(0),
        ended: OnceLock::new(),
    });
    let workers: Vec<_> = agents
        .iter()
        .flat_map(|agent| (0..AGENT_REQUESTS).map(|_| agent.clone()))
        .map(|agent| {
            let run = Arc::clone(&run);
            tokio::spawn(async move { agent.work(&run).await })
        })
        .collect();
    let began = Instant::now();
    create(leader, total, batch).await?;
    for worker in workers {
        worker.await.context("an agent panicked")??;
    }
    let ended = run.ended.get().context("the tasks were not completed")?;
    Ok(*ended - began)
}
