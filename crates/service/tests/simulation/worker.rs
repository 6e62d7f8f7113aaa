//! Agents at work: each claims, keeps leases alive or doesn't, and ends its attempts in its own way.

use collective_api::agents::Drain;
use collective_api::leases::{AskRequest, Beat, ClaimRequest, HeartbeatRequest};
use collective_api::tasks::Progress;
use collective_core::limits::AGEING_STEP;
use collective_core::question::QuestionState;
use collective_core::task::{AttemptOutcome, FailureClass, Lane, LeaseToken, Task, TaskState};
use collective_core::{Code, QuestionId, Span, TaskId};
use collective_service::{agents, leases, questions};
use collective_testkit::world::SeededEntropy;

use crate::life::{Life, Sound, Ticket, at_once, must, shaken};
use crate::report::Report;

/// What an agent is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Personality {
    Steady,
    Slow,
    Dying,
    Hanging,
    Late,
    Repeating,
    Lying,
    HittingQuota,
    Poisoned,
    Crashing,
    Asking,
    Stealing,
    Quitting,
}

impl Personality {
    const ALL: [Personality; 13] = [
        Self::Steady,
        Self::Slow,
        Self::Dying,
        Self::Hanging,
        Self::Late,
        Self::Repeating,
        Self::Lying,
        Self::HittingQuota,
        Self::Poisoned,
        Self::Crashing,
        Self::Asking,
        Self::Stealing,
        Self::Quitting,
    ];

    pub(crate) fn draw(chance: &SeededEntropy) -> Self {
        *chance.pick(&Self::ALL).expect("there are some")
    }
}

/// What an agent does with one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Reports this after so many heartbeats, so often in one batch and then once more if it is repeating.
    End { report: Report, copies: usize },
    /// Keeps the lease alive for ever.
    Hang,
    /// Waits until the lease is lost, then completes.
    BeLate,
    /// Asks, then completes when it is answered.
    Ask,
    /// Waits for the answer.
    Await(QuestionId),
    /// Never says anything again.
    Vanish,
}

/// An attempt that an agent believes to have.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) task: TaskId,
    pub(crate) token: LeaseToken,
    pub(crate) actor: usize,
    pub(crate) plan: Plan,
    beats: usize,
}

impl Work {
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket {
            task: self.task,
            token: self.token,
            actor: self.actor,
        }
    }
}

impl Life {
    /// One thing that an agent does.
    pub(crate) fn act(&mut self, place: usize) -> Sound {
        if self.registered(place).is_none() {
            self.tally.count("agent registered anew");
            return self.register(place);
        }
        let works: Vec<usize> = (0..self.works.len())
            .filter(|i| self.works[*i].actor == place)
            .collect();
        match (self.chance.below(100), self.chance.pick(&works).copied()) {
            (0..10, _) => self.mail(place),
            (10..16, _) => self.reserve(place),
            (16..19, _) => self.come_and_go(place),
            (19..27, _) if self.actors[place].personality == Personality::Stealing => {
                self.steal(place)
            }
            (27..75, Some(at)) => self.go_on(at),
            _ => self.claim(place),
        }
    }

    fn come_and_go(&mut self, place: usize) -> Sound {
        let name = self.actors[place].name.clone();
        let who = self.who(place);
        match self.chance.below(4) {
            0 | 1 => {
                let draining = self.chance.percent(60);
                let done = at_once(agents::drain(&self.hub, &who, &name, Drain { draining }));
                must!(
                    done.as_ref().err().is_none_or(shaken),
                    "{name} could not drain: {done:?}"
                );
            }
            2 => {
                let held = at_once(self.look().held_by(&self.team, &name)).expect("it is open");
                let gone = at_once(agents::remove(&self.hub, &who, &name));
                let refused = gone.as_ref().err().filter(|rejection| !shaken(rejection));
                must!(
                    gone.is_err() || held == 0,
                    "{name} was removed while it held {held} tasks"
                );
                must!(
                    refused.is_none() || held > 0,
                    "{name} holds nothing and can't be removed: {refused:?}"
                );
            }
            _ => {
                self.tally.count("agent registered anew");
                self.register(place)?;
            }
        }
        self.note(|| format!("{name} comes and goes"));
        Ok(())
    }

