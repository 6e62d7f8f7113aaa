//! The task's life as sentences and as properties: every state, every command.

#![expect(clippy::unwrap_used, reason = "a test that can't go on must fail")]

use std::fmt::Write;

use collective_core::event::Fact;
use collective_core::limits::{DEFAULT_QUOTA_WAIT, POISON_LIMIT, TIMEOUT_GRACE};
use collective_core::task::{
    AttemptOutcome, Check, DependencyCondition, Epoch, Evidence, Failure, FailureClass, LeaseToken,
    RetryPolicy, Task, TaskResult, TaskSpec, TaskState,
};
use collective_core::{AgentName, Code, QuestionId, Rejection, Span, TaskId, Timestamp};
use proptest::prelude::*;
use uuid::Uuid;

const START: Timestamp = Timestamp::from_micros(1_000_000_000);
const TTL: Span = Span::from_secs(30);

fn ada() -> AgentName {
    AgentName::new("ada").unwrap()
}

fn task(spec: TaskSpec, waiting_on: u32) -> Task {
    Task::create(
        TaskId(Uuid::from_u128(1)),
        spec,
        "admin".to_owned(),
        waiting_on,
        START,
    )
    .0
}

fn queued() -> Task {
    task(TaskSpec::new("build"), 0)
}

fn running() -> (Task, LeaseToken) {
    let mut task = queued();
    let (token, _) = task.claim(&ada(), 7, TTL, START).unwrap();
    (task, token)
}

fn question() -> QuestionId {
    QuestionId(Uuid::from_u128(9))
}

fn transient(reason: &str) -> Failure {
    Failure::new(FailureClass::Transient, reason)
}

/// One task in each state, with the token of its lease where it has one.
fn in_state(state: TaskState) -> (Task, Option<LeaseToken>) {
    let (mut running, token) = running();
    match state {
        TaskState::Blocked => return (task(TaskSpec::new("x"), 1), None),
        TaskState::Scheduled => {
            let spec = TaskSpec {
                run_at: Some(START + TTL),
                ..TaskSpec::new("x")
            };
            return (task(spec, 0), None);
        }
        TaskState::Queued => return (queued(), None),
        TaskState::Running => return (running, Some(token)),
        TaskState::NeedsInput => {
            running.ask(token, question(), START + TTL, START).unwrap();
            return (running, Some(token));
        }
        TaskState::Retrying => {
            running
                .fail(token, AttemptOutcome::Failed, transient("x"), START, 0.5)
                .unwrap();
        }
        TaskState::QuotaWait => {
            let failure = Failure::new(FailureClass::Quota, "limit");
            running
                .fail(token, AttemptOutcome::Failed, failure, START, 0.5)
                .unwrap();
        }
        TaskState::Succeeded => {
            running
                .complete(token, TaskResult::default(), START, 0.5)
                .unwrap();
        }
        TaskState::Dead | TaskState::Discarded => {
            let failure = Failure::new(FailureClass::Permanent, "no");
            running
                .fail(token, AttemptOutcome::Failed, failure, START, 0.5)
                .unwrap();
            if state == TaskState::Discarded {
                running.discard("seen", START).unwrap();
            }
        }
        TaskState::Cancelled => {
            running.cancel("stop", START).unwrap();
            running
                .fail(
                    token,
                    AttemptOutcome::Cancelled,
                    transient("stopped"),
                    START,
                    0.5,
                )
                .unwrap();
        }
    }
    assert_eq!(running.state, state);
    (running, Some(token))
}

type Command = (
    &'static str,
    fn(&mut Task, LeaseToken) -> Result<(), Rejection>,
);

const COMMANDS: [Command; 10] = [
    ("claim", |task, _| {
        task.claim(&ada(), 8, TTL, START).map(drop)
    }),
    ("heartbeat", |task, token| {
        task.heartbeat(token, START).map(drop)
    }),
    ("complete", |task, token| {
        task.complete(token, TaskResult::default(), START, 0.5)
            .map(drop)
    }),
    ("fail", |task, token| {
        task.fail(token, AttemptOutcome::Failed, transient("x"), START, 0.5)
            .map(drop)
    }),
    ("release", |task, token| {
        task.release(token, "bye", START).map(drop)
    }),
    ("ask", |task, token| {
        task.ask(token, question(), START + TTL, START).map(drop)
    }),
    ("answer", |task, _| {
        task.answered(question(), "admin", START).map(drop)
    }),
    ("cancel", |task, _| task.cancel("stop", START).map(drop)),
    ("retry", |task, _| task.revive(0, START).map(drop)),
    ("discard", |task, _| task.discard("seen", START).map(drop)),
];

