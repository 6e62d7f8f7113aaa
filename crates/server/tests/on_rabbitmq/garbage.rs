//! What can't be dealt with: answered, put into the dead letters with its
//! reason and without its secrets, and never in the way of what comes after it.

use std::collections::HashMap;

use lapin::options::{BasicAckOptions, BasicGetOptions};
use lapin::types::AMQPValue;
use serde_json::json;

use crate::agent::{Agent, ok, refused};
use crate::world::{World, until};

/// A dead letter.
struct Dead {
    reason: String,
    kind: String,
    headers: Vec<String>,
    body: Vec<u8>,
}

async fn next_dead_letter(agent: &Agent) -> Dead {
    until("a dead letter is there", || async {
        let got = agent
            .channel
            .basic_get("agent.dead".into(), BasicGetOptions::default())
            .await;
        let message = got.expect("the queue is there")?;
        message
            .ack(BasicAckOptions::default())
            .await
            .expect("acknowledged");
        let headers: HashMap<String, String> = message
            .properties
            .headers()
            .as_ref()
            .map(|headers| {
                let texts = headers
                    .inner()
                    .iter()
                    .filter_map(|(name, value)| match value {
                        AMQPValue::LongString(text) => Some((name.to_string(), text.to_string())),
                        _ => None,
                    });
                texts.collect()
            })
            .unwrap_or_default();
        Some(Dead {
            reason: headers
                .get("collective-reason")
                .cloned()
                .unwrap_or_default(),
            kind: headers.get("collective-kind").cloned().unwrap_or_default(),
            headers: headers.into_keys().collect(),
            body: message.data.clone(),
        })
    })
    .await
}

pub(crate) async fn garbage_ends_in_the_dead_letters_and_stops_nothing(world: &World) {
    let team = world.team("garbage").await;
    let key = team.key("ada").await;
    let ada = Agent::connect(world, "ada", Some(key.clone())).await;
    let queues = ada.register(&["default"], 8).await;
    let task = team.create(json!({"title": "x"})).await;
    let deep = format!("{}1{}", r#"{"agent":"#.repeat(300), "}".repeat(300));
    for (kind, body, code) in [
        ("completed", &b""[..], "invalid_body"),
        ("completed", b"\xff\xfe\x00", "invalid_body"),
        ("completed", b"{\"task\": ", "invalid_body"),
        ("completed", b"[]", "invalid_body"),
        ("completed", b"{\"task\": 7}", "invalid_field"),
        (
            "started",
            b"{\"agent\": \"ada\", \"colour\": \"red\"}",
            "invalid_field",
        ),
        ("started", b"{\"agent\": \"No Name\"}", "invalid_name"),
        ("heartbeat", deep.as_bytes(), "invalid_name"),
        ("failed", b"{}", "invalid_field"),
        ("released", b"null", "invalid_body"),
        (
            "registered",
            b"{\"agent\": \"ada\", \"slots\": -1}",
            "invalid_field",
        ),
    ] {
        let answer = ada.raw(kind, body, &[]).await;
        assert!(!answer.to_string().contains(&key), "{answer}");
        let told = refused(&answer).to_owned();
        let dead = next_dead_letter(&ada).await;
        assert_eq!((dead.kind.as_str(), dead.body.as_slice()), (kind, body));
        assert!(
            dead.reason.starts_with(&format!("{told}: ")),
            "{}",
            dead.reason
        );
        assert!(
            !dead.headers.iter().any(|name| name.contains("key")),
            "{:?}",
            dead.headers
        );
        if !body.starts_with(b"{\"agent\":{\"agent\"") {
            assert_eq!(told, code, "{answer}");
        }
    }
    let claim = ada.claim(&queues).await;
    assert_eq!(claim["task"]["id"], *task, "the queue goes on");
    let buried = world
        .sample("orchestrator_amqp_reports_total{kind=\"completed\",outcome=\"buried\"")
        .await;
    assert!(buried >= 5.0, "{buried}");
}

pub(crate) async fn a_report_without_a_valid_key_is_not_listened_to(world: &World) {
    let team = world.team("keys").await;
    let ada = Agent::connect(world, "ada", Some(team.key("ada").await)).await;
    ada.register(&["default"], 8).await;
    let before = world.sample("orchestrator_auth_failures_total").await;
    for key in [None, Some("ck_nonsense"), Some("")] {
        let stranger = Agent::connect(world, "ada", key.map(str::to_owned)).await;
        let answer = stranger
            .report("registered", &json!({"agent": "ada"}))
            .await;
        assert_eq!(refused(&answer), "unauthenticated");
        let hint = answer["error"]["hint"].as_str().expect("a hint");
        assert!(hint.contains("collective-key"), "{hint}");
        let dead = next_dead_letter(&ada).await;
        assert_eq!(dead.reason, "unauthenticated: the report has no valid key");
        assert!(
            !dead.headers.iter().any(|name| name.contains("key")),
            "{:?}",
            dead.headers
        );
    }
    let counted = world.sample("orchestrator_auth_failures_total").await - before;
    assert!((counted - 3.0).abs() < f64::EPSILON, "{counted}");
}

pub(crate) async fn an_unknown_kind_and_a_huge_body_are_dead_letters_too(world: &World) {
    let team = world.team("kinds").await;
    let key = team.key("ada").await;
    let ada = Agent::connect(world, "ada", Some(key.clone())).await;
    // Past the exchange, straight into the queue.
    let headers = [("collective-key", &*key)];
    ada.publish(("", "agent.results"), &headers, b"{}", true)
        .await;
    let answer = ada.answer("agent.results").await;
    assert_eq!(refused(&answer), "no_such_route");
    let dead = next_dead_letter(&ada).await;
    assert!(
        dead.reason.starts_with("no_such_route: "),
        "{}",
        dead.reason
    );

    let huge = vec![b'x'; collective_bus::rabbitmq::MAX_BODY + 1];
    ada.publish(("agent.results", "completed"), &[], &huge, false)
        .await;
    let dead = next_dead_letter(&ada).await;
    assert!(dead.reason.contains("bytes"), "{}", dead.reason);
    ok(ada.report("registered", &json!({"agent": "ada"})).await);
}
