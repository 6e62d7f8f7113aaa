//! The store on SQLite: one folder, one writing thread, a few readers.
//!
//! `collective.db` is in WAL mode. Every piece of work is durable when it is
//! answered (`synchronous=FULL`, unless the operator chose otherwise); works
//! that arrive together share one commit, which is where the speed comes from.

mod agents;
mod answers;
mod attempts;
mod column;
mod connection;
mod edges;
mod error;
mod events;
mod folder;
mod lanes;
mod listing;
mod messages;
#[cfg(test)]
mod plans;
mod query;
mod questions;
mod range;
mod reader;
mod reservations;
mod schedules;
mod sound;
mod tasks;
mod tx;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use collective_core::TeamName;
use collective_core::event::Event;
use collective_core::ports::store::Work;
use collective_core::ports::{Failed, Query, Store, StoreError};
use tokio::sync::{mpsc, oneshot};

use folder::Folder;
pub use folder::Folder as FolderLock;
use reader::Readers;
use writer::{Counters, Job, MAX_WAITING, Outcome, Request, Task, Writer};

/// How long a caller waits for a place in the writer's queue.
const WRITER_WAIT: Duration = Duration::from_secs(10);

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// It is on the disk. Nothing acknowledged is lost, whatever fails.
    #[default]
    Full,
    /// The kernel has it. A killed process loses nothing; a power cut or a
    /// kernel crash may lose the newest commits, all of them together and
    /// never one out of the middle.
    Normal,
}

/// How the store is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqliteOptions {
    /// When a commit counts as done.
    pub synchronous: Synchronous,
    /// Largest size of the database file in bytes. Beyond it, writing fails as full.
    pub max_size: Option<u64>,
}

/// How much the writer has done since the store was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteCounters {
    /// Transactions committed.
    pub commits: u64,
    /// Works carried out, refused ones included.
    pub works: u64,
}

/// The store on SQLite.
pub struct SqliteStore {
    readers: Arc<Readers>,
    jobs: mpsc::Sender<Job>,
    writer: Mutex<Option<JoinHandle<()>>>,
    counters: Arc<Counters>,
}

impl SqliteStore {
    /// Opens the store in `folder`, which is created if it isn't there, and
    /// holds it until the store is closed or dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] if another store holds the folder,
    /// [`StoreError::SchemaTooNew`] if a newer binary has written it,
    /// [`StoreError::Corrupt`] if its database isn't one of ours, and what
    /// the file system says.
    pub fn open(folder: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        let counters = Arc::new(Counters::default());
        let writer = Writer::open(Folder::hold(folder)?, options, Arc::clone(&counters))?;
        let readers = Arc::new(Readers::new(writer.database().to_owned()));
        let (jobs, waiting) = mpsc::channel(MAX_WAITING);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(waiting))
            .map_err(|error| {
                StoreError::Unavailable(format!("starting the writer's thread: {error}"))
            })?;
        Ok(Self {
            readers,
            jobs,
            writer: Mutex::new(Some(thread)),
            counters,
        })
    }

    /// Whether a folder has a store, without opening or making one.
    pub fn is_in(folder: &Path) -> bool {
        Folder::has_database(folder)
    }

    /// How much the writer has done.
    pub fn counters(&self) -> SqliteCounters {
        self.counters.read()
    }

    async fn request(&self, task: Task) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let job = Job::Request(Request { task, answer });
        match self.jobs.send_timeout(job, WRITER_WAIT).await {
            Ok(()) => {}
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                let reason = "the writer has too much to do".to_owned();
                return Err(StoreError::Unavailable(reason).into());
            }
            Err(mpsc::error::SendTimeoutError::Closed(_)) => {
                return Err(StoreError::Unavailable("the store is closed".to_owned()).into());
            }
        }
        answered.await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable("the store was closed meanwhile".to_owned()).into())
        })
    }

    fn take_thread(&self) -> Option<JoinHandle<()>> {
        self.writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn transact(&self, _team: Option<&TeamName>, work: Work) -> Result<Vec<Event>, Failed> {
        self.request(Task::Work(work)).await
    }

    async fn reader(&self) -> Result<Box<dyn Query>, StoreError> {
        Ok(Box::new(self.readers.borrow().await?))
    }

    /// Writes, since a store that can only be read can't serve.
    async fn health(&self) -> Result<(), StoreError> {
        match self.request(Task::Probe).await {
            Ok(_) => Ok(()),
            Err(Failed::Store(error)) => Err(error),
            Err(Failed::Rejected(rejection)) => Err(StoreError::Internal(rejection.to_string())),
        }
    }

    async fn close(&self) {
        self.readers.close();
        // If the writer has ended already there is nobody to tell.
        drop(self.jobs.send(Job::Close).await);
        if let Some(thread) = self.take_thread() {
            let ended = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(ended, Ok(Ok(()))) {
                tracing::error!("the store's writer ended by a panic");
            }
        }
    }
}

impl Drop for SqliteStore {
    /// Carries out what was sent, and gives the folder up before it returns.
    fn drop(&mut self) {
        self.readers.close();
        let (nobody, _) = mpsc::channel(1);
        self.jobs = nobody;
        if let Some(thread) = self.take_thread()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer ended by a panic");
        }
    }
}
