//! Mail, questions, reservations and schedules.

use collective_core::message::{Message, Receipt, Recipient};
use collective_core::ports::Store;
use collective_core::question::QuestionState;
use collective_core::reservation::Reservation;
use collective_core::schedule::Overlap;
use collective_core::{AgentName, TeamName};

use super::sample::{
    self, agent_name, at, message_id, question_id, reservation_id, schedule_id, task_id,
};
use super::{default_team, done, reader};

async fn send(store: &dyn Store, team: &TeamName, message: Message, to: &[&str]) {
    let team = team.clone();
    let to: Vec<AgentName> = to.iter().map(|name| agent_name(name)).collect();
    done(store, move |tx| {
        Box::pin(async move { Ok(tx.insert_message(&team, &message, &to).await?) })
    })
    .await;
}

async fn inbox(
    store: &dyn Store,
    team: &TeamName,
    agent: &str,
    after: u64,
    unacknowledged: bool,
    limit: usize,
) -> Vec<(u64, Message)> {
    let deliveries = reader(store)
        .await
        .inbox(team, &agent_name(agent), after, unacknowledged, limit)
        .await
        .expect("an inbox");
    deliveries
        .into_iter()
        .map(|delivery| {
            assert_eq!(delivery.recipient, agent_name(agent));
            (delivery.position, delivery.message)
        })
        .collect()
}

/// The message is one, the deliveries are one each, durable from the start.
pub async fn a_message_lies_in_each_inbox(store: &dyn Store) {
    let team = default_team(store).await;
    let mut answer = sample::message(2);
    answer.from = "agent:ada".to_owned();
    answer.to = Recipient::Agent(agent_name("bob"));
    answer.in_reply_to = Some(message_id(1));
    answer.body = "zwei\u{0}\n\u{1f980}".to_owned();
    let mut to_nobody = sample::message(3);
    to_nobody.to = Recipient::Team;
    send(store, &team, sample::message(1), &["bob", "ada"]).await;
    send(store, &team, answer.clone(), &["bob"]).await;
    send(store, &team, to_nobody.clone(), &[]).await;
    let mut reader = reader(store).await;
    for message in [sample::message(1), answer.clone(), to_nobody] {
        let kept = reader.message(&team, message.id).await;
        assert_eq!(kept, Ok(Some(message)));
    }
    assert_eq!(reader.message(&team, message_id(4)).await, Ok(None));
    let deliveries = reader.deliveries(&team, message_id(1)).await;
    let deliveries = deliveries.expect("deliveries");
    let seen: Vec<_> = deliveries
        .iter()
        .map(|delivery| {
            assert_eq!(delivery.message, sample::message(1));
            let at = delivery.receipt_at;
            (delivery.recipient.as_str(), delivery.receipt, at)
        })
        .collect();
    let sent = sample::message(1).sent_at;
    assert_eq!(
        seen,
        [
            ("ada", Receipt::Durable, sent),
            ("bob", Receipt::Durable, sent)
        ]
    );
    assert_eq!(reader.deliveries(&team, message_id(3)).await, Ok(vec![]));
    let mail = inbox(store, &team, "bob", 0, false, 10).await;
    let messages: Vec<_> = mail.into_iter().map(|(_, message)| message).collect();
    assert_eq!(messages, [sample::message(1), answer]);
}

/// Positions grow by time and outlive the agent's registration.
pub async fn an_inbox_is_read_from_a_position(store: &dyn Store) {
    let team = default_team(store).await;
    for n in 1..=6 {
        let to: &[&str] = if n % 2 == 0 {
            &["ada", "bob"]
        } else {
            &["ada"]
        };
        send(store, &team, sample::message(n), to).await;
    }
    let all = inbox(store, &team, "ada", 0, false, 100).await;
    assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0), "{all:?}");
    let order: Vec<_> = all.iter().map(|(_, message)| message.id).collect();
    assert_eq!(order, [1, 2, 3, 4, 5, 6].map(message_id));
    for unacknowledged in [true, false] {
        let page = inbox(store, &team, "ada", all[1].0, unacknowledged, 3).await;
        assert_eq!(page, all[2..5]);
        let end = inbox(store, &team, "ada", all[5].0, unacknowledged, 3).await;
        assert_eq!(end, []);
        let beyond = inbox(store, &team, "ada", u64::MAX, unacknowledged, 3).await;
        assert_eq!(beyond, []);
    }
    assert_eq!(inbox(store, &team, "bob", 0, false, 100).await.len(), 3);
    assert_eq!(inbox(store, &team, "eve", 0, false, 100).await, []);
    let of = team.clone();
    done(store, move |tx| {
        Box::pin(async move { Ok(tx.remove_agent(&of, &agent_name("ada")).await?) })
    })
    .await;
    send(store, &team, sample::message(7), &["ada"]).await;
    let later = inbox(store, &team, "ada", all[5].0, false, 100).await;
    assert_eq!(later.len(), 1, "a position was given twice");
}

