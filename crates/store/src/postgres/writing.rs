//! One connection inside one transaction, lent to the works of a group.
//!
//! A write that gives nothing back is sent and not waited for: PostgreSQL
//! carries out what comes over one connection in its order, so that a work
//! costs as many round trips as it reads, and one. What became of the writes is
//! asked for when the work has ended ([`Writing::settle`]), before anything of
//! it can be committed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use collective_core::TeamName;
use collective_core::event::Event;
use collective_core::ports::StoreError;
use deadpool_postgres::Object;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::error::{is_aftermath, store_error};
use super::pool::{Lent, answered, prepared, within};
use super::query::Access;
use super::teams::{self, Locked};

/// A value that a sent statement keeps until it has been carried out.
pub(super) type Value = Box<dyn ToSql + Sync + Send>;

/// Values of a sent statement.
macro_rules! owned {
    ($($value:expr),* $(,)?) => {
        vec![$(Box::new($value) as $crate::postgres::writing::Value),*]
    };
}
pub(super) use owned;

/// What must come of a sent statement.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expect {
    /// It succeeds.
    Success,
    /// It succeeds and changes so many rows of what is named.
    Rows(u64, &'static str),
}

/// An answer that comes, or has come.
enum Answer<T> {
    UnderWay(BoxFuture<'static, T>),
    There(T),
}

impl<T> Answer<T> {
    /// Polls once: by that a statement is on its way.
    async fn start(mut asking: BoxFuture<'static, T>) -> Self {
        match futures_util::poll!(&mut asking) {
            Poll::Ready(answer) => Self::There(answer),
            Poll::Pending => Self::UnderWay(asking),
        }
    }

    /// Waits for it. Giving up meanwhile loses nothing.
    async fn arrive(&mut self) {
        if let Self::UnderWay(asking) = self {
            *self = Self::There(asking.await);
        }
    }

    async fn get(self) -> T {
        match self {
            Self::UnderWay(asking) => asking.await,
            Self::There(answer) => answer,
        }
    }
}

/// A statement that was sent.
enum Sent {
    /// One of the running work.
    OfWork(Answer<Result<u64, Error>>, Expect),
    /// One that opens or ends the transaction or a part of it: without it, the
    /// whole group is lost.
    Control(Answer<Result<(), Error>>),
    /// The lock of the group's team.
    Lock(Answer<Result<Vec<Row>, Error>>),
}

impl Sent {
    async fn arrive(&mut self) {
        match self {
            Self::OfWork(answer, _) => answer.arrive().await,
            Self::Control(answer) => answer.arrive().await,
            Self::Lock(answer) => answer.arrive().await,
        }
    }
}

/// A team that this transaction has locked.
struct Held {
    /// As it was when it was locked.
    committed: Locked,
    /// As the last work that succeeded has left it.
    kept: Locked,
    /// As the running work sees it.
    now: Locked,
    /// Locked by the running work: if that fails, the lock is gone.
    fresh: bool,
}

/// The connection and what the transaction knows.
pub(super) struct Writing {
    client: Arc<Lent>,
    named: Option<TeamName>,
    sent: VecDeque<Sent>,
    teams: HashMap<TeamName, Held>,
    events: Vec<Event>,
    /// Why the running work has failed, whatever it makes of that itself.
    failed: Option<StoreError>,
    /// Why the transaction can't go on.
    lost: Option<StoreError>,
    limit: Duration,
}

impl Writing {
    /// Opens a transaction, and locks the team if works of one come. The
    /// answers aren't waited for. `limit` is how long any answer may take.
    pub(super) async fn begin(
        client: Object,
        named: Option<TeamName>,
        limit: Duration,
    ) -> Result<Self, StoreError> {
        let mut tx = Self {
            client: Arc::new(Lent::new(client)),
            named,
            sent: VecDeque::new(),
            teams: HashMap::new(),
            events: Vec::new(),
            failed: None,
            lost: None,
            limit,
        };
        // Prepared before the transaction begins: the first time costs a round trip.
        let lock = answered(limit, prepared(&tx.client, teams::LOCK_STATEMENT)).await?;
        tx.control("BEGIN").await;
        if let Some(team) = tx.named.clone() {
            let client = Arc::clone(&tx.client);
            let asking = async move { client.query(&lock, &[&team.as_str()]).await };
            let answer = Answer::start(asking.boxed()).await;
            tx.sent.push_back(Sent::Lock(answer));
        }
        Ok(tx)
    }

