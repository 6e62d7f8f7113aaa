//! Opening, holding and leaving a data folder.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use collective_core::ports::store::write;
use collective_core::ports::{Failed, Store, StoreError};
use collective_core::{TeamName, Timestamp};
use collective_store::{SqliteOptions, SqliteStore, Synchronous};
use rusqlite::Connection;

fn open(folder: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(folder, SqliteOptions::default())
}

async fn found(store: &SqliteStore, name: &str) -> Result<bool, Failed> {
    let team = TeamName::new(name)?;
    let founding = write(store, None, move |tx| {
        Box::pin(async move { Ok(tx.insert_team(&team, Timestamp::from_micros(1)).await?) })
    });
    founding.await.map(|(new, _)| new)
}

async fn teams(store: &SqliteStore) -> Vec<String> {
    let mut reader = store.reader().await.expect("a reader");
    let teams = reader.teams().await.expect("an answer");
    teams.iter().map(ToString::to_string).collect()
}

fn database(folder: &Path) -> Connection {
    Connection::open(folder.join("collective.db")).expect("the database")
}

#[tokio::test]
async fn what_was_committed_is_there_after_closing_and_opening() {
    let folder = tempfile::tempdir().expect("a folder");
    for (round, synchronous) in [Synchronous::Full, Synchronous::Normal]
        .into_iter()
        .cycle()
        .take(4)
        .enumerate()
    {
        let options = SqliteOptions {
            synchronous,
            ..SqliteOptions::default()
        };
        let store = SqliteStore::open(folder.path(), options).expect("a store");
        let before: Vec<String> = (0..round).map(|n| format!("team-{n}")).collect();
        assert_eq!(teams(&store).await, before);
        found(&store, &format!("team-{round}"))
            .await
            .expect("a commit");
        match round % 2 {
            0 => store.close().await,
            _ => drop(store),
        }
    }
}

#[tokio::test]
async fn the_folder_and_its_files_are_the_users_alone() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("a").join("b");
    let store = open(&folder).expect("a store");
    found(&store, "red").await.expect("a commit");
    let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let mut files = 0;
    for entry in folder.read_dir().expect("a folder") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
    }
    assert!(files >= 3, "the database, its log and the lock");
}

#[tokio::test]
async fn a_second_store_on_the_folder_is_refused_and_told_who_holds_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = open(folder.path()).expect("a store");
    let refused = open(folder.path()).err();
    let expected = StoreError::InUse {
        folder: folder.path().display().to_string(),
        holder: std::process::id().to_string(),
    };
    assert_eq!(refused, Some(expected));
    found(&first, "red").await.expect("the first one goes on");

    first.close().await;
    let second = open(folder.path()).expect("a closed store has let go");
    drop(second);
    let third = open(folder.path()).expect("a dropped store has let go");
    assert_eq!(teams(&third).await, ["red"]);
}

/// A process inherits every open file until it runs its own program.
#[tokio::test]
async fn processes_that_are_started_meanwhile_keep_no_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let started = Command::new("true").status();
                assert!(started.expect("a process").success());
            }
        });
        let refused = (0..200).find_map(|_| open(folder.path()).err());
        stop.store(true, Ordering::Relaxed);
        assert_eq!(refused, None);
    });
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    open(folder.path()).expect("a store").close().await;
    let known: u32 = database(folder.path())
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .expect("a version");
    let newer = known + 1;
    database(folder.path())
        .pragma_update(None, "user_version", newer)
        .expect("a version");
    let before = std::fs::read(folder.path().join("collective.db")).expect("the file");
    let refused = open(folder.path()).err();
    let expected = StoreError::SchemaTooNew {
        found: newer,
        known,
    };
    assert_eq!(refused, Some(expected));
    let after = std::fs::read(folder.path().join("collective.db")).expect("the file");
    assert!(before == after, "it was written to");
    // Whoever was refused holds nothing.
    database(folder.path())
        .pragma_update(None, "user_version", known)
        .expect("a version");
    open(folder.path()).expect("the version is known again");
}

#[test]
fn a_database_of_another_application_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let other = database(folder.path());
    other
        .execute_batch("PRAGMA application_id = 7; CREATE TABLE notes (text);")
        .expect("a database");
    drop(other);
    assert!(matches!(
        open(folder.path()).err(),
        Some(StoreError::Corrupt(_))
    ));
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(
        folder.path().join("collective.db"),
        "not a database".repeat(500),
    )
    .expect("a file");
    assert!(matches!(
        open(folder.path()).err(),
        Some(StoreError::Corrupt(_))
    ));
}

#[test]
fn a_folder_that_cannot_be_made_says_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("a file");
    match open(&file.join("below")).err() {
        Some(StoreError::Unavailable(reason)) => {
            assert!(reason.contains("file/below"), "{reason}");
        }
        refused => panic!("it gave {refused:?}"),
    }
}
