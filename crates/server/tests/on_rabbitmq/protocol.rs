//! The protocol, message by message, with an agent that does what it is told.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::agent::{Agent, ok, refused};
use crate::world::{Team, World, until};

impl Team<'_> {
    /// An agent of this team that is registered with its own key, and its task queues.
    async fn agent(&self, name: &str, queues: &[&str]) -> (Agent, Vec<String>) {
        let agent = Agent::connect(self.world, name, Some(self.key(name).await)).await;
        let queues = agent.register(queues, 8).await;
        (agent, queues)
    }
}

fn held(claim: &Value) -> Value {
    json!({"task": claim["task"]["id"], "token": claim["token"]})
}

fn with(mut held: Value, mut more: Value) -> Value {
    let fields = held.as_object_mut().expect("an object");
    fields.append(more.as_object_mut().expect("an object"));
    held
}

pub(crate) async fn a_task_goes_its_whole_way(world: &World) {
    let team = world.team("way").await;
    let (ada, queues) = team.agent("ada", &["default", "rust.nightly"]).await;
    assert_eq!(queues.len(), 4 * 4, "{queues:?}");
    assert_eq!(queues[0], "agent.tasks.way.agent.ada.critical");
    assert!(queues.contains(&"agent.tasks.way.queue.rust:nightly.normal".to_owned()));
    let seen = team.get("/v1/agents/ada").await;
    assert_eq!(
        (&seen["transport"], &seen["present"]),
        (&json!("amqp"), &json!(true))
    );

    let before = team.create(json!({"title": "first", "key": "a"})).await;
    let spec = json!({"title": "count", "prompt": "count them", "queue": "rust.nightly",
        "priority": "high", "depends_on": [{"task": before}], "input": {"n": 3}});
    let task = team.create(spec).await;
    let claim = ada.claim(&queues).await;
    assert_eq!(claim["task"]["id"], *before, "the other one waits for it");
    let done = with(held(&claim), json!({"text": "it is three"}));
    ok(ada.report("completed", &done).await);

    let taken = ada.offer(&queues).await;
    assert_eq!(taken.offer["task"], *task);
    assert_eq!(taken.offer["lane"], "queue/rust.nightly");
    let body = json!({"agent": "ada", "task": task});
    let claim = ok(ada.report("started", &body).await);
    taken.drop_it().await;
    assert_eq!(claim["task"]["spec"]["prompt"], "count them");
    assert_eq!(claim["task"]["spec"]["input"]["n"], 3);
    assert_eq!(claim["dependencies"][0]["text"], "it is three");

    let beats = json!({"agent": "ada", "beats": [with(held(&claim), json!({"progress": {"percent": 50.0, "note": "half"}}))]});
    let alive = ok(ada.report("heartbeat", &beats).await);
    assert!(alive["items"][0]["ok"]["expires_at"].is_string(), "{alive}");
    assert_eq!(team.task(&task).await["progress"]["note"], "half");

    let done = with(held(&claim), json!({"text": "three", "json": {"n": 3}}));
    let settled = ok(ada.report("completed", &done).await);
    assert_eq!(
        (&settled["state"], &settled["attempt"]),
        (&json!("succeeded"), &json!(1))
    );
    let stored = team.task(&task).await;
    assert_eq!(stored["result"]["json"]["n"], 3);
}

pub(crate) async fn a_report_that_is_repeated_gets_the_same_answer(world: &World) {
    let team = world.team("repeat").await;
    let (ada, queues) = team.agent("ada", &["default"]).await;
    for kind in ["completed", "failed", "released"] {
        let task = team
            .create(json!({"title": kind, "retry": {"max_attempts": 1}}))
            .await;
        let taken = ada.offer(&queues).await;
        let start = json!({"agent": "ada", "task": task});
        let key = [("idempotency-key", kind)];
        let claim = ok(ada.report_with("started", &start, &key).await);
        let again = ok(ada.report_with("started", &start, &key).await);
        assert_eq!(claim, again, "{kind}");
        let without = ada.report("started", &start).await;
        assert_eq!(refused(&without), "wrong_state", "{kind}");
        taken.drop_it().await;
        let body = match kind {
            "failed" => with(
                held(&claim),
                json!({"failure": {"class": "permanent", "reason": "no"}}),
            ),
            _ => held(&claim),
        };
        let first = ok(ada.report(kind, &body).await);
        let second = ok(ada.report(kind, &body).await);
        assert_eq!(first, second, "{kind}");
        if kind == "released" {
            // Nobody wants the offer that its release made.
            team.post(&format!("/v1/tasks/{task}/cancel"), json!({}))
                .await;
            let stale = ada.offer(&queues).await;
            let late = ada.report("started", &start).await;
            assert_eq!(refused(&late), "wrong_state");
            stale.drop_it().await;
        }
        let attempts = team.task(&task).await["attempts"].clone();
        assert_eq!(attempts.as_array().map(Vec::len), Some(1), "{attempts}");
    }
}

