//! What can be wrong with a history, each kind with the data that shows it.

use std::fmt;

use collective_core::task::{Epoch, TaskState};
use collective_core::{AgentName, QuestionId, TaskId, TeamName};

/// One broken rule: by which task, at which events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The task, if it is about one.
    pub task: Option<TaskId>,
    /// Numbers of the events that show it; none where something is missing.
    pub events: Vec<u64>,
    /// What is wrong.
    pub broken: Broken,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.broken.rule())?;
        if let Some(task) = self.task {
            write!(f, "task {task}: ")?;
        }
        write!(f, "{}", self.broken)?;
        match self.events.as_slice() {
            [] => Ok(()),
            events => write!(f, " (events {events:?})"),
        }
    }
}

impl std::error::Error for Violation {}

/// The rule that a violation breaks; the numbers are those of `DESIGN` section 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// A team's log is numbered from 1 without gaps.
    Log,
    /// 1: an acknowledged command is never lost.
    NothingLost,
    /// 2: a task has at most one live lease.
    OneLease,
    /// 3: a task reaches exactly one outcome.
    OneOutcome,
    /// 3: a task's history replays to its state, by moves that the rules know.
    Replay,
    /// 4: a lease older than the newest is refused.
    Fencing,
    /// 6: nothing is blocked by what has ended.
    Dependencies,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::Log => "the log has no gaps",
            Rule::NothingLost => "nothing acknowledged is lost",
            Rule::OneLease => "one live lease",
            Rule::OneOutcome => "one outcome",
            Rule::Replay => "history replays to state",
            Rule::Fencing => "stale leases are refused",
            Rule::Dependencies => "nothing waits in vain",
        })
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "field names are the words of the design; each variant's message says what it means"
)]
pub enum Broken {
    #[error("event {found} stands where {expected} belongs")]
    Gap { expected: u64, found: u64 },
    #[error("an event of team {team} is in another team's log")]
    OtherTeam { team: TeamName },

    #[error("{kind} comes before its creation")]
    BeforeCreation { kind: &'static str },
    #[error("it was created twice")]
    CreatedTwice,
    #[error("{kind} can't follow while it is {state}")]
    Misplaced {
        kind: &'static str,
        state: TaskState,
    },
    #[error("{kind} must say what follows, and nothing did")]
    Unfinished { kind: &'static str },
    #[error("question {answered} was answered, {asked:?} is the open one")]
    OtherQuestion {
        asked: Option<QuestionId>,
        answered: QuestionId,
    },

    #[error("{agent} claimed it while {holder} held it")]
    ClaimedWhileLeased { holder: AgentName, agent: AgentName },
    #[error("a claim has epoch {found}, the next is {expected}")]
    EpochOutOfOrder { expected: Epoch, found: Epoch },
    #[error("{kind} has epoch {found}, the newest is {newest}")]
    StaleEpoch {
        kind: &'static str,
        newest: Epoch,
        found: Epoch,
    },
    #[error("{kind} is by {agent}, {holder} holds the lease")]
    NotTheHolder {
        kind: &'static str,
        holder: AgentName,
        agent: AgentName,
    },
    #[error("{kind} comes after it was {outcome}")]
    AfterOutcome {
        kind: &'static str,
        outcome: TaskState,
    },

    #[error("dependency {dependency} is {state} and counts as met")]
    DependencyNotMet {
        dependency: TaskId,
        state: TaskState,
    },
    #[error("dependency {dependency} was met twice")]
    DependencyMetTwice { dependency: TaskId },
    #[error("dependency {dependency} has no history")]
    UnknownDependency { dependency: TaskId },
    #[error("it counts {found} open dependencies, {expected} are")]
    WaitingOn { expected: u32, found: u32 },
    #[error("it is blocked by nothing")]
    BlockedByNothing,
    #[error("it is blocked by {dependency}, which has ended as it had to")]
    DependencyOverlooked { dependency: TaskId },
    #[error("it is blocked for ever by {dependency}, which is {state}")]
    BlockedForEver {
        dependency: TaskId,
        state: TaskState,
    },

    #[error("{field} is {stored} in the store, its history gives {replayed}")]
    Diverged {
        field: &'static str,
        replayed: String,
        stored: String,
    },
    #[error("it has a history and isn't stored")]
    NotStored,
    #[error("it is stored and has no history")]
    WithoutHistory,

    #[error("its creation was acknowledged and isn't in the log")]
    CreationLost,
    #[error("the claim of epoch {epoch} was acknowledged and isn't in the log")]
    ClaimLost { epoch: Epoch },
    #[error("the success of epoch {epoch} was acknowledged and isn't in the log")]
    SuccessLost { epoch: Epoch },
    #[error("the failure of epoch {epoch} was acknowledged and isn't in the log")]
    FailureLost { epoch: Epoch },
}

impl Broken {
    /// The rule that it breaks.
    pub const fn rule(&self) -> Rule {
        match self {
            Broken::Gap { .. } | Broken::OtherTeam { .. } => Rule::Log,
            Broken::CreationLost
            | Broken::ClaimLost { .. }
            | Broken::SuccessLost { .. }
            | Broken::FailureLost { .. }
            | Broken::NotStored => Rule::NothingLost,
            Broken::ClaimedWhileLeased { .. } | Broken::EpochOutOfOrder { .. } => Rule::OneLease,
            Broken::StaleEpoch { .. } | Broken::NotTheHolder { .. } => Rule::Fencing,
            Broken::AfterOutcome { .. } => Rule::OneOutcome,
            Broken::BeforeCreation { .. }
            | Broken::CreatedTwice
            | Broken::Misplaced { .. }
            | Broken::Unfinished { .. }
            | Broken::OtherQuestion { .. }
            | Broken::Diverged { .. }
            | Broken::WithoutHistory => Rule::Replay,
            Broken::DependencyNotMet { .. }
            | Broken::DependencyMetTwice { .. }
            | Broken::UnknownDependency { .. }
            | Broken::WaitingOn { .. }
            | Broken::BlockedByNothing
            | Broken::DependencyOverlooked { .. }
            | Broken::BlockedForEver { .. } => Rule::Dependencies,
        }
    }
}
