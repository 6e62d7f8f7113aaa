//! Whatever is acknowledged survives a process that is killed at any moment.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use collective_core::event::Fact;
use collective_core::ports::store::{TaskFilter, write};
use collective_core::ports::{Failed, Store};
use collective_core::task::{Task, TaskSpec};
use collective_core::{TaskId, TeamName, Timestamp};
use collective_store::{SqliteOptions, SqliteStore};
use uuid::Uuid;

/// Names the folder to the process that is going to be killed.
const FOLDER: &str = "COLLECTIVE_CRASH_TEST_FOLDER";
/// How often it is killed, each time over what the last one left.
const ROUNDS: u64 = 4;
/// Acknowledgements to wait for before killing.
const ENOUGH: usize = 150;
/// More works for each caller than the wait can take.
const MANY: u64 = 1_000_000;
/// Callers at once in the process that is killed.
const CALLERS: u64 = 8;
const DEADLINE: Duration = Duration::from_secs(60);

/// The process that is killed: works until then, and says what was acknowledged.
#[test]
fn the_process_that_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return; // an ordinary run of the tests
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = SqliteStore::open(Path::new(&folder), SqliteOptions::default());
        let store = store.expect("the store opens over what was left");
        let team = TeamName::default_team();
        let of = team.clone();
        write(&store, None, move |tx| {
            Box::pin(async move { Ok(tx.insert_team(&of, Timestamp::from_micros(0)).await?) })
        })
        .await
        .expect("a team");
        let calling = (0..CALLERS).map(|_| async {
            for _ in 0..MANY {
                let id = Uuid::now_v7();
                let number = add(&store, &team, id).await.expect("the work commits");
                let line = format!("acknowledged {number} {id}\n");
                let mut out = std::io::stdout().lock();
                out.write_all(line.as_bytes()).expect("somebody reads");
                out.flush().expect("somebody reads");
            }
        });
        futures_util::future::join_all(calling).await;
        panic!("nobody has killed it");
    });
}

/// One event and one task, which belong together.
async fn add(store: &SqliteStore, team: &TeamName, id: Uuid) -> Result<u64, Failed> {
    let team = team.clone();
    let adding = write(store, None, move |tx| {
        Box::pin(async move {
            let now = Timestamp::from_micros(1);
            let spec = TaskSpec::new("survives");
            let (mut task, fact) = Task::create(TaskId(id), spec, "admin".to_owned(), 0, now);
            task.number = tx.append(&team, "admin", now, vec![fact]).await?;
            tx.insert_tasks(&team, std::slice::from_ref(&task)).await?;
            Ok(task.number)
        })
    });
    adding.await.map(|(number, _)| number)
}

/// Ends the process however the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may be dead already; that is what it is for.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs the process over the folder, kills it in the middle of its work, and
/// gives what it had acknowledged.
fn run_and_kill(folder: &Path) -> Vec<(u64, Uuid)> {
    let mut child = Command::new(std::env::current_exe().expect("this test's binary"))
        .args(["the_process_that_is_killed", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .map(Killed)
        .expect("a process");
    let out = child.0.stdout.take().expect("its output");
    let (heard, hear) = mpsc::channel();
    let reading = std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if let Some(acknowledged) = parse(&line) {
                heard.send(acknowledged).expect("the test listens");
            }
        }
    });
    let mut acknowledged = Vec::new();
    while acknowledged.len() < ENOUGH {
        let next = hear.recv_timeout(DEADLINE);
        acknowledged.push(next.expect("the process works"));
    }
    child.0.kill().expect("it is killed");
    child.0.wait().expect("it is dead");
    reading.join().expect("its output ends");
    acknowledged.extend(hear.try_iter());
    acknowledged
}

/// A line that the kill cut short is no acknowledgement.
fn parse(line: &str) -> Option<(u64, Uuid)> {
    let (number, id) = line.strip_prefix("acknowledged ")?.split_once(' ')?;
    let id = (id.len() == 36).then(|| Uuid::parse_str(id).ok())??;
    Some((number.parse().ok()?, id))
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let team = TeamName::default_team();
    let mut acknowledged = Vec::new();
    for round in 1..=ROUNDS {
        acknowledged.extend(run_and_kill(folder.path()));
        let store = SqliteStore::open(folder.path(), SqliteOptions::default());
        let store = store.expect("a killed process holds nothing");
        let mut reader = store.reader().await.expect("a reader");
        let events = reader.events(&team, 0, 1_000_000).await.expect("the log");
        let tasks = reader
            .list_tasks(&team, &TaskFilter::default(), None, 1_000_000)
            .await
            .expect("the tasks");
        for (seq, event) in (1..).zip(&events) {
            assert_eq!(event.seq, seq, "the log has a gap");
        }
        let kept: BTreeSet<(u64, Uuid)> =
            tasks.iter().map(|task| (task.number, task.id.0)).collect();
        let told: BTreeSet<(u64, Uuid)> = events
            .iter()
            .map(|event| match event.fact {
                Fact::TaskCreated { task, .. } => (event.seq, task.0),
                ref fact => panic!("nobody wrote {fact:?}"),
            })
            .collect();
        assert_eq!(kept, told, "a work was committed in part");
        for pair in &acknowledged {
            assert!(kept.contains(pair), "round {round}: {pair:?} was lost");
        }
        assert!(kept.len() >= acknowledged.len());
    }
}
