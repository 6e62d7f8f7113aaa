//! Where the tasks of a run stand, told by the event log alone.
//!
//! Pure: events in, changes out. What the log says again after a break, or
//! what is about other tasks, changes nothing.

use std::collections::HashMap;

use collective_core::event::{Event, Fact};
use collective_core::task::{Task, TaskState};
use collective_core::{AgentName, Span, TaskId, Timestamp};

/// A task of the run.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Its id.
    pub(super) id: TaskId,
    /// Its number.
    pub(super) number: u64,
    /// Its key, or its title if it has none.
    pub(super) name: String,
    /// Where it stands.
    pub(super) state: TaskState,
    /// Who works on it, or worked on it last.
    pub(super) agent: Option<AgentName>,
    /// The number of its newest attempt.
    pub(super) attempt: u32,
    /// When that started.
    pub(super) started_at: Option<Timestamp>,
    /// How long the attempts that have ended took together.
    pub(super) worked: Span,
    /// Why the last attempt, or the task, didn't succeed.
    pub(super) reason: Option<String>,
}

/// What an event changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// An attempt started.
    Started,
    /// An attempt ended without success; how long it took.
    Failed(Span),
    /// It waits for its next attempt until then.
    Waits(Timestamp),
    /// Its agent asked something.
    Asked,
    /// It was answered.
    Answered,
    /// It reached its outcome; how long the last attempt took, if one ran.
    Ended(Option<Span>),
    /// It moved in a way that nobody needs to be told of.
    Moved,
}

/// The tasks of a run.
#[derive(Debug, Default)]
pub(super) struct Board {
    rows: Vec<Row>,
    places: HashMap<TaskId, usize>,
    /// Kept as events come in: a run may have tens of thousands of tasks.
    tally: Tally,
}

/// How many tasks stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Those that have ended.
    pub(super) ended: usize,
    /// Those that an agent holds.
    pub(super) running: usize,
    /// Those that ended without success.
    pub(super) failed: usize,
}

impl Tally {
    fn enter(&mut self, state: TaskState) {
        self.ended += usize::from(state.is_terminal());
        self.running += usize::from(state.is_leased());
        self.failed += usize::from(failed(state));
    }

    fn leave(&mut self, state: TaskState) {
        self.ended -= usize::from(state.is_terminal());
        self.running -= usize::from(state.is_leased());
        self.failed -= usize::from(failed(state));
    }
}

fn failed(state: TaskState) -> bool {
    state.is_terminal() && state != TaskState::Succeeded
}

impl Board {
    /// A board of tasks as they stood when they were created or found.
    pub(super) fn new(tasks: impl IntoIterator<Item = Row>) -> Self {
        let mut rows: Vec<Row> = tasks.into_iter().collect();
        rows.sort_by_key(|row| row.number);
        let mut tally = Tally::default();
        let mut places = HashMap::with_capacity(rows.len());
        for (place, row) in rows.iter().enumerate() {
            tally.enter(row.state);
            places.insert(row.id, place);
        }
        Self {
            rows,
            places,
            tally,
        }
    }

    /// The tasks, by number.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The number of the event before all of theirs.
    pub(super) fn before_all(&self) -> u64 {
        self.rows
            .first()
            .map_or(0, |row| row.number.saturating_sub(1))
    }

    /// How many stand where.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Whether all have ended.
    pub(super) fn all_ended(&self) -> bool {
        self.tally.ended == self.rows.len()
    }

    /// Takes an event in; says what it changed, and of which task.
    pub(super) fn apply(&mut self, event: &Event) -> Option<(&Row, Change)> {
        let place = *self.places.get(&event.fact.task()?)?;
        let row = &mut self.rows[place];
        self.tally.leave(row.state);
        let change = row.apply(&event.fact, event.at);
        self.tally.enter(row.state);
        Some((row, change))
    }
}

impl Row {
    /// A task that was just created.
    pub(super) fn created(id: TaskId, number: u64, name: String, state: TaskState) -> Self {
        Self {
            id,
            number,
            name,
            state,
            agent: None,
            attempt: 0,
            started_at: None,
            worked: Span::ZERO,
            reason: None,
        }
    }

    /// A task of a run that goes on. Its log, read from the start, says the rest.
    pub(super) fn found(task: &Task) -> Self {
        let name = task
            .spec
            .key
            .clone()
            .unwrap_or_else(|| task.spec.title.clone());
        // Where it stands now comes from its log; it may have ended long ago, and may be revived.
        Self::created(task.id, task.number, name, task.state)
    }

