//! A full disk: clear errors, nothing half done, and it goes on when there is room.

use std::path::Path;
use std::process::Command;

use collective_core::event::Fact;
use collective_core::ports::store::{TaskFilter, write};
use collective_core::ports::{Failed, Store, StoreError};
use collective_core::task::{Task, TaskSpec};
use collective_core::{TaskId, TeamName, Timestamp};
use collective_store::{SqliteOptions, SqliteStore};
use uuid::Uuid;

/// Size of each task's prompt: a few hundred of them fill what the tests give.
const PROMPT: usize = 16 * 1024;
/// More works than there is ever room for.
const MANY: u64 = 5_000;
const MEBIBYTE: u64 = 1024 * 1024;

fn at(n: u64) -> Timestamp {
    Timestamp::from_micros(i64::try_from(n).expect("small"))
}

async fn found(store: &SqliteStore) -> TeamName {
    let founding = write(store, None, |tx| {
        Box::pin(async move {
            let team = TeamName::default_team();
            tx.insert_team(&team, at(0)).await?;
            Ok(team)
        })
    });
    founding.await.expect("a team").0
}

/// One event and one large task, which belong together.
async fn add(store: &SqliteStore, team: &TeamName, n: u64) -> Result<u64, Failed> {
    let team = team.clone();
    let adding = write(store, None, move |tx| {
        Box::pin(async move {
            let id = TaskId(Uuid::from_u128(u128::from(n)));
            let spec = TaskSpec {
                prompt: "x".repeat(PROMPT),
                ..TaskSpec::new("large")
            };
            let (mut task, fact) = Task::create(id, spec, "admin".to_owned(), 0, at(n));
            task.number = tx.append(&team, "admin", at(n), vec![fact]).await?;
            tx.insert_tasks(&team, std::slice::from_ref(&task)).await?;
            Ok(task.number)
        })
    });
    adding.await.map(|(number, _)| number)
}

/// Adds until there is no room; gives how many were acknowledged.
async fn fill(store: &SqliteStore, team: &TeamName, from: u64) -> u64 {
    for n in from..from + MANY {
        match add(store, team, n).await {
            Ok(_) => {}
            Err(Failed::Store(StoreError::Full)) => return n - from,
            Err(failed) => panic!("a full disk gave {failed}"),
        }
    }
    panic!("there was room for everything");
}

/// What was acknowledged is there, and nothing else: each event has its task.
async fn assert_whole(store: &SqliteStore, team: &TeamName, acknowledged: u64) {
    let mut reader = store.reader().await.expect("a reader");
    let events = reader.events(team, 0, 100_000).await.expect("the log");
    let tasks = reader
        .list_tasks(team, &TaskFilter::default(), None, 100_000)
        .await
        .expect("the tasks");
    let numbers: Vec<u64> = tasks.iter().rev().map(|task| task.number).collect();
    let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, numbers);
    assert_eq!(seqs, (1..=acknowledged).collect::<Vec<_>>());
    for (event, task) in events.iter().zip(tasks.iter().rev()) {
        assert!(matches!(&event.fact, Fact::TaskCreated { task: id, .. } if *id == task.id));
    }
}

#[tokio::test]
async fn at_its_largest_size_the_store_refuses_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = SqliteOptions {
        max_size: Some(2 * MEBIBYTE),
        ..SqliteOptions::default()
    };
    let store = SqliteStore::open(folder.path(), options).expect("a store");
    let team = found(&store).await;
    let acknowledged = fill(&store, &team, 1).await;
    assert!(acknowledged > 20, "only {acknowledged} had room");
    assert_whole(&store, &team, acknowledged).await;
    let size = folder.path().join("collective.db").metadata();
    assert!(size.expect("the file").len() <= 2 * MEBIBYTE);
    store.close().await;

    let store = SqliteStore::open(folder.path(), SqliteOptions::default()).expect("a store");
    assert_whole(&store, &team, acknowledged).await;
    let next = add(&store, &team, 1_000_000).await;
    assert_eq!(next, Ok(acknowledged + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn works_that_share_a_commit_that_fails_are_all_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = SqliteOptions {
        max_size: Some(2 * MEBIBYTE),
        ..SqliteOptions::default()
    };
    let store = SqliteStore::open(folder.path(), options).expect("a store");
    let team = found(&store).await;
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    for round in 0..10 {
        let adding = (0..40).map(|n| add(&store, &team, 1 + round * 40 + n));
        for added in futures_util::future::join_all(adding).await {
            match added {
                Ok(number) => acknowledged.push(number),
                Err(Failed::Store(StoreError::Full)) => refused += 1,
                Err(failed) => panic!("a full disk gave {failed}"),
            }
        }
    }
    assert!(refused > 0 && !acknowledged.is_empty());
    acknowledged.sort_unstable();
    let count = acknowledged.len() as u64;
    assert_eq!(acknowledged, (1..=count).collect::<Vec<_>>());
    assert_whole(&store, &team, count).await;
}

/// A small file system of its own, as long as the value lives.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// Nothing where the user may not mount.
    fn mount(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(folder.path())
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self { folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.path().display());
        }
    }
}

#[tokio::test]
async fn on_a_full_disk_it_refuses_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(8 * MEBIBYTE) else {
        eprintln!("not tried: it takes the right to mount a small file system");
        return;
    };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 4 * 1024 * 1024]).expect("room for the ballast");
    let folder = disk.path().join("data");
    let store = SqliteStore::open(&folder, SqliteOptions::default()).expect("a store");
    let team = found(&store).await;
    let mut acknowledged = fill(&store, &team, 1).await;
    assert!(acknowledged > 20, "only {acknowledged} had room");
    assert_eq!(store.health().await, Err(StoreError::Full));
    assert_whole(&store, &team, acknowledged).await;

    std::fs::remove_file(&ballast).expect("the ballast");
    assert_eq!(store.health().await, Ok(()), "there is room again");
    acknowledged += fill(&store, &team, 100_000).await;
    assert_whole(&store, &team, acknowledged).await;
    store.close().await;
    drop(store);

    let store = SqliteStore::open(&folder, SqliteOptions::default());
    match store {
        Ok(store) => assert_whole(&store, &team, acknowledged).await,
        // It may take room to open; then it says so.
        Err(error) => assert_eq!(error, StoreError::Full),
    }
}
