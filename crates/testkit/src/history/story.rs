//! A team that does what the rules say and writes its log, to tell histories by.

use std::collections::BTreeMap;

use collective_core::event::{Event, Fact};
use collective_core::task::{
    AttemptOutcome, Dependency, DependencyCondition, Failure, FailureClass, LeaseToken, Task,
    TaskRef, TaskResult, TaskSpec, TaskState, Transition,
};
use collective_core::{AgentName, QuestionId, Span, TaskId, TeamName, Timestamp};
use uuid::Uuid;

use super::{Broken, History};

pub(super) const MINUTE: Span = Span::from_secs(60);

/// A team that does what the rules say, and writes down what happens.
pub(super) struct Team {
    pub(super) now: Timestamp,
    pub(super) events: Vec<Event>,
    pub(super) tasks: BTreeMap<TaskId, Task>,
}

impl Team {
    pub(super) fn new() -> Self {
        Self {
            now: Timestamp::from_micros(1_000_000_000),
            events: Vec::new(),
            tasks: BTreeMap::new(),
        }
    }

    pub(super) fn wait(&mut self, span: Span) {
        self.now = self.now + span;
    }

    pub(super) fn note(&mut self, fact: Fact) {
        self.events.push(Event {
            team: TeamName::default_team(),
            seq: self.events.len() as u64 + 1,
            at: self.now,
            actor: "admin".to_owned(),
            fact,
        });
    }

    pub(super) fn create(&mut self, number: u128, spec: TaskSpec) -> TaskId {
        let id = id(number);
        let open = spec.depends_on.iter().filter(|dependency| {
            let TaskRef::Id(on) = &dependency.task else {
                return true;
            };
            self.tasks[on].state != TaskState::Succeeded
        });
        let waiting_on = u32::try_from(open.count()).unwrap();
        let (mut task, fact) = Task::create(id, spec, "admin".to_owned(), waiting_on, self.now);
        self.note(fact);
        task.number = self.events.len() as u64;
        self.tasks.insert(id, task);
        id
    }

    pub(super) fn apply<T>(
        &mut self,
        id: TaskId,
        rule: impl FnOnce(&mut Task, Timestamp) -> (T, Transition),
    ) -> T {
        let now = self.now;
        let (value, transition) = rule(self.tasks.get_mut(&id).unwrap(), now);
        self.follow(id, transition);
        value
    }

    /// Writes a move down, and what it means for whoever depends on the task.
    fn follow(&mut self, id: TaskId, transition: Transition) {
        for fact in transition.facts {
            self.note(fact);
        }
        let ended = self.tasks[&id].clone();
        if !ended.state.is_terminal() {
            return;
        }
        let ids: Vec<TaskId> = self.tasks.keys().copied().collect();
        for dependent in ids {
            let now = self.now;
            let task = self.tasks.get_mut(&dependent).unwrap();
            let mut edges = task.spec.depends_on.iter();
            let edge = edges.find(|edge| edge.task == TaskRef::Id(id));
            if let Some(when) = edge.map(|edge| edge.when) {
                let transition = task.dependency_ended(&ended, when, now);
                self.follow(dependent, transition);
            }
        }
    }

    pub(super) fn claim(&mut self, id: TaskId, by: &str) -> LeaseToken {
        let agent = agent(by);
        self.apply(id, |task, now| task.claim(&agent, 7, MINUTE, now).unwrap())
    }

    pub(super) fn complete(&mut self, id: TaskId, token: LeaseToken) {
        self.apply(id, |task, now| {
            let done = task.complete(token, TaskResult::default(), now, 0.5);
            ((), done.unwrap())
        });
    }

    pub(super) fn fail(&mut self, id: TaskId, token: LeaseToken, class: FailureClass) {
        self.apply(id, |task, now| {
            let failure = Failure::new(class, "no luck");
            let failed = task.fail(token, AttemptOutcome::Failed, failure, now, 0.5);
            ((), failed.unwrap())
        });
    }

    pub(super) fn tick(&mut self, id: TaskId) {
        self.apply(id, |task, now| ((), task.tick(now, 0.5)));
    }

    pub(super) fn stored(&self) -> Vec<Task> {
        self.tasks.values().cloned().collect()
    }

    /// What is wrong, by events, with the stored tasks at hand.
    pub(super) fn wrong(&self) -> Vec<(Vec<u64>, Broken)> {
        let stored = self.stored();
        match History::of(&self.events).with_tasks(&stored).check() {
            Ok(_) => Vec::new(),
            Err(violations) => violations
                .into_iter()
                .map(|v| (v.events, v.broken))
                .collect(),
        }
    }

    /// What is wrong as far as the log alone shows.
    pub(super) fn wrong_in_log(&self) -> Vec<(Vec<u64>, Broken)> {
        match History::of(&self.events).check() {
            Ok(_) => Vec::new(),
            Err(violations) => violations
                .into_iter()
                .map(|v| (v.events, v.broken))
                .collect(),
        }
    }
}

pub(super) fn id(number: u128) -> TaskId {
    TaskId(Uuid::from_u128(number))
}

pub(super) fn agent(name: &str) -> AgentName {
    AgentName::new(name).unwrap()
}

pub(super) fn plain() -> TaskSpec {
    TaskSpec::new("a task")
}

pub(super) fn after(on: TaskId, when: DependencyCondition) -> TaskSpec {
    TaskSpec {
        depends_on: vec![Dependency {
            task: TaskRef::Id(on),
            when,
        }],
        ..plain()
    }
}

/// Every kind of move that the rules know, in one story without fault.
pub(super) fn story() -> Team {
    let mut team = Team::new();
    let first = team.create(1, plain());
    let second = team.create(2, after(first, DependencyCondition::Succeeded));
    let last = team.create(3, after(second, DependencyCondition::Ended));

    let token = team.claim(first, "ada");
    let question = QuestionId(Uuid::from_u128(1));
    team.apply(first, |task, now| {
        ((), task.ask(token, question, now + MINUTE, now).unwrap())
    });
    team.wait(Span::from_secs(5));
    team.apply(first, |task, now| {
        ((), task.answered(question, "admin", now).unwrap())
    });
    team.complete(first, token);

    team.claim(second, "ada");
    team.wait(MINUTE);
    team.tick(second);
    team.wait(MINUTE);
    team.tick(second);
    let token = team.claim(second, "bob");
    team.fail(second, token, FailureClass::Quota);
    team.wait(MINUTE.times(3));
    team.tick(second);
    let token = team.claim(second, "ada");
    team.apply(second, |task, now| {
        ((), task.release(token, "draining", now).unwrap())
    });
    let token = team.claim(second, "bob");
    team.fail(second, token, FailureClass::Permanent);
    team.apply(second, |task, now| ((), task.revive(0, now).unwrap()));
    let token = team.claim(second, "ada");
    team.complete(second, token);

    let token = team.claim(last, "ada");
    team.apply(last, |task, now| ((), task.cancel("enough", now).unwrap()));
    team.fail(last, token, FailureClass::Transient);

    let later = TaskSpec {
        run_at: Some(team.now + MINUTE),
        ..plain()
    };
    let scheduled = team.create(4, later);
    let dead = team.create(5, plain());
    let token = team.claim(dead, "ada");
    team.fail(dead, token, FailureClass::Permanent);
    let dragged = team.create(6, plain());
    team.apply(dragged, |task, now| {
        ((), task.cancel("no need", now).unwrap())
    });
    team.apply(dead, |task, now| ((), task.discard("seen", now).unwrap()));
    team.wait(MINUTE);
    team.tick(scheduled);
    team.claim(scheduled, "carol");
    team
}
