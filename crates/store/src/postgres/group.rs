//! One transaction and the works that share it.
//!
//! Each work but a lone one runs inside a savepoint, so that one which is refused
//! leaves nothing and harms no other. Nobody is answered before the commit, since
//! until then nothing has happened: not even a refusal may tell of what a
//! neighbour wrote and then lost.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use collective_core::TeamName;
use collective_core::event::Event;
use collective_core::ports::store::Work;
use collective_core::ports::{Failed, StoreError};
use deadpool_postgres::Object;
use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::news::News;
use super::query::View;
use super::writing::Writing;

/// Most works in one transaction: PostgreSQL keeps that many savepoints of each
/// session in shared memory, and beyond that everybody's look-ups get slower.
const MAX_GROUP: usize = 64;
/// A group takes no more works this long after its first, which may have waited
/// for another replica's group: nobody waits longer than this and one commit
/// once it is its server's turn. It is a few commits' worth on a busy disk (2 to
/// 10 ms each).
const MAX_GROUP_TIME: Duration = Duration::from_millis(20);
/// How long one work may take. Its team waits for it, on all replicas.
const WORK_LIMIT: Duration = Duration::from_secs(40);
/// Tells the listeners that there are new events. It follows the commit instead
/// of being part of it: transactions that notify commit one at a time in the
/// whole server. It needn't be on the disk: if it gets lost, the relay looks a
/// little later by itself.
const NOTIFY: &str = "BEGIN; SET LOCAL synchronous_commit = off; \
                      SELECT pg_notify('collective_events', ''); COMMIT";

/// What a work gave.
pub(super) type Outcome = Result<Vec<Event>, Failed>;

/// A work that was carried out and waits for the commit.
struct Served {
    answer: oneshot::Sender<Outcome>,
    outcome: Outcome,
}

/// A transaction and the works that it carried out.
pub(super) struct Group {
    tx: View<Writing>,
    served: Vec<Served>,
    /// When the first work had been carried out.
    first_ended: Option<Instant>,
    /// A lone work was refused: there is nothing to commit.
    void: bool,
}

impl Group {
    /// `limit` is how long any answer of the server may take.
    pub(super) async fn begin(
        client: Object,
        team: Option<TeamName>,
        limit: Duration,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            tx: View {
                access: Writing::begin(client, team, limit).await?,
            },
            served: Vec::new(),
            first_ended: None,
            void: false,
        })
    }

    /// Whether another work may join.
    pub(super) fn is_open(&self) -> bool {
        !self.void
            && self.tx.access.lost().is_none()
            && self.served.len() < MAX_GROUP
            && self
                .first_ended
                .is_none_or(|at| at.elapsed() < MAX_GROUP_TIME)
    }

    /// Carries out a work. `more` says that others are there to follow it.
    pub(super) async fn carry_out(
        &mut self,
        work: Work,
        answer: oneshot::Sender<Outcome>,
        more: bool,
    ) {
        let guarded = more || !self.served.is_empty();
        if guarded {
            self.tx.access.control("SAVEPOINT work").await;
        }
        let ended = self.run(work).await;
        // Before anything can be made of it, all that it wrote must have arrived.
        // A failure there counts, whatever the work has made of it.
        drop(self.tx.access.settle().await);
        let outcome = match (self.tx.access.take_failure(), ended) {
            (None, Ok(())) => Ok(self.tx.access.keep()),
            (None, Err(failed)) => Err(failed),
            (Some(error), _) => Err(error.into()),
        };
        if outcome.is_err() {
            self.tx.access.take_back();
        }
        match (outcome.is_ok(), guarded) {
            (true, true) => self.tx.access.control("RELEASE SAVEPOINT work").await,
            (false, true) => {
                let undo = "ROLLBACK TO SAVEPOINT work; RELEASE SAVEPOINT work";
                self.tx.access.control(undo).await;
            }
            (true, false) => {}
            (false, false) => self.void = true,
        }
        self.served.push(Served { answer, outcome });
        self.first_ended.get_or_insert_with(Instant::now);
    }

    async fn run(&mut self, work: Work) -> Result<(), Failed> {
        let running = AssertUnwindSafe(async { work(&mut self.tx).await }).catch_unwind();
        match tokio::time::timeout(WORK_LIMIT, running).await {
            Ok(Ok(ended)) => ended,
            // What it had sent is rolled back like that of any other failure.
            Ok(Err(panic)) => {
                let reason = panic_text(panic.as_ref());
                tracing::error!(reason, "a work panicked and was rolled back");
                Err(StoreError::Internal(format!("a work panicked: {reason}")).into())
            }
            Err(_) => Err(StoreError::Unavailable(format!(
                "a work took longer than {} s and was rolled back",
                WORK_LIMIT.as_secs()
            ))
            .into()),
        }
    }

    /// How many works were carried out.
    pub(super) fn works(&self) -> usize {
        self.served.len()
    }

    /// Commits and answers.
    pub(super) async fn end(mut self, news: &News) {
        let works = self.works();
        match self.commit(news).await {
            Ok(()) => {
                let tells = self.tells();
                self.tx.access.end(true);
                if tells && news.are_relayed_here() {
                    news.wake();
                }
                for Served { answer, outcome } in self.served {
                    // Nobody there any more: the work is done all the same.
                    drop(answer.send(outcome));
                }
            }
            Err(error) => {
                tracing::warn!(%error, works, "a transaction failed");
                self.tx.access.end(false);
                for Served { answer, outcome } in self.served {
                    // What a lone work failed of is the reason.
                    let outcome = match outcome {
                        Err(Failed::Store(own)) if works == 1 => Err(own.into()),
                        _ => Err(error.clone().into()),
                    };
                    drop(answer.send(outcome));
                }
            }
        }
    }

    /// Whether it has events.
    fn tells(&self) -> bool {
        let events = |served: &Served| {
            served
                .outcome
                .as_ref()
                .is_ok_and(|events| !events.is_empty())
        };
        self.served.iter().any(events)
    }

    async fn commit(&mut self, news: &News) -> Result<(), StoreError> {
        let notifies = self.tells() && !news.are_relayed_here();
        let tx = &mut self.tx.access;
        if let Some(lost) = tx.lost() {
            return Err(lost);
        }
        if self.void {
            tx.control("ROLLBACK").await;
            return tx.settle().await;
        }
        tx.advance().await?;
        tx.control("COMMIT").await;
        if notifies {
            tx.hint(NOTIFY).await;
        }
        // A transaction in which something has failed ends by COMMIT without an
        // error and without a trace; that failure shows here.
        tx.settle().await.map_err(|error| match error {
            // The server had the COMMIT, and nobody knows what became of it.
            StoreError::Unavailable(why) => StoreError::Uncertain(why),
            told => told,
        })
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
}
