//! A disk without room: nothing half done, reading goes on, and no restart once there is room.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use collective_api::leases::ClaimRequest;
use collective_api::tasks::CreateTasks;
use collective_client::retry::RetryLimits;
use collective_client::{Client, ClientError};
use collective_core::limits::{DEFAULT_LEASE, MAX_RESULT_LEN};
use collective_core::task::{TaskSpec, TaskState};
use collective_core::{Code, Span};
use collective_testkit::history::Acknowledged;

use crate::load::done;
use crate::support::{Place, Process, Server, agent, assert_sound, events, name, tasks, until};

/// Size of the small disk: room for the database, its log, and what fills it.
const DISK: &str = "size=24m,mode=700";
/// Most batches until a small disk must be full.
const MAX_BATCHES: usize = 200;

/// A batch of about a megabyte.
fn batch() -> CreateTasks {
    let spec = TaskSpec {
        prompt: "0123456789abcdef".repeat(6_000),
        ..TaskSpec::new("large")
    };
    CreateTasks {
        tasks: vec![spec; 10],
    }
}

/// Creates batches until one is refused for lack of room; its key.
async fn fill(client: &Client, told: &mut Acknowledged) -> String {
    let request = batch();
    for number in 0..MAX_BATCHES {
        let key = format!("batch-{number}");
        match client.create_tasks_once(&request, &key).await {
            Ok(created) => told
                .created
                .extend(created.tasks.iter().map(|task| task.id)),
            Err(error) => {
                assert_full(&error);
                return key;
            }
        }
    }
    panic!("the store was never full");
}

fn assert_full(error: &ClientError) {
    assert!(error.is(Code::StorageFull), "{error}");
    let problem = error.problem().unwrap();
    assert_eq!(problem.status, 507);
    assert!(problem.hint.is_some(), "{problem:?}");
}

/// How a process can be given a disk of its own here, if it can: in a mount
/// namespace, so that the disk goes with the process, and as the owner of a
/// user namespace where only root may mount.
fn own_disk(place: &Place) -> Option<Vec<&'static str>> {
    let ways = [
        vec!["--mount"],
        vec!["--user", "--map-root-user", "--mount"],
    ];
    let works = |way: &Vec<&str>| {
        let mut command = on_disk(place, way);
        command.arg("true");
        place.at_home(&mut command);
        command.status().is_ok_and(|status| status.success())
    };
    ways.into_iter().find(works)
}

/// A command that runs what follows with a small disk as data folder.
fn on_disk(place: &Place, way: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(way).args(["sh", "-c"]);
    command.arg(format!(
        "mount -t tmpfs -o {DISK} disk \"$0\" && exec \"$@\""
    ));
    command.arg(place.data());
    command
}

/// Takes all the room that is left.
fn take_all_room(folder: &Path) -> PathBuf {
    let path = folder.join("ballast");
    let mut ballast = File::create(&path).unwrap();
    loop {
        match ballast.write(&[0; 4_096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return path,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writing_serves_reading_and_recovers_by_itself() {
    let place = Place::new();
    std::fs::create_dir(place.data()).unwrap();
    let Some(way) = own_disk(&place) else {
        eprintln!("skipped: no small disk can be mounted here (unshare --mount fails)");
        return;
    };
    let mut command = on_disk(&place, &way);
    command.arg(env!("CARGO_BIN_EXE_collective"));
    command.args(place.up(&[]).get_args());
    place.at_home(&mut command);
    let process = Process::start(&mut command);
    // The disk as it is seen from outside the process.
    let disk = PathBuf::from(format!("/proc/{}/root", process.pid()))
        .join(place.data().strip_prefix("/").unwrap());
    let mut server = place.answering(process, disk.clone()).await;
    survives(&mut server, &disk).await;
    assert_eq!(server.stop().await, Some(0), "{}", place.log());
}

async fn survives(server: &mut Server, disk: &Path) {
    let patient = server.client();
    let client = patient.with_retry(RetryLimits::NONE);
    let mut told = Acknowledged::default();
    let ada = agent(&client, "ada", 4).await.with_retry(RetryLimits::NONE);
    let held = client.create_task(&TaskSpec::new("held")).await.unwrap();
    told.created.push(held.id);
    let request = ClaimRequest {
        agent: name("ada"),
        max: 1,
        lease: DEFAULT_LEASE,
        wait: Span::ZERO,
    };
    let claim = ada.claim(&request).await.unwrap().claims.remove(0);
    told.claimed.push((held.id, claim.token.epoch));

    let ballast = take_all_room(disk);
    let refused = fill(&client, &mut told).await;
    let mut completion = done(&claim);
    completion.text = "x".repeat(MAX_RESULT_LEN / 2);
    assert_full(&ada.complete(completion.clone()).await.unwrap_err());

    // Nothing half done, and whoever only reads is served.
    assert_eq!(tasks(&client).await.len(), told.created.len());
    let stands = client.task(held.id).await.unwrap().task;
    assert_eq!(stands.state, TaskState::Running);
    assert_sound(&client, &told).await;
    assert_eq!(client.status().await.unwrap().tasks[&TaskState::Running], 1);
    assert!(client.health().await.is_ok());
    let ready = client.readiness().await.unwrap();
    let seen = events(&client).await.len();

    std::fs::remove_file(ballast).unwrap();
    until("it is ready again", async || {
        client.readiness().await.unwrap().status == 200
    })
    .await;
    assert!(server.process.has_ended().is_none());
    assert!(events(&client).await.len() >= seen, "{ready:?}");

    // The very commands that were refused are taken now.
    let created = client.create_tasks_once(&batch(), &refused).await.unwrap();
    told.created
        .extend(created.tasks.iter().map(|task| task.id));
    ada.complete(completion).await.unwrap();
    told.succeeded.push((held.id, claim.token.epoch));
    let summary = assert_sound(&client, &told).await;
    assert_eq!(summary.tasks(), told.created.len() as u64, "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_at_its_own_bound_refuses_writing_and_goes_on_with_a_larger_one() {
    let place = Place::new();
    let server = place.server_with(&["--max-size", "4000000"]).await;
    let client = server.client().with_retry(RetryLimits::NONE);
    let mut told = Acknowledged::default();
    let refused = fill(&client, &mut told).await;
    assert!(!told.created.is_empty());
    let summary = assert_sound(&client, &told).await;
    assert_eq!(summary.tasks(), told.created.len() as u64, "{summary}");
    assert_eq!(server.stop().await, Some(0), "{}", place.log());

    let server = place.server_with(&["--max-size", "40000000"]).await;
    let client = server.client();
    let created = client.create_tasks_once(&batch(), &refused).await.unwrap();
    told.created
        .extend(created.tasks.iter().map(|task| task.id));
    let summary = assert_sound(&client, &told).await;
    assert_eq!(summary.tasks(), told.created.len() as u64, "{summary}");
}