#[test]
fn every_state_allows_just_these_commands() {
    let mut table = String::new();
    for state in TaskState::ALL {
        write!(table, "{state:<12}").unwrap();
        for (name, command) in COMMANDS {
            let (mut task, token) = in_state(state);
            let before = task.clone();
            let token = token.unwrap_or(LeaseToken {
                epoch: Epoch(1),
                secret: 7,
            });
            match command(&mut task, token) {
                Ok(()) if task.state == state => write!(table, " {name}").unwrap(),
                Ok(()) => write!(table, " {name}→{}", task.state).unwrap(),
                Err(rejection) => {
                    assert_eq!(
                        task, before,
                        "a refused {name} changed a task that is {state}"
                    );
                    let expected = [Code::LeaseLost, Code::WrongState];
                    assert!(
                        expected.contains(&rejection.code()),
                        "{state} {name}: {rejection}"
                    );
                }
            }
        }
        table.push('\n');
    }
    let expected = "\
blocked      cancel→cancelled
scheduled    cancel→cancelled
queued       claim→running cancel→cancelled
running      heartbeat complete→succeeded fail→retrying release→queued ask→needs_input cancel
needs_input  heartbeat complete→succeeded fail→retrying release→queued answer→running cancel
retrying     cancel→cancelled
quota_wait   cancel→cancelled
succeeded   
dead         retry→queued discard→discarded
cancelled    cancel retry→queued
discarded    discard
";
    assert_eq!(table, expected, "\n{table}");
}

#[test]
fn a_stale_lease_is_refused_and_changes_nothing() {
    let (mut task, old) = running();
    task.tick(START + TTL, 0.0);
    assert_eq!(
        task.state,
        TaskState::Queued,
        "with no jitter a lost lease is queued at once"
    );
    let (new, _) = task.claim(&ada(), 8, TTL, START + TTL).unwrap();
    assert_eq!(new.epoch, old.epoch.next());
    let before = task.clone();
    let wrong_secret = LeaseToken { secret: 9, ..new };
    for stale in [old, wrong_secret] {
        let rejection = task
            .complete(stale, TaskResult::default(), START + TTL, 0.0)
            .unwrap_err();
        assert_eq!(rejection.code(), Code::LeaseLost);
        assert_eq!(task, before);
    }
}

#[test]
fn a_failure_of_each_class_is_followed_by_its_own_rule() {
    let fail = |task: &mut Task, class: FailureClass| {
        let (token, _) = task.claim(&ada(), 1, TTL, START).unwrap();
        task.fail(
            token,
            AttemptOutcome::Failed,
            Failure::new(class, "why"),
            START,
            0.5,
        )
        .unwrap();
    };
    let wake = |task: &mut Task| {
        let at = task.wake_at.unwrap();
        task.tick(at, 0.5);
        assert_eq!(task.state, TaskState::Queued);
    };

    let mut task = queued();
    for used in 1..=2 {
        fail(&mut task, FailureClass::Transient);
        assert_eq!(
            (task.state, task.attempts_used),
            (TaskState::Retrying, used)
        );
        assert!(task.wake_at.unwrap() <= START + task.spec.retry.bound(used));
        wake(&mut task);
    }
    fail(&mut task, FailureClass::Transient);
    assert_eq!((task.state, task.attempts_used), (TaskState::Dead, 3));

    let mut task = queued();
    for _ in 0..10 {
        fail(&mut task, FailureClass::Quota);
        assert_eq!(
            (task.state, task.attempts_used),
            (TaskState::QuotaWait, 0),
            "a quota wait doesn't count"
        );
        assert!(task.wake_at.unwrap() >= START + DEFAULT_QUOTA_WAIT);
        wake(&mut task);
    }

    let mut task = queued();
    fail(&mut task, FailureClass::Permanent);
    assert_eq!(task.state, TaskState::Dead);

    let spec = TaskSpec {
        retry: RetryPolicy {
            max_attempts: 50,
            ..RetryPolicy::default()
        },
        ..TaskSpec::new("x")
    };
    let mut task = self::task(spec, 0);
    for poisoned in 1..POISON_LIMIT {
        fail(&mut task, FailureClass::Poison);
        assert_eq!(
            (task.state, task.poisonings),
            (TaskState::Retrying, poisoned)
        );
        wake(&mut task);
    }
    fail(&mut task, FailureClass::Poison);
    assert_eq!(task.state, TaskState::Dead);
}