pub(crate) async fn the_first_to_start_gets_the_task(world: &World) {
    let team = world.team("first").await;
    let (ada, _) = team.agent("ada", &["default"]).await;
    let (bob, _) = team.agent("bob", &["default"]).await;
    // As many as one of them has slots.
    for round in 0..8 {
        let task = team.create(json!({"title": format!("{round}")})).await;
        let start = |agent: &Agent| json!({"agent": agent.name, "task": task, "lease": "1m"});
        let (of_ada, of_bob) = (start(&ada), start(&bob));
        let answers = tokio::join!(
            ada.report("started", &of_ada),
            bob.report("started", &of_bob)
        );
        let (won, lost) = match answers {
            (ada, bob) if ada.get("ok").is_some() => (ada, bob),
            (ada, bob) => (bob, ada),
        };
        ok(won);
        assert_eq!(refused(&lost), "wrong_state");
    }
}

pub(crate) async fn what_belongs_to_somebody_else_is_refused(world: &World) {
    let team = world.team("else").await;
    let (ada, queues) = team.agent("ada", &["default"]).await;
    let (bob, _) = team.agent("bob", &["review"]).await;
    let task = team.create(json!({"title": "hers"})).await;

    let not_served = bob
        .report("started", &json!({"agent": "bob", "task": task}))
        .await;
    assert_eq!(refused(&not_served), "forbidden");
    let as_her = bob
        .report("started", &json!({"agent": "ada", "task": task}))
        .await;
    assert_eq!(refused(&as_her), "forbidden");
    let claim = ada.claim(&queues).await;
    let taken = bob.report("completed", &held(&claim)).await;
    assert_eq!(refused(&taken), "forbidden");
    let forged = json!({"task": task, "token": "1-00000000000000000000000000000000"});
    let forged = bob.report("completed", &forged).await;
    assert_eq!(refused(&forged), "lease_lost");
    let register = bob.report("registered", &json!({"agent": "ada"})).await;
    assert_eq!(refused(&register), "forbidden");

    let denied = team.events("access.denied").await;
    assert_eq!(denied.len(), 3, "{denied:?}");
    assert!(
        denied.iter().all(|event| event["actor"] == "agent:bob"),
        "{denied:?}"
    );
    ok(ada.report("completed", &held(&claim)).await);
    team.reaches(&task, "succeeded").await;
}

pub(crate) async fn what_is_called_off_is_told_with_the_next_heartbeat(world: &World) {
    let team = world.team("off").await;
    let (ada, queues) = team.agent("ada", &["default"]).await;
    let task = team.create(json!({"title": "long"})).await;
    let claim = ada.claim(&queues).await;
    let cancel = json!({"reason": "no longer needed"});
    team.post(&format!("/v1/tasks/{task}/cancel"), cancel).await;
    let beats = json!({"agent": "ada", "beats": [held(&claim)]});
    let alive = ok(ada.report("heartbeat", &beats).await);
    assert_eq!(alive["items"][0]["ok"]["cancel"], "no longer needed");
    let stopped = with(
        held(&claim),
        json!({"outcome": "cancelled", "failure": {"class": "transient", "reason": "called off"}}),
    );
    let settled = ok(ada.report("failed", &stopped).await);
    assert_eq!(settled["state"], "cancelled");
}

pub(crate) async fn a_report_without_a_place_for_its_answer_is_carried_out(world: &World) {
    let team = world.team("silent").await;
    let (ada, queues) = team.agent("ada", &["default"]).await;
    let task = team.create(json!({"title": "x"})).await;
    let claim = ada.claim(&queues).await;
    ada.tell("completed", &held(&claim)).await;
    team.reaches(&task, "succeeded").await;
    assert!(ada.hears_nothing(Duration::from_millis(100)).await);
}

pub(crate) async fn a_paused_queue_and_full_slots_hand_out_nothing(world: &World) {
    let team = world.team("slots").await;
    let bob = Agent::connect(world, "bob", Some(team.key("bob").await)).await;
    bob.register(&["default"], 1).await;
    let mut answers = Vec::new();
    for title in ["one", "two"] {
        let task = team.create(json!({"title": title})).await;
        let start = json!({"agent": "bob", "task": task});
        answers.push(bob.report("started", &start).await);
    }
    assert_eq!(refused(&answers[1]), "wrong_state", "{answers:?}");
    let claim = ok(answers.swap_remove(0));
    ok(bob.report("released", &held(&claim)).await);
    team.ask(Method::POST, "/v1/queues/default/pause", None)
        .await;
    let start = json!({"agent": "bob", "task": claim["task"]["id"]});
    let paused = bob.report("started", &start).await;
    assert_eq!(refused(&paused), "wrong_state");
    team.ask(Method::POST, "/v1/queues/default/resume", None)
        .await;
    ok(bob.report("started", &start).await);
}

