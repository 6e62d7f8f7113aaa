//! Rows to write: small ones, and ones with every field set.

use collective_core::agent::{Agent, AgentSpec, Transport};
use collective_core::key::ApiKey;
use collective_core::message::{Message, Recipient};
use collective_core::question::{Question, QuestionState};
use collective_core::queue::Queue;
use collective_core::reservation::Reservation;
use collective_core::role::Role;
use collective_core::schedule::{Overlap, Schedule};
use collective_core::task::{
    Artifact, ArtifactKind, Attempt, AttemptOutcome, Check, Dependency, DependencyCondition, Epoch,
    Evidence, Failure, FailureClass, Lane, Lease, LeaseToken, Priority, RetryPolicy, Task, TaskRef,
    TaskResult, TaskSpec, TaskState, Usage,
};
use collective_core::{
    AgentName, KeyId, MessageId, QuestionId, QueueName, ReservationId, ScheduleId, Span, TaskId,
    TeamName, Timestamp,
};
use serde_json::json;
use uuid::Uuid;

pub(super) fn team(name: &str) -> TeamName {
    TeamName::new(name).expect("a team name")
}

pub(super) fn agent_name(name: &str) -> AgentName {
    AgentName::new(name).expect("an agent name")
}

pub(super) fn queue_name(name: &str) -> QueueName {
    QueueName::new(name).expect("a queue name")
}

pub(super) fn lane(text: &str) -> Lane {
    text.parse().expect("a lane")
}

/// Seconds after an instant of 2026, with microseconds that must not get lost.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_790_000_000_123_457 + seconds * 1_000_000)
}

pub(super) fn task_id(n: u64) -> TaskId {
    TaskId(Uuid::from_u128(0x0100_0000 + u128::from(n)))
}

pub(super) fn message_id(n: u64) -> MessageId {
    MessageId(Uuid::from_u128(0x0200_0000 + u128::from(n)))
}

pub(super) fn question_id(n: u64) -> QuestionId {
    QuestionId(Uuid::from_u128(0x0300_0000 + u128::from(n)))
}

pub(super) fn reservation_id(n: u64) -> ReservationId {
    ReservationId(Uuid::from_u128(0x0400_0000 + u128::from(n)))
}

pub(super) fn schedule_id(n: u64) -> ScheduleId {
    ScheduleId(Uuid::from_u128(0x0500_0000 + u128::from(n)))
}

pub(super) fn key_id(n: u64) -> KeyId {
    KeyId(Uuid::from_u128(0x0600_0000 + u128::from(n)))
}

/// A queued task of the lane `queue/default`, with this number.
pub(super) fn task(number: u64) -> Task {
    let spec = TaskSpec::new(format!("task {number}"));
    let (mut task, _) = Task::create(task_id(number), spec, "admin".to_owned(), 0, at(0));
    task.number = number;
    task
}

/// A queued task of this lane and priority, ready since a time.
pub(super) fn queued(number: u64, to: &str, priority: Priority, ready_at: Timestamp) -> Task {
    let mut task = task(number);
    match lane(to) {
        Lane::Queue(queue) => task.spec.queue = Some(queue),
        Lane::Role(role) => task.spec.role = Some(role),
        Lane::Agent(agent) => task.spec.agent = Some(agent),
    }
    task.spec.priority = priority;
    task.ready_at = ready_at;
    task
}

/// The task as an agent holds it.
pub(super) fn held(mut task: Task, by: &str, until: Timestamp) -> Task {
    task.state = TaskState::Running;
    task.epoch = task.epoch.next();
    task.started_at = Some(at(1));
    task.lease = Some(lease(by, task.epoch, until));
    task
}

