//! Teams are kept apart.

use collective_core::TeamName;
use collective_core::event::Fact;
use collective_core::message::Receipt;
use collective_core::ports::store::{Edge, LogChunk, Remembered, TaskFilter, write};
use collective_core::ports::{Failed, Query, Store, Tx};
use collective_core::task::{DependencyCondition, Epoch, Priority};

use super::sample::{
    self, agent_name, at, lane, message_id, question_id, queue_name, reservation_id, schedule_id,
    task_id, team,
};
use super::{done, found, reader};

async fn red_and_blue(store: &dyn Store) -> (TeamName, TeamName) {
    let teams = (team("red"), team("blue"));
    found(store, &teams.0).await;
    found(store, &teams.1).await;
    teams
}

/// Numbers start at 1 in each team, and names may be the same.
pub async fn teams_have_their_own_numbers_and_names(store: &dyn Store) {
    let (red, blue) = red_and_blue(store).await;
    for (of, ids) in [(&red, 100), (&blue, 200)] {
        let of = of.clone();
        let (numbers, _) = done(store, move |tx| {
            Box::pin(async move {
                let denied = |what: &str| Fact::AccessDenied {
                    what: what.to_owned(),
                };
                let facts = vec![denied("a"), denied("b")];
                let first = tx.append(&of, "admin", at(1), facts).await?;
                let mut task = sample::task(first);
                task.id = task_id(ids);
                tx.insert_tasks(&of, &[task]).await?;
                let mut agent = sample::agent("ada");
                agent.spec.description = of.to_string();
                tx.put_agent(&of, &agent).await?;
                let mut queue = sample::queue("rust");
                queue.paused = ids == 200;
                tx.put_queue(&of, &queue).await?;
                tx.put_key(&sample::key(ids, &of)).await?;
                tx.put_schedule(&of, &sample::schedule(ids, "nightly"))
                    .await?;
                tx.insert_message(&of, &sample::message(ids), &[agent_name("ada")])
                    .await?;
                let answer = Remembered {
                    request_hash: [2; 32],
                    answer: of.to_string(),
                };
                tx.remember(&of, "key", &answer, at(1)).await?;
                Ok((first, tx.last_seq(&of).await?))
            })
        })
        .await;
        assert_eq!(numbers, (1, 2));
    }
    let mut reader = reader(store).await;
    for (of, ids) in [(&red, 100), (&blue, 200)] {
        let by_number = reader.task_by_number(of, 1).await.expect("a look-up");
        assert_eq!(by_number.map(|task| task.id), Some(task_id(ids)));
        let ada = reader.agent(of, &agent_name("ada")).await;
        let said = ada.expect("a look-up").map(|agent| agent.spec.description);
        assert_eq!(said.as_deref(), Some(of.as_str()));
        let rust = reader.queue(of, &queue_name("rust")).await;
        let paused = rust.expect("a look-up").map(|queue| queue.paused);
        assert_eq!(paused, Some(ids == 200));
        let kept = reader.remembered(of, "key", at(0)).await;
        let answer = kept.expect("a look-up").map(|kept| kept.answer);
        assert_eq!(answer.as_deref(), Some(of.as_str()));
        let mail = reader.inbox(of, &agent_name("ada"), 0, false, 10).await;
        let mail = mail.expect("an inbox");
        assert_eq!(mail.len(), 1);
        assert_eq!(mail[0].message.id, message_id(ids));
        assert_eq!(reader.keys(of).await.expect("keys").len(), 1);
        assert_eq!(reader.schedules(of).await.expect("schedules").len(), 1);
        assert_eq!(reader.events(of, 0, 10).await.expect("the log").len(), 2);
    }
}

/// Writes one of everything.
async fn fill(tx: &mut dyn Tx, of: &TeamName) -> Result<(), Failed> {
    let ada = agent_name("ada");
    let fact = Fact::TaskRevived {
        task: task_id(1),
        waiting_on: 0,
    };
    tx.append(of, "admin", at(1), vec![fact]).await?;
    let mut labelled = sample::task(2);
    labelled.spec.labels.insert("a".to_owned(), "b".to_owned());
    let held = sample::held(sample::task(1), "ada", at(9));
    tx.insert_tasks(of, &[held, labelled]).await?;
    tx.insert_attempts(of, &[(task_id(1), sample::attempt(1))])
        .await?;
    let edge = Edge {
        task: task_id(2),
        on: task_id(1),
        when: DependencyCondition::Succeeded,
        met: false,
    };
    tx.insert_edges(of, &[edge]).await?;
    let chunk = LogChunk {
        position: 1,
        at: at(2),
        bytes: b"x".to_vec(),
    };
    tx.append_log(of, task_id(1), Epoch(1), chunk).await?;
    tx.put_artifact(of, task_id(1), "a", b"x").await?;
    tx.put_agent(of, &sample::agent("ada")).await?;
    tx.put_queue(of, &sample::queue("rust")).await?;
    tx.put_key(&sample::key(1, of)).await?;
    tx.insert_message(of, &sample::message(1), &[ada]).await?;
    tx.put_question(of, &sample::question(1, task_id(1)))
        .await?;
    tx.put_reservation(of, &sample::reservation(1)).await?;
    tx.put_schedule(of, &sample::schedule(1, "nightly")).await?;
    let answer = Remembered {
        request_hash: [1; 32],
        answer: "{}".to_owned(),
    };
    tx.remember(of, "key", &answer, at(1)).await?;
    Ok(())
}

