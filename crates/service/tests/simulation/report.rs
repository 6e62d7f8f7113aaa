//! Reports: in time, late, twice, with someone else's token, with one that never was.

use collective_api::leases::{
    AppendLog, AskRequest, Beat, CompleteRequest, Completion, FailRequest, FailedAttempt,
    HeartbeatRequest, LeaseRef, ReleaseRequest, Settled,
};
use collective_api::messages::Reserve;
use collective_api::{Items, Problem};
use collective_core::task::{
    AttemptOutcome, Check, Epoch, Evidence, Failure, FailureClass, LeaseToken, Task, TaskState,
};
use collective_core::{Code, Rejection, Span};
use collective_service::{leases, questions, reservations};
use serde_json::json;

use crate::life::{Life, Sound, Ticket, at_once, must, shaken};

/// What a holder says of its attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    Done,
    DoneWithoutEvidence,
    DoneButFailing,
    Failed(AttemptOutcome, FailureClass),
    Release,
}

type Settling = Result<Items<Settled>, Rejection>;

fn completion(task: &Task, token: LeaseToken, report: Report) -> Completion {
    // The server judges schemas by itself; evidence for the others is the agent's.
    let evidence = |(place, _): (usize, &Check)| Evidence {
        check: place as u32,
        passed: report == Report::Done,
        exit_code: Some(i32::from(report != Report::Done)),
        log_sha256: None,
        commit: None,
        seconds: 0.5,
        output: "as seen".to_owned(),
    };
    Completion {
        task: task.id,
        token,
        text: "done".to_owned(),
        json: (report == Report::Done).then(|| json!({"count": 1})),
        artifacts: Vec::new(),
        usage: Default::default(),
        commit: None,
        evidence: match report {
            Report::DoneWithoutEvidence => Vec::new(),
            _ => task.spec.checks.iter().enumerate().map(evidence).collect(),
        },
    }
}

/// What a live lease's report must give.
fn expected(task: &Task, report: Report) -> Result<AttemptOutcome, Code> {
    let own_checks = task
        .spec
        .checks
        .iter()
        .any(|check| !matches!(check, Check::Schema { .. }));
    let schemas = task
        .spec
        .checks
        .iter()
        .any(|check| matches!(check, Check::Schema { .. }));
    match report {
        Report::Done => Ok(AttemptOutcome::Succeeded),
        Report::DoneWithoutEvidence if own_checks => Err(Code::EvidenceMissing),
        Report::DoneWithoutEvidence | Report::DoneButFailing => Ok(
            if schemas || own_checks && report == Report::DoneButFailing {
                AttemptOutcome::Failed
            } else {
                AttemptOutcome::Succeeded
            },
        ),
        Report::Failed(outcome, _) => Ok(outcome),
        Report::Release => Ok(AttemptOutcome::Released),
    }
}

fn brief(answer: &Result<Settled, Box<Problem>>) -> Result<AttemptOutcome, &str> {
    match answer {
        Ok(settled) => Ok(settled.outcome),
        Err(problem) => Err(&problem.code),
    }
}

impl Life {
    /// Sends a report for a ticket as an actor, so often in one batch.
    fn send(&mut self, place: usize, ticket: &Ticket, report: Report, copies: usize) -> Settling {
        let task = self.stored(ticket.task).expect("tickets are for tasks");
        let who = self.who(place);
        let (id, token) = (ticket.task, ticket.token);
        match report {
            Report::Done | Report::DoneWithoutEvidence | Report::DoneButFailing => {
                let completions = vec![completion(&task, token, report); copies];
                at_once(leases::complete(
                    &self.hub,
                    &who,
                    CompleteRequest { completions },
                ))
            }
            Report::Failed(outcome, class) => {
                let quota = class == FailureClass::Quota && self.chance.percent(70);
                let wait = Span::from_secs(self.chance.below(400) as u64);
                let failure = Failure {
                    retry_at: quota.then(|| self.now() + wait),
                    feedback: "the end of a log".to_owned(),
                    ..Failure::new(class, "it went wrong")
                };
                let failed = FailedAttempt {
                    task: id,
                    token,
                    outcome,
                    failure,
                };
                let failures = vec![failed; copies];
                at_once(leases::fail(&self.hub, &who, FailRequest { failures }))
            }
            Report::Release => {
                let request = ReleaseRequest {
                    leases: vec![LeaseRef { task: id, token }; copies],
                    reason: "leaving".to_owned(),
                };
                at_once(leases::release(&self.hub, &who, request))
            }
        }
    }

