//! Who is it, and may they: keys, teams, denials.

use collective_api::agents::{CreateKey, CreatedKey};
use collective_api::tasks::ListTasks;
use collective_core::agent::AgentSpec;
use collective_core::event::Fact;
use collective_core::role::{Grant, Principal, Role};
use collective_core::task::TaskSpec;
use collective_core::{AgentName, Code, Span, TeamName};
use collective_service::access::{authenticate, put_team};
use collective_service::{Hub, agents, feed, keys, tasks};

use crate::team::{ADMIN_TOKEN, Team};

async fn key_of(team: &Team, who: &Principal, role: Role, agent: Option<&str>) -> CreatedKey {
    let request = CreateKey {
        label: "a key".to_owned(),
        role: Some(role),
        agent: agent.map(|name| AgentName::new(name).unwrap()),
        admin: false,
    };
    keys::create(&team.hub, who, request).await.unwrap()
}

#[tokio::test]
async fn a_revoked_key_ends_here_at_once_and_at_other_replicas_within_a_second() {
    let team = Team::new().await;
    let made = key_of(&team, &team.admin, Role::Worker, Some("ada")).await;
    let other = team.replica();
    for hub in [&team.hub, &other] {
        let who = authenticate(hub, Some(&made.token), None).await.unwrap();
        let ada = AgentName::new("ada").unwrap();
        assert_eq!(who.grant, Grant::Agent(ada, Role::Worker));
    }
    keys::revoke(&team.hub, &team.admin, made.key.id)
        .await
        .unwrap();
    let refused = authenticate(&team.hub, Some(&made.token), None).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    team.clock.advance(Span::from_secs(1));
    let refused = authenticate(&other, Some(&made.token), None).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_token_that_is_none_is_refused_whatever_it_looks_like() {
    let team = Team::new().await;
    let made = key_of(&team, &team.admin, Role::Worker, None).await;
    let (start, secret) = made.token.rsplit_once('_').unwrap();
    let other_id = format!("ck_{}_{secret}", uuid_like());
    for token in [
        None,
        Some(""),
        Some("ck_"),
        Some("ck_no-id_secret"),
        Some(start),
        Some(&format!("{start}_{}", secret.to_lowercase())[..]),
        Some(&other_id[..]),
        Some(&ADMIN_TOKEN[1..]),
    ] {
        let refused = authenticate(&team.hub, token, None).await;
        let code = refused.map_err(|rejection| rejection.code());
        assert_eq!(code, Err(Code::Unauthenticated), "{token:?}");
    }
    let admin = authenticate(&team.hub, Some(ADMIN_TOKEN), None).await;
    assert_eq!(admin.unwrap().grant, Grant::Admin);
}

fn uuid_like() -> String {
    "0".repeat(32)
}

#[tokio::test]
async fn a_key_sees_its_own_team_and_nothing_of_another() {
    let team = Team::new().await;
    let red = TeamName::new("red").unwrap();
    assert!(put_team(&team.hub, &team.admin, &red).await.unwrap());
    let made = key_of(&team, &Principal::admin(red.clone()), Role::Leader, None).await;
    let token = Some(&made.token[..]);
    let wrong = authenticate(&team.hub, token, Some("default")).await;
    assert_eq!(wrong.unwrap_err().code(), Code::Forbidden);

    let who = authenticate(&team.hub, token, Some("red")).await.unwrap();
    let secret = team.task(TaskSpec::new("of the default team")).await;
    let seen = tasks::show(&team.hub, &who, &secret.to_string()).await;
    assert_eq!(seen.unwrap_err().code(), Code::NotFound);
    let cancelled = tasks::cancel(&team.hub, &who, &secret.to_string(), "").await;
    assert_eq!(cancelled.unwrap_err().code(), Code::NotFound);
    let all = tasks::list(&team.hub, &who, &ListTasks::default()).await;
    assert_eq!(all.unwrap().items, []);

    let nowhere = Principal::admin(TeamName::new("nowhere").unwrap());
    let refused = tasks::list(&team.hub, &nowhere, &ListTasks::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::NotFound);
}

/// How many denials stand in the log after a hundred of them on this server.
async fn denials_of_a_hundred(team: &Team, hub: &Hub) -> usize {
    let watcher = Principal {
        grant: Grant::Role(Role::Monitor),
        ..team.admin.clone()
    };
    for _ in 0..100 {
        let refused = tasks::create(hub, &watcher, TaskSpec::new("no"), None).await;
        assert_eq!(refused.unwrap_err().code(), Code::Forbidden);
    }
    let events = feed::page(hub, &team.admin, 0, 500).await.unwrap();
    assert!(events.iter().all(|event| event.fact.task().is_none()));
    events
        .iter()
        .filter(|event| matches!(event.fact, Fact::AccessDenied { .. }))
        .count()
}

#[tokio::test]
async fn a_denial_is_written_down_and_a_flood_of_them_is_not() {
    let team = Team::new().await;
    assert_eq!(denials_of_a_hundred(&team, &team.hub).await, 10);
}

#[tokio::test]
async fn denials_are_written_down_and_bounded_while_the_cache_is_down() {
    let team = Team::new().await;
    let hub = team.replica_without_a_cache();
    assert_eq!(denials_of_a_hundred(&team, &hub).await, 10);
    // What else the cache keeps is done without.
    let ada = AgentName::new("ada").unwrap();
    let registered = agents::register(&hub, &team.admin, &ada, AgentSpec::default()).await;
    registered.unwrap();
    let created = tasks::create(&hub, &team.admin, TaskSpec::new("yes"), None).await;
    created.unwrap();
    let readiness = collective_service::status::readiness(&hub).await;
    assert!(readiness.ready, "{readiness:?}");
    assert!(
        readiness
            .parts
            .iter()
            .any(|part| part.part == "cache" && !part.ok)
    );
}

#[tokio::test]
async fn an_agent_registers_as_itself_in_the_role_of_its_key_only() {
    let team = Team::new().await;
    let (ada, bob) = (
        AgentName::new("ada").unwrap(),
        AgentName::new("bob").unwrap(),
    );
    let who = Principal {
        grant: Grant::Agent(ada.clone(), Role::Worker),
        ..team.admin.clone()
    };
    let leader = AgentSpec {
        role: Role::Leader,
        ..AgentSpec::default()
    };
    for (name, spec, code) in [
        (&ada, AgentSpec::default(), None),
        (&bob, AgentSpec::default(), Some(Code::Forbidden)),
        (&ada, leader, Some(Code::Forbidden)),
    ] {
        let answer = agents::register(&team.hub, &who, name, spec).await;
        assert_eq!(
            answer.err().map(|rejection| rejection.code()),
            code,
            "{name}"
        );
    }
}
