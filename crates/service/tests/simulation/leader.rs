//! Whoever leads: hands out tasks, calls off, retries, discards, pauses, answers, plans ahead.

use collective_api::messages::CreateSchedule;
use collective_api::tasks::Answer;
use collective_core::question::QuestionState;
use collective_core::role::{Grant, Principal, Role};
use collective_core::schedule::Overlap;
use collective_core::task::{
    Check, Dependency, DependencyCondition, Priority, RetryPolicy, Task, TaskRef, TaskSpec,
    TaskState,
};
use collective_core::{Code, Rejection, Span};
use collective_service::{questions, queues, schedules, tasks};
use serde_json::json;

use crate::desk::Body;
use crate::life::{Life, Sound, at_once, must, shaken};

impl Life {
    pub(crate) fn lead(&mut self) -> Sound {
        match self.chance.below(100) {
            0..25 => self.create_one(),
            25..42 => self.create_batch(),
            42..46 => self.create_what_is_refused(),
            46..56 => self.cancel(),
            56..66 => self.retry(),
            66..71 => self.discard(),
            71..77 => self.pause(),
            77..87 => self.answer(),
            87..92 => self.plan_ahead(),
            92..97 => self.send_one_again(),
            _ => self.misuse_a_key(),
        }
    }

    /// Someone who may lead.
    fn leader(&self) -> Principal {
        let grant = match self.chance.below(3) {
            0 => Grant::Admin,
            1 => Grant::Role(Role::Leader),
            _ => Grant::Role(Role::Coordinator),
        };
        Principal {
            team: self.team.clone(),
            grant,
        }
    }

    fn secs(&self, from: usize, to: usize) -> Span {
        Span::from_secs((from + self.chance.below(to - from)) as u64)
    }

    fn spec(&mut self) -> TaskSpec {
        self.drawn += 1;
        let mut spec = TaskSpec::new(format!("task {}", self.drawn));
        match self.chance.below(10) {
            0 => spec.role = Some(Role::Worker),
            1 => {
                let place = self.chance.below(self.actors.len());
                spec.agent = Some(self.actors[place].name.clone());
            }
            2 => {}
            _ => spec.queue = self.chance.pick(&self.queues).cloned(),
        }
        spec.priority = *self.chance.pick(&Priority::ALL).expect("four");
        spec.retry = RetryPolicy {
            max_attempts: 1 + self.chance.below(4) as u32,
            initial_delay: Span::from_millis(self.chance.below(5_000) as u64),
            factor: 1 + self.chance.below(3) as u32,
            max_delay: Span::from_secs(30),
        };
        spec.timeout = self.secs(5, 120);
        if self.chance.percent(15) {
            spec.run_at = Some(self.now() + self.secs(1, 300));
        }
        if self.chance.percent(15) {
            let from = spec.run_at.unwrap_or(self.now());
            spec.deadline = Some(from + self.secs(5, 600));
        }
        if self.chance.percent(15) {
            spec.checks.push(Check::Command {
                command: vec!["true".to_owned()],
                exit_code: 0,
                timeout: Span::from_secs(5),
            });
        }
        if self.chance.percent(10) {
            spec.checks.push(Check::File {
                path: "report.md".to_owned(),
            });
        }
        if self.chance.percent(3) {
            spec.checks.push(Check::Schema {
                schema: json!({"type": "object", "required": ["count"]}),
            });
        }
        for _ in 0..2 {
            let on = self.pick_task().filter(|_| self.chance.percent(15));
            let on = on.filter(|on| spec.depends_on.iter().all(|d| d.task != TaskRef::Id(*on)));
            if let Some(on) = on {
                spec.depends_on.push(Dependency {
                    task: TaskRef::Id(on),
                    when: self.condition(),
                });
            }
        }
        spec
    }

    fn condition(&self) -> DependencyCondition {
        if self.chance.percent(40) {
            DependencyCondition::Ended
        } else {
            DependencyCondition::Succeeded
        }
    }

    /// Whether a task that must succeed first never will.
    fn hopeless(&self, specs: &[TaskSpec]) -> bool {
        specs.iter().flat_map(|spec| &spec.depends_on).any(|edge| {
            let TaskRef::Id(on) = edge.task else {
                return false;
            };
            let state = self.stored(on).map(|task| task.state);
            edge.when == DependencyCondition::Succeeded
                && state.is_some_and(|s| s.is_terminal() && s != TaskState::Succeeded)
        })
    }

    /// Whether a task is for an agent that isn't registered.
    fn for_nobody(&self, specs: &[TaskSpec]) -> bool {
        specs
            .iter()
            .filter_map(|spec| spec.agent.as_ref())
            .any(|name| {
                let place = self.actors.iter().position(|actor| actor.name == *name);
                place.is_none_or(|place| self.registered(place).is_none())
            })
    }

