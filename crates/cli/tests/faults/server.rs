//! The server dies, or is told to stop, in the middle of a load.

use std::time::{Duration, Instant};

use collective_api::leases::{ClaimRequest, HeartbeatRequest};
use collective_client::ClientError;
use collective_client::retry::RetryLimits;
use collective_core::agent::AgentSpec;
use collective_core::limits::{DEFAULT_LEASE, MAX_WAIT};
use collective_core::task::{TaskSpec, TaskState};
use collective_core::{Code, QueueName};
use futures_util::future::join3;

use crate::load::Load;
use crate::support::{Place, agent, assert_sound, events, name};

/// How often the server is killed in one test.
const KILLS: u32 = 4;
/// Completions between two kills: the load is well under way.
const BETWEEN_KILLS: u64 = 150;
/// A stop takes this long at most, though long polls would wait for 55 s.
const SOON: Duration = Duration::from_secs(10);

async fn survives_kills(sync: &str) {
    let place = Place::new();
    let more = ["--sync", sync];
    let mut server = place.server_with(&more).await;
    let mut load = Load::start(&server.client()).await;
    for _ in 0..KILLS {
        load.completes(BETWEEN_KILLS).await;
        server.kill();
        server = place.server_with(&more).await;
    }
    load.completes(BETWEEN_KILLS).await;
    let told = load.finish().await;

    let client = server.client();
    let summary = assert_sound(&client, &told).await;
    // No batch is missing, none was taken twice, and all could be finished.
    assert_eq!(summary.tasks(), told.created.len() as u64, "{summary}");
    let succeeded = summary.states.get(&TaskState::Succeeded).copied();
    assert_eq!(succeeded, Some(summary.tasks()), "{summary}");

    // And it is the file that says so, not the memory of the last server.
    let log = events(&client).await;
    server.kill();
    let server = place.server_with(&more).await;
    assert_eq!(events(&server.client()).await, log);
    assert_sound(&server.client(), &told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed_again_and_again() {
    survives_kills("full").await;
}

/// `--sync normal` gives up what a power cut takes; a kill takes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_takes_nothing_with_sync_normal_either() {
    survives_kills("normal").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_answers_what_is_in_flight_and_loses_nothing() {
    let place = Place::new();
    let server = place.server().await;
    let admin = server.client();
    let mut load = Load::start(&admin).await;
    let nobodys = QueueName::new("nobodys").unwrap();
    admin.declare_queue(&nobodys).await.unwrap();
    let spec = TaskSpec {
        queue: Some(nobodys),
        ..TaskSpec::new("waits")
    };
    let waiting = admin.create_task(&spec).await.unwrap();
    let idle = agent(&admin, "idle", 1).await;
    let spec = AgentSpec {
        queues: vec![QueueName::new("empty").unwrap()],
        ..AgentSpec::default()
    };
    idle.register_agent(&name("idle"), &spec).await.unwrap();

    let (once, idle) = (
        admin.with_retry(RetryLimits::NONE),
        idle.with_retry(RetryLimits::NONE),
    );
    let polls = tokio::spawn(async move {
        let claim = ClaimRequest {
            agent: name("idle"),
            max: 1,
            lease: DEFAULT_LEASE,
            wait: MAX_WAIT,
        };
        let beat = HeartbeatRequest {
            agent: name("idle"),
            beats: Vec::new(),
            wait: MAX_WAIT,
        };
        join3(
            once.task_result(waiting.id, MAX_WAIT),
            idle.claim(&claim),
            idle.heartbeat(&beat),
        )
        .await
    });
    load.completes(BETWEEN_KILLS).await;
    let began = Instant::now();
    assert_eq!(server.stop().await, Some(0), "{}", place.log());
    assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
    let (result, claim, beat) = polls.await.unwrap();
    answered(result.map(drop));
    answered(claim.map(drop));
    answered(beat.map(drop));

    let server = place.server().await;
    let client = server.client();
    client.cancel_task(waiting.id, "over").await.unwrap();
    let mut told = load.finish().await;
    told.created.push(waiting.id);
    let summary = assert_sound(&client, &told).await;
    assert_eq!(summary.tasks(), told.created.len() as u64, "{summary}");
    assert_eq!(summary.ended(), summary.tasks(), "{summary}");
}

/// A long poll that a stop interrupts is answered, be it by "not now".
fn answered(answer: Result<(), ClientError>) {
    if let Err(error) = answer {
        assert!(error.is(Code::Draining), "not answered: {error}");
    }
}
