//! Long polls: woken by news, not by polling; late but not lost without news; ended by a stop.

use std::time::Duration;

use collective_api::leases::{AskRequest, Beat, CompleteRequest, Completion, HeartbeatRequest};
use collective_api::messages::{ReadInbox, SendMessage};
use collective_api::tasks::Answer;
use collective_core::agent::AgentSpec;
use collective_core::message::Recipient;
use collective_core::question::QuestionState;
use collective_core::task::{TaskSpec, TaskState};
use collective_core::{Code, Span};
use collective_service::{leases, messages, questions, tasks};
use tokio::time::Instant;

use crate::team::Team;

/// The longest wait that is allowed; nothing here may come near it.
const LONG: Span = Span::from_secs(55);

/// Runs what waits beside what wakes it; gives its answer and how long it took.
async fn woken<T>(
    waits: impl Future<Output = T>,
    wakes: impl Future<Output = ()>,
) -> (T, Duration) {
    let start = Instant::now();
    let news = async {
        // Long after everyone has begun to listen, and between two looks.
        tokio::time::sleep(Duration::from_secs(2)).await;
        wakes.await;
    };
    let (answer, ()) = tokio::join!(waits, news);
    (answer, start.elapsed())
}

/// News comes after two seconds of the paused clock; whoever was woken by it is done by then.
const AT_THE_NEWS: Duration = Duration::from_secs(2);

#[tokio::test(start_paused = true)]
async fn a_claim_is_woken_by_a_task_without_asking_the_store_meanwhile() {
    let team = Team::new().await;
    let agent = team.agent("ada", AgentSpec::default()).await;
    let before = team.store.asked();
    let create = async {
        assert!(team.store.asked() - before <= 4, "it polls");
        team.task(TaskSpec::new("news")).await;
    };
    let (claims, took) = woken(team.claim(&agent, 1, LONG), create).await;
    assert_eq!(claims.len(), 1);
    assert!(took < AT_THE_NEWS + Duration::from_millis(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn without_any_news_a_task_is_found_all_the_same_within_seconds() {
    let team = Team::with_a_dead_bus().await;
    let agent = team.agent("ada", AgentSpec::default()).await;
    let create = async {
        team.task(TaskSpec::new("no news")).await;
    };
    let (claims, took) = woken(team.claim(&agent, 1, LONG), create).await;
    assert_eq!(claims.len(), 1);
    assert!(took > AT_THE_NEWS, "the dead bus delivered");
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_nothing_ends_at_its_bound_with_few_looks() {
    let team = Team::new().await;
    let agent = team.agent("ada", AgentSpec::default()).await;
    let (start, before) = (Instant::now(), team.store.asked());
    assert_eq!(team.claim(&agent, 1, Span::from_secs(30)).await.len(), 0);
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(30) && took < Duration::from_millis(30_100));
    let looks = team.store.asked() - before;
    assert!(looks <= 12, "{looks} looks in thirty seconds");
}

#[tokio::test(start_paused = true)]
async fn results_answers_cancellations_and_mail_wake_whoever_waits_for_them() {
    let team = Team::new().await;
    let (agent, claim) = team.at_work(TaskSpec::new("much asked")).await;
    let (hub, admin) = (&team.hub, &team.admin);
    let (id, token) = (claim.task.id.to_string(), claim.token);
    let quick = |took: Duration, what: &str| {
        assert!(
            took < AT_THE_NEWS + Duration::from_millis(10),
            "{what} took {took:?}"
        );
    };

    let request = AskRequest {
        token,
        text: "left or right?".to_owned(),
        options: Vec::new(),
        hold: None,
    };
    let asked = questions::ask(hub, admin, &id, request).await.unwrap();
    let answer = async {
        let text = "left".to_owned();
        questions::answer(hub, admin, asked.id, Answer { text })
            .await
            .unwrap();
    };
    let (shown, took) = woken(questions::show(hub, admin, asked.id, LONG), answer).await;
    assert_eq!(shown.unwrap().state, QuestionState::Answered);
    quick(took, "an answer");

    let request = ReadInbox {
        wait: Some(LONG),
        ..ReadInbox::default()
    };
    let send = async {
        let message = SendMessage {
            to: Recipient::Agent(agent.clone()),
            body: "hello".to_owned(),
            from: None,
            in_reply_to: None,
        };
        messages::send(hub, admin, message, None).await.unwrap();
    };
    let (inbox, took) = woken(messages::inbox(hub, admin, &agent, &request), send).await;
    assert_eq!(inbox.unwrap().messages.len(), 1);
    quick(took, "mail");

    let request = HeartbeatRequest {
        agent: agent.clone(),
        beats: vec![Beat {
            task: claim.task.id,
            token,
            progress: None,
        }],
        wait: Span::from_secs(20),
    };
    let cancel = async {
        tasks::cancel(hub, admin, &id, "enough").await.unwrap();
    };
    let (beats, took) = woken(leases::heartbeat(hub, admin, &request), cancel).await;
    let beat = beats.unwrap().items.remove(0).ok.unwrap();
    assert_eq!(beat.cancel.as_deref(), Some("enough"));
    quick(took, "a cancellation");

    let complete = async {
        let completion = Completion {
            task: claim.task.id,
            token,
            text: "done".to_owned(),
            json: None,
            artifacts: Vec::new(),
            usage: Default::default(),
            commit: None,
            evidence: Vec::new(),
        };
        let completions = vec![completion];
        leases::complete(hub, admin, CompleteRequest { completions })
            .await
            .unwrap();
    };
    let (task, took) = woken(tasks::wait_for_result(hub, admin, &id, LONG), complete).await;
    assert_eq!(task.unwrap().state, TaskState::Succeeded);
    quick(took, "a result");
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_every_wait_at_once_and_hands_out_nothing_more() {
    let team = Team::new().await;
    let agent = team.agent("ada", AgentSpec::default()).await;
    let waiting = async { tokio::join!(team.claim(&agent, 1, LONG), team.hub.drained()) };
    let stop = async { team.hub.start_draining() };
    let ((claims, ()), took) = woken(waiting, stop).await;
    assert_eq!(claims.len(), 0);
    assert!(took < AT_THE_NEWS + Duration::from_millis(10), "{took:?}");
    // Whoever comes later doesn't wait for what has begun.
    team.hub.drained().await;
    team.task(TaskSpec::new("too late")).await;
    let request = collective_api::leases::ClaimRequest {
        agent,
        max: 1,
        lease: Span::from_secs(30),
        wait: LONG,
    };
    let refused = leases::claim(&team.hub, &team.admin, &request).await;
    assert_eq!(refused.unwrap_err().code(), Code::Draining);
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_bound_is_refused() {
    let team = Team::new().await;
    let task = team.task(TaskSpec::new("slow")).await;
    let wait = Span::from_micros(LONG.micros() + 1);
    let refused = tasks::wait_for_result(&team.hub, &team.admin, &task.to_string(), wait).await;
    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.code(), refused.field()),
        (Code::InvalidField, Some("wait"))
    );
}
