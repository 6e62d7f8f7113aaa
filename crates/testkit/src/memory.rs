//! The store port in memory, for simulation: no I/O, no waiting, one order.
//!
//! A work runs at once and alone, on the state itself; what it replaces goes
//! into a journal, and a work that fails is taken back from it. Every future is
//! ready when it is first polled, so that no runtime is needed. It must never be
//! used where something has to survive.

mod query;
mod state;
mod table;
mod tx;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use collective_core::TeamName;
use collective_core::event::Event;
use collective_core::ports::StoreError;
use collective_core::ports::store::{Failed, Query, Store, Work};
use futures_util::FutureExt;

use query::{Access, View};
use state::State;

/// A store in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry_out(&self, work: Work) -> Result<Vec<Event>, Failed> {
        let mut state = self.lock();
        check_open(&state)?;
        let running = Running(&mut state);
        let mut tx = View(&mut *running.0);
        let outcome = work(&mut tx).now_or_never();
        match outcome {
            Some(Ok(())) => Ok(running.commit()),
            Some(Err(failed)) => Err(failed),
            // Locks are held while a work runs: it may wait for nothing but its own transaction.
            None => Err(StoreError::Internal(
                "a work waited for something else than its transaction".to_owned(),
            )
            .into()),
        }
    }
}

/// A work in progress: taken back when dropped, by a panic too, unless it is committed.
struct Running<'s>(&'s mut State);

impl Running<'_> {
    fn commit(self) -> Vec<Event> {
        self.0.commit()
    }
}

impl Drop for Running<'_> {
    /// After a commit nothing is left to take back.
    fn drop(&mut self) {
        self.0.roll_back();
    }
}

struct Reader(MemoryStore);

impl Access for Reader {
    fn read<T>(&mut self, look: impl FnOnce(&State) -> T) -> Result<T, StoreError> {
        let state = self.0.lock();
        check_open(&state)?;
        Ok(look(&state))
    }
}

impl Access for &mut State {
    fn read<T>(&mut self, look: impl FnOnce(&State) -> T) -> Result<T, StoreError> {
        Ok(look(self))
    }
}

fn check_open(state: &State) -> Result<(), StoreError> {
    if state.closed {
        return Err(StoreError::Unavailable("it was closed".to_owned()));
    }
    Ok(())
}

#[async_trait]
impl Store for MemoryStore {
    async fn transact(&self, _team: Option<&TeamName>, work: Work) -> Result<Vec<Event>, Failed> {
        self.carry_out(work)
    }

    async fn reader(&self) -> Result<Box<dyn Query>, StoreError> {
        check_open(&self.lock())?;
        Ok(Box::new(View(Reader(self.clone()))))
    }

    async fn health(&self) -> Result<(), StoreError> {
        check_open(&self.lock())
    }

    async fn close(&self) {
        self.lock().closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use collective_core::ports::Tx;
    use collective_core::{TeamName, Timestamp};
    use futures_util::future::BoxFuture;

    fn transact(
        store: &MemoryStore,
        work: impl for<'t> FnOnce(&'t mut dyn Tx) -> BoxFuture<'t, Result<(), Failed>> + Send + 'static,
    ) -> Result<Vec<Event>, Failed> {
        store.transact(None, Box::new(work)).now_or_never().unwrap()
    }

    fn teams(store: &MemoryStore) -> Vec<TeamName> {
        let mut reader = store.reader().now_or_never().unwrap().unwrap();
        reader.teams().now_or_never().unwrap().unwrap()
    }

    fn found(tx: &mut dyn Tx) -> BoxFuture<'_, Result<(), Failed>> {
        Box::pin(async move {
            let team = TeamName::default_team();
            tx.insert_team(&team, Timestamp::default()).await?;
            Ok(())
        })
    }

    #[test]
    fn a_work_that_waits_for_something_else_is_refused_and_taken_back() {
        let store = MemoryStore::new();
        let refused = transact(&store, |tx| {
            Box::pin(async move {
                found(tx).await?;
                std::future::pending().await
            })
        });
        assert!(matches!(
            refused,
            Err(Failed::Store(StoreError::Internal(_)))
        ));
        assert_eq!(teams(&store), []);
    }

    #[test]
    fn a_work_that_panics_is_taken_back_and_the_store_goes_on() {
        let store = MemoryStore::new();
        let shared = store.clone();
        let panicked = std::thread::spawn(move || {
            transact(&shared, |tx| {
                Box::pin(async move {
                    found(tx).await?;
                    panic!("on purpose");
                })
            })
        });
        assert!(panicked.join().is_err());
        assert_eq!(teams(&store), []);
        transact(&store, found).unwrap();
        assert_eq!(teams(&store), [TeamName::default_team()]);
    }
}
