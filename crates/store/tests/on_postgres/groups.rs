//! Works of one team that wait together share a transaction, and harm no other.

use std::sync::Arc;

use collective_core::event::Fact;
use collective_core::ports::store::write;
use collective_core::ports::{Failed, Store, StoreError};
use collective_core::{Code, Rejection, TeamName};
use collective_store::PgStore;
use tokio::sync::oneshot;

use crate::{append, at, database, found, log, named, open, server, team};

/// Keeps the team until told otherwise, so that works gather.
async fn hold(store: &Arc<PgStore>, of: &TeamName) -> oneshot::Sender<()> {
    let (release, released) = oneshot::channel::<()>();
    let (started, start) = oneshot::channel();
    let (holding, team) = (Arc::clone(store), of.clone());
    tokio::spawn(async move {
        let work = write(&*holding, Some(&team), move |_| {
            Box::pin(async move {
                started.send(()).expect("the test waits");
                released.await.expect("the test releases");
                Ok(())
            })
        });
        work.await.expect("the holding work commits");
    });
    start.await.expect("the work starts");
    release
}

/// Appends one fact, then ends as `how` says.
async fn append_then(
    store: &PgStore,
    team: &TeamName,
    what: &str,
    how: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Result<u64, Failed> {
    let (of, what) = (team.clone(), what.to_owned());
    let appending = write(store, Some(team), move |tx| {
        Box::pin(async move {
            let seq = tx.append(&of, "admin", at(2), vec![named(what)]).await?;
            how()?;
            Ok(seq)
        })
    });
    appending.await.map(|(seq, _)| seq)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn works_that_wait_together_share_transactions() {
    let server = server();
    let store = Arc::new(open(&database(&server, "groups")).await);
    let red = team("red");
    found(&*store, &red).await;
    they_share_transactions(&store, &red).await;
    one_that_fails_harms_none_of_its_group(&store).await;
    a_work_keeps_to_the_team_that_it_names(&store, &red).await;
    another_team_does_not_wait(&store, &red).await;
    closing_carries_out_what_was_sent_before(&store, &red).await;
}

async fn they_share_transactions(store: &Arc<PgStore>, red: &TeamName) {
    const WORKS: u64 = 200;
    let before = store.counters();
    let release = hold(store, red).await;
    let works = (0..WORKS).map(|n| append(&**store, red, vec![n.to_string()]));
    let works = futures_util::future::join_all(works);
    let (done, ()) = tokio::join!(biased; works, async {
        release.send(()).expect("the work waits");
    });
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let after = store.counters();
    assert_eq!(after.works - before.works, WORKS + 1);
    let transactions = after.transactions - before.transactions;
    assert!(
        transactions <= WORKS / 4,
        "{WORKS} works took {transactions} transactions"
    );
    assert_eq!(log(&**store, red).await.len(), 200);
}

async fn one_that_fails_harms_none_of_its_group(store: &Arc<PgStore>) {
    let blue = team("blue");
    found(&**store, &blue).await;
    let release = hold(store, &blue).await;
    let rejection = Rejection::new(Code::WrongState, "no");
    let given = rejection.clone();
    let works = async {
        tokio::join!(biased;
            append_then(store, &blue, "one", || Ok(())),
            append_then(store, &blue, "lost", || panic!("out of cheese")),
            append_then(store, &blue, "two", || Ok(())),
            append_then(store, &blue, "refused", || Err(given.into())),
            append_then(store, &blue, "three", || Ok(())),
        )
    };
    let ((one, lost, two, refused, three), ()) = tokio::join!(biased; works, async {
        release.send(()).expect("the work waits");
    });
    assert_eq!((one, two, three), (Ok(1), Ok(2), Ok(3)));
    assert_eq!(refused, Err(Failed::Rejected(rejection)));
    match lost {
        Err(Failed::Store(StoreError::Internal(reason))) => {
            assert!(reason.contains("out of cheese"), "{reason}");
        }
        lost => panic!("a panic gave {lost:?}"),
    }
    assert_eq!(log(&**store, &blue).await, ["one", "two", "three"]);
    let alone = append_then(store, &blue, "lost", || panic!("out of tea")).await;
    assert!(
        matches!(alone, Err(Failed::Store(StoreError::Internal(_)))),
        "a panic alone gave {alone:?}"
    );
    assert_eq!(append_then(store, &blue, "four", || Ok(())).await, Ok(4));
}

async fn a_work_keeps_to_the_team_that_it_names(store: &Arc<PgStore>, red: &TeamName) {
    let other = team("other");
    found(&**store, &other).await;
    let of = other.clone();
    let strayed = write(&**store, Some(red), move |tx| {
        Box::pin(async move {
            let facts: Vec<Fact> = vec![named("stray")];
            Ok(tx.append(&of, "admin", at(2), facts).await?)
        })
    });
    let strayed = strayed.await.map(drop);
    assert!(
        matches!(strayed, Err(Failed::Store(StoreError::Internal(_)))),
        "it gave {strayed:?}"
    );
    assert_eq!(log(&**store, &other).await, [""; 0]);
}

async fn another_team_does_not_wait(store: &Arc<PgStore>, red: &TeamName) {
    let free = team("free");
    found(&**store, &free).await;
    let release = hold(store, red).await;
    let beside = append(&**store, &free, vec!["x".to_owned()]).await;
    assert_eq!(beside, Ok(1), "one team waits for another");
    release.send(()).expect("the work waits");
    // Comes after the held one and leaves nothing: then that one is over.
    let no = Rejection::new(Code::WrongState, "no");
    let after = append_then(store, red, "nothing", || Err(no.into())).await;
    assert!(matches!(after, Err(Failed::Rejected(_))), "{after:?}");
}

async fn closing_carries_out_what_was_sent_before(store: &Arc<PgStore>, red: &TeamName) {
    let release = hold(store, red).await;
    let before = store.counters().works;
    let (work, (), ()) = tokio::join!(biased;
        append(&**store, red, vec!["sent before".to_owned()]),
        store.close(),
        async { release.send(()).expect("the work waits") },
    );
    assert_eq!(work, Ok(201));
    assert_eq!(store.counters().works, before + 2);
}
