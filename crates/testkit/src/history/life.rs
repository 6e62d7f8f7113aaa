//! One task's life as its events tell it, with what each event must find.
//!
//! State is replayed by [`Task::evolve`] alone. The table of which event may
//! follow which state is written here a second time, on purpose: a checker that
//! asked the rules themselves would agree with whatever they do.

use std::collections::{BTreeMap, BTreeSet};

use collective_core::event::{Event, Fact};
use collective_core::task::{
    Dependency, DependencyCondition, Epoch, Task, TaskRef, TaskSpec, TaskState,
};
use collective_core::{AgentName, TaskId};

use super::violation::Broken;

type Wrong = Vec<(Vec<u64>, Broken)>;

/// What the next event of a task has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Nothing,
    /// An attempt failed: what follows it?
    Sequel {
        seq: u64,
    },
    /// Nothing blocks it any more: ready at once, or scheduled?
    Ready {
        seq: u64,
    },
}

/// A task's life so far.
pub(super) struct Life {
    /// The task as its events give it; its spec only if it is stored.
    pub(super) task: Task,
    /// Number of the event that created it.
    pub(super) created: u64,
    /// Number of its last event.
    pub(super) last: u64,
    claimed: u64,
    ended: u64,
    pending: Pending,
    /// What it depends on; known from the stored spec.
    depends_on: Option<Vec<(TaskId, DependencyCondition)>>,
    /// Dependencies that were met once; they stay so.
    met: BTreeSet<TaskId>,
}

pub(super) type Lives = BTreeMap<TaskId, Life>;

impl Life {
    /// The life that an event begins; only a creation does.
    pub(super) fn begin(
        event: &Event,
        stored: Option<&Task>,
        others: &Lives,
    ) -> Result<(Self, Vec<Broken>), Broken> {
        let Fact::TaskCreated {
            task: id,
            title,
            waiting_on,
            ..
        } = &event.fact
        else {
            let kind = event.fact.kind();
            return Err(Broken::BeforeCreation { kind });
        };
        let spec = stored.map_or_else(|| TaskSpec::new(title.clone()), |task| task.spec.clone());
        let (mut task, fact) = Task::create(*id, spec, event.actor.clone(), *waiting_on, event.at);
        task.number = event.seq;
        task.evolve(&event.fact, event.at);
        let mut wrong = Vec::new();
        if stored.is_some() && fact != event.fact {
            wrong.push(diverged("creation", &fact, &event.fact));
        }
        let depends_on = stored.map(|task| resolved(&task.spec.depends_on));
        let mut life = Self {
            task,
            created: event.seq,
            last: event.seq,
            claimed: 0,
            ended: 0,
            pending: Pending::Nothing,
            depends_on,
            met: BTreeSet::new(),
        };
        wrong.extend(life.check_waiting_on(*waiting_on, others));
        Ok((life, wrong))
    }

    /// Checks that an event may follow, then lets it happen.
    pub(super) fn read(&mut self, event: &Event, others: &Lives) -> Wrong {
        let mut wrong = Vec::new();
        if let Some(broken) = self.misplaced(&event.fact) {
            wrong.push(self.shown(event.seq, broken));
        }
        for broken in self.fenced(&event.fact) {
            wrong.push(self.shown(event.seq, broken));
        }
        for broken in self.dependencies(&event.fact, others) {
            wrong.push((vec![event.seq], broken));
        }
        self.pending = match &event.fact {
            Fact::TaskAttemptFailed { .. } => Pending::Sequel { seq: event.seq },
            Fact::TaskDependencyMet { waiting_on: 0, .. }
            | Fact::TaskRevived { waiting_on: 0, .. } => Pending::Ready { seq: event.seq },
            _ => Pending::Nothing,
        };
        self.task.evolve(&event.fact, event.at);
        self.last = event.seq;
        match &event.fact {
            Fact::TaskClaimed { .. } => self.claimed = event.seq,
            fact if fact.ends_task() => self.ended = event.seq,
            _ => {}
        }
        wrong
    }