#[test]
fn done_is_derived_and_a_failed_check_is_told_to_the_next_attempt() {
    let check = Check::File {
        path: "report.md".to_owned(),
    };
    let mut task = task(
        TaskSpec {
            checks: vec![check],
            ..TaskSpec::new("report")
        },
        0,
    );
    let (token, _) = task.claim(&ada(), 1, TTL, START).unwrap();

    let claimed = task
        .complete(token, TaskResult::default(), START, 0.0)
        .unwrap_err();
    assert_eq!(claimed.code(), Code::EvidenceMissing);
    assert_eq!(task.state, TaskState::Running);

    let seen = |passed| Evidence {
        check: 0,
        passed,
        exit_code: None,
        log_sha256: None,
        commit: None,
        seconds: 0.0,
        output: "report.md is not there".to_owned(),
    };
    let result = |passed| TaskResult {
        evidence: vec![seen(passed)],
        ..TaskResult::default()
    };
    let transition = task.complete(token, result(false), START, 0.0).unwrap();
    assert_eq!(transition.attempt.unwrap().outcome, AttemptOutcome::Failed);
    assert_eq!(task.state, TaskState::Queued);
    assert!(
        task.failure
            .as_ref()
            .unwrap()
            .feedback
            .contains("report.md is not there")
    );

    let (token, _) = task.claim(&ada(), 2, TTL, START).unwrap();
    task.complete(token, result(true), START, 0.0).unwrap();
    assert_eq!(task.state, TaskState::Succeeded);
    assert_eq!(task.failure, None);
}

#[test]
fn what_is_due_happens_at_its_time_and_not_before() {
    let micro = Span::from_micros(1);
    // Name, task, when it is due, the state after.
    let deadline = START + Span::from_secs(600);
    let with_deadline = |mut task: Task| {
        task.spec.deadline = Some(deadline);
        task
    };
    let mut long = running().0;
    if let Some(lease) = &mut long.lease {
        lease.expires_at = START + Span::from_secs(1_000_000);
    }
    let timeout = START + long.spec.timeout + TIMEOUT_GRACE;
    let rows = [
        (
            "a schedule",
            in_state(TaskState::Scheduled).0,
            START + TTL,
            TaskState::Queued,
        ),
        ("a lease", running().0, START + TTL, TaskState::Retrying),
        (
            "a question",
            in_state(TaskState::NeedsInput).0,
            START + TTL,
            TaskState::Retrying,
        ),
        ("a timeout", long, timeout, TaskState::Retrying),
        (
            "a deadline of a queued task",
            with_deadline(queued()),
            deadline,
            TaskState::Dead,
        ),
        (
            "a deadline of a blocked task",
            with_deadline(in_state(TaskState::Blocked).0),
            deadline,
            TaskState::Dead,
        ),
    ];
    for (name, mut task, due, after) in rows {
        assert_eq!(task.due_at(), Some(due), "{name}");
        assert!(
            task.tick(due - micro, 0.5).facts.is_empty(),
            "{name} came early"
        );
        assert!(!task.tick(due, 0.5).facts.is_empty(), "{name} did not come");
        assert_eq!(task.state, after, "{name}");
    }
}

#[test]
fn a_cancelled_task_ends_with_its_agent_and_a_finished_one_stays_finished() {
    for (report, after) in [
        ("complete", TaskState::Succeeded),
        ("fail", TaskState::Cancelled),
        ("lost", TaskState::Cancelled),
    ] {
        let (mut task, token) = running();
        assert_eq!(task.cancel("stop", START).unwrap().facts.len(), 1);
        assert!(
            task.cancel("stop", START).unwrap().facts.is_empty(),
            "asking twice is one request"
        );
        assert_eq!(
            task.heartbeat(token, START).unwrap().cancel.as_deref(),
            Some("stop")
        );
        match report {
            "complete" => drop(
                task.complete(token, TaskResult::default(), START, 0.5)
                    .unwrap(),
            ),
            "fail" => drop(
                task.fail(token, AttemptOutcome::Cancelled, transient("x"), START, 0.5)
                    .unwrap(),
            ),
            _ => drop(task.tick(START + TTL, 0.5)),
        }
        assert_eq!(task.state, after, "{report}");
    }
}

#[test]
fn a_released_task_keeps_its_place_and_its_attempts() {
    let (mut task, token) = running();
    let later = START + Span::from_secs(10);
    task.release(token, "draining", later).unwrap();
    assert_eq!(
        (task.state, task.ready_at, task.attempts_used),
        (TaskState::Queued, START, 0)
    );
}

#[test]
fn a_dependent_follows_how_its_dependency_ended() {
    use DependencyCondition::{Ended, Succeeded};
    for (ended, when, after) in [
        (TaskState::Succeeded, Succeeded, TaskState::Queued),
        (TaskState::Succeeded, Ended, TaskState::Queued),
        (TaskState::Dead, Succeeded, TaskState::Dead),
        (TaskState::Dead, Ended, TaskState::Queued),
        (TaskState::Cancelled, Succeeded, TaskState::Cancelled),
        (TaskState::Cancelled, Ended, TaskState::Queued),
        (TaskState::Running, Succeeded, TaskState::Blocked),
    ] {
        let (dependency, _) = in_state(ended);
        let mut dependent = task(TaskSpec::new("after"), 1);
        dependent.dependency_ended(&dependency, when, START);
        assert_eq!(dependent.state, after, "{ended} {when:?}");
    }
}

