//! For each rule a history that breaks it and nothing else, beside one sound story.

use collective_core::task::{
    DependencyCondition, Failure, FailureClass, Queued, TaskResult, Transition,
};
use collective_core::{QuestionId, Span, TeamName};
use uuid::Uuid;

use super::story::{MINUTE, Team, after, agent, id, plain, story};
use super::*;

/// The story with its events changed and numbered anew, tasks numbered to fit.
fn retold(change: impl FnOnce(&mut Vec<Event>)) -> Team {
    let mut team = story();
    change(&mut team.events);
    for (event, seq) in team.events.iter_mut().zip(1..) {
        event.seq = seq;
        if let Fact::TaskCreated { task, .. } = &event.fact
            && let Some(task) = team.tasks.get_mut(task)
        {
            task.number = seq;
        }
    }
    team
}

#[test]
fn a_sound_history_passes_and_is_counted() {
    let team = story();
    let stored = team.stored();
    let history = History::of(&team.events).with_tasks(&stored);
    let summary = history.check().unwrap();
    assert_eq!(
        summary.to_string(),
        "43 events, 6 tasks, 9 claims, 6 failed attempts (1 lost), 1 revivals, \
         1 running, 2 succeeded, 2 cancelled, 1 discarded"
    );
    assert_eq!((summary.tasks(), summary.ended()), (6, 5));
    assert_eq!(team.wrong_in_log(), []);
}

#[test]
fn an_event_that_is_left_out_is_noticed_though_numbers_were_made_up() {
    let events = story().events;
    for (i, event) in events.iter().enumerate() {
        let retold = retold(|events| drop(events.remove(i)));
        // What was asked of a task that has ended leaves no trace in its
        // state, and a wait that is over might as well not have been.
        let traceless = matches!(
            event.fact,
            Fact::TaskCancelRequested { .. }
                | Fact::TaskAnswered { .. }
                | Fact::TaskRetrying { .. }
                | Fact::TaskQuotaWait { .. }
        );
        assert_eq!(retold.wrong().is_empty(), traceless, "{event:?}");
    }
}

#[test]
fn an_event_that_is_there_twice_is_noticed() {
    let events = story().events;
    for (i, event) in events.iter().enumerate() {
        let retold = retold(|events| events.insert(i, event.clone()));
        assert_ne!(retold.wrong_in_log(), [], "{event:?}");
    }
}

#[test]
fn events_of_a_task_in_the_wrong_order_are_noticed() {
    let events = story().events;
    let mut swapped = 0;
    for i in 1..events.len() {
        if events[i - 1].fact.task() == events[i].fact.task() {
            let retold = retold(|events| events.swap(i - 1, i));
            assert_ne!(retold.wrong_in_log(), [], "{:?}", events[i]);
            swapped += 1;
        }
    }
    assert!(swapped > 20);
}

#[test]
fn a_gap_and_another_teams_event_break_the_log() {
    let mut team = story();
    team.events[7].seq = 9;
    team.events[9].team = TeamName::new("red").unwrap();
    let (expected, found) = (8, 9);
    let red = TeamName::new("red").unwrap();
    assert_eq!(
        team.wrong(),
        [
            (vec![9], Broken::Gap { expected, found }),
            (vec![10], Broken::OtherTeam { team: red }),
        ]
    );
}

#[test]
fn a_claim_of_a_held_task_breaks_the_one_lease() {
    let mut team = Team::new();
    let task = team.create(1, plain());
    let token = team.claim(task, "ada");
    let ttl = MINUTE;
    let claim = |epoch: u32| Fact::TaskClaimed {
        task,
        agent: agent("bob"),
        epoch: Epoch(epoch),
        ttl,
    };
    team.note(claim(2));
    let (holder, bob) = (agent("ada"), agent("bob"));
    assert_eq!(
        team.wrong_in_log(),
        [(
            vec![2, 3],
            Broken::ClaimedWhileLeased { holder, agent: bob }
        )]
    );

    team.events.pop();
    team.apply(task, |task, now| {
        ((), task.release(token, "x", now).unwrap())
    });
    team.note(claim(3));
    let (expected, found) = (Epoch(2), Epoch(3));
    assert_eq!(
        team.wrong_in_log(),
        [(vec![2, 5], Broken::EpochOutOfOrder { expected, found })]
    );
}