    fn apply(&mut self, fact: &Fact, at: Timestamp) -> Change {
        match fact {
            Fact::TaskCreated { state, .. } => self.state = *state,
            Fact::TaskQueued { .. } => self.state = TaskState::Queued,
            Fact::TaskScheduled { .. } => self.state = TaskState::Scheduled,
            Fact::TaskRevived { .. } => {
                self.state = TaskState::Blocked;
                self.reason = None;
            }
            Fact::TaskClaimed { agent, epoch, .. } => {
                self.state = TaskState::Running;
                self.agent = Some(agent.clone());
                self.attempt = epoch.0;
                self.started_at = Some(at);
                return Change::Started;
            }
            Fact::TaskAsked { .. } => {
                self.state = TaskState::NeedsInput;
                return Change::Asked;
            }
            Fact::TaskAnswered { .. } => {
                self.state = TaskState::Running;
                return Change::Answered;
            }
            Fact::TaskAttemptFailed { reason, ran, .. } => {
                self.worked = add(self.worked, *ran);
                self.reason = Some(reason.clone());
                return Change::Failed(*ran);
            }
            Fact::TaskRetrying { wake_at, .. } => {
                self.state = TaskState::Retrying;
                return Change::Waits(*wake_at);
            }
            Fact::TaskQuotaWait { wake_at, .. } => {
                self.state = TaskState::QuotaWait;
                return Change::Waits(*wake_at);
            }
            Fact::TaskSucceeded { ran, .. } => {
                self.worked = add(self.worked, *ran);
                self.state = TaskState::Succeeded;
                self.reason = None;
                return Change::Ended(Some(*ran));
            }
            Fact::TaskDead { reason, .. } => return self.end(TaskState::Dead, reason),
            Fact::TaskCancelled { reason, .. } => return self.end(TaskState::Cancelled, reason),
            Fact::TaskDiscarded { reason, .. } => return self.end(TaskState::Discarded, reason),
            _ => {}
        }
        Change::Moved
    }

    fn end(&mut self, state: TaskState, reason: &str) -> Change {
        self.state = state;
        self.reason = Some(reason.to_owned());
        Change::Ended(None)
    }
}

fn add(a: Span, b: Span) -> Span {
    Span::from_micros(a.micros().saturating_add(b.micros()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use collective_core::task::{AttemptOutcome, Epoch, FailureClass, Lane};
    use collective_core::{QueueName, TeamName};

    const ID: u128 = 7;

    fn board() -> Board {
        let id = TaskId(uuid(ID));
        Board::new([Row::created(id, 3, "build".to_owned(), TaskState::Queued)])
    }

    fn uuid(n: u128) -> uuid::Uuid {
        uuid::Uuid::from_u128(n)
    }

    fn event(fact: Fact) -> Event {
        Event {
            team: TeamName::default_team(),
            seq: 1,
            at: Timestamp::from_micros(5),
            actor: "server".to_owned(),
            fact,
        }
    }

    fn lane() -> Lane {
        Lane::Queue(QueueName::default_queue())
    }

    #[test]
    fn a_task_that_fails_once_and_then_succeeds_is_followed_to_its_end() {
        let task = TaskId(uuid(ID));
        let agent = AgentName::new("ada").unwrap();
        let claimed = |epoch| Fact::TaskClaimed {
            task,
            agent: agent.clone(),
            epoch: Epoch(epoch),
            ttl: Span::from_secs(30),
        };
        let mut board = board();
        let mut change = |fact| board.apply(&event(fact)).map(|(_, change)| change);
        assert_eq!(change(claimed(1)), Some(Change::Started));
        let ran = Span::from_secs(2);
        let failed = Fact::TaskAttemptFailed {
            task,
            epoch: Epoch(1),
            agent: agent.clone(),
            outcome: AttemptOutcome::Failed,
            class: FailureClass::Transient,
            reason: "check failed".to_owned(),
            counted: true,
            lane: lane(),
            ran,
        };
        assert_eq!(change(failed), Some(Change::Failed(ran)));
        let wake_at = Timestamp::from_micros(9);
        let retrying = Fact::TaskRetrying { task, wake_at };
        assert_eq!(change(retrying), Some(Change::Waits(wake_at)));
        assert_eq!(change(claimed(2)), Some(Change::Started));
        let succeeded = Fact::TaskSucceeded {
            task,
            epoch: Epoch(2),
            agent: agent.clone(),
            lane: lane(),
            ran,
        };
        assert_eq!(change(succeeded), Some(Change::Ended(Some(ran))));
        assert!(board.all_ended());
        let row = &board.rows()[0];
        assert_eq!((row.attempt, row.worked), (2, Span::from_secs(4)));
        assert_eq!(row.reason, None);
        assert_eq!(
            board.tally(),
            Tally {
                ended: 1,
                ..Tally::default()
            }
        );
    }

    #[test]
    fn events_of_other_tasks_change_nothing() {
        let mut board = board();
        let other = TaskId(uuid(99));
        let fact = Fact::TaskDiscarded {
            task: other,
            reason: String::new(),
        };
        assert!(board.apply(&event(fact)).is_none());
        assert!(!board.all_ended());
    }
}
