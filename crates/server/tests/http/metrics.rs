//! The metrics that dashboards and alerts name exist, and the counters are exact.

use collective_core::limits::DEFAULT_PAGE;
use reqwest::Method;
use serde_json::json;

use crate::harness::TestServer;

/// The value of the one sample whose line starts like this; 0 if there is none.
fn sample(metrics: &str, start: &str) -> f64 {
    let mut found = metrics
        .lines()
        .filter(|line| line.starts_with(start))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    let value = found.next().unwrap_or(0.0);
    assert_eq!(found.next(), None, "`{start}` names more than one sample");
    value
}

#[tokio::test]
async fn every_metric_that_is_named_elsewhere_exists() {
    let server = TestServer::start().await;
    server.register("ada").await;
    let done = server.held_task("ada", &json!({"title": "x"})).await;
    let completion = json!({"completions": [{"task": done.0, "token": done.1}]});
    server
        .post("/v1/leases/complete", &completion)
        .await
        .ok(200);
    let dies = server.held_task("ada", &json!({"title": "y"})).await;
    let failure = json!({"failures": [{"task": dies.0, "token": dies.1,
        "failure": {"class": "permanent", "reason": "no"}}]});
    server.post("/v1/leases/fail", &failure).await.ok(200);
    server.create(&json!({"title": "z"})).await;
    let text = server.get("/metrics").await.text;
    for name in [
        "orchestrator_task_queue_size",
        "orchestrator_tasks_completed_total",
        "orchestrator_tasks_failed_total",
        "orchestrator_task_duration_seconds_bucket",
        "orchestrator_agents_available",
        "orchestrator_agents_busy",
        "orchestrator_agents_total",
        "orchestrator_auth_failures_total",
        "orchestrator_unauthorized_access_total",
        "orchestrator_part_up",
        "orchestrator_build_info",
        "http_requests_total",
        "http_request_duration_seconds_bucket",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
    ] {
        let there = text.lines().any(|line| {
            line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} "))
        });
        assert!(there, "{name} is missing from\n{text}");
    }
}

#[tokio::test]
async fn counters_say_exactly_what_was_committed() {
    let server = TestServer::start().await;
    server.register("ada").await;
    let tasks: Vec<_> = (0..20).map(|_| json!({"title": "x"})).collect();
    server
        .post("/v1/tasks/batch", &json!({"tasks": tasks}))
        .await
        .ok(201);
    let claimed = server
        .post("/v1/leases/claim", &json!({"agent": "ada", "max": 17}))
        .await
        .ok(200);
    let claims = claimed["claims"].as_array().expect("claims");
    let (done, failed) = claims.split_at(12);
    let completions: Vec<_> = done
        .iter()
        .map(|claim| json!({"task": claim["task"]["id"], "token": claim["token"]}))
        .collect();
    // Sent twice: a repeated report counts once.
    for _ in 0..2 {
        server
            .post("/v1/leases/complete", &json!({"completions": completions}))
            .await
            .ok(200);
    }
    let failures: Vec<_> = failed[..3]
        .iter()
        .map(|claim| {
            json!({"task": claim["task"]["id"], "token": claim["token"],
                "failure": {"class": "permanent", "reason": "no"}})
        })
        .collect();
    server
        .post("/v1/leases/fail", &json!({"failures": failures}))
        .await
        .ok(200);

    let text = server.get("/metrics").await.text;
    let lane = r#"{team="default",queue="default"}"#;
    for (name, value) in [
        ("orchestrator_tasks_created_total", 20.0),
        ("orchestrator_tasks_completed_total", 12.0),
        ("orchestrator_task_duration_seconds_count", 12.0),
        ("orchestrator_task_queue_size", 3.0),
        ("orchestrator_tasks_running", 2.0),
    ] {
        assert_eq!(sample(&text, &format!("{name}{lane}")), value, "{name}");
    }
    let dead =
        r#"orchestrator_tasks_failed_total{team="default",queue="default",reason="permanent"}"#;
    assert_eq!(sample(&text, dead), 3.0);
    let team = r#"{team="default"}"#;
    for (name, value) in [
        ("orchestrator_agents_total", 1.0),
        ("orchestrator_agents_busy", 1.0),
        ("orchestrator_agents_available", 1.0),
        ("orchestrator_dead_letters", 3.0),
    ] {
        assert_eq!(sample(&text, &format!("{name}{team}")), value, "{name}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_never_by_path() {
    let server = TestServer::start().await;
    for number in 0..DEFAULT_PAGE {
        server.get(&format!("/v1/tasks/{number}")).await;
        server.get(&format!("/nowhere/{number}")).await;
    }
    server
        .send(server.plain(Method::GET, "/v1/tasks"))
        .await
        .refused(401, "unauthenticated");
    let monitor = server.key("monitor", None).await;
    let create = server
        .plain(Method::POST, "/v1/tasks")
        .bearer_auth(monitor)
        .json(&json!({"title": "x"}));
    server.send(create).await.refused(403, "forbidden");

    let text = server.get("/metrics").await.text;
    let route = r#"http_requests_total{method="GET",route="/v1/tasks/{task}",status="404"}"#;
    assert_eq!(sample(&text, route), DEFAULT_PAGE as f64);
    let unmatched = r#"http_requests_total{method="GET",route="unmatched",status="404"}"#;
    assert_eq!(sample(&text, unmatched), DEFAULT_PAGE as f64);
    assert_eq!(sample(&text, "orchestrator_auth_failures_total "), 1.0);
    assert_eq!(
        sample(&text, "orchestrator_unauthorized_access_total "),
        1.0
    );
}