    /// The tasks that a claim has to give now: the order of dispatch, written a second time.
    fn next_for(&self, place: usize, max: u32) -> Vec<TaskId> {
        let Some(agent) = self.registered(place).filter(|agent| !agent.draining) else {
            return Vec::new();
        };
        let mut look = self.look();
        let held = at_once(look.held_by(&self.team, &agent.name)).expect("the store is open");
        let queues = at_once(look.queues(&self.team)).expect("the store is open");
        let serves = |task: &Task| match task.lane() {
            Lane::Agent(name) => name == agent.name,
            Lane::Role(role) => role == agent.spec.role,
            Lane::Queue(name) => {
                let paused = queues
                    .iter()
                    .any(|queue| queue.name == name && queue.paused);
                agent.spec.queues.contains(&name) && !paused
            }
        };
        let mut waiting = self.stored_in(&[TaskState::Queued]);
        waiting.retain(serves);
        let now = self.now();
        waiting.sort_by_key(|task| {
            let steps = now.since(task.ready_at).micros() / AGEING_STEP.micros();
            let rank = u64::from(task.spec.priority.rank()).saturating_sub(steps);
            (rank, task.ready_at, task.number)
        });
        let free = agent.spec.slots.saturating_sub(held).min(max) as usize;
        waiting.iter().take(free).map(|task| task.id).collect()
    }

    fn claim(&mut self, place: usize) -> Sound {
        let max = 1 + self.chance.below(4) as u32;
        let request = ClaimRequest {
            agent: self.actors[place].name.clone(),
            max,
            lease: Span::from_secs(3 + self.chance.below(60) as u64),
            wait: Span::ZERO,
        };
        let name = request.agent.clone();
        let expected = self.next_for(place, max);
        let answer = match at_once(leases::claim(&self.hub, &self.who(place), &request)) {
            Ok(answer) => answer,
            Err(rejection) if shaken(&rejection) => {
                self.note(|| format!("{name} claims: shaken"));
                return Ok(());
            }
            Err(rejection) => return Err(format!("{name} may not claim: {rejection}")),
        };
        let given: Vec<TaskId> = answer.claims.iter().map(|claim| claim.task.id).collect();
        must!(
            given == expected,
            "{name} was given {given:?}, next for it were {expected:?}"
        );
        must!(
            answer.hold.is_none() || given.is_empty(),
            "{name} is held back and got {given:?}"
        );
        if given.len() > 1 {
            self.tally.count("claim of several");
        }
        self.note(|| format!("{name} claims {given:?}, hold {:?}", answer.hold));
        for claim in answer.claims {
            let (task, token) = (claim.task.id, claim.token);
            must!(
                self.is_live(task, token),
                "the token of a fresh claim of {task} opens nothing"
            );
            must!(
                claim.task.epoch == token.epoch,
                "{task} has epoch {}, its token {}",
                claim.task.epoch,
                token.epoch
            );
            self.told.claimed.push((task, token.epoch));
            let (plan, beats) = self.plan(place);
            self.note(|| format!("    {task} will {plan:?} after {beats} heartbeats"));
            let work = Work {
                task,
                token,
                actor: place,
                plan,
                beats,
            };
            if plan == Plan::Vanish {
                self.tickets.push(work.ticket());
            } else {
                self.works.push(work);
            }
        }
        Ok(())
    }

    /// What becomes of an attempt; even the worst agent has a good day.
    fn plan(&mut self, place: usize) -> (Plan, usize) {
        let few = self.chance.below(3);
        let done = |copies| Plan::End {
            report: Report::Done,
            copies,
        };
        let fails = |class| Plan::End {
            report: Report::Failed(AttemptOutcome::Failed, class),
            copies: 1,
        };
        let personality = if self.chance.percent(20) {
            Personality::Steady
        } else {
            self.actors[place].personality
        };
        let plan = match personality {
            Personality::Steady | Personality::Stealing => done(1),
            Personality::Slow => return (done(1), 3 + self.chance.below(6)),
            Personality::Dying => Plan::Vanish,
            Personality::Hanging => Plan::Hang,
            Personality::Late => Plan::BeLate,
            Personality::Repeating => done(2 + self.chance.below(2)),
            Personality::Lying => Plan::End {
                report: *self
                    .chance
                    .pick(&[Report::DoneWithoutEvidence, Report::DoneButFailing])
                    .expect("two"),
                copies: 1 + self.chance.below(2),
            },
            Personality::HittingQuota => fails(FailureClass::Quota),
            Personality::Poisoned => fails(FailureClass::Poison),
            Personality::Crashing => match self.chance.below(6) {
                0 => fails(FailureClass::Permanent),
                1 => Plan::End {
                    report: Report::Failed(AttemptOutcome::TimedOut, FailureClass::Transient),
                    copies: 2,
                },
                _ => fails(FailureClass::Transient),
            },
            Personality::Asking => Plan::Ask,
            Personality::Quitting => Plan::End {
                report: Report::Release,
                copies: 1 + self.chance.below(2),
            },
        };
        (plan, few)
    }

    /// Goes on with one attempt.
    fn go_on(&mut self, at: usize) -> Sound {
        let work = self.works[at].clone();
        match work.plan {
            Plan::BeLate => {
                if self.is_live(work.task, work.token) {
                    return Ok(());
                }
                self.report(at, Report::Done, 1)
            }
            Plan::Hang => self.beat(at),
            _ if work.beats > 0 => {
                self.works[at].beats -= 1;
                self.beat(at)
            }
            Plan::End { report, copies } => self.report(at, report, copies),
            Plan::Ask => self.ask(at),
            Plan::Await(question) => self.look_for_answer(at, question),
            Plan::Vanish => Ok(()),
        }
    }

