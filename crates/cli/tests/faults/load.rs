//! Load: clients that create, claim, complete and fail as fast as they may, and
//! note down what they were told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use collective_api::leases::{
    Claim, ClaimRequest, CompleteRequest, Completion, FailRequest, FailedAttempt,
};
use collective_api::tasks::CreateTasks;
use collective_client::{Client, ClientError, Reports};
use collective_core::limits::MIN_LEASE;
use collective_core::task::{
    Dependency, DependencyCondition, Epoch, Failure, FailureClass, RetryPolicy, TaskRef, TaskSpec,
    Usage,
};
use collective_core::{Code, Span, TaskId};
use collective_testkit::history::Acknowledged;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{agent, name, until};

const CREATORS: usize = 2;
const CLAIMERS: usize = 3;
/// Tasks per batch. Each fifth waits for the one before it.
const BATCH: usize = 20;
/// One task in so many fails at its first attempt.
const FAILING: u64 = 11;
/// Tasks that wait for an agent, at most: creators hold back beyond it, so that
/// what is left at the end can be worked off in the time of a test.
const MAX_OPEN: u64 = 600;
/// Pause after a call that the server was too much away for.
const PAUSE: Duration = Duration::from_millis(10);

/// Clients at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    admin: Client,
    creators: JoinSet<()>,
    claimers: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    told: Mutex<Acknowledged>,
    created: AtomicU64,
    completed: AtomicU64,
    no_more: CancellationToken,
    over: CancellationToken,
}

