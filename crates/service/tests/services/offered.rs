//! Claims of tasks that were offered on the broker: the store decides.

use collective_api::agents::Drain;
use collective_api::leases::{Claim, LeaseRef, ReleaseRequest};
use collective_core::agent::AgentSpec;
use collective_core::event::Fact;
use collective_core::role::{Grant, Principal, Role};
use collective_core::task::{TaskSpec, TaskState};
use collective_core::{AgentName, Code, Span, TaskId, TeamName};
use collective_service::{agents, feed, leases, queues, tasks};
use futures_util::future::join_all;

use crate::team::{Team, queue};

const LEASE: Span = Span::from_secs(30);

impl Team {
    async fn claim_offered(
        &self,
        task: TaskId,
        agent: &AgentName,
        key: Option<&str>,
    ) -> Result<Claim, Code> {
        leases::claim_offered(&self.hub, &self.admin, task, agent, LEASE, key)
            .await
            .map_err(|rejection| rejection.code())
    }
}

fn with_slots(slots: u32) -> AgentSpec {
    AgentSpec {
        slots,
        ..AgentSpec::default()
    }
}

#[tokio::test]
async fn an_offered_task_is_claimed_once_however_many_ask_at_once() {
    let team = Team::new().await;
    let task = team.task(TaskSpec::new("once")).await;
    let mut names = Vec::new();
    for number in 0..16 {
        names.push(
            team.agent(&format!("agent-{number}"), AgentSpec::default())
                .await,
        );
    }
    let asked = names
        .iter()
        .map(|name| team.claim_offered(task, name, None));
    let answers = join_all(asked).await;
    let won: Vec<_> = answers.iter().filter(|answer| answer.is_ok()).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    let mut lost = answers.iter().filter_map(|answer| answer.as_ref().err());
    assert!(lost.all(|code| *code == Code::WrongState), "{answers:?}");
}

#[tokio::test]
async fn a_claimed_offer_has_what_a_claim_over_http_has() {
    let team = Team::new().await;
    let ada = team.agent("ada", with_slots(2)).await;
    let (one, other) = (
        team.task(TaskSpec::new("x")).await,
        team.task(TaskSpec::new("x")).await,
    );
    let offered = team.claim_offered(other, &ada, None).await.unwrap();
    let asked = team.claim(&ada, 1, Span::ZERO).await.pop().unwrap();
    assert_eq!((offered.task.id, asked.task.id), (other, one));
    assert_eq!(offered.task.state, TaskState::Running);
    assert_eq!(offered.expires_at, asked.expires_at);
    assert_eq!(offered.task.lease.unwrap().ttl, LEASE);
}

#[tokio::test]
async fn a_start_that_is_repeated_with_its_key_gets_the_same_claim_while_the_lease_lives() {
    let team = Team::new().await;
    let ada = team.agent("ada", AgentSpec::default()).await;
    let task = team.task(TaskSpec::new("x")).await;
    let first = team.claim_offered(task, &ada, Some("try-1")).await.unwrap();
    let again = team.claim_offered(task, &ada, Some("try-1")).await.unwrap();
    assert_eq!(first, again);
    let without = team.claim_offered(task, &ada, None).await;
    assert_eq!(without.unwrap_err(), Code::WrongState);
    let another = team.claim_offered(task, &ada, Some("try-2")).await;
    assert_eq!(another.unwrap_err(), Code::WrongState);

    let release = ReleaseRequest {
        leases: vec![LeaseRef {
            task,
            token: first.token,
        }],
        reason: String::new(),
    };
    leases::release(&team.hub, &team.admin, release)
        .await
        .unwrap();
    let late = team.claim_offered(task, &ada, Some("try-1")).await;
    assert_eq!(late.unwrap_err(), Code::LeaseLost);
}

