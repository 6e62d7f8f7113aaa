//! Batches and repeats: each item stands for itself, each answer can be had again.

use collective_api::leases::{
    Beat, CompleteRequest, Completion, HeartbeatRequest, LeaseRef, ReleaseRequest,
};
use collective_core::task::{LeaseToken, TaskSpec, TaskState};
use collective_core::{Code, Span, TaskId};
use collective_service::{leases, tasks};

use crate::team::Team;

fn done(task: TaskId, token: LeaseToken) -> Completion {
    Completion {
        task,
        token,
        text: "done".to_owned(),
        json: None,
        artifacts: Vec::new(),
        usage: Default::default(),
        commit: None,
        evidence: Vec::new(),
    }
}

fn forged(token: LeaseToken) -> LeaseToken {
    LeaseToken {
        secret: token.secret ^ 1,
        ..token
    }
}

#[tokio::test]
async fn a_refused_report_takes_nothing_from_a_later_one_of_its_batch() {
    let team = Team::new().await;
    let (_, claim) = team.at_work(TaskSpec::new("once")).await;
    let (task, token) = (claim.task.id, claim.token);
    let completions = vec![
        done(task, forged(token)),
        done(task, forged(token)),
        done(task, token),
        done(task, token),
    ];
    let answer = leases::complete(&team.hub, &team.admin, CompleteRequest { completions }).await;
    let answers: Vec<_> = answer
        .unwrap()
        .items
        .into_iter()
        .map(|item| match item.into_result() {
            Ok(settled) => Ok(settled.state),
            Err(problem) => Err(problem.code.clone()),
        })
        .collect();
    let lost = || Err(Code::LeaseLost.as_str().to_owned());
    let succeeded = || Ok(TaskState::Succeeded);
    assert_eq!(answers, [lost(), lost(), succeeded(), succeeded()]);
}

#[tokio::test]
async fn a_heartbeat_named_twice_is_kept_alive_twice() {
    let team = Team::new().await;
    let (agent, claim) = team.at_work(TaskSpec::new("long")).await;
    team.clock.advance(Span::from_secs(20));
    let beat = |token| Beat {
        task: claim.task.id,
        token,
        progress: None,
    };
    let request = HeartbeatRequest {
        agent,
        beats: vec![
            beat(forged(claim.token)),
            beat(claim.token),
            beat(claim.token),
        ],
        wait: Span::ZERO,
    };
    let answer = leases::heartbeat(&team.hub, &team.admin, &request).await;
    let until: Vec<_> = answer
        .unwrap()
        .items
        .into_iter()
        .map(|item| item.ok.map(|beat| beat.expires_at))
        .collect();
    let full = Some(team.hub.now() + Span::from_secs(30));
    assert_eq!(until, [None, full, full]);
}

#[tokio::test]
async fn an_accepted_creation_is_answered_again_though_its_deadline_has_passed() {
    let team = Team::new().await;
    let spec = TaskSpec {
        deadline: Some(team.hub.now() + Span::from_secs(10)),
        ..TaskSpec::new("soon")
    };
    let create = || tasks::create(&team.hub, &team.admin, spec.clone(), Some("key"));
    let first = create().await.unwrap();
    team.clock.advance(Span::from_secs(60));
    assert_eq!(create().await.unwrap(), first);
    let fresh = tasks::create(&team.hub, &team.admin, spec.clone(), Some("other")).await;
    assert_eq!(fresh.unwrap_err().code(), Code::InvalidTime);
}

#[tokio::test]
async fn a_task_that_was_given_back_keeps_its_place() {
    let team = Team::new().await;
    let (agent, claim) = team.at_work(TaskSpec::new("first")).await;
    team.clock.advance(Span::from_secs(5));
    team.task(TaskSpec::new("second")).await;
    let request = ReleaseRequest {
        leases: vec![LeaseRef {
            task: claim.task.id,
            token: claim.token,
        }],
        reason: String::new(),
    };
    let released = leases::release(&team.hub, &team.admin, request).await;
    assert!(released.unwrap().items[0].ok.is_some());
    let next = team.claim(&agent, 1, Span::ZERO).await;
    assert_eq!(next[0].task.id, claim.task.id);
    assert_eq!(next[0].task.attempts_used, 0);
}