impl Shared {
    fn note(&self, note: impl FnOnce(&mut Acknowledged)) {
        note(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Load {
    pub(crate) async fn start(admin: &Client) -> Self {
        let shared = Arc::new(Shared::default());
        let (mut creators, mut claimers) = (JoinSet::new(), JoinSet::new());
        for number in 0..CREATORS {
            creators.spawn(create(admin.clone(), number, Arc::clone(&shared)));
        }
        for number in 0..CLAIMERS {
            let called = format!("worker-{number}");
            let client = agent(admin, &called, 1_000).await;
            claimers.spawn(work(client, called, Arc::clone(&shared)));
        }
        Self {
            shared,
            admin: admin.clone(),
            creators,
            claimers,
        }
    }

    /// Waits until so many more tasks were completed.
    pub(crate) async fn completes(&mut self, more: u64) {
        let goal = self.shared.completed.load(Ordering::Relaxed) + more;
        let shared = Arc::clone(&self.shared);
        let (creators, claimers) = (&mut self.creators, &mut self.claimers);
        until("the load goes on", async || {
            for jobs in [&mut *creators, &mut *claimers] {
                if let Some(ended) = jobs.try_join_next() {
                    panic!("a client gave up: {ended:?}");
                }
            }
            shared.completed.load(Ordering::Relaxed) >= goal
        })
        .await;
    }

    /// Creates no more, works off what there is, and says what callers were told.
    pub(crate) async fn finish(mut self) -> Acknowledged {
        self.shared.no_more.cancel();
        while let Some(ended) = self.creators.join_next().await {
            ended.unwrap();
        }
        let admin = self.admin.clone();
        until("every task has ended", async || {
            let status = admin.status().await.unwrap();
            let mut open = status.tasks.iter();
            open.all(|(state, count)| state.is_terminal() || *count == 0)
        })
        .await;
        self.shared.over.cancel();
        while let Some(ended) = self.claimers.join_next().await {
            ended.unwrap();
        }
        let mut told = Acknowledged::default();
        self.shared.note(|noted| told = std::mem::take(noted));
        told
    }
}

/// Creates batches. Each is sent under its own key until it is acknowledged, so
/// that in the end exactly the acknowledged tasks are there.
async fn create(client: Client, number: usize, shared: Arc<Shared>) {
    let mut round = 0;
    while !shared.no_more.is_cancelled() {
        // Work may be done before its creator has heard of it.
        let created = shared.created.load(Ordering::Relaxed);
        let open = created.saturating_sub(shared.completed.load(Ordering::Relaxed));
        if open > MAX_OPEN {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        round += 1;
        let request = batch(number, round);
        let key = format!("creator-{number}-{round}");
        let created = loop {
            let answer = client.create_tasks_once(&request, &key).await;
            if let Some(created) = or_again(answer).await {
                break created;
            }
        };
        assert_eq!(created.tasks.len(), BATCH);
        shared.created.fetch_add(BATCH as u64, Ordering::Relaxed);
        let ids = created.tasks.iter().map(|task| task.id);
        shared.note(|told| told.created.extend(ids));
    }
}

fn batch(creator: usize, round: usize) -> CreateTasks {
    let spec = |place: usize| TaskSpec {
        key: Some(format!("t{place}")),
        prompt: "count the lines".repeat(10),
        depends_on: (place % 5 == 4)
            .then(|| Dependency {
                task: TaskRef::Key(format!("t{}", place - 1)),
                when: DependencyCondition::Succeeded,
            })
            .into_iter()
            .collect(),
        // A kill can cost attempts; none of these tasks may die of it.
        retry: RetryPolicy {
            max_attempts: 50,
            initial_delay: Span::from_millis(20),
            max_delay: Span::from_millis(100),
            ..RetryPolicy::default()
        },
        ..TaskSpec::new(format!("load {creator}/{round}/{place}"))
    };
    CreateTasks {
        tasks: (0..BATCH).map(spec).collect(),
    }
}

/// Claims, completes and fails until it is over.
async fn work(client: Client, called: String, shared: Arc<Shared>) {
    let request = ClaimRequest {
        agent: name(&called),
        max: 16,
        lease: MIN_LEASE,
        wait: Span::from_millis(200),
    };
    while !shared.over.is_cancelled() {
        // If the answer was lost, so is the claim: its lease runs out.
        let Some(answer) = or_again(client.claim(&request).await).await else {
            continue;
        };
        let claims = answer.claims;
        shared.note(|told| {
            let claimed = claims
                .iter()
                .map(|claim| (claim.task.id, claim.token.epoch));
            told.claimed.extend(claimed);
        });
        let fails = |claim: &Claim| {
            claim.token.epoch == Epoch(1) && claim.task.number.is_multiple_of(FAILING)
        };
        let (failing, good): (Vec<Claim>, Vec<Claim>) = claims.into_iter().partition(fails);
        let done = complete(&client, good).await;
        shared
            .completed
            .fetch_add(done.len() as u64, Ordering::Relaxed);
        shared.note(|told| told.succeeded.extend(done));
        let failed = fail(&client, failing).await;
        shared.note(|told| told.failed.extend(failed));
    }
}

async fn complete(client: &Client, claims: Vec<Claim>) -> Vec<(TaskId, Epoch)> {
    if claims.is_empty() {
        return Vec::new();
    }
    let completions = claims.iter().map(done).collect();
    let request = CompleteRequest { completions };
    loop {
        if let Some(reports) = or_again(client.complete_many(&request).await).await {
            return taken(reports);
        }
    }
}

/// A completion of a claim.
pub(crate) fn done(claim: &Claim) -> Completion {
    Completion {
        task: claim.task.id,
        token: claim.token,
        text: format!("done by attempt {}", claim.token.epoch),
        json: None,
        artifacts: Vec::new(),
        usage: Usage::default(),
        commit: None,
        evidence: Vec::new(),
    }
}

async fn fail(client: &Client, claims: Vec<Claim>) -> Vec<(TaskId, Epoch)> {
    if claims.is_empty() {
        return Vec::new();
    }
    let failures = claims.iter().map(broken).collect();
    let request = FailRequest { failures };
    loop {
        if let Some(reports) = or_again(client.fail_many(&request).await).await {
            return taken(reports);
        }
    }
}

/// A failure of a claim.
pub(crate) fn broken(claim: &Claim) -> FailedAttempt {
    FailedAttempt {
        task: claim.task.id,
        token: claim.token,
        outcome: collective_core::task::AttemptOutcome::Failed,
        failure: Failure::new(FailureClass::Transient, "no luck"),
    }
}

/// The reports that were taken. A lease may have run out while the server was
/// away; nothing else may be said against them.
fn taken(reports: Reports) -> Vec<(TaskId, Epoch)> {
    let of_one = |report| match report {
        Ok(collective_api::leases::Settled { task, attempt, .. }) => Some((task, attempt)),
        Err(problem) => {
            let problem: Box<collective_api::Problem> = problem;
            assert_eq!(problem.code, Code::LeaseLost.as_str(), "{problem:?}");
            None
        }
    };
    reports.into_iter().filter_map(of_one).collect()
}

/// What a call gave. Nothing, after a pause, if the server was away: the call is to be repeated.
async fn or_again<T>(answer: Result<T, ClientError>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(error) if error.is_passing() => {
            tokio::time::sleep(PAUSE).await;
            None
        }
        Err(error) => panic!("a call was refused: {error}"),
    }
}
