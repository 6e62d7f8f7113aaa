//! Works on their way to a transaction: a queue for each team that has any, and
//! one task that empties it.
//!
//! Works of one team go one after the other and share transactions. Works of
//! different teams, and those that name no team, go beside each other, as many
//! as there are connections to write with.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use collective_core::TeamName;
use collective_core::ports::StoreError;
use collective_core::ports::store::Work;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;

use super::group::{Group, Outcome};
use super::news::News;
use super::pool::{Pools, closed};

/// Works that may wait for a transaction; callers beyond wait for a place.
const MAX_WAITING: usize = 4_096;
/// How long a caller waits for a place.
const PLACE_WAIT: Duration = Duration::from_secs(10);

/// How much was written since the store was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PgCounters {
    /// Transactions ended, refused ones included.
    pub transactions: u64,
    /// Works carried out, refused ones included.
    pub works: u64,
}

/// A work, and who waits for it.
struct Request {
    work: Work,
    answer: oneshot::Sender<Outcome>,
    _place: OwnedSemaphorePermit,
}

/// What writes.
pub(super) struct Writer {
    pools: Arc<Pools>,
    news: Arc<News>,
    places: Arc<Semaphore>,
    /// The teams whose works are being carried out, and what waits for that.
    waiting: Mutex<HashMap<TeamName, VecDeque<Request>>>,
    running: Mutex<JoinSet<()>>,
    transactions: AtomicU64,
    works: AtomicU64,
}

impl Writer {
    pub(super) fn new(pools: Arc<Pools>, news: Arc<News>) -> Arc<Self> {
        Arc::new(Self {
            pools,
            news,
            places: Arc::new(Semaphore::new(MAX_WAITING)),
            waiting: Mutex::default(),
            running: Mutex::default(),
            transactions: AtomicU64::new(0),
            works: AtomicU64::new(0),
        })
    }

    /// Carries out a work; with a team, after that team's earlier ones.
    pub(super) async fn carry_out(
        self: &Arc<Self>,
        team: Option<&TeamName>,
        work: Work,
    ) -> Outcome {
        let place = Arc::clone(&self.places).acquire_owned();
        let place = tokio::time::timeout(PLACE_WAIT, place)
            .await
            .map_err(|_| StoreError::Unavailable("too many works wait already".to_owned()))?
            .map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        let request = Request {
            work,
            answer,
            _place: place,
        };
        match team {
            Some(team) => self.enqueue(team, request),
            None => {
                let writer = Arc::clone(self);
                self.start(async move { writer.serve(None, request).await });
            }
        }
        answered.await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable("the store was closed meanwhile".to_owned()).into())
        })
    }

    fn enqueue(self: &Arc<Self>, team: &TeamName, request: Request) {
        let mut waiting = lock(&self.waiting);
        if let Some(queue) = waiting.get_mut(team) {
            queue.push_back(request);
            return;
        }
        waiting.insert(team.clone(), VecDeque::from([request]));
        drop(waiting);
        let (writer, team) = (Arc::clone(self), team.clone());
        self.start(async move {
            let mut left = Left {
                waiting: &writer.waiting,
                team: Some(&team),
            };
            while let Some(first) = writer.next(&team) {
                writer.serve(Some(&team), first).await;
            }
            left.team = None;
        });
    }

    /// Runs something that [`Self::close`] waits for.
    fn start(&self, running: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.running);
        // Those that have ended are let go.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(running);
    }

    /// The next work of a team that is served. Without one, the serving ends.
    fn next(&self, team: &TeamName) -> Option<Request> {
        let mut waiting = lock(&self.waiting);
        let next = waiting.get_mut(team).and_then(VecDeque::pop_front);
        if next.is_none() {
            waiting.remove(team);
        }
        next
    }

    /// The next work that is there already.
    fn following(&self, team: Option<&TeamName>) -> Option<Request> {
        let mut waiting = lock(&self.waiting);
        waiting.get_mut(team?)?.pop_front()
    }

    fn has_more(&self, team: Option<&TeamName>) -> bool {
        let waiting = lock(&self.waiting);
        team.and_then(|team| waiting.get(team))
            .is_some_and(|queue| !queue.is_empty())
    }

    /// One transaction.
    async fn serve(&self, team: Option<&TeamName>, first: Request) {
        let begun = match self.pools.writer().await {
            Ok(client) => {
                let limit = self.pools.answer_limit();
                Group::begin(client, team.cloned(), limit).await
            }
            Err(error) => Err(error),
        };
        let mut group = match begun {
            Ok(group) => group,
            Err(error) => return self.refuse(team, first, &error),
        };
        let mut next = Some(first);
        while let Some(Request {
            work,
            answer,
            _place,
        }) = next
        {
            group.carry_out(work, answer, self.has_more(team)).await;
            next = match group.is_open() {
                true => self.following(team),
                false => None,
            };
        }
        // Counted before anybody is answered.
        self.transactions.fetch_add(1, Ordering::Relaxed);
        self.works
            .fetch_add(group.works() as u64, Ordering::Relaxed);
        group.end(&self.news).await;
    }

    /// There is no connection: whoever waits is told so, instead of each of them
    /// waiting for one as long.
    fn refuse(&self, team: Option<&TeamName>, first: Request, error: &StoreError) {
        let mut next = Some(first);
        while let Some(request) = next {
            drop(request.answer.send(Err(error.clone().into())));
            next = self.following(team);
        }
    }

    /// Takes no more, and waits for what was sent before.
    pub(super) async fn close(&self) {
        self.places.close();
        let mut running = std::mem::take(&mut *lock(&self.running));
        while running.join_next().await.is_some() {}
    }

    pub(super) fn counters(&self) -> PgCounters {
        PgCounters {
            transactions: self.transactions.load(Ordering::Relaxed),
            works: self.works.load(Ordering::Relaxed),
        }
    }
}

/// If serving a team breaks off, what waits for it is let go, and the next work
/// starts anew.
struct Left<'w> {
    waiting: &'w Mutex<HashMap<TeamName, VecDeque<Request>>>,
    team: Option<&'w TeamName>,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        if let Some(team) = self.team {
            lock(self.waiting).remove(team);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
