//! The end of a life: everything gets the chance to end, then all of it is checked.

use std::collections::BTreeSet;

use collective_api::leases::{ClaimRequest, CompleteRequest, Completion};
use collective_api::messages::ReadInbox;
use collective_core::agent::{AgentSpec, Transport};
use collective_core::limits::IDEMPOTENCY_TTL;
use collective_core::question::QuestionState;
use collective_core::role::Role;
use collective_core::task::{Check, Evidence, TaskState};
use collective_core::{AgentName, MessageId, Span};
use collective_service::{agents, leases, messages, queues, reaper, schedules};
use serde_json::json;

use crate::life::{Life, Sound, at_once, must};

/// Rounds after which what has not ended never will: far more than the retries of the tasks of one life.
const ROUNDS: usize = 1_000;
/// Rounds of the reaper at one time.
const REAPINGS: usize = 20;

impl Life {
    pub(crate) fn settle(&mut self) -> Sound {
        self.note(|| "everything calms down".to_owned());
        self.faults.set_calm(true);
        self.cache.set_down(false);
        self.cache.forget();
        at_once(self.bus.release()).map_err(|error| error.to_string())?;
        self.restart()?;
        self.answer_what_is_unanswered()?;
        self.works.clear();
        let helpers = self.serve_every_lane()?;
        self.check_step()?;
        for _ in 0..ROUNDS {
            for _ in 0..REAPINGS {
                let did = at_once(reaper::round(&self.hub)).map_err(|r| r.to_string())?;
                if did == reaper::Round::default() {
                    break;
                }
            }
            let mut took = false;
            for name in &helpers {
                took |= self.take_and_complete(name)?;
            }
            self.check_step()?;
            if took {
                continue;
            }
            match at_once(self.look().next_due()).expect("the store is open") {
                Some(at) if at > self.now() => self.clock.set(at),
                Some(at) => return Err(format!("what was due at {at} is never done")),
                None => return self.check_end(),
            }
        }
        Err(format!("nothing has settled after {ROUNDS} rounds"))
    }

    /// Requests whose answers were lost are sent again, as their senders would.
    fn answer_what_is_unanswered(&mut self) -> Sound {
        for at in (0..self.requests.len()).rev() {
            if self.requests[at].reply.is_none() {
                self.send_again(at)?;
            }
        }
        self.check_step()
    }

    /// Resumes every queue, ends every schedule, and sees that each lane has someone with room.
    fn serve_every_lane(&mut self) -> Result<Vec<AgentName>, String> {
        let (admin, refused) = (self.admin(), |r: collective_core::Rejection| r.to_string());
        for queue in self.queues.clone() {
            at_once(queues::set_paused(&self.hub, &admin, &queue, false)).map_err(refused)?;
        }
        for schedule in at_once(schedules::list(&self.hub, &admin)).map_err(refused)? {
            at_once(schedules::remove(&self.hub, &admin, schedule.id)).map_err(refused)?;
        }
        let mut helpers: Vec<(AgentName, Role)> = self
            .actors
            .iter()
            .map(|actor| (actor.name.clone(), actor.spec.role))
            .collect();
        let steady = AgentName::new("steady").map_err(refused)?;
        helpers.push((steady, Role::Worker));
        for (name, role) in &helpers {
            let spec = AgentSpec {
                role: *role,
                queues: self.queues.clone(),
                slots: 500,
                description: String::new(),
                transport: Transport::Http,
            };
            at_once(agents::register(&self.hub, &admin, name, spec)).map_err(refused)?;
        }
        Ok(helpers.into_iter().map(|(name, _)| name).collect())
    }

