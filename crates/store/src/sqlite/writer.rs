//! The one thread that writes: works that wait together share one commit.
//!
//! A group is one transaction. Each of its works runs inside a savepoint, so
//! that one which is refused leaves nothing and harms no other. Nobody is
//! answered before the commit, since until then nothing has happened: not even
//! a refusal may tell of what a neighbour wrote and then lost.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use collective_core::event::Event;
use collective_core::ports::store::Work;
use collective_core::ports::{Failed, StoreError};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::connection::open_writer;
use super::error::{has_room, store_error, with_room_checked};
use super::events::Numbers;
use super::folder::Folder;
use super::query::View;
use super::{SqliteCounters, SqliteOptions};

/// Works that may wait for the writer; callers beyond wait for a place.
pub(super) const MAX_WAITING: usize = 1_024;
/// Most works in one commit: bounds what one failed commit takes with it.
const MAX_GROUP: usize = 256;
/// A group takes no more works after this time: the first of them waits no
/// longer than this and one commit. Some ten commits' worth (0.3 ms each), so
/// that a busy writer spends its time on rows.
const MAX_GROUP_TIME: Duration = Duration::from_millis(4);

/// What a work gave.
pub(super) type Outcome = Result<Vec<Event>, Failed>;

/// What is sent to the writer.
pub(super) enum Job {
    /// Something to carry out, and who waits for it.
    Request(Request),
    /// No more is taken; what was sent before is carried out.
    Close,
}

/// Something to carry out.
pub(super) struct Request {
    pub(super) task: Task,
    pub(super) answer: oneshot::Sender<Outcome>,
}

/// What there is to do.
pub(super) enum Task {
    /// A caller's work.
    Work(Work),
    /// A write that changes nothing, to see whether one is possible.
    Probe,
}

/// How much the writer has done.
#[derive(Debug, Default)]
pub(super) struct Counters {
    commits: AtomicU64,
    works: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> SqliteCounters {
        SqliteCounters {
            commits: self.commits.load(Ordering::Relaxed),
            works: self.works.load(Ordering::Relaxed),
        }
    }
}

/// The thread's state. Fields are dropped in order: the folder is given up last.
pub(super) struct Writer {
    connection: Connection,
    numbers: Numbers,
    counters: Arc<Counters>,
    database: PathBuf,
    options: SqliteOptions,
    folder: Folder,
}

/// A work that was carried out and waits for the commit.
struct Served {
    answer: oneshot::Sender<Outcome>,
    outcome: Outcome,
}

impl Writer {
    pub(super) fn open(
        folder: Folder,
        options: SqliteOptions,
        counters: Arc<Counters>,
    ) -> Result<Self, StoreError> {
        let database = folder.database()?;
        let connection = open_writer(&database, &options)
            .map_err(|error| with_room_checked(error, folder.path()))?;
        Ok(Self {
            connection,
            numbers: Numbers::default(),
            counters,
            database,
            options,
            folder,
        })
    }

    /// The database file, for those who read.
    pub(super) fn database(&self) -> &Path {
        &self.database
    }