    /// An agent reports on what it holds, or believes to hold.
    pub(crate) fn report(&mut self, at: usize, report: Report, copies: usize) -> Sound {
        let work = self.works[at].clone();
        let ticket = work.ticket();
        if self.chance.percent(30) {
            self.write_log(&ticket)?;
        }
        self.note(|| format!("reports {report:?} on {} x{copies}", ticket.task));
        let Some(outcome) = self.report_ticket(&ticket, report, copies)? else {
            // The answer never came: it says the same again later.
            return Ok(());
        };
        match outcome {
            Ok(_) if copies > 1 => {
                self.tally.count("report repeated apart");
                self.report_ticket(&ticket, report, 1)?;
            }
            // A liar that is asked for evidence gives some that fails.
            Err(Code::EvidenceMissing) => {
                self.tally.count("completion without evidence refused");
                self.works[at].plan = crate::worker::Plan::End {
                    report: Report::DoneButFailing,
                    copies: 1,
                };
                return Ok(());
            }
            _ => {}
        }
        self.works.retain(|other| other.token != work.token);
        self.tickets.push(ticket);
        Ok(())
    }

    /// One report with what it must give; nothing if the store failed it.
    fn report_ticket(
        &mut self,
        ticket: &Ticket,
        report: Report,
        copies: usize,
    ) -> Result<Option<Result<AttemptOutcome, Code>>, String> {
        let task = self.stored(ticket.task).expect("tickets are for tasks");
        let must_be = match task.check_lease(ticket.token) {
            Ok(_) => expected(&task, report),
            Err(_) => self.told_before(ticket).ok_or(Code::LeaseLost),
        };
        let answer = match self.send(ticket.actor, ticket, report, copies) {
            Ok(answer) => answer,
            Err(rejection) if shaken(&rejection) => return Ok(None),
            Err(rejection) => return Err(format!("a report was refused whole: {rejection}")),
        };
        let answers: Vec<_> = answer
            .items
            .into_iter()
            .map(|item| item.into_result())
            .collect();
        must!(
            answers.len() == copies,
            "{copies} reports got {} answers",
            answers.len()
        );
        for answer in &answers {
            must!(
                brief(answer) == must_be.map_err(Code::as_str),
                "{report:?} on {} got {answer:?}, not {must_be:?}",
                ticket.task
            );
        }
        must!(
            answers.windows(2).all(|pair| pair[0] == pair[1]),
            "a repeated report got another answer: {answers:?}"
        );
        if copies > 1 {
            self.tally.count("report repeated in one batch");
        }
        match must_be {
            Ok(AttemptOutcome::Succeeded) => {
                self.told.succeeded.push((ticket.task, ticket.token.epoch));
            }
            Ok(_) => self.told.failed.push((ticket.task, ticket.token.epoch)),
            Err(Code::LeaseLost) => self.tally.count("late report refused"),
            Err(_) => {}
        }
        Ok(Some(must_be))
    }

    /// The outcome that a report with this token got before, if one did.
    fn told_before(&self, ticket: &Ticket) -> Option<AttemptOutcome> {
        let attempt = at_once(
            self.look()
                .attempt(&self.team, ticket.task, ticket.token.epoch),
        );
        let attempt = attempt.expect("the store is open")?;
        (attempt.token == Some(ticket.token) && attempt.outcome != AttemptOutcome::Lost)
            .then_some(attempt.outcome)
    }

    fn write_log(&mut self, ticket: &Ticket) -> Sound {
        let live = self.is_live(ticket.task, ticket.token);
        let request = AppendLog {
            token: ticket.token,
            position: 1,
            content: "aGVsbG8=".to_owned(),
        };
        let who = self.who(ticket.actor);
        let id = ticket.task.to_string();
        match at_once(leases::append_log(&self.hub, &who, &id, request)) {
            Ok(()) => {
                must!(live, "a stale token wrote output of {id}");
                self.tally.count("log written");
                Ok(())
            }
            Err(rejection) if shaken(&rejection) => Ok(()),
            Err(rejection) => {
                must!(
                    !live && rejection.code() == Code::LeaseLost,
                    "output of {id} was refused: {rejection}"
                );
                Ok(())
            }
        }
    }

    /// Whatever is tried with a token that isn't the newest of a live lease is refused and changes nothing.
    pub(crate) fn try_an_old_token(&mut self) -> Sound {
        let Some(ticket) = self.chance.pick(&self.tickets).cloned() else {
            return Ok(());
        };
        let task = self.stored(ticket.task).expect("tickets are for tasks");
        if self.registered(ticket.actor).is_none() || task.check_lease(ticket.token).is_ok() {
            return Ok(());
        }
        let refused = self.use_token(ticket.actor, &ticket)?;
        match refused {
            Some(Code::LeaseLost) => self.tally.count("stale token refused"),
            Some(code) => return Err(format!("a stale token on {} got {code:?}", ticket.task)),
            None => {}
        }
        self.unchanged(&task)
    }