    /// The events that show what is wrong: the one before it that it contradicts, and itself.
    fn shown(&self, seq: u64, broken: Broken) -> (Vec<u64>, Broken) {
        let before = match broken {
            Broken::CreatedTwice => self.created,
            Broken::AfterOutcome { .. } => self.ended,
            Broken::ClaimedWhileLeased { .. }
            | Broken::EpochOutOfOrder { .. }
            | Broken::StaleEpoch { .. }
            | Broken::NotTheHolder { .. } => self.claimed,
            _ => self.last,
        };
        let before = Some(before).filter(|before| *before > 0);
        (before.into_iter().chain([seq]).collect(), broken)
    }

    /// Whether the state, or what is pending, leaves no place for the fact.
    fn misplaced(&self, fact: &Fact) -> Option<Broken> {
        use TaskState::{Blocked, Cancelled, Dead, NeedsInput, Queued, QuotaWait, Retrying};
        use TaskState::{Running, Scheduled};
        let (state, kind) = (self.task.state, fact.kind());
        if matches!(fact, Fact::TaskCreated { .. }) {
            return Some(Broken::CreatedTwice);
        }
        if let (Fact::TaskClaimed { agent, .. }, Some(lease)) = (fact, &self.task.lease) {
            let (holder, agent) = (lease.agent.clone(), agent.clone());
            return Some(Broken::ClaimedWhileLeased { holder, agent });
        }
        let fits = match (self.pending, fact) {
            (Pending::Sequel { .. } | Pending::Ready { .. }, Fact::TaskQueued { .. })
            | (Pending::Sequel { .. } | Pending::Ready { .. }, Fact::TaskScheduled { .. })
            | (
                Pending::Sequel { .. },
                Fact::TaskRetrying { .. }
                | Fact::TaskQuotaWait { .. }
                | Fact::TaskDead { .. }
                | Fact::TaskCancelled { .. },
            ) => true,
            (Pending::Sequel { .. } | Pending::Ready { .. }, _) => false,
            (Pending::Nothing, fact) => match fact {
                Fact::TaskDependencyMet { .. } => state == Blocked,
                Fact::TaskQueued { .. } => matches!(state, Scheduled | Retrying | QuotaWait),
                // After a clock that went back, a `run_at` can lie ahead again.
                Fact::TaskScheduled { .. } => matches!(state, Retrying | QuotaWait),
                Fact::TaskClaimed { .. } => state == Queued,
                Fact::TaskAsked { .. } => state == Running,
                Fact::TaskAnswered { .. } => state == NeedsInput,
                Fact::TaskAttemptFailed { .. } | Fact::TaskSucceeded { .. } => {
                    matches!(state, Running | NeedsInput)
                }
                Fact::TaskCancelRequested { .. } => {
                    matches!(state, Running | NeedsInput) && self.task.cancel_reason.is_none()
                }
                Fact::TaskDead { .. } | Fact::TaskCancelled { .. } => {
                    matches!(state, Blocked | Scheduled | Queued | Retrying | QuotaWait)
                }
                Fact::TaskDiscarded { .. } => state == Dead,
                Fact::TaskRevived { .. } => matches!(state, Dead | Cancelled),
                _ => false,
            },
        };
        let outcome = state;
        match fits {
            true => None,
            false if state.is_terminal() => Some(Broken::AfterOutcome { kind, outcome }),
            false => Some(Broken::Misplaced { kind, state }),
        }
    }