    /// Sends a statement of the running work.
    pub(super) async fn send(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
        expect: Expect,
    ) -> Result<(), StoreError> {
        let statement = answered(self.limit, prepared(&self.client, sql)).await?;
        let client = Arc::clone(&self.client);
        let sending = async move { client.execute_raw(&statement, values).await };
        let answer = Answer::start(sending.boxed()).await;
        self.sent.push_back(Sent::OfWork(answer, expect));
        Ok(())
    }

    /// Sends what opens or ends the transaction or a part of it.
    pub(super) async fn control(&mut self, sql: &'static str) {
        let client = Arc::clone(&self.client);
        let sending = async move { client.batch_execute(sql).await };
        let answer = Answer::start(sending.boxed()).await;
        self.sent.push_back(Sent::Control(answer));
    }

    /// Sends what needn't be answered.
    pub(super) async fn hint(&mut self, sql: &'static str) {
        let client = Arc::clone(&self.client);
        let sending = async move { client.batch_execute(sql).await };
        drop(Answer::start(sending.boxed()).await);
    }

    /// Waits until everything that was sent has been carried out.
    ///
    /// # Errors
    ///
    /// The first failure. One that takes the whole transaction along is kept as
    /// well, see [`Self::lost`].
    pub(super) async fn settle(&mut self) -> Result<(), StoreError> {
        let settled = answered(self.limit, self.settle_all());
        let settled = settled.await;
        if let Err(error) = &settled {
            self.failed.get_or_insert_with(|| error.clone());
            // Without its answers nobody knows where the transaction stands.
            if !self.sent.is_empty() || self.client.is_closed() {
                self.lost.get_or_insert_with(|| error.clone());
            }
        }
        settled
    }

    async fn settle_all(&mut self) -> Result<(), StoreError> {
        let mut first: Option<StoreError> = None;
        while let Some(sent) = self.sent.front_mut() {
            sent.arrive().await;
            let Some(sent) = self.sent.pop_front() else {
                break;
            };
            let of_work = matches!(sent, Sent::OfWork(..));
            let Err(failed) = self.take_in(sent).await else {
                continue;
            };
            let cause = match (&first, failed.is_aftermath()) {
                (Some(cause), true) => cause.clone(),
                _ => failed.into_error(),
            };
            if !of_work {
                self.lost.get_or_insert_with(|| cause.clone());
            }
            first.get_or_insert(cause);
        }
        first.map_or(Ok(()), Err)
    }

    /// Makes of an answer what it means.
    async fn take_in(&mut self, sent: Sent) -> Result<(), Failed> {
        match sent {
            Sent::OfWork(answer, expect) => outcome(answer.get().await, expect),
            Sent::Control(answer) => answer.get().await.map_err(Failed::Statement),
            Sent::Lock(answer) => {
                let answer = answer.get().await;
                self.locked(answer)
            }
        }
    }

    /// Why the running work has failed, if a statement of it has.
    pub(super) fn take_failure(&mut self) -> Option<StoreError> {
        self.failed.take()
    }

    /// Why the transaction can't go on, if it can't.
    pub(super) fn lost(&self) -> Option<StoreError> {
        self.lost.clone()
    }

    /// Takes in the answer to the lock of the group's team.
    fn locked(&mut self, answer: Result<Vec<Row>, Error>) -> Result<(), Failed> {
        let rows = answer.map_err(Failed::Statement)?;
        if let (Some(team), Some(row)) = (self.named.clone(), rows.first()) {
            let locked = Locked::of(row).map_err(Failed::Outcome)?;
            self.hold(&team, locked, false);
        }
        Ok(())
    }

    fn hold(&mut self, team: &TeamName, locked: Locked, fresh: bool) {
        let held = Held {
            committed: locked,
            kept: locked,
            now: locked,
            fresh,
        };
        self.teams.insert(team.clone(), held);
    }

    /// Sees to it that whatever is asked from now on comes after the team's lock.
    pub(super) async fn lock(&mut self, team: &TeamName) -> Result<(), StoreError> {
        // The lock of the group's team was sent before everything else.
        match self.named.as_ref() == Some(team) {
            true => Ok(()),
            false => self.find(team).await.map(drop),
        }
    }

    /// The team, locked by this transaction, to write to.
    pub(super) async fn team(&mut self, team: &TeamName) -> Result<Locked, StoreError> {
        self.find(team)
            .await?
            .ok_or_else(|| StoreError::Internal(format!("there is no team `{team}` to write to")))
    }

