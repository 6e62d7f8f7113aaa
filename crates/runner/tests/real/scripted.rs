//! The scripted agent, as the preset runs it.

use std::path::Path;
use std::time::Duration;

use collective_core::task::{Check, FailureClass};
use collective_core::{Span, Timestamp};
use collective_runner::attempt::{self, AttemptReport, AttemptSpec, Control, Exit};
use collective_runner::checks::{self, Scene};
use collective_runner::output::Listeners;
use collective_runner::preset::Presets;
use libtest_mimic::Trial;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::support::{DEADLINE, run, spec, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "the_steady_one_does_its_work_and_tells_its_progress",
            steady,
        ),
        trial("the_silent_one_says_nothing_until_its_timeout", silent),
        trial("the_crashing_one_is_poison", crashing),
        trial("the_flaky_one_fails_first", flaky),
        trial(
            "the_lying_one_is_caught_by_a_check_and_then_does_its_work",
            lying,
        ),
        trial("the_one_at_its_limit_says_when_it_resets", quota),
        trial("the_duplicating_one_reports_twice", duplicating),
        trial("a_part_that_does_not_exist_is_permanent", miscast),
    ]
}

/// An attempt by the preset with these options.
fn scripted(folder: &Path, options: serde_json::Value, attempt: u32) -> AttemptSpec {
    let book = Presets::built_in();
    let options = serde_json::from_value(options).unwrap();
    let made = book.get("scripted").unwrap().command(&options).unwrap();
    let mut spec = spec(made.command, folder);
    spec.delivery = made.delivery;
    spec.reading = made.reading;
    spec.rules = made.rules;
    spec.identity.epoch.0 = attempt;
    spec
}

async fn played(spec: &AttemptSpec) -> AttemptReport {
    attempt::run(run(), spec, Control::default()).await
}

async fn steady() {
    let folder = tempfile::tempdir().unwrap();
    let (progress, mut seen) = tokio::sync::watch::channel(None);
    let control = Control {
        listeners: Listeners {
            log: None,
            progress: Some(progress),
        },
        ..Control::default()
    };
    let spec = scripted(
        folder.path(),
        json!({"file": "sub/work.txt", "seconds": 0.2}),
        1,
    );
    let report = attempt::run(run(), &spec, control).await;
    assert_eq!(report.exit, Exit::Code(0));
    let text = "ada (steady) did task 12 on attempt 1";
    assert_eq!(report.text, text);
    assert_eq!(
        report.json,
        Some(json!({"text": text, "personality": "steady", "attempt": 1}))
    );
    let last = seen.borrow_and_update().clone().unwrap();
    assert_eq!((last.percent, &last.note[..]), (Some(100.0), "step 4 of 4"));
    let written = std::fs::read_to_string(folder.path().join("sub/work.txt")).unwrap();
    assert_eq!(written, format!("{text}\n"));
}

async fn silent() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = scripted(folder.path(), json!({"personality": "silent"}), 1);
    spec.timeout = Duration::from_millis(500);
    let report = played(&spec).await;
    assert_eq!((report.exit, report.text.as_str()), (Exit::TimedOut, ""));
}

async fn crashing() {
    let folder = tempfile::tempdir().unwrap();
    for (signal, number, class) in [
        ("SEGV", 11, FailureClass::Poison),
        ("ABRT", 6, FailureClass::Poison),
        ("BUS", 7, FailureClass::Poison),
        ("ILL", 4, FailureClass::Poison),
        ("KILL", 9, FailureClass::Transient),
        ("TERM", 15, FailureClass::Transient),
    ] {
        let options = json!({"personality": "crashing", "signal": signal});
        let report = played(&scripted(folder.path(), options, 3)).await;
        assert_eq!(report.exit, Exit::Signal(number), "{signal}");
        assert_eq!(report.failure.unwrap().class, class, "{signal}");
    }
    let options = json!({"personality": "crashing", "failures": 1});
    assert!(
        played(&scripted(folder.path(), options, 2))
            .await
            .failure
            .is_none()
    );
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "a core file"
    );
}

