//! A small pool of connections that read what is committed.
//!
//! They are opened when first needed. A reader's statements run on a thread
//! that may block, so that a long listing never holds up the runtime.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use collective_core::ports::StoreError;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::open_reader;
use super::error::store_error;
use super::query::{Access, View};

/// Most readers at once. Reads are short, and beyond the number of cores more don't help.
const MAX_READERS: usize = 4;
/// How long a caller waits for a free reader.
const READER_WAIT: Duration = Duration::from_secs(10);

/// The pool.
pub(super) struct Readers {
    database: PathBuf,
    free: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(database: PathBuf) -> Self {
        Self {
            database,
            free: Arc::new(Semaphore::new(MAX_READERS)),
            idle: Mutex::new(Vec::with_capacity(MAX_READERS)),
        }
    }

    /// Borrows a connection; it goes back when the view is dropped.
    pub(super) async fn borrow(self: &Arc<Self>) -> Result<View<Reading>, StoreError> {
        let free = Arc::clone(&self.free).acquire_owned();
        let permit = tokio::time::timeout(READER_WAIT, free)
            .await
            .map_err(|_| StoreError::Unavailable("every reader is busy".to_owned()))?
            .map_err(|_| closed())?;
        let lent = Lent {
            connection: self.idle().pop(),
            pool: Arc::clone(self),
            _permit: permit,
        };
        Ok(View {
            access: Reading { lent: Some(lent) },
        })
    }

    /// Closes the idle ones; borrowed ones are closed when they come back.
    pub(super) fn close(&self) {
        self.free.close();
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

/// A place in the pool, with its connection once that is opened.
struct Lent {
    connection: Option<Connection>,
    pool: Arc<Readers>,
    _permit: OwnedSemaphorePermit,
}

impl Lent {
    /// Runs `ask` in a read transaction: its statements see one state of the store.
    fn ask<T>(
        &mut self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        if self.pool.free.is_closed() {
            return Err(closed());
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(open_reader(&self.pool.database).map_err(store_error)?),
        };
        let snapshot = connection.unchecked_transaction().map_err(store_error)?;
        let answer = ask(&snapshot).map_err(store_error)?;
        snapshot.commit().map_err(store_error)?;
        Ok(answer)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && !self.pool.free.is_closed()
        {
            self.pool.idle().push(connection);
        }
    }
}

/// A borrowed connection. It is away while a statement runs: if the caller
/// goes away meanwhile, the statement's thread gives it back.
pub(super) struct Reading {
    lent: Option<Lent>,
}

impl Access for Reading {
    async fn run<T, F>(&mut self, ask: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let Some(mut lent) = self.lent.take() else {
            return Err(StoreError::Unavailable(
                "an earlier read of this view was abandoned".to_owned(),
            ));
        };
        let asked = tokio::task::spawn_blocking(move || {
            let answer = lent.ask(ask);
            (lent, answer)
        });
        match asked.await {
            Ok((lent, answer)) => {
                self.lent = Some(lent);
                answer
            }
            Err(error) => Err(StoreError::Internal(format!("a read broke off: {error}"))),
        }
    }
}