/// Every question about one team, each answer as text.
async fn ask_everything(reader: &mut dyn Query, of: &TeamName) -> Vec<(&'static str, String)> {
    let ada = agent_name("ada");
    let all = TaskFilter::default();
    let by_agent = TaskFilter {
        agent: Some(ada.clone()),
        ..TaskFilter::default()
    };
    let by_label = TaskFilter {
        label: Some(("a".to_owned(), "b".to_owned())),
        ..TaskFilter::default()
    };
    let place = (Priority::Low, at(10_000), u64::MAX);
    macro_rules! all {
        ($($question:ident($($argument:expr),*);)*) => {
            vec![$((
                stringify!($question),
                format!("{:?}", reader.$question($($argument),*).await.expect("an answer")),
            )),*]
        };
    }
    all! {
        task(of, task_id(1));
        task_by_number(of, 1);
        list_tasks(of, &all, None, 100);
        list_tasks(of, &by_agent, None, 100);
        list_tasks(of, &by_label, None, 100);
        lane_counts(of);
        state_counts(of);
        count_ahead(of, &lane("queue/default"), place, 100);
        held(of);
        held_by(of, &ada);
        attempts(of, task_id(1));
        attempt(of, task_id(1), Epoch(1));
        dependencies(of, task_id(2));
        dependents(of, &[task_id(1)]);
        log(of, task_id(1), Epoch(1), 0, 100);
        artifact(of, task_id(1), "a");
        agent(of, &ada);
        agents(of);
        queue(of, &queue_name("rust"));
        queues(of);
        keys(of);
        message(of, message_id(1));
        inbox(of, &ada, 0, false, 100);
        deliveries(of, message_id(1));
        question(of, question_id(1));
        questions(of, None, None, 100);
        questions(of, None, Some(task_id(1)), 100);
        reservation(of, reservation_id(1));
        reservations(of);
        schedule(of, schedule_id(1));
        schedules(of);
        events(of, 0, 100);
        task_events(of, task_id(1), 100);
        last_seq(of);
        remembered(of, "key", at(0));
    }
}

/// Knowing an identifier of another team shows nothing.
pub async fn a_team_does_not_see_what_another_one_has(store: &dyn Store) {
    let (red, blue) = red_and_blue(store).await;
    let mut reader = reader(store).await;
    let nothing = ask_everything(&mut *reader, &blue).await;
    let of = red.clone();
    done(store, move |tx| {
        Box::pin(async move { fill(tx, &of).await })
    })
    .await;
    assert_eq!(ask_everything(&mut *reader, &blue).await, nothing);
    for (of_red, none) in ask_everything(&mut *reader, &red)
        .await
        .iter()
        .zip(&nothing)
    {
        assert_ne!(of_red, none, "red doesn't see its own");
    }
    let of = blue.clone();
    let (locked, _) = done(store, move |tx| {
        Box::pin(async move {
            let tasks = tx.lock_tasks(&of, &[task_id(1), task_id(2)]).await?;
            let heads = tx.lock_heads(&of, &[lane("queue/default")], 10).await?;
            Ok((tasks, heads))
        })
    })
    .await;
    assert_eq!(locked, (Vec::new(), Vec::new()));
}

/// A change that names another team's row doesn't reach it. Whether it is an
/// error or meets nothing is the adapter's to say.
pub async fn a_team_does_not_change_what_another_one_has(store: &dyn Store) {
    type Change = for<'t> fn(
        &'t mut dyn Tx,
        &'t TeamName,
    ) -> futures_util::future::BoxFuture<'t, Result<(), Failed>>;
    const CHANGES: [(&str, Change); 8] = [
        ("update_tasks", |tx, of| {
            Box::pin(async move { Ok(tx.update_tasks(of, &[sample::task(1)]).await?) })
        }),
        ("set_edge_met", |tx, of| {
            Box::pin(async move { Ok(tx.set_edge_met(of, task_id(2), task_id(1), true).await?) })
        }),
        ("remove_agent", |tx, of| {
            Box::pin(async move { Ok(tx.remove_agent(of, &agent_name("ada")).await?) })
        }),
        ("put_agent", |tx, of| {
            Box::pin(async move {
                let mut agent = sample::agent("ada");
                agent.draining = true;
                Ok(tx.put_agent(of, &agent).await?)
            })
        }),
        ("set_receipts", |tx, of| {
            Box::pin(async move {
                let receipts = [(message_id(1), Receipt::Acknowledged)];
                Ok(tx
                    .set_receipts(of, &agent_name("ada"), &receipts, at(99))
                    .await?)
            })
        }),
        ("remove_reservation", |tx, of| {
            Box::pin(async move { Ok(tx.remove_reservation(of, reservation_id(1)).await?) })
        }),
        ("remove_schedule", |tx, of| {
            Box::pin(async move { Ok(tx.remove_schedule(of, schedule_id(1)).await?) })
        }),
        ("remember", |tx, of| {
            Box::pin(async move {
                let answer = Remembered {
                    request_hash: [9; 32],
                    answer: "other".to_owned(),
                };
                Ok(tx.remember(of, "key", &answer, at(5)).await?)
            })
        }),
    ];
    let (red, blue) = red_and_blue(store).await;
    let of = red.clone();
    done(store, move |tx| {
        Box::pin(async move { fill(tx, &of).await })
    })
    .await;
    let mut reader = reader(store).await;
    let before = ask_everything(&mut *reader, &red).await;
    for (what, change) in CHANGES {
        let of = blue.clone();
        let changed = write(store, None, move |tx| {
            Box::pin(async move { change(tx, &of).await })
        })
        .await;
        if let Err(Failed::Rejected(rejection)) = changed {
            panic!("a store doesn't reject, but {what} gave {rejection}");
        }
        assert_eq!(ask_everything(&mut *reader, &red).await, before, "{what}");
    }
}