#[test]
fn a_report_under_a_stale_lease_breaks_fencing() {
    let mut team = Team::new();
    let task = team.create(1, plain());
    team.claim(task, "ada");
    let success = |epoch: u32, by: &str| Fact::TaskSucceeded {
        task,
        epoch: Epoch(epoch),
        agent: agent(by),
        lane: plain().lane(),
        ran: Span::ZERO,
    };
    let kind = "task.succeeded";
    team.note(success(0, "ada"));
    let (newest, found) = (Epoch(1), Epoch(0));
    assert_eq!(
        team.wrong_in_log(),
        [(
            vec![2, 3],
            Broken::StaleEpoch {
                kind,
                newest,
                found
            }
        )]
    );

    team.events.pop();
    team.note(success(1, "bob"));
    let (holder, bob) = (agent("ada"), agent("bob"));
    let not_the_holder = Broken::NotTheHolder {
        kind,
        holder,
        agent: bob,
    };
    assert_eq!(not_the_holder.rule(), Rule::Fencing);
    assert_eq!(team.wrong_in_log(), [(vec![2, 3], not_the_holder)]);
}

#[test]
fn a_second_outcome_breaks_the_one_outcome() {
    let mut team = Team::new();
    let task = team.create(1, plain());
    let token = team.claim(task, "ada");
    team.complete(task, token);
    team.note(Fact::TaskDead {
        task,
        class: FailureClass::Permanent,
        reason: "late".to_owned(),
        lane: plain().lane(),
    });
    let outcome = TaskState::Succeeded;
    let kind = "task.dead";
    assert_eq!(
        team.wrong_in_log(),
        [(vec![3, 4], Broken::AfterOutcome { kind, outcome })]
    );
}

#[test]
fn an_event_that_its_state_does_not_allow_breaks_the_replay() {
    let mut team = Team::new();
    let task = team.create(1, plain());
    team.note(Fact::TaskAnswered {
        task,
        question: QuestionId(Uuid::nil()),
        by: "admin".to_owned(),
    });
    team.note(Fact::TaskDiscarded {
        task: id(2),
        reason: String::new(),
    });
    let (kind, state) = ("task.answered", TaskState::Queued);
    let answered = QuestionId(Uuid::nil());
    assert_eq!(
        team.wrong_in_log(),
        [
            (vec![1, 2], Broken::Misplaced { kind, state }),
            (
                vec![1, 2],
                Broken::OtherQuestion {
                    asked: None,
                    answered
                }
            ),
            (
                vec![3],
                Broken::BeforeCreation {
                    kind: "task.discarded"
                }
            ),
        ]
    );
}

#[test]
fn a_failed_attempt_must_say_what_follows() {
    let mut team = Team::new();
    let task = team.create(1, plain());
    let token = team.claim(task, "ada");
    team.fail(task, token, FailureClass::Transient);
    team.events.pop();
    let kind = "task.attempt_failed";
    assert_eq!(
        team.wrong_in_log(),
        [(vec![3], Broken::Unfinished { kind })]
    );
}

type Tamper = fn(&mut Task);

#[test]
fn a_stored_state_that_the_events_do_not_give_is_named_by_its_field() {
    let change = |tamper: Tamper| {
        let mut team = story();
        tamper(team.tasks.get_mut(&id(4)).unwrap());
        let wrong = team.wrong();
        let field = |broken: &Broken| match broken {
            Broken::Diverged { field, .. } => *field,
            other => panic!("{other}"),
        };
        wrong
            .iter()
            .map(|(_, broken)| field(broken))
            .collect::<Vec<_>>()
    };
    let table: [(&str, Tamper); 16] = [
        ("number", |t| t.number += 1),
        ("state", |t| t.state = TaskState::NeedsInput),
        ("waiting_on", |t| t.waiting_on += 1),
        ("ready_at", |t| t.ready_at = t.ready_at + MINUTE),
        ("wake_at", |t| t.wake_at = Some(t.ready_at)),
        ("epoch", |t| t.epoch = t.epoch.next()),
        ("attempts_used", |t| t.attempts_used += 1),
        ("poisonings", |t| t.poisonings += 1),
        ("lease.agent", |t| {
            t.lease.as_mut().unwrap().agent = agent("eve");
        }),
        ("lease.ttl", |t| t.lease.as_mut().unwrap().ttl = Span::ZERO),
        ("question", |t| t.question = Some(QuestionId(Uuid::nil()))),
        ("cancel_reason", |t| t.cancel_reason = Some("x".to_owned())),
        ("failure", |t| {
            t.failure = Some(Failure::new(FailureClass::Poison, "x"));
        }),
        ("started_at", |t| t.started_at = None),
        ("finished_at", |t| t.finished_at = Some(t.ready_at)),
        ("result", |t| t.result = Some(TaskResult::default())),
    ];
    for (field, tamper) in table {
        assert_eq!(change(tamper), [field]);
    }
}

