//! An explanation and a claim say the same: both are asked about random teams.

use std::collections::BTreeMap;

use collective_api::agents::{AgentView, Drain};
use collective_api::leases::{LeaseRef, ReleaseRequest};
use collective_core::agent::{AgentSpec, Transport};
use collective_core::explain::{Explanation, Wait};
use collective_core::limits::{AGEING_STEP, PRESENCE_TTL};
use collective_core::role::Role;
use collective_core::task::{Dependency, DependencyCondition, Priority, TaskRef, TaskSpec};
use collective_core::{AgentName, Span, TaskId};
use collective_service::{agents, leases, queues, tasks};

use crate::team::{Team, queue};

/// Random teams that are looked at.
const TEAMS: u64 = 300;
const QUEUES: [&str; 3] = ["default", "rust", "review"];

/// Founds a team where tasks wait for every kind of reason.
async fn found(seed: u64) -> (Team, Vec<AgentName>, Vec<TaskId>) {
    let team = Team::of_seed(seed).await;
    let chance = team.chance.clone();
    for name in QUEUES {
        let declared = queues::declare(&team.hub, &team.admin, &queue(name)).await;
        declared.unwrap();
    }
    let mut names = Vec::new();
    for place in 0..1 + chance.below(4) {
        let mut served = QUEUES.map(queue).to_vec();
        served.retain(|_| chance.percent(50));
        let spec = AgentSpec {
            role: *chance.pick(&[Role::Worker, Role::Collaborator]).unwrap(),
            queues: served,
            slots: 1 + chance.below(3) as u32,
            description: String::new(),
            transport: Transport::Http,
        };
        names.push(team.agent(&format!("agent-{place}"), spec).await);
        if chance.percent(30) {
            team.clock.advance(PRESENCE_TTL);
        }
    }
    let mut ids: Vec<TaskId> = Vec::new();
    for place in 0..2 + chance.below(12) {
        let mut spec = TaskSpec::new(format!("task {place}"));
        match chance.below(6) {
            0 => spec.role = Some(Role::Worker),
            1 => spec.agent = chance.pick(&names).cloned(),
            _ => spec.queue = chance.pick(&QUEUES).map(|name| queue(name)),
        }
        spec.priority = *chance.pick(&Priority::ALL).unwrap();
        if chance.percent(10) {
            spec.run_at = Some(team.hub.now() + AGEING_STEP.times(2));
        }
        if let Some(on) = chance.pick(&ids).filter(|_| chance.percent(15)) {
            let when = DependencyCondition::Ended;
            let task = TaskRef::Id(*on);
            spec.depends_on.push(Dependency { task, when });
        }
        ids.push(team.task(spec).await);
        team.clock.advance(Span::from_secs(chance.below(20) as u64));
        if chance.percent(10) {
            team.clock.advance(AGEING_STEP);
        }
        if let Some(name) = chance.pick(&names).filter(|_| chance.percent(15)) {
            team.claim(name, 2, Span::ZERO).await;
        }
    }
    if chance.percent(40) {
        let name = queue(chance.pick(&QUEUES).unwrap());
        let paused = queues::set_paused(&team.hub, &team.admin, &name, true).await;
        paused.unwrap();
    }
    if let Some(name) = chance.pick(&names).filter(|_| chance.percent(30)) {
        let drain = Drain { draining: true };
        let drained = agents::drain(&team.hub, &team.admin, name, drain).await;
        drained.unwrap();
    }
    (team, names, ids)
}

/// What one claim of one task gives the agent now; everything is as before afterwards.
async fn would_get(team: &Team, agent: &AgentName) -> Option<TaskId> {
    let claim = team.claim(agent, 1, Span::ZERO).await.pop()?;
    let task = claim.task.id;
    let request = ReleaseRequest {
        leases: vec![LeaseRef {
            task,
            token: claim.token,
        }],
        reason: "only looking".to_owned(),
    };
    let released = leases::release(&team.hub, &team.admin, request).await;
    assert!(released.unwrap().items[0].ok.is_some());
    Some(task)
}

/// The agents of which it says that their next claim takes it.
fn next_for(told: &Explanation) -> &[AgentName] {
    match told.waits.first() {
        Some(Wait::NextClaim { agents }) => agents,
        _ => &[],
    }
}

fn absent_for(told: &Explanation) -> &[AgentName] {
    match told.waits.first() {
        Some(Wait::NoAgentPresent { agents, .. }) => agents,
        _ => &[],
    }
}

fn ahead(told: &Explanation) -> Option<u64> {
    told.waits.iter().find_map(|wait| match wait {
        Wait::PlaceInLane { ahead, .. } => Some(*ahead),
        _ => None,
    })
}

#[tokio::test]
async fn what_an_explanation_says_of_a_claim_is_what_the_claim_does() {
    let (mut promised, mut taken, mut waiting) = (0, 0, 0);
    for seed in 0..TEAMS {
        let (team, names, ids) = found(seed).await;
        let mut told: BTreeMap<TaskId, Explanation> = BTreeMap::new();
        for id in &ids {
            let explained = tasks::explain_task(&team.hub, &team.admin, &id.to_string()).await;
            told.insert(*id, explained.unwrap());
        }
        let views: Vec<AgentView> = agents::list(&team.hub, &team.admin).await.unwrap();
        for name in &names {
            let got = would_get(&team, name).await;
            let present = views
                .iter()
                .any(|view| view.agent.name == *name && view.present);
            let offers: Vec<TaskId> = told
                .iter()
                .filter(|(_, told)| next_for(told).contains(name) && ahead(told) == Some(0))
                .map(|(id, _)| *id)
                .collect();
            promised += offers.len();
            let Some(got) = got else {
                assert_eq!(
                    offers,
                    [],
                    "seed {seed}: promised to {name}, which got nothing"
                );
                continue;
            };
            taken += 1;
            let said = &told[&got];
            // The head of each lane is promised; of several lanes one comes first.
            if present {
                assert!(
                    offers.contains(&got),
                    "seed {seed}: {name} got {got}, of which was said: {said:?}"
                );
            } else {
                let known = absent_for(said).contains(name) || !next_for(said).is_empty();
                assert!(known, "seed {seed}: {name} got {got}: {said:?}");
                assert_eq!(ahead(said), Some(0), "seed {seed}: {name} got {got}");
            }
            if let [only] = offers[..] {
                assert_eq!(got, only, "seed {seed}: {name} was promised another");
            }
        }
        waiting += told
            .values()
            .filter(|told| next_for(told).is_empty())
            .count();
    }
    assert!(promised > 100 && taken > 100 && waiting > 100);
}