#[tokio::test]
async fn a_lane_that_the_agent_does_not_serve_is_refused_and_written_down() {
    let team = Team::new().await;
    let ada = team.agent("ada", AgentSpec::default()).await;
    queues::declare(&team.hub, &team.admin, &queue("rust"))
        .await
        .unwrap();
    let mut spec = TaskSpec::new("not hers");
    spec.queue = Some(queue("rust"));
    let task = team.task(spec).await;
    let refused = team.claim_offered(task, &ada, None).await;
    assert_eq!(refused.unwrap_err(), Code::Forbidden);
    let denied = denials(&team).await;
    assert_eq!(
        denied,
        ["agent `ada` doesn't serve queue/rust, where task 5 waits"]
    );
}

#[tokio::test]
async fn a_key_of_one_agent_takes_no_offer_for_another() {
    let team = Team::new().await;
    let ada = team.agent("ada", AgentSpec::default()).await;
    let task = team.task(TaskSpec::new("x")).await;
    let bob = Principal {
        team: TeamName::default_team(),
        grant: Grant::Agent(AgentName::new("bob").unwrap(), Role::Worker),
    };
    let refused = leases::claim_offered(&team.hub, &bob, task, &ada, LEASE, None).await;
    assert_eq!(refused.unwrap_err().code(), Code::Forbidden);
    assert_eq!(denials(&team).await.len(), 1);
}

async fn denials(team: &Team) -> Vec<String> {
    let events = feed::page(&team.hub, &team.admin, 0, 100).await.unwrap();
    events
        .into_iter()
        .filter_map(|event| match event.fact {
            Fact::AccessDenied { what } => Some(what),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn slots_bound_what_an_agent_takes_by_offers() {
    let team = Team::new().await;
    let ada = team.agent("ada", with_slots(2)).await;
    let mut answers = Vec::new();
    for title in ["a", "b", "c"] {
        let task = team.task(TaskSpec::new(title)).await;
        answers.push(team.claim_offered(task, &ada, None).await.map(|_| ()));
    }
    assert_eq!(answers, [Ok(()), Ok(()), Err(Code::WrongState)]);
}

#[tokio::test]
async fn nothing_is_taken_from_a_paused_queue_by_a_draining_agent_or_of_a_cancelled_task() {
    let team = Team::new().await;
    let ada = team.agent("ada", AgentSpec::default()).await;
    let task = team.task(TaskSpec::new("x")).await;
    let default = queue("default");

    queues::set_paused(&team.hub, &team.admin, &default, true)
        .await
        .unwrap();
    let paused = team.claim_offered(task, &ada, None).await;
    assert_eq!(paused.unwrap_err(), Code::WrongState);
    queues::set_paused(&team.hub, &team.admin, &default, false)
        .await
        .unwrap();

    let drain = |draining| Drain { draining };
    agents::drain(&team.hub, &team.admin, &ada, drain(true))
        .await
        .unwrap();
    let drained = team.claim_offered(task, &ada, None).await;
    assert_eq!(drained.unwrap_err(), Code::WrongState);
    agents::drain(&team.hub, &team.admin, &ada, drain(false))
        .await
        .unwrap();

    tasks::cancel(
        &team.hub,
        &team.admin,
        &task.to_string(),
        "no longer needed",
    )
    .await
    .unwrap();
    let cancelled = team.claim_offered(task, &ada, None).await;
    assert_eq!(cancelled.unwrap_err(), Code::WrongState);
}

#[tokio::test]
async fn a_lease_out_of_its_bounds_an_unknown_task_and_a_stopping_server_are_refused() {
    let team = Team::new().await;
    let ada = team.agent("ada", AgentSpec::default()).await;
    let task = team.task(TaskSpec::new("x")).await;
    let short = Span::from_secs(1);
    let refused = leases::claim_offered(&team.hub, &team.admin, task, &ada, short, None).await;
    assert_eq!(refused.unwrap_err().field(), Some("lease"));
    let unknown = TaskId(uuid::Uuid::nil());
    let refused = team.claim_offered(unknown, &ada, None).await;
    assert_eq!(refused.unwrap_err(), Code::NotFound);
    team.hub.start_draining();
    let refused = team.claim_offered(task, &ada, None).await;
    assert_eq!(refused.unwrap_err(), Code::Draining);
}