#[test]
fn a_spec_that_differs_from_its_creation_is_noticed() {
    let mut team = story();
    team.tasks.get_mut(&id(5)).unwrap().spec.title = "another".to_owned();
    let wrong = team.wrong();
    assert!(
        matches!(
            wrong[..],
            [(
                _,
                Broken::Diverged {
                    field: "creation",
                    ..
                }
            )]
        ),
        "{wrong:?}"
    );
}

#[test]
fn a_task_that_is_only_in_the_store_or_only_in_the_log_is_noticed() {
    let mut team = story();
    let mut lost = team.tasks.remove(&id(6)).unwrap();
    lost.id = id(60);
    team.tasks.insert(id(60), lost);
    let broken: Vec<Broken> = team.wrong().into_iter().map(|(_, broken)| broken).collect();
    assert_eq!(broken, [Broken::NotStored, Broken::WithoutHistory]);
}

#[test]
fn a_dependency_that_has_not_ended_does_not_count_as_met() {
    let mut team = Team::new();
    let first = team.create(1, plain());
    let second = team.create(2, after(first, DependencyCondition::Succeeded));
    let met = |dependency| Fact::TaskDependencyMet {
        task: second,
        dependency,
        waiting_on: 0,
    };
    team.note(met(first));
    let state = TaskState::Queued;
    let dependency = first;
    assert_eq!(
        team.wrong_in_log(),
        [
            (vec![3], Broken::DependencyNotMet { dependency, state }),
            (vec![3], Broken::BlockedByNothing),
        ]
    );

    team.events.pop();
    let token = team.claim(first, "ada");
    team.complete(first, token);
    let dependency = id(9);
    team.events[4].fact = met(dependency);
    assert_eq!(
        team.wrong_in_log(),
        [(vec![5], Broken::UnknownDependency { dependency })]
    );
}

#[test]
fn a_dependency_that_died_is_not_met_where_it_must_succeed() {
    let mut team = Team::new();
    let first = team.create(1, plain());
    let second = team.create(2, after(first, DependencyCondition::Succeeded));
    let token = team.claim(first, "ada");
    let before = team.tasks[&second].clone();
    team.fail(first, token, FailureClass::Permanent);
    team.events.pop();
    team.tasks.insert(second, before);
    team.apply(second, |task, now| {
        let fact = Fact::TaskDependencyMet {
            task: second,
            dependency: first,
            waiting_on: 0,
        };
        task.evolve(&fact, now);
        let ready = Fact::TaskQueued {
            task: second,
            lane: task.lane(),
            priority: task.spec.priority,
            ready_at: now,
            cause: Queued::Dependencies,
        };
        task.evolve(&ready, now);
        let facts = vec![fact, ready];
        (
            (),
            Transition {
                facts,
                ..Transition::default()
            },
        )
    });
    let (dependency, state) = (first, TaskState::Dead);
    assert_eq!(
        team.wrong(),
        [(vec![6], Broken::DependencyNotMet { dependency, state })]
    );
}

#[test]
fn a_wrong_count_of_open_dependencies_is_noticed_where_it_starts() {
    let mut team = Team::new();
    let first = team.create(1, plain());
    let second = team.create(2, after(first, DependencyCondition::Succeeded));
    let stored = team.tasks.get_mut(&second).unwrap();
    stored.waiting_on = 2;
    if let Fact::TaskCreated { waiting_on, .. } = &mut team.events[1].fact {
        *waiting_on = 2;
    }
    let (expected, found) = (1, 2);
    let wrong = Broken::WaitingOn { expected, found };
    assert_eq!(
        team.wrong(),
        [(vec![2], wrong.clone()), (vec![2, 2], wrong)]
    );
}