    /// The team, locked by this transaction, if there is such a team.
    pub(super) async fn find(&mut self, team: &TeamName) -> Result<Option<Locked>, StoreError> {
        if let Some(held) = self.teams.get(team) {
            return Ok(Some(held.now));
        }
        if let Some(named) = &self.named
            && named != team
        {
            return Err(StoreError::Internal(format!(
                "a work of team `{named}` touches team `{team}`"
            )));
        }
        if self.sent.iter().any(|sent| matches!(sent, Sent::Lock(_))) {
            self.settle().await?;
            if let Some(held) = self.teams.get(team) {
                return Ok(Some(held.now));
            }
        }
        let rows = self.rows(teams::LOCK_STATEMENT, &[&team.as_str()]).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let locked = Locked::of(row)?;
        self.hold(team, locked, true);
        Ok(Some(locked))
    }

    /// A team that the running work has created.
    pub(super) fn founded(&mut self, team: &TeamName, number: i32) {
        let locked = Locked {
            number,
            last_seq: 0,
            tasks: 0,
        };
        self.hold(team, locked, true);
    }

    /// Changes what the running work sees of a team that is locked.
    pub(super) fn note(&mut self, team: &TeamName, change: impl FnOnce(&mut Locked)) {
        if let Some(held) = self.teams.get_mut(team) {
            change(&mut held.now);
        }
    }

    /// Keeps an event that the running work has appended.
    pub(super) fn appended(&mut self, event: Event) {
        self.events.push(event);
    }

    /// The running work has succeeded: what it did stays, these are its events.
    pub(super) fn keep(&mut self) -> Vec<Event> {
        for held in self.teams.values_mut() {
            held.kept = held.now;
            held.fresh = false;
        }
        std::mem::take(&mut self.events)
    }

    /// The running work has failed: what it did is taken back.
    pub(super) fn take_back(&mut self) {
        self.events.clear();
        self.teams.retain(|_, held| !held.fresh);
        for held in self.teams.values_mut() {
            held.now = held.kept;
        }
    }

    /// Writes how far the teams have come, for what was kept.
    pub(super) async fn advance(&mut self) -> Result<(), StoreError> {
        let moved: Vec<Locked> = self
            .teams
            .values()
            .filter(|held| held.kept != held.committed)
            .map(|held| held.kept)
            .collect();
        for team in moved {
            teams::advance(self, team).await?;
        }
        Ok(())
    }

    /// Gives the connection back, or closes it if nobody knows its state.
    pub(super) fn end(self, sound: bool) {
        let Self { client, sent, .. } = self;
        // What was sent holds the connection as well.
        drop(sent);
        if sound && let Some(client) = Arc::into_inner(client) {
            client.give_back();
        }
    }
}

impl Access for Writing {
    async fn rows(
        &mut self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let client = Arc::clone(&self.client);
        let asking = async {
            let statement = prepared(&client, sql).await.map_err(Failed::Outcome)?;
            let rows = client.query(&statement, values).await;
            rows.map_err(Failed::Statement)
        };
        let failed = match within(self.limit, asking).await {
            Ok(Ok(rows)) => return Ok(rows),
            Ok(Err(failed)) => failed,
            Err(late) => {
                self.lost.get_or_insert_with(|| late.clone());
                Failed::Outcome(late)
            }
        };
        if failed.is_aftermath() {
            // An earlier write has failed, and this is what came of it.
            self.settle().await?;
        }
        let error = failed.into_error();
        self.failed.get_or_insert_with(|| error.clone());
        Err(error)
    }

    fn known(&self, team: &TeamName) -> Option<Locked> {
        self.teams.get(team).map(|held| held.now)
    }
}

/// Why something that was sent has failed.
enum Failed {
    Statement(Error),
    Outcome(StoreError),
}

impl Failed {
    fn is_aftermath(&self) -> bool {
        matches!(self, Self::Statement(error) if is_aftermath(error))
    }

    fn into_error(self) -> StoreError {
        match self {
            Self::Statement(error) => store_error(&error),
            Self::Outcome(error) => error,
        }
    }
}

fn outcome(answer: Result<u64, Error>, expect: Expect) -> Result<(), Failed> {
    let changed = answer.map_err(Failed::Statement)?;
    match expect {
        Expect::Rows(expected, what) if changed != expected => {
            Err(Failed::Outcome(StoreError::Internal(format!(
                "of {expected} {what} to change, only {changed} are there"
            ))))
        }
        Expect::Rows(..) | Expect::Success => Ok(()),
    }
}