/// The task in a state, with what belongs to the state and nothing else.
pub(super) fn in_state(mut task: Task, state: TaskState) -> Task {
    task.state = state;
    task.lease = None;
    task.question = None;
    match state {
        TaskState::Blocked => task.waiting_on = 1,
        TaskState::Scheduled | TaskState::Retrying | TaskState::QuotaWait => {
            task.wake_at = Some(at(500));
        }
        TaskState::Running | TaskState::NeedsInput => {
            task = held(task, "ada", at(600));
            task.state = state;
            task.question = (state == TaskState::NeedsInput).then(|| question_id(1));
        }
        TaskState::Succeeded => task.result = Some(TaskResult::default()),
        TaskState::Dead | TaskState::Cancelled | TaskState::Discarded => {
            task.failure = Some(Failure::new(FailureClass::Permanent, "no"));
        }
        TaskState::Queued => {}
    }
    task.finished_at = state.is_terminal().then(|| at(700));
    task
}

fn lease(by: &str, epoch: Epoch, until: Timestamp) -> Lease {
    Lease {
        agent: agent_name(by),
        token: Some(LeaseToken {
            epoch,
            secret: 0xf0e0_d0c0_b0a0_9080_7060_5040_3020_1000 + u128::from(epoch.0),
        }),
        ttl: Span::from_micros(30_000_001),
        expires_at: until,
    }
}

/// A task with every field set to something that a careless adapter would lose.
pub(super) fn full_task(number: u64) -> Task {
    let epoch = Epoch(7);
    Task {
        id: task_id(number),
        number,
        spec: full_spec(),
        created_by: "agent:ada".to_owned(),
        state: TaskState::NeedsInput,
        waiting_on: 3,
        ready_at: at(-5),
        wake_at: Some(at(60)),
        epoch,
        attempts_used: 4,
        poisonings: 1,
        lease: Some(lease("bob", epoch, at(90))),
        question: Some(question_id(number)),
        cancel_reason: Some("müde".to_owned()),
        failure: Some(full_failure()),
        result: Some(full_result()),
        created_at: at(-10),
        started_at: Some(at(2)),
        finished_at: Some(at(3)),
    }
}