    /// Serves until every sender is gone, or one has asked to close.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            match job {
                Job::Request(request) => self.serve_group(request, &mut jobs),
                Job::Close => jobs.close(),
            }
        }
    }

    fn serve_group(&mut self, first: Request, jobs: &mut mpsc::Receiver<Job>) {
        let mut served = Vec::new();
        let done = self.carry_out_group(first, jobs, &mut served);
        match done {
            Ok(()) => {
                self.counters.commits.fetch_add(1, Ordering::Relaxed);
                for Served { answer, outcome } in served {
                    // Nobody there any more: the work is done all the same.
                    drop(answer.send(outcome));
                }
            }
            Err(error) => {
                let error = with_room_checked(error, self.folder.path());
                tracing::warn!(%error, works = served.len(), "a commit failed, nothing was changed");
                self.recover();
                for Served { answer, .. } in served {
                    drop(answer.send(Err(error.clone().into())));
                }
            }
        }
    }

    /// One transaction. On an error all of it is to be rolled back.
    fn carry_out_group(
        &mut self,
        first: Request,
        jobs: &mut mpsc::Receiver<Job>,
        served: &mut Vec<Served>,
    ) -> Result<(), StoreError> {
        let began = self.statement("BEGIN IMMEDIATE");
        let started = Instant::now();
        let mut next = Some(first);
        while let Some(Request { task, answer }) = next {
            let outcome = match &began {
                Ok(()) => self.carry_out(task),
                Err(error) => Err(error.clone()),
            };
            self.counters.works.fetch_add(1, Ordering::Relaxed);
            match outcome {
                Ok(outcome) => served.push(Served { answer, outcome }),
                Err(error) => {
                    let outcome = Err(error.clone().into());
                    served.push(Served { answer, outcome });
                    return Err(error);
                }
            }
            let open = served.len() < MAX_GROUP && started.elapsed() < MAX_GROUP_TIME;
            next = if open { waiting(jobs) } else { None };
        }
        self.statement("COMMIT")
    }

    /// One work. The outer error is the group's: its transaction is lost.
    fn carry_out(&mut self, task: Task) -> Result<Outcome, StoreError> {
        self.statement("SAVEPOINT work")?;
        let outcome = match task {
            Task::Work(work) => self.run_work(work),
            Task::Probe => self.probe().map(|()| Vec::new()).map_err(Failed::from),
        };
        // Some failures (no room, I/O) make SQLite roll back everything itself.
        if self.connection.is_autocommit() {
            return Err(match outcome {
                Err(Failed::Store(error)) => error,
                _ => StoreError::Unavailable("the transaction was lost".to_owned()),
            });
        }
        if outcome.is_err() {
            self.numbers.forget();
            self.statement("ROLLBACK TO work")?;
        }
        self.statement("RELEASE work")?;
        Ok(outcome.map_err(|failed| match failed {
            Failed::Store(error) => with_room_checked(error, self.folder.path()).into(),
            rejected @ Failed::Rejected(_) => rejected,
        }))
    }

    fn run_work(&mut self, work: Work) -> Outcome {
        let mut tx = View::of_work(&mut self.connection, &mut self.numbers);
        // The connection and the numbers are sound after a panic: statements
        // are reset as they are dropped, and the savepoint is rolled back.
        let ended = catch_unwind(AssertUnwindSafe(|| at_once(work(&mut tx))));
        match ended {
            Ok(Some(outcome)) => outcome.map(|()| tx.into_events()),
            Ok(None) => Err(StoreError::Internal(
                "a work waited for something other than the store".to_owned(),
            )
            .into()),
            Err(panic) => {
                let reason = panic_text(panic.as_ref());
                tracing::error!(reason, "a work panicked and was rolled back");
                Err(StoreError::Internal(format!("a work panicked: {reason}")).into())
            }
        }
    }

    /// Writes the schema's version as it is: the smallest write that reaches the
    /// disk. Where that fits but a command would not, the disk is full all the same.
    fn probe(&self) -> Result<(), StoreError> {
        if !has_room(self.folder.path()) {
            return Err(StoreError::Full);
        }
        let write = || -> rusqlite::Result<()> {
            let version: i64 = self
                .connection
                .pragma_query_value(None, "user_version", |row| row.get(0))?;
            self.connection.pragma_update(None, "user_version", version)
        };
        write().map_err(store_error)
    }

    /// Brings the connection back to where no transaction is open.
    fn recover(&mut self) {
        self.numbers.forget();
        if self.connection.is_autocommit() || self.statement("ROLLBACK").is_ok() {
            return;
        }
        match open_writer(&self.database, &self.options) {
            Ok(connection) => self.connection = connection,
            Err(error) => tracing::error!(%error, "the store's connection can't be replaced yet"),
        }
    }

    fn statement(&self, sql: &str) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([]))
            .map(drop)
            .map_err(store_error)
    }
}

/// The next request that is there already.
fn waiting(jobs: &mut mpsc::Receiver<Job>) -> Option<Request> {
    loop {
        match jobs.try_recv().ok()? {
            Job::Request(request) => return Some(request),
            Job::Close => jobs.close(),
        }
    }
}

/// Runs a future that never waits: everything a work can ask of the store is
/// answered on this thread. Nothing if it waits all the same.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
}