pub(crate) async fn a_store_that_is_killed_costs_no_report(world: &mut World) {
    let (ada, claim) = {
        let team = world.team("away").await;
        let (ada, queues) = team.agent("ada", &["default"]).await;
        team.create(json!({"title": "x"})).await;
        let claim = ada.claim(&queues).await;
        (ada, claim)
    };
    world.postgres.kill();
    let body = held(&claim);
    ada.tell("completed", &body).await;
    assert!(ada.hears_nothing(Duration::from_millis(500)).await);
    world.postgres.restart().expect("it starts again");
    let team = world.team("away").await;
    let task = claim["task"]["id"].as_str().expect("an id");
    team.reaches(task, "succeeded").await;
    assert_eq!(
        ok(ada.report("completed", &body).await)["state"],
        "succeeded"
    );
}

pub(crate) async fn reports_wait_for_a_server_that_is_down(world: &mut World) {
    let (ada, claim, task) = {
        let team = world.team("down").await;
        let (ada, queues) = team.agent("ada", &["default"]).await;
        let task = team.create(json!({"title": "x"})).await;
        let claim = ada.claim(&queues).await;
        (ada, claim, task)
    };
    world.stop().await;
    ada.tell("completed", &held(&claim)).await;
    world.serve().await;
    let team = world.team("down").await;
    team.reaches(&task, "succeeded").await;
    let again = ok(ada.report("completed", &held(&claim)).await);
    assert_eq!(again["state"], "succeeded");
}

pub(crate) async fn an_agent_that_is_offered_nothing_new_takes_what_waits(world: &World) {
    let team = world.team("late").await;
    team.ask(Method::PUT, "/v1/queues/old", None).await;
    let task = team.create(json!({"title": "old", "queue": "old"})).await;
    let (ada, queues) = team.agent("ada", &["old"]).await;
    let claim = ada.claim(&queues).await;
    assert_eq!(claim["task"]["id"], *task);
    ok(ada.report("completed", &held(&claim)).await);
    until("its event is there", || async {
        let ended = team.events("task.succeeded").await;
        (ended.len() == 1).then_some(())
    })
    .await;
}

/// The broker's bound on how long a delivery may stay unacknowledged: an agent
/// that holds an offer for longer loses its channel, and the offer comes again.
/// The server acknowledges at the claim and never meets it.
pub(crate) async fn an_offer_that_is_held_too_long_comes_again(world: &mut World) {
    const RECONNECTS: &str = "orchestrator_broker_reconnects_total";
    // For channels that are opened from now on, and looked at often.
    let short = "application:set_env(rabbit, consumer_timeout, 1500), \
        application:set_env(rabbit, channel_tick_interval, 200).";
    let control = |arguments: &[&str]| {
        world.rabbit.control(arguments).expect("rabbitmqctl works");
    };
    control(&["eval", short]);
    let before = world.sample(RECONNECTS).await;
    control(&["close_all_connections", "the bound is another now"]);
    until("the server has connected again", || async {
        (world.sample(RECONNECTS).await > before).then_some(())
    })
    .await;
    let before = world.sample(RECONNECTS).await;

    let team = world.team("held").await;
    let (steady, steadys) = team.agent("steady", &["steady"]).await;
    let long = team
        .create(json!({"title": "long", "queue": "steady"}))
        .await;
    let claim = steady.claim(&steadys).await;
    let (slow, queues) = team.agent("slow", &["default"]).await;
    let task = team.create(json!({"title": "held"})).await;
    let taken = slow.offer(&queues).await;
    assert_eq!(taken.offer["task"], *task);
    until("the broker ends its channel", || async {
        (!slow.channel.status().connected()).then_some(())
    })
    .await;

    let (quick, queues) = team.agent("quick", &["default"]).await;
    let again = quick.claim(&queues).await;
    assert_eq!(again["task"]["id"], *task);
    for (agent, claim) in [(&quick, again), (&steady, claim)] {
        let done = with(held(&claim), json!({"text": "done"}));
        ok(agent.report("completed", &done).await);
    }
    for task in [task, long] {
        team.reaches(&task, "succeeded").await;
    }
    assert_eq!(world.sample(RECONNECTS).await, before);
}
