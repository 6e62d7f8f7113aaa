//! The events that the bus was not told of, the duties, and the server's clock.
//!
//! The event log is the outbox: the table `told` says how far each team's events
//! were told, and what is beyond is left to tell.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use collective_core::Timestamp;
use collective_core::ports::StoreError;
use collective_core::ports::outbox::{Duty, Outbox, Post};
use deadpool_postgres::ClientWrapper;

use super::PgStore;
use super::column::{Columns, at_most};
use super::duty;
use super::listener::Listener;
use super::news::{News, RelayedHere};
use super::pool::{Lent, Pools, answered, closed, rows};
use super::statements::statements;

statements! { "outbox":
    BACKLOG = "
        SELECT COALESCE(SUM(last_seq - COALESCE(told.seq, 0)), 0)::bigint
        FROM teams LEFT JOIN told ON told.team = teams.number";
    CLOCK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
}

/// What the outbox keeps beside the pools.
pub(super) struct Keep {
    news: Arc<News>,
    listener: Mutex<Option<Listener>>,
    /// Connections that have asked for a duty which others have, to ask again with.
    candidates: Mutex<HashMap<Duty, ClientWrapper>>,
}

impl Keep {
    pub(super) fn new(news: Arc<News>) -> Self {
        Self {
            news,
            listener: Mutex::default(),
            candidates: Mutex::default(),
        }
    }

    /// Listens to the other replicas from the first time on that anybody wants to know.
    fn listen(&self, pools: &Arc<Pools>) {
        self.listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| Listener::start(Arc::clone(pools), Arc::clone(&self.news)));
    }

    fn candidate(&self, duty: Duty) -> Option<ClientWrapper> {
        let mut candidates = self
            .candidates
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        candidates
            .remove(&duty)
            .filter(|client| !client.is_closed())
    }

    fn keep_candidate(&self, duty: Duty, client: ClientWrapper) {
        let mut candidates = self
            .candidates
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        candidates.insert(duty, client);
    }

    /// Closes what is open, and ends the waits.
    pub(super) fn close(&self) {
        let listener = self
            .listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(listener);
        self.news.wake();
        self.candidates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

#[async_trait]
impl Outbox for PgStore {
    async fn take(&self, duty: Duty, now: Timestamp) -> Result<Option<Box<dyn Post>>, StoreError> {
        let client = match self.keep.candidate(duty) {
            Some(client) => client,
            None => self.pools.own().await?,
        };
        let limit = self.pools.answer_limit();
        match duty::take(client, duty, now, limit).await? {
            Ok(mut post) => {
                if duty == Duty::Relay {
                    post.relays = Some(RelayedHere::from_now_on(&self.keep.news));
                    // What was committed before was told to somebody else.
                    self.keep.news.wake();
                }
                Ok(Some(Box::new(post)))
            }
            Err(client) if self.pools.is_closed() => {
                drop(client);
                Err(closed())
            }
            Err(client) => {
                self.keep.keep_candidate(duty, client);
                Ok(None)
            }
        }
    }

    async fn committed(&self) -> Result<(), StoreError> {
        if self.pools.is_closed() {
            return Err(closed());
        }
        self.keep.listen(&self.pools);
        self.keep.news.heard().await;
        match self.pools.is_closed() {
            true => Err(closed()),
            false => Ok(()),
        }
    }

    async fn backlog(&self, limit: u64) -> Result<u64, StoreError> {
        let rows = self.pools.ask(BACKLOG, &[]).await?;
        let untold: i64 = rows.first().map_or(Ok(0), |row| row.value(0))?;
        Ok(untold.max(0).unsigned_abs().min(limit))
    }

    async fn clock_offset(&self, now: Timestamp) -> Result<i64, StoreError> {
        let called = Instant::now();
        let client = Lent::new(self.pools.reader().await?);
        let limit = self.pools.answer_limit();
        // Once without looking at it: the first question has to be prepared.
        answered(limit, rows(&client, CLOCK, &[])).await?;
        let sent = called.elapsed();
        let asked = answered(limit, rows(&client, CLOCK, &[])).await?;
        let answered = called.elapsed();
        client.give_back();
        // The server looked at its clock half-way between the two.
        let looked: i64 = at_most(((sent + answered) / 2).as_micros());
        let server: i64 = asked.first().map_or(Ok(0), |row| row.value(0))?;
        Ok(server.saturating_sub(now.micros().saturating_add(looked)))
    }
}