    fn take_and_complete(&mut self, name: &AgentName) -> Result<bool, String> {
        let request = ClaimRequest {
            agent: name.clone(),
            max: 64,
            lease: Span::from_secs(30),
            wait: Span::ZERO,
        };
        let admin = self.admin();
        let answer = at_once(leases::claim(&self.hub, &admin, &request));
        let claims = answer
            .map_err(|r| format!("{name} may not claim: {r}"))?
            .claims;
        if claims.is_empty() {
            return Ok(false);
        }
        let completions = claims
            .iter()
            .map(|claim| {
                let checks = claim.task.spec.checks.iter().enumerate();
                let seen = checks.filter(|(_, check)| !matches!(check, Check::Schema { .. }));
                Completion {
                    task: claim.task.id,
                    token: claim.token,
                    text: String::new(),
                    json: Some(json!({"count": 2})),
                    artifacts: Vec::new(),
                    usage: Default::default(),
                    commit: None,
                    evidence: seen
                        .map(|(place, _)| Evidence {
                            check: place as u32,
                            passed: true,
                            exit_code: Some(0),
                            log_sha256: None,
                            commit: None,
                            seconds: 0.0,
                            output: String::new(),
                        })
                        .collect(),
                }
            })
            .collect();
        let done = leases::complete(&self.hub, &admin, CompleteRequest { completions });
        let done = at_once(done).map_err(|r| r.to_string())?;
        for (claim, item) in claims.iter().zip(done.items) {
            let settled = item.into_result().map_err(|problem| problem.detail)?;
            must!(
                settled.state == TaskState::Succeeded,
                "{} was completed and is {}",
                claim.task.id,
                settled.state
            );
            self.told.claimed.push((claim.task.id, claim.token.epoch));
            self.told.succeeded.push((claim.task.id, claim.token.epoch));
        }
        Ok(true)
    }

    fn check_end(&mut self) -> Sound {
        self.check_history()?;
        let tasks = self.stored_in(&[]);
        for task in &tasks {
            must!(
                task.state.is_terminal(),
                "{} waits for ever: {task:?}",
                task.id
            );
            self.check_attempts(task)?;
        }
        let held = at_once(self.look().held(&self.team)).expect("the store is open");
        must!(held.is_empty(), "leases are left: {held:?}");
        let reserved = at_once(self.look().reservations(&self.team)).expect("it is open");
        must!(reserved.is_empty(), "reservations are left: {reserved:?}");
        let open =
            at_once(
                self.look()
                    .questions(&self.team, Some(QuestionState::Open), None, usize::MAX),
            );
        let open = open.expect("the store is open");
        must!(open.is_empty(), "questions are open: {open:?}");
        self.check_inboxes()?;
        self.check_remembered()
    }

    fn check_inboxes(&mut self) -> Sound {
        let names: Vec<AgentName> = self.actors.iter().map(|actor| actor.name.clone()).collect();
        for name in names {
            let request = ReadInbox {
                all: Some(true),
                limit: Some(500),
                ..ReadInbox::default()
            };
            let inbox = at_once(messages::inbox(&self.hub, &self.admin(), &name, &request));
            let inbox = inbox.map_err(|r| format!("the inbox of {name} is closed: {r}"))?;
            let there: Vec<MessageId> = inbox.messages.iter().map(|one| one.message.id).collect();
            let told = self.inboxes.get(&name).cloned().unwrap_or_default();
            let (unique, told): (BTreeSet<_>, BTreeSet<_>) =
                (there.iter().copied().collect(), told.into_iter().collect());
            must!(
                there.len() == unique.len() && unique == told,
                "{name} has {there:?} in its inbox, sent to it were {told:?}"
            );
        }
        Ok(())
    }

    /// Every answer is given again; nothing new happens by it.
    fn check_remembered(&mut self) -> Sound {
        let before = at_once(self.look().last_seq(&self.team)).expect("the store is open");
        let now = self.now();
        for at in 0..self.requests.len() {
            let fresh = self.requests[at]
                .reply
                .as_ref()
                .is_some_and(|(_, told)| now.since(*told) < IDEMPOTENCY_TTL);
            if fresh {
                self.send_again(at)?;
            }
        }
        let after = at_once(self.look().last_seq(&self.team)).expect("the store is open");
        must!(
            before == after,
            "repeated requests wrote {} events",
            after - before
        );
        Ok(())
    }
}