    /// A heartbeat for everything that the agent has, sometimes said twice.
    fn beat(&mut self, at: usize) -> Sound {
        let place = self.works[at].actor;
        let mut held: Vec<Ticket> = self
            .works
            .iter()
            .filter(|work| work.actor == place && work.plan != Plan::BeLate)
            .map(Work::ticket)
            .collect();
        if self.chance.percent(15) {
            held.extend(held.clone());
        }
        let name = self.actors[place].name.clone();
        let live: Vec<bool> = held
            .iter()
            .map(|ticket| self.is_live(ticket.task, ticket.token))
            .collect();
        let request = HeartbeatRequest {
            agent: name.clone(),
            beats: held
                .iter()
                .map(|ticket| Beat {
                    task: ticket.task,
                    token: ticket.token,
                    progress: Some(Progress {
                        percent: Some(10.0),
                        note: "at it".to_owned(),
                    }),
                })
                .collect(),
            wait: Span::ZERO,
        };
        let answer = match at_once(leases::heartbeat(&self.hub, &self.who(place), &request)) {
            Ok(answer) => answer,
            Err(rejection) if shaken(&rejection) => return Ok(()),
            Err(rejection) => return Err(format!("{name} may not send heartbeats: {rejection}")),
        };
        self.note(|| format!("{name} sends heartbeats for {}", held.len()));
        for ((ticket, live), item) in held.iter().zip(live).zip(answer.items) {
            match item.into_result() {
                Ok(beat) => {
                    must!(
                        live,
                        "a heartbeat kept {} alive by a stale token",
                        ticket.task
                    );
                    if beat.cancel.is_some() && self.chance.percent(80) {
                        self.tally.count("cancel heard by heartbeat");
                        self.stop(ticket);
                    }
                }
                Err(problem) => {
                    must!(
                        problem.code == Code::LeaseLost.as_str(),
                        "a heartbeat for {} got {}: {}",
                        ticket.task,
                        problem.code,
                        problem.detail
                    );
                    must!(!live, "a live lease on {} was called lost", ticket.task);
                    self.works.retain(|work| work.token != ticket.token);
                    self.tickets.push(ticket.clone());
                }
            }
        }
        Ok(())
    }

    /// Changes the plan to what a well-behaved agent does when its task is called off.
    fn stop(&mut self, ticket: &Ticket) {
        for work in &mut self.works {
            if work.token == ticket.token {
                work.beats = 0;
                work.plan = Plan::End {
                    report: Report::Failed(AttemptOutcome::Cancelled, FailureClass::Transient),
                    copies: 1,
                };
            }
        }
    }

    fn ask(&mut self, at: usize) -> Sound {
        let work = self.works[at].clone();
        let live = self.is_live(work.task, work.token);
        let open = self
            .stored(work.task)
            .is_some_and(|task| task.state == TaskState::NeedsInput);
        let request = AskRequest {
            token: work.token,
            text: "which way?".to_owned(),
            options: vec!["left".to_owned(), "right".to_owned()],
            hold: Some(Span::from_secs(5 + self.chance.below(300) as u64)),
        };
        let (who, id) = (self.who(work.actor), work.task.to_string());
        match at_once(questions::ask(&self.hub, &who, &id, request)) {
            Ok(question) => {
                must!(live && !open, "a stale token asked about {}", work.task);
                self.works[at].plan = Plan::Await(question.id);
                self.note(|| format!("{} asks about {}", question.agent, question.task));
            }
            // The question of an answer that was lost is open already.
            Err(rejection) if shaken(&rejection) || (live && open) => {
                self.works[at].plan = Plan::End {
                    report: Report::Done,
                    copies: 1,
                };
            }
            Err(rejection) => {
                must!(
                    !live && rejection.code() == Code::LeaseLost,
                    "asking about {} got {rejection}",
                    work.task
                );
                self.works.swap_remove(at);
                self.tickets.push(work.ticket());
            }
        }
        Ok(())
    }

    fn look_for_answer(&mut self, at: usize, question: QuestionId) -> Sound {
        let who = self.who(self.works[at].actor);
        let shown = at_once(questions::show(&self.hub, &who, question, Span::ZERO));
        match shown {
            Err(rejection) if shaken(&rejection) => Ok(()),
            Err(rejection) => Err(format!("a question can't be seen: {rejection}")),
            Ok(shown) if shown.state == QuestionState::Open => {
                // Some keep it alive meanwhile, though it is held open.
                if self.chance.percent(30) {
                    return self.beat(at);
                }
                Ok(())
            }
            Ok(_) => self.report(at, Report::Done, 1),
        }
    }
}