    /// Uses what belongs to someone else, or to nobody.
    pub(crate) fn steal(&mut self, place: usize) -> Sound {
        let others: Vec<Ticket> = self
            .works
            .iter()
            .map(|work| work.ticket())
            .chain(self.tickets.iter().cloned())
            .filter(|ticket| ticket.actor != place)
            .collect();
        let Some(mut ticket) = self.chance.pick(&others).cloned() else {
            return Ok(());
        };
        let task = self.stored(ticket.task).expect("tickets are for tasks");
        let forged = self.chance.percent(50);
        if forged {
            let epoch = match self.chance.below(3) {
                0 => ticket.token.epoch,
                1 => task.epoch,
                _ => Epoch(ticket.token.epoch.0 + 1),
            };
            ticket.token = LeaseToken {
                epoch,
                secret: u128::from(self.chance.number()),
            };
        }
        let name = self.actors[place].name.clone();
        self.note(|| {
            format!(
                "{name} steals {ticket_task}, forged: {forged}",
                ticket_task = task.id
            )
        });
        let live = task.check_lease(ticket.token).is_ok();
        match self.use_token(place, &ticket)? {
            Some(Code::LeaseLost) if !live => self.tally.count(if forged {
                "forged token refused"
            } else {
                "stolen token refused"
            }),
            Some(Code::Forbidden) if live => self.tally.count("stolen token refused"),
            Some(code) => {
                return Err(format!(
                    "{name} used a token of {} (live: {live}) and got {code:?}",
                    task.id
                ));
            }
            None => {}
        }
        self.unchanged(&task)
    }

    fn unchanged(&self, before: &Task) -> Sound {
        let after = self.stored(before.id);
        must!(
            after.as_ref() == Some(before),
            "a refused token changed {}: {before:?} became {after:?}",
            before.id
        );
        Ok(())
    }

    /// Tries one of the things that need a token. The code of its refusal, or nothing after a
    /// fault or where the true holder is told again what it was told before.
    fn use_token(&mut self, place: usize, ticket: &Ticket) -> Result<Option<Code>, String> {
        let who = self.who(place);
        let (task, token) = (ticket.task, ticket.token);
        let agent = self.actors[place].name.clone();
        let refused = match self.chance.below(7) {
            0 => {
                let beat = Beat {
                    task,
                    token,
                    progress: None,
                };
                let request = HeartbeatRequest {
                    agent,
                    beats: vec![beat],
                    wait: Span::ZERO,
                };
                let answer = at_once(leases::heartbeat(&self.hub, &who, &request));
                answer.and_then(|answer| first(answer.items).map(drop))
            }
            1 => {
                let request = AskRequest {
                    token,
                    text: "may I?".to_owned(),
                    options: Vec::new(),
                    hold: None,
                };
                let id = task.to_string();
                at_once(questions::ask(&self.hub, &who, &id, request)).map(drop)
            }
            2 => {
                let request = AppendLog {
                    token,
                    position: 9,
                    content: "aGVsbG8=".to_owned(),
                };
                at_once(leases::append_log(
                    &self.hub,
                    &who,
                    &task.to_string(),
                    request,
                ))
            }
            3 => {
                let request = Reserve {
                    agent,
                    repository: "elsewhere".to_owned(),
                    paths: vec!["src".to_owned()],
                    ttl: Span::from_secs(60),
                    shared: true,
                    reason: String::new(),
                    task: Some(task),
                    token: Some(token),
                };
                at_once(reservations::reserve(&self.hub, &who, request)).map(drop)
            }
            kind => {
                let report = match kind {
                    4 => Report::Done,
                    5 => Report::Failed(AttemptOutcome::Failed, FailureClass::Permanent),
                    _ => Report::Release,
                };
                let again = self.told_before(ticket).filter(|_| place == ticket.actor);
                match self
                    .send(place, ticket, report, 1)
                    .and_then(|answer| first(answer.items))
                {
                    Ok(settled) if again == Some(settled.outcome) => return Ok(None),
                    other => other.map(drop),
                }
            }
        };
        match refused {
            Ok(()) => Err(format!(
                "a token that opens nothing was accepted for {task}"
            )),
            Err(rejection) if shaken(&rejection) => Ok(None),
            Err(rejection) => Ok(Some(rejection.code())),
        }
    }

    /// Whether every attempt of a task ended once, and one succeeded exactly if the task did.
    pub(crate) fn check_attempts(&self, task: &Task) -> Sound {
        let attempts = at_once(self.look().attempts(&self.team, task.id)).expect("it is open");
        let epochs: Vec<u32> = attempts.iter().map(|attempt| attempt.epoch.0).collect();
        let running = u32::from(task.state.is_leased());
        must!(
            epochs == (1..=task.epoch.0 - running.min(task.epoch.0)).collect::<Vec<_>>(),
            "{} was claimed {} times, its attempts are {epochs:?}",
            task.id,
            task.epoch
        );
        let succeeded = attempts
            .iter()
            .filter(|attempt| attempt.outcome == AttemptOutcome::Succeeded)
            .count();
        must!(
            succeeded == usize::from(task.state == TaskState::Succeeded),
            "{} is {} with {succeeded} attempts that succeeded",
            task.id,
            task.state
        );
        Ok(())
    }
}

fn first<T>(items: Vec<collective_api::Item<T>>) -> Result<T, Rejection> {
    let item = items.into_iter().next().expect("one item was sent");
    item.into_result()
        .map_err(|problem| Rejection::from(*problem))
}