    /// Sends tasks; they must be refused exactly if a rule says so.
    fn send_tasks(&mut self, body: Body, specs: &[TaskSpec]) -> Sound {
        let (hopeless, for_nobody) = (self.hopeless(specs), self.for_nobody(specs));
        let before = at_once(self.look().last_seq(&self.team)).expect("the store is open");
        let who = self.leader();
        let code = if self.chance.percent(50) {
            self.send_keyed(who, body)?
        } else {
            match self.call(&who, body, None) {
                Ok(reply) => {
                    self.acknowledge(&reply)?;
                    None
                }
                Err(rejection) if shaken(&rejection) => None,
                Err(rejection) => Some(rejection.code()),
            }
        };
        self.note(|| format!("creates {} tasks: {code:?}", specs.len()));
        match code {
            None => Ok(()),
            Some(Code::WrongState) if hopeless => self.refused_whole(before),
            Some(Code::UnknownAgent) if for_nobody => self.refused_whole(before),
            Some(code) => Err(format!("good tasks were refused: {code:?} {specs:?}")),
        }
    }

    fn refused_whole(&mut self, before: u64) -> Sound {
        let after = at_once(self.look().last_seq(&self.team)).expect("the store is open");
        must!(
            before == after,
            "a refused creation wrote {} events",
            after - before
        );
        self.tally.count("batch refused whole");
        Ok(())
    }

    fn create_one(&mut self) -> Sound {
        let spec = self.spec();
        self.send_tasks(Body::One(spec.clone()), &[spec])
    }

    fn create_batch(&mut self) -> Sound {
        let count = 2 + self.chance.below(5);
        let mut specs: Vec<TaskSpec> = Vec::new();
        for place in 0..count {
            let mut spec = self.spec();
            spec.key = Some(format!("t{place}"));
            for earlier in 0..place {
                if self.chance.percent(35) {
                    spec.depends_on.push(Dependency {
                        task: TaskRef::Key(format!("t{earlier}")),
                        when: self.condition(),
                    });
                }
            }
            specs.push(spec);
        }
        // Nothing says that what comes first stands first.
        if self.chance.percent(50) {
            specs.reverse();
        }
        self.tally.count("created in batch");
        self.send_tasks(Body::Batch(specs.clone()), &specs)
    }

    fn create_what_is_refused(&mut self) -> Sound {
        let on = |key: &str| Dependency {
            task: TaskRef::Key(key.to_owned()),
            when: DependencyCondition::Succeeded,
        };
        let named = |key: &str, depends_on| TaskSpec {
            key: Some(key.to_owned()),
            depends_on,
            ..TaskSpec::new(key)
        };
        let specs = vec![
            named("good", Vec::new()),
            named("a", vec![on("b")]),
            named("b", vec![on("a")]),
        ];
        let before = at_once(self.look().last_seq(&self.team)).expect("the store is open");
        let answer = self.call(&self.leader(), Body::Batch(specs), None);
        match answer {
            Err(rejection) if shaken(&rejection) => return Ok(()),
            Err(rejection) if rejection.code() == Code::DependencyCycle => {}
            other => return Err(format!("a cycle got {other:?}")),
        }
        self.tally.count("cycle refused");
        self.refused_whole(before)
    }

    /// Checks that a command on a task went through exactly if `may`.
    fn ruled<T>(&self, what: &str, task: &Task, may: bool, done: Result<T, Rejection>) -> Sound {
        match done {
            Ok(_) => must!(
                may,
                "{what} went through on {} while {}",
                task.id,
                task.state
            ),
            Err(rejection) if shaken(&rejection) => {}
            Err(rejection) => must!(
                !may && rejection.code() == Code::WrongState,
                "{what} of {} while {} was refused: {rejection}",
                task.id,
                task.state
            ),
        }
        Ok(())
    }

    fn cancel(&mut self) -> Sound {
        let Some(task) = self.pick_task().and_then(|id| self.stored(id)) else {
            return Ok(());
        };
        let may = !task.state.is_terminal() || task.state == TaskState::Cancelled;
        let (who, id) = (self.leader(), task.id.to_string());
        let done = at_once(tasks::cancel(&self.hub, &who, &id, "enough"));
        self.note(|| format!("cancels {}: {}", task.id, done.is_ok()));
        self.ruled("a cancellation", &task, may, done)
    }

    fn discard(&mut self) -> Sound {
        let dead = self.stored_in(&[TaskState::Dead]);
        let any = self.pick_task().and_then(|id| self.stored(id));
        let Some(task) = self.chance.pick(&dead).cloned().or(any) else {
            return Ok(());
        };
        let may = matches!(task.state, TaskState::Dead | TaskState::Discarded);
        let (who, id) = (self.leader(), task.id.to_string());
        let done = at_once(tasks::discard(&self.hub, &who, &id, "seen"));
        self.note(|| format!("discards {}: {}", task.id, done.is_ok()));
        self.ruled("a discard", &task, may, done)
    }

