//! Agents die in the middle of a task, and servers die under agents that work.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use collective_core::task::{AttemptOutcome, Epoch, RetryPolicy, TaskSpec, TaskState};
use collective_core::{AgentName, Span};
use collective_testkit::history::Acknowledged;
use rustix::process::Signal;

use crate::support::{Place, Process, appears, assert_sound, name, until};

/// In the environment of an agent and of everything that it starts.
const MARK: &str = "FAULTS_MARK";
/// The folder where the commands of a test leave their traces.
const SCENE: &str = "FAULTS_SCENE";
/// A lease far beyond a test's time: what happens meanwhile doesn't wait for its end.
const LONG: &str = "10m";
/// What "at once" is taken for on a machine under load.
const AT_ONCE: Duration = Duration::from_secs(10);

/// `collective agent run` with `script` as its command.
fn agent(place: &Place, called: &str, options: &[&str], script: &str) -> Process {
    let mut command = place.collective(&["agent", "run", "--name", called]);
    command.args(options).args(["--", "sh", "-c", script]);
    command.env(MARK, mark(place, called));
    command.env(SCENE, place.path(""));
    Process::start(&mut command)
}

fn mark(place: &Place, called: &str) -> String {
    format!("{}{called}", place.path("").display())
}

/// Processes that carry the mark of an agent. A zombie has no environment.
fn marked(place: &Place, called: &str) -> Vec<PathBuf> {
    let mark = format!("{MARK}={}\0", mark(place, called));
    let carries = |path: &PathBuf| {
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        let mut places = environment.windows(mark.len());
        places.any(|place| place == mark.as_bytes())
    };
    let processes = std::fs::read_dir("/proc").unwrap();
    let paths = processes.map(|entry| entry.unwrap().path());
    paths.filter(carries).collect()
}

fn quickly_retried(title: &str) -> TaskSpec {
    TaskSpec {
        retry: RetryPolicy {
            initial_delay: Span::ZERO,
            ..RetryPolicy::default()
        },
        ..TaskSpec::new(title)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_leaves_no_process_and_the_next_one_does_its_task_once() {
    let place = Place::new();
    let server = place.server().await;
    let admin = server.client();
    let task = admin.create_task(&quickly_retried("once")).await.unwrap();

    // One child in the background, one in a session of its own.
    let script = "sleep 600 & setsid sleep 600 & echo > $FAULTS_SCENE/started; wait";
    let mut ada = agent(&place, "ada", &["--lease", "3s"], script);
    appears(&place.path("started")).await;
    until("all of its processes run", async || {
        marked(&place, "ada").len() > 3
    })
    .await;
    ada.kill();
    until("nothing of it runs", async || {
        marked(&place, "ada").is_empty()
    })
    .await;

    let mut bob = agent(&place, "bob", &[], "echo done by bob");
    let ended = admin.wait_for_result(task.id, None).await.unwrap();
    assert_eq!(ended.state, TaskState::Succeeded, "{}", place.log());
    assert!(ended.result.unwrap().text.contains("done by bob"));
    let attempts = admin.task(task.id).await.unwrap().attempts;
    let told: Vec<(AgentName, AttemptOutcome)> = attempts
        .into_iter()
        .map(|attempt| (attempt.agent, attempt.outcome))
        .collect();
    let expected = [
        (name("ada"), AttemptOutcome::Lost),
        (name("bob"), AttemptOutcome::Succeeded),
    ];
    assert_eq!(told, expected);
    let told = Acknowledged {
        created: vec![task.id],
        succeeded: vec![(task.id, Epoch(2))],
        ..Acknowledged::default()
    };
    let summary = assert_sound(&admin, &told).await;
    assert_eq!((summary.claims, summary.lost_attempts), (2, 1), "{summary}");
    bob.signal(Signal::TERM);
    assert_eq!(bob.ended().await.code(), Some(0), "{}", place.log());
    until("nothing of it runs", async || {
        marked(&place, "bob").is_empty()
    })
    .await;
}

/// When the command ends, which the server's death must not disturb.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    WhileAway,
    AfterReturn,
}

async fn goes_on_without_server(ends: Ends) {
    let place = Place::new();
    let server = place.server().await;
    let admin = server.client();
    let task = admin.create_task(&quickly_retried("long")).await.unwrap();
    let script = "echo >> $FAULTS_SCENE/runs
        while [ ! -e $FAULTS_SCENE/go ]; do sleep 0.02; done
        echo finished; echo > $FAULTS_SCENE/over";
    let mut ada = agent(&place, "ada", &[], script);
    appears(&place.path("runs")).await;

    server.kill();
    if ends == Ends::WhileAway {
        std::fs::write(place.path("go"), "").unwrap();
        appears(&place.path("over")).await;
    }
    let server = place.server().await;
    let admin = server.client();
    if ends == Ends::AfterReturn {
        // A new server knows nobody as present until they call.
        until("the agent is back", async || {
            admin.agent(&name("ada")).await.unwrap().present
        })
        .await;
        std::fs::write(place.path("go"), "").unwrap();
    }
    let ended = admin.wait_for_result(task.id, None).await.unwrap();
    assert_eq!(ended.state, TaskState::Succeeded, "{}", place.log());
    assert_eq!(ended.epoch, Epoch(1));
    assert!(ended.result.unwrap().text.contains("finished"));
    let runs = std::fs::read_to_string(place.path("runs")).unwrap();
    assert_eq!(runs.lines().count(), 1, "the command was run again");
    let told = Acknowledged {
        created: vec![task.id],
        succeeded: vec![(task.id, Epoch(1))],
        ..Acknowledged::default()
    };
    assert_sound(&admin, &told).await;
    ada.signal(Signal::TERM);
    assert_eq!(ada.ended().await.code(), Some(0), "{}", place.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_goes_on_while_the_server_is_restarted() {
    goes_on_without_server(Ends::AfterReturn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_waits_for_the_server_that_died_meanwhile() {
    goes_on_without_server(Ends::WhileAway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_restarts_has_its_name_back_at_once() {
    let place = Place::new();
    let server = place.server().await;
    let admin = server.client();
    let options = ["--lease", LONG, "--slots", "2"];
    let held = admin.create_task(&TaskSpec::new("held")).await.unwrap();
    let mut ada = agent(
        &place,
        "ada",
        &options,
        "echo > $FAULTS_SCENE/started; sleep 600",
    );
    appears(&place.path("started")).await;
    let before = admin.agent(&name("ada")).await.unwrap();
    ada.kill();

    let began = Instant::now();
    let next = admin.create_task(&TaskSpec::new("next")).await.unwrap();
    let _ada = agent(&place, "ada", &options, "echo ada again");
    let ended = admin.wait_for_result(next.id, None).await.unwrap();
    assert_eq!(ended.state, TaskState::Succeeded, "{}", place.log());
    assert!(began.elapsed() < AT_ONCE, "it took {:?}", began.elapsed());
    let attempts = admin.task(next.id).await.unwrap().attempts;
    assert_eq!(attempts[0].agent, name("ada"));

    // It is the same agent, and what it held before stays under its lease.
    let agents = admin.list_agents().await.unwrap().items;
    assert_eq!(agents.len(), 1, "{agents:?}");
    assert_eq!(agents[0].agent.created_at, before.agent.created_at);
    let stands = admin.task(held.id).await.unwrap().task;
    assert_eq!(stands.state, TaskState::Running);
    assert_sound(&admin, &Acknowledged::default()).await;
}
