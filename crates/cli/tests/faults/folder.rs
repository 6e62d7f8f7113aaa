//! The data folder: one server at a time, and no server on what isn't sound.

use std::fs::File;
use std::os::unix::fs::FileExt;

use collective_client::Client;
use collective_core::Code;
use collective_core::task::TaskSpec;
use collective_testkit::history::Acknowledged;
use rand::{RngExt, SeedableRng};

use crate::load::Load;
use crate::support::{Place, Server, assert_sound, events};

/// Where the database's header has the version of our schema (SQLite file
/// format, section 1.3), big-endian, and where the application's number.
const SCHEMA_VERSION_AT: u64 = 60;
const APPLICATION_AT: u64 = 68;
const PAGE: u64 = 4_096;
/// Titles and prompts that fill some hundred pages.
const TASKS: usize = 300;

async fn filled(client: &Client) -> Acknowledged {
    let mut told = Acknowledged::default();
    let spec = TaskSpec {
        prompt: "a prompt that takes some room ".repeat(50),
        ..TaskSpec::new("kept")
    };
    let request = collective_api::tasks::CreateTasks {
        tasks: vec![spec; TASKS],
    };
    let created = client.create_tasks(&request).await.unwrap();
    told.created = created.tasks.iter().map(|task| task.id).collect();
    told
}

/// A folder with a sound database, after its server has stopped.
async fn stopped() -> Place {
    let place = Place::new();
    let server = place.server().await;
    filled(&server.client()).await;
    assert_eq!(server.stop().await, Some(0), "{}", place.log());
    place
}

/// `up` refuses, without a panic; what it says.
async fn refused(place: &Place, exit: u8) -> String {
    let (code, said) = place.outcome(&mut place.up(&[])).await;
    assert_eq!(code, Some(i32::from(exit)), "{said}");
    assert!(!said.contains("panic"), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_a_folder_refuses_by_the_firsts_pid_and_leaves_it_alone() {
    let place = Place::new();
    let server = place.server().await;
    let mut load = Load::start(&server.client()).await;
    load.completes(50).await;
    let files = ["token", "server.json", "lock"];
    let read = || files.map(|file| std::fs::read(place.data().join(file)).unwrap());
    let before = read();

    let mut second = place.collective(&["up", "--listen", "127.0.0.1:0"]);
    let (code, said) = place.outcome(&mut second).await;
    assert_eq!(
        code,
        Some(i32::from(Code::WrongState.exit_code())),
        "{said}"
    );
    let holder = format!("in use by process {}", server.process.pid());
    assert!(said.contains(&holder), "{said}");
    assert!(said.contains("--data"), "no hint: {said}");

    assert_eq!(read(), before);
    load.completes(50).await;
    let told = load.finish().await;
    assert_sound(&server.client(), &told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_write_at_the_end_of_the_log_is_dropped_and_nothing_before_it() {
    let place = Place::new();
    let server = place.server().await;
    let told = filled(&server.client()).await;
    let log = events(&server.client()).await;
    server.kill();
    let wal = place.data().join("collective.db-wal");
    let file = File::options().write(true).open(&wal).unwrap();
    let mut torn = vec![0; 3 * PAGE as usize + 77];
    rand::rngs::StdRng::seed_from_u64(1).fill(&mut torn[..]);
    let end = file.metadata().unwrap().len();
    assert!(end > PAGE, "the kill left no log behind");
    file.write_all_at(&torn, end).unwrap();

    let server = place.server().await;
    assert_eq!(events(&server.client()).await, log);
    assert_sound(&server.client(), &told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_cut_short_is_not_served() {
    let place = stopped().await;
    let sound = std::fs::read(place.database()).unwrap();
    let whole = sound.len();
    for length in [whole - PAGE as usize, whole - 100, whole / 2, 4_097, 50] {
        std::fs::write(place.database(), &sound[..length]).unwrap();
        let said = refused(&place, Code::Internal.exit_code()).await;
        assert!(said.contains("can't be read"), "cut to {length}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_with_pages_overwritten_is_not_served() {
    let place = stopped().await;
    let sound = std::fs::read(place.database()).unwrap();
    let pages = sound.len() as u64 / PAGE;
    let mut garbage = vec![0; PAGE as usize];
    rand::rngs::StdRng::seed_from_u64(2).fill(&mut garbage[..]);
    for page in [0, 1, 2, pages / 3, pages / 2, pages - 1] {
        std::fs::write(place.database(), &sound).unwrap();
        let file = File::options().write(true).open(place.database()).unwrap();
        file.write_all_at(&garbage, page * PAGE).unwrap();
        let said = refused(&place, Code::Internal.exit_code()).await;
        assert!(said.contains("can't be read"), "page {page}: {said}");
    }
    // With the sound file back, it is served again.
    std::fs::write(place.database(), &sound).unwrap();
    let server = place.server().await;
    let summary = assert_sound(&server.client(), &Acknowledged::default()).await;
    assert_eq!(summary.tasks(), TASKS as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_newer_than_the_binary_is_refused_and_not_touched() {
    let place = stopped().await;
    let file = File::options()
        .read(true)
        .write(true)
        .open(place.database())
        .unwrap();
    file.write_all_at(&4_711_u32.to_be_bytes(), SCHEMA_VERSION_AT)
        .unwrap();
    let before = std::fs::read(place.database()).unwrap();
    let said = refused(&place, Code::Internal.exit_code()).await;
    assert!(said.contains("schema 4711"), "{said}");
    assert!(said.contains("newer"), "no hint: {said}");
    assert_eq!(std::fs::read(place.database()).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_application_is_refused_and_not_touched() {
    let place = stopped().await;
    let file = File::options()
        .read(true)
        .write(true)
        .open(place.database())
        .unwrap();
    file.write_all_at(b"Them", APPLICATION_AT).unwrap();
    let before = std::fs::read(place.database()).unwrap();
    let said = refused(&place, Code::Internal.exit_code()).await;
    assert!(said.contains("another application"), "{said}");
    assert_eq!(std::fs::read(place.database()).unwrap(), before);
}

/// What a server leaves behind when it is killed keeps no other from starting.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_free_as_soon_as_its_server_is_dead() {
    let place = Place::new();
    let mut told = Acknowledged::default();
    for round in 0..3 {
        let server: Server = place.server().await;
        let spec = TaskSpec::new(format!("round {round}"));
        let created = server.client().create_task(&spec).await.unwrap();
        told.created.push(created.id);
        server.kill();
    }
    let server = place.server().await;
    let summary = assert_sound(&server.client(), &told).await;
    assert_eq!(summary.tasks(), 3);
}