    fn retry(&mut self) -> Sound {
        let ended = self.stored_in(&[TaskState::Dead, TaskState::Cancelled]);
        let any = self.pick_task().and_then(|id| self.stored(id));
        let often = self.chance.percent(90);
        let Some(task) = self.chance.pick(&ended).filter(|_| often).cloned().or(any) else {
            return Ok(());
        };
        let ended = matches!(task.state, TaskState::Dead | TaskState::Cancelled);
        let late = task.spec.deadline.is_some_and(|at| at <= self.now());
        let edges = at_once(self.look().dependencies(&self.team, task.id)).expect("it is open");
        let hopeless = edges.iter().filter(|edge| !edge.met).any(|edge| {
            let state = self.stored(edge.on).map(|on| on.state);
            edge.when == DependencyCondition::Succeeded
                && state.is_some_and(|s| s.is_terminal() && s != TaskState::Succeeded)
        });
        let may = ended && !late && !hopeless;
        let done = at_once(tasks::retry(
            &self.hub,
            &self.leader(),
            &task.id.to_string(),
        ));
        self.note(|| format!("retries {}: {}", task.id, done.is_ok()));
        self.ruled("a retry", &task, may, done)
    }

    fn pause(&mut self) -> Sound {
        let paused = self.chance.percent(50);
        let queue = self
            .chance
            .pick(&self.queues)
            .expect("one at least")
            .clone();
        let done = at_once(queues::set_paused(
            &self.hub,
            &self.leader(),
            &queue,
            paused,
        ));
        let refused = done.err().filter(|rejection| !shaken(rejection));
        must!(
            refused.is_none(),
            "pausing {queue} was refused: {refused:?}"
        );
        self.note(|| format!("{queue} is paused: {paused}"));
        Ok(())
    }

    fn answer(&mut self) -> Sound {
        let Some(id) = self.chance.pick(&self.questions).copied() else {
            return Ok(());
        };
        let look = at_once(self.look().question(&self.team, id)).expect("the store is open");
        let question = look.ok_or("a question that was asked isn't stored")?;
        let text = *self.chance.pick(&["left", "right"]).expect("two");
        let may = match question.state {
            QuestionState::Open => true,
            QuestionState::Answered => question.answer.as_deref() == Some(text),
            QuestionState::Expired | QuestionState::Withdrawn => false,
        };
        let answer = Answer {
            text: text.to_owned(),
        };
        let done = at_once(questions::answer(&self.hub, &self.leader(), id, answer));
        self.note(|| {
            format!(
                "answers {id}, which is {:?}: {}",
                question.state,
                done.is_ok()
            )
        });
        match done {
            Ok(_) => must!(may, "a question that is {:?} was answered", question.state),
            Err(rejection) if shaken(&rejection) => {}
            Err(rejection) => {
                must!(
                    !may && rejection.code() == Code::WrongState,
                    "an answer to a question that is {:?} got {rejection}",
                    question.state
                );
                self.tally.count("answer after expiry refused");
            }
        }
        Ok(())
    }

    fn plan_ahead(&mut self) -> Sound {
        let known = self.chance.pick(&self.schedules).copied();
        match (self.chance.below(4), known) {
            (0, Some(id)) => {
                let paused = self.chance.percent(60);
                let who = self.leader();
                let done = at_once(schedules::set_paused(&self.hub, &who, id, paused));
                self.gone_or_done(done.map(drop))
            }
            (1, Some(id)) => {
                let who = self.leader();
                let done = at_once(schedules::remove(&self.hub, &who, id));
                self.gone_or_done(done)
            }
            _ => {
                let mut task = self.spec();
                task.run_at = None;
                task.deadline = None;
                task.depends_on.clear();
                let crons = ["*/20 * * * * *", "* * * * *", "*/5 * * * *"];
                let body = Body::Schedule(CreateSchedule {
                    name: format!("schedule {}", self.drawn),
                    cron: (*self.chance.pick(&crons).expect("three")).to_owned(),
                    time_zone: "UTC".to_owned(),
                    overlap: if self.chance.percent(70) {
                        Overlap::Skip
                    } else {
                        Overlap::Allow
                    },
                    task,
                });
                let refused = self.send_keyed(self.leader(), body)?;
                must!(refused.is_none(), "a schedule was refused: {refused:?}");
                Ok(())
            }
        }
    }

    pub(crate) fn gone_or_done(&self, done: Result<(), Rejection>) -> Sound {
        match done {
            Err(rejection) if !shaken(&rejection) && rejection.code() != Code::NotFound => {
                Err(format!("a plain command was refused: {rejection}"))
            }
            _ => Ok(()),
        }
    }
}