/// One recipient's receipt says nothing of another's.
pub async fn receipts_are_noted_for_one_recipient(store: &dyn Store) {
    let team = default_team(store).await;
    for n in 1..=3 {
        send(store, &team, sample::message(n), &["ada", "bob"]).await;
    }
    let of = team.clone();
    done(store, move |tx| {
        Box::pin(async move {
            let receipts = [
                (message_id(1), Receipt::Acknowledged),
                (message_id(2), Receipt::Presented),
                (message_id(99), Receipt::Presented),
            ];
            tx.set_receipts(&of, &agent_name("ada"), &receipts, at(70))
                .await?;
            let receipts = [(message_id(3), Receipt::HandedOver)];
            Ok(tx
                .set_receipts(&of, &agent_name("bob"), &receipts, at(71))
                .await?)
        })
    })
    .await;
    let mut reader = reader(store).await;
    let sent = sample::message(1).sent_at;
    for (agent, expected) in [
        (
            "ada",
            [
                (Receipt::Acknowledged, at(70)),
                (Receipt::Presented, at(70)),
                (Receipt::Durable, sent),
            ],
        ),
        (
            "bob",
            [
                (Receipt::Durable, sent),
                (Receipt::Durable, sent),
                (Receipt::HandedOver, at(71)),
            ],
        ),
    ] {
        let mail = reader
            .inbox(&team, &agent_name(agent), 0, false, 10)
            .await
            .expect("an inbox");
        let receipts: Vec<_> = mail
            .iter()
            .map(|delivery| (delivery.receipt, delivery.receipt_at))
            .collect();
        assert_eq!(receipts, expected, "{agent}");
    }
    let open = inbox(store, &team, "ada", 0, true, 10).await;
    let open: Vec<_> = open.iter().map(|(_, message)| message.id).collect();
    assert_eq!(
        open,
        [2, 3].map(message_id),
        "what is dealt with is left out"
    );
}

/// Questions come oldest first, however they are asked for.
pub async fn questions_are_found_by_state_and_task(store: &dyn Store) {
    let team = default_team(store).await;
    let mut questions = Vec::new();
    for (n, task, asked, state) in [
        (4, 1, 10, QuestionState::Open),
        (2, 2, 5, QuestionState::Answered),
        (3, 1, 20, QuestionState::Expired),
        (1, 2, 15, QuestionState::Withdrawn),
        (6, 1, 10, QuestionState::Answered),
    ] {
        let mut question = sample::question(n, task_id(task));
        question.asked_at = at(asked);
        question.state = state;
        if state == QuestionState::Answered {
            question.answer = Some("ja\u{0}".to_owned());
            question.answered_by = Some("admin".to_owned());
        }
        question.closed_at = (state != QuestionState::Open).then(|| at(asked + 1));
        questions.push(question);
    }
    let (of, given) = (team.clone(), questions.clone());
    done(store, move |tx| {
        Box::pin(async move {
            for question in &given {
                // As it was asked, then as it became.
                let asked = sample::question(1, question.task);
                let asked = collective_core::question::Question {
                    id: question.id,
                    asked_at: question.asked_at,
                    ..asked
                };
                tx.put_question(&of, &asked).await?;
                tx.put_question(&of, question).await?;
            }
            Ok(())
        })
    })
    .await;
    questions.sort_by_key(|question| (question.asked_at, question.id));
    let mut reader = reader(store).await;
    let states = [
        None,
        Some(QuestionState::Open),
        Some(QuestionState::Answered),
        Some(QuestionState::Expired),
        Some(QuestionState::Withdrawn),
    ];
    for state in states {
        for task in [None, Some(task_id(1)), Some(task_id(2)), Some(task_id(3))] {
            let mut expected = questions.clone();
            expected.retain(|question| {
                state.is_none_or(|state| question.state == state)
                    && task.is_none_or(|task| question.task == task)
            });
            let found = reader.questions(&team, state, task, 100).await;
            assert_eq!(found, Ok(expected.clone()), "{state:?} of {task:?}");
            expected.truncate(1);
            let first = reader.questions(&team, state, task, 1).await;
            assert_eq!(first, Ok(expected), "the first {state:?} of {task:?}");
        }
    }
    for question in questions {
        let kept = reader.question(&team, question.id).await;
        assert_eq!(kept, Ok(Some(question)));
    }
    assert_eq!(reader.question(&team, question_id(77)).await, Ok(None));
}

