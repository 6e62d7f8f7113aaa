//! The writer: works that wait together share a commit, and harm no other.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use collective_core::event::Fact;
use collective_core::ports::store::write;
use collective_core::ports::{Failed, Store, StoreError};
use collective_core::{Code, Rejection, TeamName, Timestamp};
use collective_store::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(20);

async fn open() -> (TempDir, Arc<SqliteStore>, TeamName) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path(), SqliteOptions::default()).expect("a store");
    let team = TeamName::default_team();
    let of = team.clone();
    write(&store, None, move |tx| {
        Box::pin(async move { Ok(tx.insert_team(&of, Timestamp::from_micros(1)).await?) })
    })
    .await
    .expect("a team");
    (folder, Arc::new(store), team)
}

fn fact(what: &str) -> Vec<Fact> {
    vec![Fact::AccessDenied {
        what: what.to_owned(),
    }]
}

/// Appends one fact, then ends as `how` says.
async fn append(
    store: &SqliteStore,
    team: &TeamName,
    what: &str,
    how: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Result<u64, Failed> {
    let (team, what) = (team.clone(), what.to_owned());
    let appending = write(store, None, move |tx| {
        Box::pin(async move {
            let at = Timestamp::from_micros(2);
            let seq = tx.append(&team, "admin", at, fact(&what)).await?;
            how()?;
            Ok(seq)
        })
    });
    appending.await.map(|(seq, _)| seq)
}

/// Keeps the writer's thread busy until told otherwise, so that works gather.
async fn hold_writer(store: &Arc<SqliteStore>) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (started, start) = tokio::sync::oneshot::channel();
    let holding = Arc::clone(store);
    tokio::spawn(async move {
        let work = write(&*holding, None, move |_| {
            Box::pin(async move {
                started.send(()).expect("the test waits");
                released.recv_timeout(DEADLINE).expect("the test releases");
                Ok(())
            })
        });
        work.await.expect("the holding work commits");
    });
    start.await.expect("the work starts");
    release
}

async fn log(store: &SqliteStore, team: &TeamName) -> Vec<String> {
    let mut reader = store.reader().await.expect("a reader");
    let events = reader.events(team, 0, 10_000).await.expect("the log");
    for (seq, event) in (1..).zip(&events) {
        assert_eq!(event.seq, seq, "the log has a gap");
    }
    events
        .into_iter()
        .map(|event| match event.fact {
            Fact::AccessDenied { what } => what,
            fact => panic!("nobody wrote {fact:?}"),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn works_that_wait_together_share_commits() {
    const WORKS: u64 = 200;
    let (_folder, store, team) = open().await;
    let before = store.counters();
    let release = hold_writer(&store).await;
    let works = futures_util::future::join_all((0..WORKS).map(|n| {
        let (store, team) = (&store, &team);
        async move { append(store, team, &n.to_string(), || Ok(())).await }
    }));
    let release = async {
        release.send(()).expect("the work waits");
    };
    let (done, ()) = tokio::join!(works, release);
    assert!(done.iter().all(Result::is_ok));
    let after = store.counters();
    assert_eq!(after.works - before.works, WORKS + 1);
    let commits = after.commits - before.commits;
    assert!(commits <= WORKS / 4, "{WORKS} works took {commits} commits");
    assert_eq!(log(&store, &team).await.len(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_work_alone_is_committed_at_once() {
    let (_folder, store, team) = open().await;
    for n in 1..=5 {
        let before = store.counters().commits;
        assert_eq!(append(&store, &team, "x", || Ok(())).await, Ok(n));
        assert_eq!(store.counters().commits, before + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_work_that_panics_or_is_refused_harms_none_of_its_group() {
    let (_folder, store, team) = open().await;
    let release = hold_writer(&store).await;
    let rejection = Rejection::new(Code::WrongState, "no");
    let given = rejection.clone();
    let works = async {
        tokio::join!(
            append(&store, &team, "one", || Ok(())),
            append(&store, &team, "lost", || panic!("out of cheese")),
            append(&store, &team, "two", || Ok(())),
            append(&store, &team, "refused", || Err(given.into())),
            append(&store, &team, "three", || Ok(())),
        )
    };
    let release = async { release.send(()).expect("the work waits") };
    let ((one, lost, two, refused, three), ()) = tokio::join!(works, release);
    assert_eq!((one, two, three), (Ok(1), Ok(2), Ok(3)));
    assert_eq!(refused, Err(Failed::Rejected(rejection)));
    match lost {
        Err(Failed::Store(StoreError::Internal(reason))) => {
            assert!(reason.contains("out of cheese"), "{reason}");
        }
        lost => panic!("a panic gave {lost:?}"),
    }
    assert_eq!(log(&store, &team).await, ["one", "two", "three"]);
    assert_eq!(append(&store, &team, "four", || Ok(())).await, Ok(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_work_that_waits_for_something_else_is_refused() {
    let (_folder, store, team) = open().await;
    let of = team.clone();
    let waiting = write(&*store, None, move |tx| {
        Box::pin(async move {
            let at = Timestamp::from_micros(2);
            tx.append(&of, "admin", at, fact("lost")).await?;
            std::future::pending::<()>().await;
            Ok(())
        })
    });
    let refused = tokio::time::timeout(DEADLINE, waiting).await;
    assert!(
        matches!(refused, Ok(Err(Failed::Store(StoreError::Internal(_))))),
        "it gave {refused:?}"
    );
    assert_eq!(append(&store, &team, "next", || Ok(())).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_carries_out_what_was_sent_before() {
    let (folder, store, team) = open().await;
    let release = hold_writer(&store).await;
    let (work, ()) = tokio::join!(
        biased_pair(
            append(&store, &team, "sent before", || Ok(())),
            store.close()
        ),
        async { release.send(()).expect("the work waits") }
    );
    assert_eq!(work, Ok(1));
    drop(store);
    let again = SqliteStore::open(folder.path(), SqliteOptions::default()).expect("a store");
    assert_eq!(log(&again, &team).await, ["sent before"]);
}

/// Both at once, the first one polled first.
async fn biased_pair<T>(first: impl Future<Output = T>, second: impl Future<Output = ()>) -> T {
    tokio::join!(biased; first, second).0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abandoned_read_gives_its_connection_back() {
    let (_folder, store, team) = open().await;
    for _ in 0..100 {
        let mut reader = store.reader().await.expect("a reader");
        let mut read = reader.last_seq(&team);
        // Started, then given up.
        drop(futures_util::poll!(&mut read));
        drop(read);
    }
    let looked = tokio::time::timeout(DEADLINE, async {
        let mut reader = store.reader().await.expect("a reader");
        reader.last_seq(&team).await
    });
    assert_eq!(looked.await, Ok(Ok(0)));
}