    /// Whether whoever reports holds the newest lease, and claims count on.
    fn fenced(&self, fact: &Fact) -> Vec<Broken> {
        let kind = fact.kind();
        match fact {
            Fact::TaskClaimed { epoch, .. } => {
                let (expected, found) = (self.task.epoch.next(), *epoch);
                let out_of_order = Broken::EpochOutOfOrder { expected, found };
                (expected != found)
                    .then_some(out_of_order)
                    .into_iter()
                    .collect()
            }
            Fact::TaskAsked { epoch, agent, .. }
            | Fact::TaskAttemptFailed { epoch, agent, .. }
            | Fact::TaskSucceeded { epoch, agent, .. } => self.holds(kind, *epoch, agent),
            Fact::TaskAnswered { question, .. } if self.task.question != Some(*question) => {
                let (asked, answered) = (self.task.question, *question);
                vec![Broken::OtherQuestion { asked, answered }]
            }
            _ => Vec::new(),
        }
    }

    fn holds(&self, kind: &'static str, found: Epoch, agent: &AgentName) -> Vec<Broken> {
        let mut wrong = Vec::new();
        let newest = self.task.epoch;
        if found != newest {
            wrong.push(Broken::StaleEpoch {
                kind,
                newest,
                found,
            });
        }
        if let Some(lease) = &self.task.lease
            && lease.agent != *agent
        {
            wrong.push(Broken::NotTheHolder {
                kind,
                holder: lease.agent.clone(),
                agent: agent.clone(),
            });
        }
        wrong
    }

    fn dependencies(&mut self, fact: &Fact, others: &Lives) -> Vec<Broken> {
        match fact {
            Fact::TaskDependencyMet {
                dependency,
                waiting_on,
                ..
            } => self.meet(*dependency, *waiting_on, others),
            Fact::TaskRevived { waiting_on, .. } => self.check_waiting_on(*waiting_on, others),
            _ => Vec::new(),
        }
    }

    fn meet(&mut self, dependency: TaskId, found: u32, others: &Lives) -> Vec<Broken> {
        let mut wrong = Vec::new();
        match others.get(&dependency) {
            None => wrong.push(Broken::UnknownDependency { dependency }),
            Some(other) => {
                let state = other.task.state;
                let when = self.condition(dependency);
                if !satisfies(state, when.unwrap_or(DependencyCondition::Ended)) {
                    wrong.push(Broken::DependencyNotMet { dependency, state });
                }
            }
        }
        if !self.met.insert(dependency) {
            wrong.push(Broken::DependencyMetTwice { dependency });
        }
        let expected = self.task.waiting_on.saturating_sub(1);
        if found != expected || self.task.waiting_on == 0 {
            wrong.push(Broken::WaitingOn { expected, found });
        }
        wrong
    }

    /// At its creation and at each new start, a task counts what it then waits for.
    fn check_waiting_on(&mut self, found: u32, others: &Lives) -> Vec<Broken> {
        let Some(depends_on) = &self.depends_on else {
            return Vec::new();
        };
        let mut expected = 0;
        for (id, when) in depends_on {
            let satisfied = others
                .get(id)
                .is_some_and(|other| satisfies(other.task.state, *when));
            if satisfied {
                self.met.insert(*id);
            }
            expected += u32::from(!self.met.contains(id));
        }
        let wrong = Broken::WaitingOn { expected, found };
        (expected != found).then_some(wrong).into_iter().collect()
    }

    fn condition(&self, dependency: TaskId) -> Option<DependencyCondition> {
        let depends_on = self.depends_on.as_ref()?;
        depends_on
            .iter()
            .find(|(id, _)| *id == dependency)
            .map(|(_, when)| *when)
    }

    /// What its last event left open, though it must be said in the same commit.
    pub(super) fn unfinished(&self) -> Option<(u64, Broken)> {
        match self.pending {
            Pending::Nothing => None,
            Pending::Sequel { seq } => {
                let kind = "task.attempt_failed";
                Some((seq, Broken::Unfinished { kind }))
            }
            Pending::Ready { seq } => Some((seq, Broken::BlockedByNothing)),
        }
    }
}

fn satisfies(state: TaskState, when: DependencyCondition) -> bool {
    match when {
        DependencyCondition::Succeeded => state == TaskState::Succeeded,
        DependencyCondition::Ended => state.is_terminal(),
    }
}