/// A step of a random life.
#[derive(Clone, Debug)]
enum Step {
    Claim,
    Beat,
    Complete,
    Fail(FailureClass),
    Release,
    Ask,
    Answer,
    Cancel,
    Revive,
    Discard,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Claim),
        1 => Just(Step::Beat),
        1 => Just(Step::Complete),
        2 => prop_oneof![
            Just(FailureClass::Transient),
            Just(FailureClass::Quota),
            Just(FailureClass::Permanent),
            Just(FailureClass::Poison)
        ].prop_map(Step::Fail),
        1 => Just(Step::Release),
        1 => Just(Step::Ask),
        1 => Just(Step::Answer),
        1 => Just(Step::Cancel),
        1 => Just(Step::Revive),
        1 => Just(Step::Discard),
        4 => (0u64..120).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Invariants 2, 3 and 4 over random lives, with the newest and with stale tokens.
    #[test]
    fn every_life_keeps_the_invariants(
        steps in prop::collection::vec((step(), any::<bool>()), 1..120),
        chance in 0.0f64..1.0,
        blocked in any::<bool>(),
    ) {
        let spec = TaskSpec { retry: RetryPolicy { max_attempts: 4, ..RetryPolicy::default() }, ..TaskSpec::new("x") };
        let (mut task, created) = Task::create(TaskId(Uuid::from_u128(1)), spec.clone(), "admin".into(), u32::from(blocked), START);
        let mut log: Vec<(Fact, Timestamp)> = vec![(created, START)];
        let mut now = START;
        let mut tokens: Vec<LeaseToken> = Vec::new();
        let mut secret = 0;
        for (step, stale) in steps {
            let before = task.clone();
            let newest = tokens.last().copied();
            let token = if stale { tokens.first().copied() } else { newest };
            let is_stale = token != newest;
            let token = token.unwrap_or(LeaseToken { epoch: Epoch(0), secret: 0 });
            let leased = matches!(step, Step::Beat | Step::Complete | Step::Fail(_) | Step::Release | Step::Ask);
            secret += 1;
            let result = match step {
                Step::Claim => task.claim(&ada(), secret, TTL, now).map(|(token, transition)| {
                    tokens.push(token);
                    transition.facts
                }),
                Step::Beat => task.heartbeat(token, now).map(|_| Vec::new()),
                Step::Complete => task.complete(token, TaskResult::default(), now, chance).map(|t| t.facts),
                Step::Fail(class) => task
                    .fail(token, AttemptOutcome::Failed, Failure::new(class, "why"), now, chance)
                    .map(|t| t.facts),
                Step::Release => task.release(token, "bye", now).map(|t| t.facts),
                Step::Ask => task.ask(token, question(), now + TTL, now).map(|t| t.facts),
                Step::Answer => task.answered(question(), "admin", now).map(|t| t.facts),
                Step::Cancel => task.cancel("stop", now).map(|t| t.facts),
                Step::Revive => task.revive(0, now).map(|t| t.facts),
                Step::Discard => task.discard("seen", now).map(|t| t.facts),
                Step::Wait(secs) => {
                    now = now + Span::from_secs(secs);
                    Ok(task.tick(now, chance).facts)
                }
            };
            match result {
                Ok(facts) => {
                    prop_assert!(!(leased && is_stale), "a stale token was accepted");
                    log.extend(facts.into_iter().map(|fact| (fact, now)));
                }
                Err(_) => prop_assert_eq!(&task, &before),
            }
            prop_assert_eq!(task.state.is_leased(), task.lease.is_some());
            prop_assert_eq!(task.state == TaskState::NeedsInput, task.question.is_some());
            prop_assert_eq!(task.state.is_terminal(), task.finished_at.is_some());
            prop_assert!(task.epoch >= before.epoch && task.epoch.0 - before.epoch.0 <= 1);
            prop_assert!(task.attempts_used <= spec.retry.max_attempts);
            prop_assert!(task.due_at().is_none() || !task.state.is_terminal());
        }
        let mut replayed = Task::create(task.id, spec, "admin".into(), u32::from(blocked), START).0;
        for (fact, at) in &log {
            replayed.evolve(fact, *at);
        }
        // Beside the log: the lease's secret and expiry, feedback, result.
        if let (Some(lease), Some(original)) = (&mut replayed.lease, &task.lease) {
            lease.token = original.token;
            lease.expires_at = original.expires_at;
        }
        if let (Some(failure), Some(original)) = (&mut replayed.failure, &task.failure) {
            failure.feedback.clone_from(&original.feedback);
            failure.retry_at = original.retry_at;
        }
        replayed.result.clone_from(&task.result);
        prop_assert_eq!(replayed, task);
    }
}
