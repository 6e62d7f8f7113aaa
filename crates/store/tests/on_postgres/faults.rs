//! Servers that are killed, come back, or are replaced by their standby: what
//! was acknowledged is there, and the store goes on by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use collective_core::TeamName;
use collective_core::ports::{Failed, Store, StoreError};
use collective_store::{PgHost, PgStore};
use tokio::task::JoinSet;

use crate::{append, database, eventually, found, log, open, options, server, team};

/// Callers that write without a pause.
const CALLERS: usize = 4;
/// Works that each of them has had acknowledged before something happens.
const BEFORE: usize = 20;

/// What callers were told: what was acknowledged, and what was refused and why.
type Told = (Vec<String>, Vec<(String, Failed)>);

/// Writes until told to stop; gives what was acknowledged, and what was refused.
struct Load {
    running: JoinSet<Told>,
    acknowledged: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Load {
    fn start(store: &Arc<PgStore>, team: &TeamName) -> Self {
        let mut load = Self {
            running: JoinSet::new(),
            acknowledged: Arc::default(),
            stop: Arc::default(),
        };
        for caller in 0..CALLERS {
            let (store, team) = (Arc::clone(store), team.clone());
            let (acknowledged, stop) = (Arc::clone(&load.acknowledged), Arc::clone(&load.stop));
            load.running.spawn(async move {
                let (mut done, mut refused) = (Vec::new(), Vec::new());
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    let what = format!("{caller}.{n}");
                    n += 1;
                    match append(&*store, &team, vec![what.clone()]).await {
                        Ok(_) => {
                            done.push(what);
                            acknowledged.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => refused.push((what, error)),
                    }
                }
                (done, refused)
            });
        }
        load
    }

    /// Waits until some more works are acknowledged.
    async fn moves(&self, what: &str) {
        let before = self.acknowledged.load(Ordering::Relaxed);
        eventually(what, || async {
            let now = self.acknowledged.load(Ordering::Relaxed);
            (now >= before + CALLERS * BEFORE).then_some(())
        })
        .await;
    }

    async fn end(mut self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        let (mut done, mut refused) = (Vec::new(), Vec::new());
        while let Some(ended) = self.running.join_next().await {
            let (some, failed) = ended.expect("no panic");
            done.extend(some);
            refused.extend(failed);
        }
        (done, refused)
    }
}

/// Everything acknowledged is in the log; what was refused is not; and of the
/// rest, whose commit was under way, the callers were told that nobody knows.
async fn nothing_is_lost(store: &PgStore, team: &TeamName, load: Load) {
    let (acknowledged, refused) = load.end().await;
    let kept = log(store, team).await;
    let kept: std::collections::BTreeSet<&String> = kept.iter().collect();
    let lost: Vec<&String> = acknowledged
        .iter()
        .filter(|what| !kept.contains(what))
        .collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(!refused.is_empty(), "nobody noticed anything");
    for (what, failed) in refused {
        match failed {
            Failed::Store(StoreError::Unavailable(why)) => {
                assert!(
                    !kept.contains(&what),
                    "{what} was refused ({why}), and kept"
                );
            }
            Failed::Store(StoreError::Uncertain(_)) => {}
            failed => panic!("a server that is gone gave {failed:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing_that_was_acknowledged() {
    let mut server = server();
    let mut options = database(&server, "killed");
    options.wait_timeout = Duration::from_secs(1);
    let store = Arc::new(open(&options).await);
    let red = team("red");
    found(&*store, &red).await;
    let load = Load::start(&store, &red);
    for _ in 0..2 {
        load.moves("works of a server that is there").await;
        server.kill();
        let health = store.health().await;
        assert!(
            matches!(health, Err(StoreError::Unavailable(_))),
            "without a server its health is {health:?}"
        );
        server.restart().expect("the server comes back");
        eventually("health", || async { store.health().await.ok() }).await;
    }
    load.moves("works after the server came back").await;
    nothing_is_lost(&store, &red, load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_standby_is_found() {
    let mut primary = server();
    let mut options = database(&primary, "work");
    options.wait_timeout = Duration::from_secs(1);
    let standby = primary.standby().expect("a standby");
    // From now on a commit is acknowledged when the standby has it as well.
    for setting in [
        "ALTER SYSTEM SET synchronous_standby_names = '*'",
        "SELECT pg_reload_conf()",
    ] {
        primary.sql("postgres", setting).expect("a setting");
    }
    let follower = PgHost {
        name: "127.0.0.1".to_owned(),
        port: standby.port(),
    };
    options.hosts.push(follower);
    let store = Arc::new(open(&options).await);
    let red = team("red");
    found(&*store, &red).await;
    read_only_is_refused(&standby).await;
    let load = Load::start(&store, &red);
    load.moves("works of the primary").await;
    primary.kill();
    let health = store.health().await;
    assert!(
        matches!(health, Err(StoreError::Unavailable(_))),
        "with a standby alone its health is {health:?}"
    );
    standby.promote().expect("the standby is promoted");
    eventually("health", || async { store.health().await.ok() }).await;
    load.moves("works of the new primary").await;
    nothing_is_lost(&store, &red, load).await;
}

async fn read_only_is_refused(standby: &collective_testkit::servers::Postgres) {
    match PgStore::open(&options(&standby.url("work"))).await {
        Err(StoreError::Unavailable(reason)) => {
            assert!(reason.contains("read only"), "{reason}");
        }
        Err(error) => panic!("a standby gave {error:?}"),
        Ok(_) => panic!("a standby can be written to"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_turns_read_only_is_unhealthy_until_it_is_not() {
    let server = server();
    let store = open(&database(&server, "frozen")).await;
    let red = team("red");
    found(&store, &red).await;
    let set = |to: &str| {
        let to = format!("ALTER SYSTEM SET default_transaction_read_only = {to}");
        for statement in [to.as_str(), "SELECT pg_reload_conf()"] {
            server.sql("postgres", statement).expect("a setting");
        }
    };
    set("on");
    eventually("the refusal", || async {
        match append(&store, &red, vec!["lost".to_owned()]).await {
            Err(Failed::Store(StoreError::Unavailable(reason))) => {
                assert!(reason.contains("read only"), "{reason}");
                Some(())
            }
            _ => None,
        }
    })
    .await;
    let health = store.health().await;
    assert!(
        matches!(health, Err(StoreError::Unavailable(_))),
        "its health is {health:?}"
    );
    set("off");
    eventually("health", || async { store.health().await.ok() }).await;
    eventually("a work", || async {
        append(&store, &red, vec!["kept".to_owned()]).await.ok()
    })
    .await;
}

/// A session that hangs answers nothing and breaks no connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_given_up_in_bounded_time() {
    let server = server();
    let mut options = database(&server, "hangs");
    (options.writers, options.readers) = (1, 1);
    options.statement_timeout = Duration::from_millis(500);
    let store = open(&options).await;
    let red = team("red");
    found(&store, &red).await;
    append(&store, &red, vec!["before".to_owned()])
        .await
        .expect("an event");
    let sessions =
        "SELECT pid FROM pg_stat_activity WHERE datname = 'hangs' AND pid <> pg_backend_pid()";
    let sessions = server.sql("hangs", sessions).expect("sessions");
    let sessions: Vec<&str> = sessions.split_whitespace().collect();
    assert!(sessions.len() >= 2, "the store has {sessions:?}");
    let signal = |signal: &str| {
        let mut kill = std::process::Command::new("kill");
        let sent = kill.arg(signal).args(&sessions).status().expect("it runs");
        assert!(sent.success(), "{signal} wasn't sent");
    };
    signal("-STOP");
    let mut reader = store.reader().await.expect("a reader");
    let hung = tokio::time::timeout(crate::DEADLINE, async {
        tokio::join!(
            append(&store, &red, vec!["hung".to_owned()]),
            reader.last_seq(&red)
        )
    });
    let (written, read) = hung.await.expect("it is given up");
    assert!(
        matches!(written, Err(Failed::Store(StoreError::Unavailable(_)))),
        "writing gave {written:?}"
    );
    assert!(
        matches!(read, Err(StoreError::Unavailable(_))),
        "reading gave {read:?}"
    );
    // New sessions serve, while the old ones still hang.
    assert_eq!(store.health().await, Ok(()));
    let written = append(&store, &red, vec!["after".to_owned()]).await;
    signal("-CONT");
    assert_eq!(written, Ok(2));
    assert_eq!(log(&store, &red).await, ["before", "after"]);
}