fn resolved(depends_on: &[Dependency]) -> Vec<(TaskId, DependencyCondition)> {
    let of_one = |dependency: &Dependency| match dependency.task {
        TaskRef::Id(id) => Some((id, dependency.when)),
        // Never stored; a comparison of the spec is not what this checker is for.
        TaskRef::Key(_) => None,
    };
    depends_on.iter().filter_map(of_one).collect()
}

/// What a blocked task waits for must be able to come.
pub(super) fn waits_in_vain(life: &Life, stored: &Task, lives: &Lives) -> Vec<Broken> {
    if stored.state != TaskState::Blocked {
        return Vec::new();
    }
    let depends_on = resolved(&stored.spec.depends_on);
    let open: Vec<_> = depends_on
        .into_iter()
        .filter(|(id, _)| !life.met.contains(id))
        .collect();
    let mut wrong = Vec::new();
    let expected = open.len() as u32;
    if stored.waiting_on != expected {
        let found = stored.waiting_on;
        wrong.push(Broken::WaitingOn { expected, found });
    }
    if open.is_empty() {
        wrong.push(Broken::BlockedByNothing);
    }
    for (dependency, when) in open {
        match lives.get(&dependency).map(|other| other.task.state) {
            None => wrong.push(Broken::UnknownDependency { dependency }),
            Some(state) if satisfies(state, when) => {
                wrong.push(Broken::DependencyOverlooked { dependency });
            }
            Some(state) if state.is_terminal() => {
                wrong.push(Broken::BlockedForEver { dependency, state });
            }
            Some(_) => {}
        }
    }
    wrong
}

/// What of the stored task its history doesn't give. The lease's secret and
/// exact expiry, feedback and the result are beside the history.
pub(super) fn compare(replayed: &Task, stored: &Task) -> Vec<Broken> {
    let agent = |task: &Task| task.lease.as_ref().map(|lease| lease.agent.clone());
    let ttl = |task: &Task| task.lease.as_ref().map(|lease| lease.ttl);
    let failure = |task: &Task| {
        let failure = task.failure.as_ref();
        failure.map(|failure| (failure.class, failure.reason.clone()))
    };
    let mut wrong = Vec::new();
    macro_rules! same {
        ($($field:literal: $of:expr;)*) => {
            $(
                let of = $of;
                let (ours, theirs) = (of(replayed), of(stored));
                if ours != theirs {
                    wrong.push(diverged($field, &ours, &theirs));
                }
            )*
        };
    }
    same! {
        "number": |task: &Task| task.number;
        "state": |task: &Task| task.state;
        "waiting_on": |task: &Task| task.waiting_on;
        "ready_at": |task: &Task| task.ready_at;
        "wake_at": |task: &Task| task.wake_at;
        "epoch": |task: &Task| task.epoch;
        "attempts_used": |task: &Task| task.attempts_used;
        "poisonings": |task: &Task| task.poisonings;
        "lease.agent": agent;
        "lease.ttl": ttl;
        "question": |task: &Task| task.question;
        "cancel_reason": |task: &Task| task.cancel_reason.clone();
        "failure": failure;
        "created_at": |task: &Task| task.created_at;
        "started_at": |task: &Task| task.started_at;
        "finished_at": |task: &Task| task.finished_at;
    }
    if (stored.state == TaskState::Succeeded) != stored.result.is_some() {
        let result = |there: bool| if there { "a result" } else { "no result" };
        wrong.push(Broken::Diverged {
            field: "result",
            replayed: result(stored.state == TaskState::Succeeded).to_owned(),
            stored: result(stored.result.is_some()).to_owned(),
        });
    }
    wrong
}

fn diverged<T: std::fmt::Debug>(field: &'static str, replayed: &T, stored: &T) -> Broken {
    Broken::Diverged {
        field,
        replayed: format!("{replayed:?}"),
        stored: format!("{stored:?}"),
    }
}