/// Extending is writing again; releasing is removing.
pub async fn reservations_are_listed_oldest_first(store: &dyn Store) {
    let team = default_team(store).await;
    let rows = [(5, 30), (1, 20), (3, 10), (2, 40)].map(|(n, made)| Reservation {
        created_at: at(made),
        ..sample::reservation(n)
    });
    let bare = Reservation {
        agent: agent_name("bob"),
        task: None,
        epoch: None,
        repository: String::new(),
        paths: vec![String::new()],
        shared: true,
        reason: String::new(),
        expires_at: at(1_000),
        ..rows[1].clone()
    };
    let (of, given, changed) = (team.clone(), rows.clone(), bare.clone());
    done(store, move |tx| {
        Box::pin(async move {
            for reservation in &given {
                tx.put_reservation(&of, reservation).await?;
            }
            tx.put_reservation(&of, &changed).await?;
            tx.remove_reservation(&of, reservation_id(2)).await?;
            Ok(tx.remove_reservation(&of, reservation_id(77)).await?)
        })
    })
    .await;
    let mut reader = reader(store).await;
    let expected = vec![rows[2].clone(), bare.clone(), rows[0].clone()];
    assert_eq!(reader.reservations(&team).await, Ok(expected.clone()));
    for reservation in expected {
        let kept = reader.reservation(&team, reservation.id).await;
        assert_eq!(kept, Ok(Some(reservation)));
    }
    let removed = reader.reservation(&team, reservation_id(2)).await;
    assert_eq!(removed, Ok(None));
}

/// A schedule that has fired is written again.
pub async fn schedules_are_listed_by_name(store: &dyn Store) {
    let team = default_team(store).await;
    let mut rows = [(1, "weekly"), (2, "nightly"), (3, "ähnlich"), (4, "gone")]
        .map(|(n, name)| sample::schedule(n, name));
    let (of, given) = (team.clone(), rows.clone());
    done(store, move |tx| {
        Box::pin(async move {
            for schedule in &given {
                tx.put_schedule(&of, schedule).await?;
            }
            Ok(tx.remove_schedule(&of, schedule_id(4)).await?)
        })
    })
    .await;
    rows[1].name = "hourly".to_owned();
    rows[1].cron = "0 * * * *".to_owned();
    rows[1].time_zone = "UTC".to_owned();
    rows[1].spec = sample::task(1).spec;
    rows[1].overlap = Overlap::Skip;
    rows[1].paused = true;
    rows[1].next_at = at(999);
    rows[1].last_task = Some(task_id(8));
    let (of, changed) = (team.clone(), rows[1].clone());
    done(store, move |tx| {
        Box::pin(async move { Ok(tx.put_schedule(&of, &changed).await?) })
    })
    .await;
    let mut reader = reader(store).await;
    let [weekly, hourly, similar, _] = rows;
    let expected = vec![hourly, weekly, similar];
    assert_eq!(
        reader.schedules(&team).await,
        Ok(expected.clone()),
        "by the bytes of their names"
    );
    for schedule in expected {
        let kept = reader.schedule(&team, schedule.id).await;
        assert_eq!(kept, Ok(Some(schedule)));
    }
    assert_eq!(reader.schedule(&team, schedule_id(4)).await, Ok(None));
}