async fn flaky() {
    let folder = tempfile::tempdir().unwrap();
    let options = json!({"personality": "flaky", "failures": 2});
    for attempt in 1..=3 {
        let report = played(&scripted(folder.path(), options.clone(), attempt)).await;
        match report.failure {
            Some(failure) => {
                assert!(attempt <= 2);
                assert_eq!(failure.class, FailureClass::Transient);
                assert!(failure.feedback.contains("failing on purpose"));
            }
            None => assert_eq!(attempt, 3),
        }
    }
}

async fn lying() {
    let folder = tempfile::tempdir().unwrap();
    let options = json!({"personality": "lying", "file": "report.md"});
    let checks = [
        Check::File {
            path: "report.md".to_owned(),
        },
        Check::Command {
            command: ["grep", "-q", "attempt 2", "report.md"]
                .map(str::to_owned)
                .to_vec(),
            exit_code: 0,
            timeout: Span::from_secs(60),
        },
    ];
    let scene = Scene::Folder(folder.path().to_owned());
    let look = async || {
        let cancel = CancellationToken::new();
        let seen = checks::run(run(), "x", &checks, &scene, &cancel)
            .await
            .unwrap();
        seen.iter().map(|piece| piece.passed).collect::<Vec<_>>()
    };
    let first = played(&scripted(folder.path(), options.clone(), 1)).await;
    assert!(first.failure.is_none(), "it didn't even claim to be done");
    assert_eq!(look().await, [false, false]);

    let mut told = scripted(folder.path(), options, 2);
    told.feedback = Some("check failed: file `report.md`".to_owned());
    assert!(played(&told).await.failure.is_none());
    assert_eq!(look().await, [true, true]);
}

async fn quota() {
    let folder = tempfile::tempdir().unwrap();
    let options = json!({"personality": "quota", "seconds": 100});
    let before = jiff::Timestamp::now().as_microsecond();
    let failure = played(&scripted(folder.path(), options.clone(), 1))
        .await
        .failure
        .unwrap();
    assert_eq!(failure.class, FailureClass::Quota);
    let ahead = failure
        .retry_at
        .unwrap()
        .since(Timestamp::from_micros(before));
    assert!(
        (Span::from_secs(100)..Span::from_secs(160)).contains(&ahead),
        "{ahead}"
    );
    assert!(
        played(&scripted(folder.path(), options, 2))
            .await
            .failure
            .is_none()
    );
}

/// A server that takes down what it is asked, and always says no.
async fn duplicating() {
    let folder = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut spec = scripted(folder.path(), json!({"personality": "duplicating"}), 1);
    spec.identity.url = format!("http://{}", listener.local_addr().unwrap());
    let token = spec.identity.lease.to_string();
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        while asked.len() < 2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !String::from_utf8_lossy(&request).contains("}]}") {
                let mut buffer = [0; 4096];
                let length = stream.read(&mut buffer).await.unwrap();
                assert!(length > 0, "{}", String::from_utf8_lossy(&request));
                request.extend_from_slice(&buffer[..length]);
            }
            asked.push(String::from_utf8(request).unwrap());
            let body = r#"{"type":"about:blank","title":"no","status":409,"code":"lease_lost","detail":"no"}"#;
            let answer = format!(
                "HTTP/1.1 409 Conflict\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    let report = played(&spec).await;
    assert!(report.failure.is_none(), "{report:?}");
    let asked = tokio::time::timeout(DEADLINE, asked)
        .await
        .unwrap()
        .unwrap();
    for request in asked {
        assert!(
            request.starts_with("POST /v1/leases/complete "),
            "{request}"
        );
        assert!(request.contains(&token), "{request}");
        assert!(
            request
                .to_lowercase()
                .contains("authorization: bearer secret-of-the-agent")
        );
    }
}

async fn miscast() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = scripted(folder.path(), json!({}), 1);
    *spec.command.last_mut().unwrap() = "moody".to_owned();
    let failure = played(&spec).await.failure.unwrap();
    assert_eq!(failure.class, FailureClass::Permanent);
    assert!(failure.feedback.contains("no personality is `moody`"));
}
