//! The agents of `examples/amqp-agents` at real work, beside one over HTTP.

use std::fs;

use collective_testkit::process::Process;
use reqwest::Method;
use serde_json::{Value, json};

use crate::programs::Program;
use crate::world::{Team, World, until};

/// Which agent ended the task.
fn by(task: &Value) -> String {
    let attempts = task["attempts"].as_array().expect("attempts");
    let last = attempts.last().expect("an attempt");
    last["agent"].as_str().expect("a name").to_owned()
}

/// Registers an agent over HTTP and works like one, until so many tasks are done.
async fn work_over_http(team: &Team<'_>, agent: &str, queue: &str, tasks: usize) {
    let registration = json!({"queues": [queue]});
    team.ask(
        Method::PUT,
        &format!("/v1/agents/{agent}"),
        Some(registration),
    )
    .await;
    for _ in 0..tasks {
        let request = json!({"agent": agent, "wait": "50s"});
        let answer = team.post("/v1/leases/claim", request).await;
        let claim = &answer["claims"][0];
        let path = claim["task"]["spec"]["input"]["file"].as_str();
        let text = fs::read_to_string(path.expect("a file")).expect("a text");
        let words = text.split_whitespace().count();
        let done = json!({"task": claim["task"]["id"], "token": claim["token"],
            "text": format!("{words} words"), "json": {"words": words}});
        team.post("/v1/leases/complete", json!({"completions": [done]}))
            .await;
    }
}

/// Every task is done, in one attempt and with the right count; gives by whom.
async fn all_done(team: &Team<'_>, tasks: &[(String, usize)]) -> Vec<String> {
    let mut agents = Vec::new();
    for (task, words) in tasks {
        let done = team.reaches(task, "succeeded").await;
        assert_eq!(done["attempts"].as_array().map(Vec::len), Some(1), "{done}");
        let text = done["result"]["text"].as_str().expect("a text");
        let counted = text.split_whitespace().next();
        assert_eq!(counted, Some(&*words.to_string()), "{text}");
        agents.push(by(&done));
    }
    agents
}

/// Starts each program that this machine can run, as the agent of a queue of its own.
async fn start_all(team: &Team<'_>) -> Vec<(&'static str, Process)> {
    let mut running = Vec::new();
    for (program, name) in [(Program::Python, "python"), (Program::Node, "node")] {
        let Some(installed) = program.installed() else {
            continue;
        };
        let queues = format!("{name},any");
        let process = installed.start(team, name, &queues, "wc -w").await;
        running.push((name, process));
        registered(team, name).await;
    }
    running
}

async fn registered(team: &Team<'_>, name: &str) {
    until(&format!("{name} has registered"), || async {
        let agents = team.get("/v1/agents").await.to_string();
        agents
            .contains(&format!("\"name\":\"{name}\""))
            .then_some(())
    })
    .await;
}

/// Files of a known length, and the tasks to count their words.
async fn texts(team: &Team<'_>, queue: &str, from: usize, count: usize) -> Vec<(String, usize)> {
    let mut tasks = Vec::new();
    for words in from..from + count {
        let path = team.world.scratch.path().join(format!("{words}.txt"));
        fs::write(&path, "word ".repeat(words)).expect("a text");
        let spec = json!({"title": format!("count {words} words"), "queue": queue,
            "input": {"file": path}, "prompt": "word ".repeat(words)});
        tasks.push((team.create(spec).await, words));
    }
    tasks
}

pub(crate) async fn agents_in_three_languages_do_real_tasks_side_by_side(world: &World) {
    let team = world.team("three").await;
    let running = start_all(&team).await;
    for (name, _) in &running {
        let tasks = texts(&team, name, 10, 4).await;
        let agents = all_done(&team, &tasks).await;
        assert!(agents.iter().all(|agent| agent == name), "{agents:?}");
    }
    // In one lane beside an agent over HTTP: each task once, whoever does it.
    team.ask(Method::PUT, "/v1/queues/any", None).await;
    let tasks = texts(&team, "any", 30, 12).await;
    let share = if running.is_empty() { 12 } else { 4 };
    work_over_http(&team, "hal", "any", share).await;
    let agents = all_done(&team, &tasks).await;
    let of_hal = agents.iter().filter(|agent| *agent == "hal").count();
    assert_eq!(of_hal, share, "{agents:?}");
}

pub(crate) async fn the_task_of_an_agent_that_is_killed_goes_to_another(world: &World) {
    let Some(python) = Program::Python.installed() else {
        return;
    };
    let team = world.team("killed").await;
    let started = world.scratch.path().join("started");
    // It lasts as long as its agent: nobody else ends the command of a dead one.
    let hangs = format!(
        "echo > {}; while kill -0 $PPID 2>&-; do sleep 0.1; done",
        started.display()
    );
    let dies = python.start(&team, "dies", "default", &hangs).await;
    registered(&team, "dies").await;
    let spec = json!({"title": "count", "prompt": "one two three"});
    let task = team.create(spec).await;
    until("its command runs", || async {
        started.exists().then_some(())
    })
    .await;
    dies.kill();
    let _lives = python.start(&team, "lives", "default", "wc -w").await;
    let done = team.reaches(&task, "succeeded").await;
    let attempts = done["attempts"].as_array().expect("attempts").iter();
    let outcomes: Vec<(&str, &str)> = attempts
        .map(|attempt| {
            let text = |name: &str| attempt[name].as_str().expect("text");
            (text("agent"), text("outcome"))
        })
        .collect();
    assert_eq!(outcomes, [("dies", "lost"), ("lives", "succeeded")]);
    assert_eq!(done["result"]["text"].as_str().map(str::trim), Some("3"));
}

pub(crate) async fn agents_outlive_a_broker_that_restarts(world: &mut World) {
    let running = {
        let team = world.team("broker").await;
        let running = start_all(&team).await;
        // Their queues are made and in use before the broker goes.
        for (name, _) in &running {
            all_done(&team, &texts(&team, name, 50, 2).await).await;
        }
        running
    };
    world.rabbit.restart().expect("it stops and starts again");
    let team = world.team("broker").await;
    for (name, _) in &running {
        for (task, _) in texts(&team, name, 60, 2).await {
            let done = team.reaches(&task, "succeeded").await;
            assert_eq!(by(&done), *name);
        }
    }
}