#[test]
fn a_task_blocked_by_what_has_ended_is_noticed() {
    let blocked_after = |ending: fn(&mut Team, TaskId)| {
        let mut team = Team::new();
        let first = team.create(1, plain());
        let second = team.create(2, after(first, DependencyCondition::Succeeded));
        let before = team.tasks[&second].clone();
        let seen = team.events.len();
        ending(&mut team, first);
        // What the end did to the dependent is forgotten.
        team.tasks.insert(second, before);
        let of_second = |event: &Event| event.fact.task() == Some(second);
        let kept = |event: &Event| event.seq <= seen as u64 || !of_second(event);
        team.events.retain(kept);
        team.wrong()
    };
    let dependency = id(1);
    let succeeded = blocked_after(|team, first| {
        let token = team.claim(first, "ada");
        team.complete(first, token);
    });
    assert_eq!(
        succeeded,
        [(vec![2, 2], Broken::DependencyOverlooked { dependency })]
    );
    let died = blocked_after(|team, first| {
        let token = team.claim(first, "ada");
        team.fail(first, token, FailureClass::Permanent);
    });
    let state = TaskState::Dead;
    assert_eq!(
        died,
        [(vec![2, 2], Broken::BlockedForEver { dependency, state })]
    );
    let cancelled = blocked_after(|team, first| {
        team.apply(first, |task, now| ((), task.cancel("x", now).unwrap()));
    });
    let state = TaskState::Cancelled;
    assert_eq!(
        cancelled,
        [(vec![2, 2], Broken::BlockedForEver { dependency, state })]
    );
}

#[test]
fn a_dependency_stays_met_when_it_starts_anew() {
    let mut team = Team::new();
    let first = team.create(1, plain());
    let other = team.create(2, plain());
    let mut spec = after(first, DependencyCondition::Ended);
    spec.depends_on
        .extend(after(other, DependencyCondition::Succeeded).depends_on);
    team.create(3, spec);
    let token = team.claim(first, "ada");
    team.fail(first, token, FailureClass::Permanent);
    team.apply(first, |task, now| ((), task.revive(0, now).unwrap()));
    assert_eq!(team.wrong(), []);
}

#[test]
fn what_was_acknowledged_must_be_in_the_log() {
    let team = story();
    let told = Acknowledged {
        created: vec![id(1), id(6)],
        claimed: vec![(id(2), Epoch(1)), (id(2), Epoch(5))],
        succeeded: vec![(id(1), Epoch(1))],
        failed: vec![(id(2), Epoch(1)), (id(5), Epoch(1))],
    };
    let check = |told: &Acknowledged| History::of(&team.events).with_acknowledged(told).check();
    assert!(check(&told).is_ok());

    let too_much = Acknowledged {
        created: vec![id(1), id(99)],
        claimed: vec![(id(2), Epoch(6))],
        succeeded: vec![(id(5), Epoch(1))],
        failed: vec![(id(1), Epoch(1))],
    };
    let lost = check(&too_much).unwrap_err();
    let epoch = Epoch(1);
    let expected = [
        (id(99), Broken::CreationLost),
        (id(2), Broken::ClaimLost { epoch: Epoch(6) }),
        (id(5), Broken::SuccessLost { epoch }),
        (id(1), Broken::FailureLost { epoch }),
    ];
    assert!(lost.iter().all(|v| v.broken.rule() == Rule::NothingLost));
    let lost: Vec<_> = lost
        .into_iter()
        .map(|v| (v.task.unwrap(), v.broken))
        .collect();
    assert_eq!(lost, expected);
}

#[test]
fn a_violation_says_rule_task_and_events() {
    let mut team = Team::new();
    team.create(1, plain());
    team.note(team.events[0].fact.clone());
    let violations = History::of(&team.events).check().unwrap_err();
    assert_eq!(
        violations[0].to_string(),
        "history replays to state: task 00000000-0000-0000-0000-000000000001: \
         it was created twice (events [1, 2])"
    );
}

#[test]
fn a_log_that_is_broken_everywhere_is_reported_up_to_a_bound() {
    let mut team = Team::new();
    for i in 0..2_000 {
        team.note(Fact::TaskDiscarded {
            task: id(i),
            reason: String::new(),
        });
    }
    assert_eq!(team.wrong_in_log().len(), MAX_VIOLATIONS);
}
