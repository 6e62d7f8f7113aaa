//! Long polls: they end with what they wait for, not with a poll.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::TestServer;

/// Well below the five seconds after which the service looks again by itself:
/// whoever answers later than this polled.
const PROMPT: Duration = Duration::from_secs(3);

/// Runs a long poll, does `cause` once the poll is on its way, and says how long after it the answer came.
async fn woken_by(
    poll: impl Future<Output = serde_json::Value>,
    cause: impl Future<Output = ()>,
) -> (serde_json::Value, Duration) {
    let caused = async {
        // Yields to the poll; whether it waits by now or not, it has to end well.
        tokio::task::yield_now().await;
        cause.await;
        Instant::now()
    };
    let (answer, caused_at) = tokio::join!(
        async {
            let answer = poll.await;
            (answer, Instant::now())
        },
        caused
    );
    (answer.0, answer.1.saturating_duration_since(caused_at))
}

#[tokio::test]
async fn a_claim_that_waits_is_woken_by_a_task() {
    let server = TestServer::start().await;
    server.register("ada").await;
    for _ in 0..5 {
        let (claim, late) = woken_by(server.claim("ada"), async {
            server.create(&json!({"title": "x"})).await;
        })
        .await;
        assert_eq!(claim["task"]["spec"]["title"], "x");
        assert!(late < PROMPT, "{late:?}");
    }
}

#[tokio::test]
async fn a_claim_that_waits_for_nothing_answers_empty() {
    let server = TestServer::start().await;
    server.register("ada").await;
    let started = Instant::now();
    let answer = server
        .post(
            "/v1/leases/claim",
            &json!({"agent": "ada", "wait": "200ms"}),
        )
        .await
        .ok(200);
    assert_eq!(answer["claims"], json!([]));
    assert!(started.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn whoever_waits_for_a_result_gets_it_when_the_task_ends() {
    let server = TestServer::start().await;
    server.register("ada").await;
    let (task, token) = server.held_task("ada", &json!({"title": "x"})).await;
    let path = format!("/v1/tasks/{task}/result?wait=15s");
    let (result, late) = woken_by(async { server.get(&path).await.ok(200) }, async {
        let done = json!({"completions": [{"task": task, "token": token, "text": "done"}]});
        server.post("/v1/leases/complete", &done).await.ok(200);
    })
    .await;
    assert_eq!(result["result"]["text"], "done");
    assert!(late < PROMPT, "{late:?}");
}

#[tokio::test]
async fn a_heartbeat_that_waits_hears_at_once_that_its_task_is_called_off() {
    let server = TestServer::start().await;
    server.register("ada").await;
    let (task, token) = server.held_task("ada", &json!({"title": "x"})).await;
    let beat = json!({"agent": "ada", "wait": "15s", "beats": [{"task": task, "token": token}]});
    let (answer, late) = woken_by(
        async { server.post("/v1/leases/heartbeat", &beat).await.ok(200) },
        async {
            let cancel = format!("/v1/tasks/{task}/cancel");
            server
                .post(&cancel, &json!({"reason": "changed my mind"}))
                .await
                .ok(200);
        },
    )
    .await;
    assert_eq!(answer["items"][0]["ok"]["cancel"], "changed my mind");
    assert!(late < PROMPT, "{late:?}");
}