pub(super) fn full_spec() -> TaskSpec {
    TaskSpec {
        key: Some("build".to_owned()),
        prompt: "zwei\nZeilen".to_owned(),
        input: json!({"files": ["a", "b"], "deep": {"n": [1, 2.5, null, true]}}),
        role: Some(Role::Collaborator),
        priority: Priority::High,
        retry: RetryPolicy {
            max_attempts: 9,
            initial_delay: Span::from_millis(1),
            factor: 3,
            max_delay: Span::from_secs(77),
        },
        timeout: Span::from_secs(99),
        deadline: Some(at(10_000)),
        run_at: Some(at(40)),
        depends_on: vec![Dependency {
            task: TaskRef::Id(task_id(900)),
            when: DependencyCondition::Ended,
        }],
        checks: vec![
            Check::Command {
                command: vec!["cargo".to_owned(), "test".to_owned()],
                exit_code: -1,
                timeout: Span::from_secs(5),
            },
            Check::File {
                path: "src/lib.rs".to_owned(),
            },
            Check::Schema {
                schema: json!({"type": "object"}),
            },
        ],
        labels: [
            ("area".to_owned(), "store".to_owned()),
            ("größe".to_owned(), String::new()),
        ]
        .into(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ..TaskSpec::new("a title")
    }
}

pub(super) fn full_failure() -> Failure {
    Failure {
        class: FailureClass::Quota,
        reason: "the provider's limit".to_owned(),
        feedback: "429\nretry later".to_owned(),
        retry_at: Some(at(120)),
    }
}

pub(super) fn full_result() -> TaskResult {
    TaskResult {
        text: "done".to_owned(),
        json: Some(json!({
            "least": i64::MIN, "most": u64::MAX, "tenth": 0.1, "huge": 1e308, "tiny": 5e-324,
            "third": 1.0 / 3.0, "odd": 447.84981055783356, "empty": {}, "nothing": null
        })),
        artifacts: vec![Artifact {
            name: "change.patch".to_owned(),
            kind: ArtifactKind::Patch,
            reference: Some("refs/heads/work".to_owned()),
            size: 1_234,
            sha256: Some("ab".repeat(32)),
        }],
        usage: Usage {
            input_tokens: u64::MAX,
            output_tokens: 2,
            cost_micro_usd: 3,
            seconds: 0.1 + 0.2,
        },
        commit: Some("c0ffee".to_owned()),
        evidence: vec![full_evidence()],
    }
}

pub(super) fn full_evidence() -> Evidence {
    Evidence {
        check: 2,
        passed: true,
        exit_code: Some(-9),
        log_sha256: Some("cd".repeat(32)),
        commit: Some("c0ffee".to_owned()),
        seconds: 1382.9577366690883,
        output: "ok\n".to_owned(),
    }
}

/// An attempt that succeeded, with no more than it must have.
pub(super) fn attempt(epoch: u32) -> Attempt {
    Attempt {
        epoch: Epoch(epoch),
        agent: agent_name("ada"),
        token: None,
        started_at: at(1),
        ended_at: at(2),
        outcome: AttemptOutcome::Succeeded,
        failure: None,
        evidence: Vec::new(),
    }
}

/// An attempt with every field set.
pub(super) fn full_attempt(epoch: u32) -> Attempt {
    Attempt {
        token: Some(LeaseToken {
            epoch: Epoch(epoch),
            secret: u128::MAX - 5,
        }),
        outcome: AttemptOutcome::Failed,
        failure: Some(full_failure()),
        evidence: vec![full_evidence()],
        ..attempt(epoch)
    }
}

pub(super) fn agent(name: &str) -> Agent {
    Agent {
        name: agent_name(name),
        spec: AgentSpec {
            role: Role::Coordinator,
            queues: vec![queue_name("rust"), queue_name("default")],
            slots: 12,
            description: "läuft".to_owned(),
            transport: Transport::Amqp,
        },
        draining: false,
        created_at: at(10),
        registered_at: at(11),
    }
}

pub(super) fn queue(name: &str) -> Queue {
    Queue {
        name: queue_name(name),
        paused: false,
        created_at: at(12),
    }
}

pub(super) fn key(n: u64, team: &TeamName) -> ApiKey {
    ApiKey {
        id: key_id(n),
        team: team.clone(),
        label: format!("key {n}"),
        agent: Some(agent_name("ada")),
        role: Some(Role::Worker),
        secret_hash: [u8::try_from(n % 256).expect("a byte"); 32],
        created_at: at(13),
        revoked_at: None,
    }
}

pub(super) fn message(n: u64) -> Message {
    Message {
        id: message_id(n),
        from: "admin".to_owned(),
        to: Recipient::Role(Role::Worker),
        body: format!("message {n}"),
        in_reply_to: None,
        sent_at: at(20),
    }
}

pub(super) fn question(n: u64, of: TaskId) -> Question {
    Question {
        id: question_id(n),
        task: of,
        agent: agent_name("ada"),
        text: "which?".to_owned(),
        options: vec!["this".to_owned(), "that".to_owned()],
        asked_at: at(30),
        expires_at: at(90),
        state: QuestionState::Open,
        answer: None,
        answered_by: None,
        closed_at: None,
    }
}

pub(super) fn reservation(n: u64) -> Reservation {
    Reservation {
        id: reservation_id(n),
        agent: agent_name("ada"),
        task: Some(task_id(1)),
        epoch: Some(Epoch(2)),
        repository: "main".to_owned(),
        paths: vec!["src".to_owned(), "docs/ä.md".to_owned()],
        shared: false,
        reason: "refactoring".to_owned(),
        created_at: at(40),
        expires_at: at(100),
    }
}

pub(super) fn schedule(n: u64, name: &str) -> Schedule {
    Schedule {
        id: schedule_id(n),
        name: name.to_owned(),
        cron: "0 9 * * *".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        spec: full_spec(),
        overlap: Overlap::Allow,
        paused: false,
        next_at: at(200),
        last_task: None,
        created_at: at(50),
    }
}
