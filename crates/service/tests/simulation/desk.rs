//! Requests under idempotency keys: sent until they are answered, then sent again to compare.

use collective_api::messages::{CreateSchedule, SendMessage, SentMessage};
use collective_api::tasks::{CreateTasks, CreatedTasks};
use collective_core::limits::IDEMPOTENCY_TTL;
use collective_core::message::Recipient;
use collective_core::role::Principal;
use collective_core::schedule::Schedule;
use collective_core::task::TaskSpec;
use collective_core::{AgentName, Code, Rejection, Timestamp};
use collective_service::{messages, schedules, tasks};

use crate::life::{Life, Sound, at_once, must, shaken};

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    One(TaskSpec),
    Batch(Vec<TaskSpec>),
    Message(SendMessage),
    Schedule(CreateSchedule),
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    Tasks(CreatedTasks),
    Message(SentMessage),
    Schedule(Box<Schedule>),
}

/// A request with its key, and its answer once there was one.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) who: Principal,
    pub(crate) key: String,
    pub(crate) body: Body,
    pub(crate) reply: Option<(Reply, Timestamp)>,
}

impl Life {
    pub(crate) fn fresh_key(&mut self) -> String {
        self.drawn += 1;
        format!("key-{}", self.drawn)
    }

    pub(crate) fn call(
        &self,
        who: &Principal,
        body: Body,
        key: Option<&str>,
    ) -> Result<Reply, Rejection> {
        let hub = &self.hub;
        match body {
            Body::One(spec) => at_once(tasks::create(hub, who, spec, key))
                .map(|task| Reply::Tasks(CreatedTasks { tasks: vec![task] })),
            Body::Batch(tasks) => {
                at_once(tasks::create_batch(hub, who, CreateTasks { tasks }, key)).map(Reply::Tasks)
            }
            Body::Message(message) => {
                at_once(messages::send(hub, who, message, key)).map(Reply::Message)
            }
            Body::Schedule(schedule) => at_once(schedules::create(hub, who, schedule, key))
                .map(|made| Reply::Schedule(Box::new(made))),
        }
    }

    /// Sends a request under a fresh key and keeps it for later. A refusal ends it.
    pub(crate) fn send_keyed(
        &mut self,
        who: Principal,
        body: Body,
    ) -> Result<Option<Code>, String> {
        let key = self.fresh_key();
        self.requests.push(Request {
            who,
            key,
            body,
            reply: None,
        });
        self.send_again(self.requests.len() - 1)
    }

    /// Sends a kept request: the first answer is noted, every later one must be the same.
    pub(crate) fn send_again(&mut self, at: usize) -> Result<Option<Code>, String> {
        let request = self.requests[at].clone();
        let answer = self.call(&request.who, request.body, Some(&request.key));
        let now = self.now();
        match (answer, request.reply) {
            (Err(rejection), _) if shaken(&rejection) => Ok(None),
            (Ok(reply), Some((first, _))) => {
                must!(
                    reply == first,
                    "{} was answered {first:?}, then {reply:?}",
                    request.key
                );
                self.tally.count("idempotent answer repeated");
                Ok(None)
            }
            (Ok(reply), None) => {
                self.acknowledge(&reply)?;
                self.requests[at].reply = Some((reply, now));
                Ok(None)
            }
            (Err(rejection), Some((_, at))) if now.since(at) < IDEMPOTENCY_TTL => Err(format!(
                "{} was answered and is now refused: {rejection}",
                request.key
            )),
            (Err(rejection), _) => {
                self.requests.remove(at);
                Ok(Some(rejection.code()))
            }
        }
    }

    pub(crate) fn send_one_again(&mut self) -> Sound {
        if self.requests.is_empty() {
            return Ok(());
        }
        let at = self.chance.below(self.requests.len());
        self.note(|| format!("sends request {at} again"));
        self.send_again(at).map(drop)
    }

    /// The same key with another request is refused, whatever it asks for.
    pub(crate) fn misuse_a_key(&mut self) -> Sound {
        let answered = self
            .requests
            .iter()
            .filter(|request| request.reply.is_some() && !matches!(request.body, Body::Message(_)))
            .filter(|request| !matches!(request.body, Body::Schedule(_)))
            .cloned()
            .collect::<Vec<_>>();
        let Some(request) = self.chance.pick(&answered) else {
            return Ok(());
        };
        let other = Body::One(TaskSpec::new("something else"));
        match self.call(&request.who, other, Some(&request.key)) {
            Err(rejection) if shaken(&rejection) => Ok(()),
            Err(rejection) if rejection.code() == Code::IdempotencyMismatch => {
                self.tally.count("idempotency mismatch refused");
                Ok(())
            }
            other => Err(format!("{} was used again: {other:?}", request.key)),
        }
    }

    pub(crate) fn acknowledge(&mut self, reply: &Reply) -> Sound {
        match reply {
            Reply::Tasks(created) => {
                for task in &created.tasks {
                    self.told.created.push(task.id);
                }
            }
            Reply::Message(sent) => {
                for delivery in &sent.deliveries {
                    let inbox = self.inboxes.entry(delivery.recipient.clone()).or_default();
                    inbox.push(sent.message.id);
                }
                if let Recipient::Agent(name) = &sent.message.to {
                    let got: Vec<&AgentName> =
                        sent.deliveries.iter().map(|one| &one.recipient).collect();
                    must!(got == [name], "a message to {name} went to {got:?}");
                }
            }
            Reply::Schedule(_) => {}
        }
        Ok(())
    }
}
