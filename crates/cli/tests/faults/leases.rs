//! Leases against agents that come late, repeat themselves, or aren't who they say.

use collective_api::leases::{Beat, Claim, ClaimRequest, HeartbeatRequest, LeaseRef};
use collective_client::Client;
use collective_core::limits::{DEFAULT_LEASE, MIN_LEASE};
use collective_core::task::{AttemptOutcome, RetryPolicy, TaskSpec, TaskState};
use collective_core::{Code, Span};
use collective_testkit::history::Acknowledged;

use crate::load::{broken, done};
use crate::support::{DEADLINE, Place, agent, assert_sound, name, refusal};

/// One claim of one task.
async fn claim(client: &Client, agent: &str, lease: Span) -> Claim {
    let request = ClaimRequest {
        agent: name(agent),
        max: 1,
        lease,
        wait: Span::from_micros(u64::try_from(DEADLINE.as_micros()).unwrap()),
    };
    let answer = client.claim(&request).await.unwrap();
    answer.claims.into_iter().next().unwrap()
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

#[tokio::test]
async fn who_comes_with_a_stale_token_has_lost_the_lease_and_changes_nothing() {
    let place = Place::new();
    let server = place.server().await;
    let admin = server.client();
    let (ada, bob) = (agent(&admin, "ada", 1).await, agent(&admin, "bob", 1).await);
    let task = admin.create_task(&quickly_retried("once")).await.unwrap();
    let first = claim(&ada, "ada", MIN_LEASE).await;
    // Waits until the first lease has run out: there is no other way to get it.
    let second = claim(&bob, "bob", DEFAULT_LEASE).await;
    assert_eq!(second.task.id, task.id);
    assert!(second.token.epoch > first.token.epoch);

    for _ in 0..2 {
        assert_eq!(refusal(ada.complete(done(&first)).await), Code::LeaseLost);
        assert_eq!(refusal(ada.fail(broken(&first)).await), Code::LeaseLost);
        let lease = LeaseRef {
            task: task.id,
            token: first.token,
        };
        assert_eq!(refusal(ada.release(lease, "tired").await), Code::LeaseLost);
        let beat = HeartbeatRequest {
            agent: name("ada"),
            beats: vec![Beat {
                task: task.id,
                token: first.token,
                progress: None,
            }],
            wait: Span::ZERO,
        };
        let answer = ada.heartbeat(&beat).await.unwrap();
        let lost = answer.items.into_iter().next().unwrap().into_result();
        assert_eq!(lost.unwrap_err().code, Code::LeaseLost.as_str());
    }
    let settled = bob.complete(done(&second)).await.unwrap();
    assert_eq!(settled.state, TaskState::Succeeded);
    assert_eq!(refusal(ada.complete(done(&first)).await), Code::LeaseLost);

    let detail = admin.task(task.id).await.unwrap();
    assert_eq!(detail.task.result.unwrap().text, done(&second).text);
    let outcomes: Vec<AttemptOutcome> = detail.attempts.iter().map(|a| a.outcome).collect();
    assert_eq!(outcomes, [AttemptOutcome::Lost, AttemptOutcome::Succeeded]);
    let told = Acknowledged {
        created: vec![task.id],
        claimed: vec![(task.id, first.token.epoch), (task.id, second.token.epoch)],
        succeeded: vec![(task.id, second.token.epoch)],
        failed: Vec::new(),
    };
    assert_sound(&admin, &told).await;
}

#[tokio::test]
async fn a_report_that_is_repeated_gets_the_same_answer_from_the_next_server_too() {
    let place = Place::new();
    let server = place.server().await;
    let admin = server.client();
    let ada = agent(&admin, "ada", 2).await;
    let mut told = Acknowledged::default();
    for title in ["good", "bad"] {
        let task = admin.create_task(&TaskSpec::new(title)).await.unwrap();
        told.created.push(task.id);
    }
    let good = claim(&ada, "ada", DEFAULT_LEASE).await;
    let bad = claim(&ada, "ada", DEFAULT_LEASE).await;
    let completed = ada.complete(done(&good)).await.unwrap();
    let failed = ada.fail(broken(&bad)).await.unwrap();
    told.succeeded.push((good.task.id, good.token.epoch));
    told.failed.push((bad.task.id, bad.token.epoch));
    assert_eq!(ada.complete(done(&good)).await.unwrap(), completed);
    let again = ada.fail(broken(&bad)).await.unwrap();
    assert_eq!(
        (again.attempt, again.outcome),
        (failed.attempt, failed.outcome)
    );

    server.kill();
    let server = place.server().await;
    let admin = server.client();
    assert_eq!(ada.complete(done(&good)).await.unwrap(), completed);
    // What another text says now doesn't replace what was recorded.
    let mut other = done(&good);
    other.text = "something else".to_owned();
    assert_eq!(ada.complete(other).await.unwrap(), completed);
    let detail = admin.task(good.task.id).await.unwrap();
    assert_eq!(detail.task.result.unwrap().text, done(&good).text);
    let summary = assert_sound(&admin, &told).await;
    assert_eq!((summary.claims, summary.failed_attempts), (2, 1));
}

#[tokio::test]
async fn another_agents_key_cannot_report_even_with_the_right_token() {
    let place = Place::new();
    let server = place.server().await;
    let admin = server.client();
    let (ada, eve) = (agent(&admin, "ada", 1).await, agent(&admin, "eve", 1).await);
    let task = admin.create_task(&TaskSpec::new("adas")).await.unwrap();
    let held = claim(&ada, "ada", DEFAULT_LEASE).await;

    assert_eq!(refusal(eve.complete(done(&held)).await), Code::Forbidden);
    assert_eq!(refusal(eve.fail(broken(&held)).await), Code::Forbidden);
    let as_ada = ClaimRequest {
        agent: name("ada"),
        max: 1,
        lease: DEFAULT_LEASE,
        wait: Span::ZERO,
    };
    assert_eq!(refusal(eve.claim(&as_ada).await), Code::Forbidden);
    let stands = admin.task(task.id).await.unwrap().task;
    assert_eq!(stands.state, TaskState::Running);
    assert_eq!(stands.lease.unwrap().agent, name("ada"));

    ada.complete(done(&held)).await.unwrap();
    assert_eq!(refusal(eve.complete(done(&held)).await), Code::LeaseLost);
    let told = Acknowledged {
        created: vec![task.id],
        claimed: vec![(task.id, held.token.epoch)],
        succeeded: vec![(task.id, held.token.epoch)],
        failed: Vec::new(),
    };
    assert_sound(&admin, &told).await;
}
