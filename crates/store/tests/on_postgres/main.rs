//! The store on a real PostgreSQL server.

mod conformance;
mod encryption;
mod faults;
mod groups;
mod outbox;
mod plans;
mod refusals;

use std::time::{Duration, Instant};

use collective_core::event::Fact;
use collective_core::ports::store::write;
use collective_core::ports::{Failed, Store};
use collective_core::{TeamName, Timestamp};
use collective_store::{PgOptions, PgStore};
use collective_testkit::servers::Postgres;
use tokio_postgres::{Client, NoTls};

/// How long a test waits for something that must happen.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

fn server() -> Postgres {
    Postgres::start().expect("a server")
}

fn options(url: &str) -> PgOptions {
    PgOptions::from_url(url).expect("a URL")
}

/// Options for a new database of the server.
fn database(server: &Postgres, name: &str) -> PgOptions {
    options(&server.create_database(name).expect("a database"))
}

async fn open(options: &PgOptions) -> PgStore {
    PgStore::open(options).await.expect("a store")
}

/// A connection beside the store's.
async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    client
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_790_000_000_000_000 + seconds * 1_000_000)
}

/// This machine's time.
fn local_now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    Timestamp::from_micros(i64::try_from(since.as_micros()).expect("before 294247"))
}

fn team(name: &str) -> TeamName {
    TeamName::new(name).expect("a team name")
}

fn named(what: impl Into<String>) -> Fact {
    Fact::AccessDenied { what: what.into() }
}

async fn found(store: &dyn Store, team: &TeamName) {
    let of = team.clone();
    let founding = write(store, Some(team), move |tx| {
        Box::pin(async move { Ok(tx.insert_team(&of, at(0)).await?) })
    });
    founding.await.expect("a team");
}

/// Appends facts that are called so, in one work.
async fn append(store: &dyn Store, team: &TeamName, whats: Vec<String>) -> Result<u64, Failed> {
    let of = team.clone();
    let appending = write(store, Some(team), move |tx| {
        Box::pin(async move {
            let facts = whats.into_iter().map(named).collect();
            Ok(tx.append(&of, "admin", at(1), facts).await?)
        })
    });
    appending.await.map(|(first, _)| first)
}

/// What the team's facts are called, by number, which have no gaps.
async fn log(store: &dyn Store, team: &TeamName) -> Vec<String> {
    let mut reader = store.reader().await.expect("a reader");
    let events = reader.events(team, 0, 1_000_000).await.expect("the log");
    let whats = (1..).zip(events).map(|(seq, event)| {
        assert_eq!(event.seq, seq, "the log has a gap");
        match event.fact {
            Fact::AccessDenied { what } => what,
            fact => panic!("nobody wrote {fact:?}"),
        }
    });
    whats.collect()
}

/// Asks until the answer is there.
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let asked = Instant::now();
    while asked.elapsed() < DEADLINE {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(LOOK).await;
    }
    panic!("{what} didn't come about in {DEADLINE:?}");
}
