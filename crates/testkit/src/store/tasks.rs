//! Tasks as rows: what is written comes back, moves and all.

use collective_core::limits::{MAX_INPUT_LEN, MAX_PROMPT_LEN, MAX_RESULT_LEN};
use collective_core::ports::store::write;
use collective_core::ports::{Failed, Store};
use collective_core::task::{Task, TaskResult, TaskState};
use collective_core::{TeamName, Timestamp};
use serde_json::Value;

use super::sample::{self, at, task_id};
use super::{default_team, done, reader};

pub(super) async fn insert(store: &dyn Store, team: &TeamName, tasks: Vec<Task>) {
    let team = team.clone();
    done(store, move |tx| {
        Box::pin(async move { Ok(tx.insert_tasks(&team, &tasks).await?) })
    })
    .await;
}

pub(super) async fn update(store: &dyn Store, team: &TeamName, tasks: Vec<Task>) {
    let team = team.clone();
    done(store, move |tx| {
        Box::pin(async move { Ok(tx.update_tasks(&team, &tasks).await?) })
    })
    .await;
}

/// Asks for the task in every way that there is.
async fn assert_kept(store: &dyn Store, team: &TeamName, task: &Task) {
    let mut reader = reader(store).await;
    let by_id = reader.task(team, task.id).await.expect("a look-up");
    assert_eq!(by_id.as_ref(), Some(task), "by id");
    let by_number = reader.task_by_number(team, task.number).await;
    assert_eq!(
        by_number.expect("a look-up").as_ref(),
        Some(task),
        "by number"
    );
    let (of, id) = (team.clone(), task.id);
    let (locked, _) = done(store, move |tx| {
        Box::pin(async move { Ok(tx.lock_tasks(&of, &[id]).await?) })
    })
    .await;
    assert_eq!(locked, std::slice::from_ref(task), "locked");
}

/// Every field, the lease's secret and microseconds included.
pub async fn a_task_comes_back_as_it_was(store: &dyn Store) {
    let team = default_team(store).await;
    let tasks = vec![sample::full_task(5), sample::task(6)];
    insert(store, &team, tasks.clone()).await;
    for task in &tasks {
        assert_kept(store, &team, task).await;
    }
    let mut reader = reader(store).await;
    assert_eq!(reader.task(&team, task_id(7)).await, Ok(None));
    for nobody in [7, 0, u64::MAX] {
        assert_eq!(reader.task_by_number(&team, nobody).await, Ok(None));
    }
}

/// Written new and moved to, each state is read as the same one.
pub async fn every_state_comes_back_as_it_was(store: &dyn Store) {
    let team = default_team(store).await;
    for (n, state) in (1..).zip(TaskState::ALL) {
        let task = sample::in_state(sample::task(n), state);
        insert(store, &team, vec![task.clone()]).await;
        assert_kept(store, &team, &task).await;
    }
    let mut task = sample::task(100);
    insert(store, &team, vec![task.clone()]).await;
    for state in TaskState::ALL {
        task = sample::in_state(task, state);
        update(store, &team, vec![task.clone()]).await;
        assert_kept(store, &team, &task).await;
    }
}

/// What the rules let in comes out again: any Unicode, control characters, NUL.
pub async fn text_comes_back_whatever_is_in_it(store: &dyn Store) {
    let team = default_team(store).await;
    for (n, text) in (1..).zip([
        "",
        " ",
        "'; DROP TABLE tasks; --",
        "\"\\ %s {} $1 ?1",
        "größer \u{1f980} \u{202e}abc",
        "NUL \u{0} in the middle",
        "\u{0}",
        "\u{1b}[31m\r\n\u{7f}",
        "\u{feff}\u{fffd}\u{10ffff}",
    ]) {
        let mut task = sample::full_task(n);
        task.spec.prompt = text.to_owned();
        task.spec.input = Value::String(text.to_owned());
        task.spec.key = Some(text.to_owned());
        task.spec.labels = [(text.to_owned(), text.to_owned())].into();
        task.created_by = text.to_owned();
        task.cancel_reason = Some(text.to_owned());
        let mut failure = sample::full_failure();
        failure.feedback = text.to_owned();
        task.failure = Some(failure);
        let mut result = sample::full_result();
        result.text = text.to_owned();
        result.json = Some(Value::String(text.to_owned()));
        task.result = Some(result);
        insert(store, &team, vec![task.clone()]).await;
        assert_kept(store, &team, &task).await;
    }
}

/// The bounds of core are bounds that the store can keep.
pub async fn the_largest_values_come_back_whole(store: &dyn Store) {
    let team = default_team(store).await;
    // Nine years of full speed: more than a store must tell apart.
    let mut task = sample::task((1 << 44) - 2);
    task.id = task_id(1);
    task.spec.prompt = "ä".repeat(MAX_PROMPT_LEN / 2);
    task.spec.input = Value::String("x".repeat(MAX_INPUT_LEN - 2));
    task.epoch = collective_core::task::Epoch(u32::MAX);
    task.waiting_on = u32::MAX;
    task.attempts_used = u32::MAX;
    task.ready_at = Timestamp::from_micros(i64::MIN);
    task.created_at = Timestamp::from_micros(0);
    task.finished_at = Some(Timestamp::from_micros(i64::MAX));
    insert(store, &team, vec![task.clone()]).await;
    assert_kept(store, &team, &task).await;
    task.result = Some(TaskResult {
        text: "\u{1f980}".repeat(MAX_RESULT_LEN / 4),
        json: Some(Value::String("y".repeat(MAX_RESULT_LEN - 2))),
        ..sample::full_result()
    });
    update(store, &team, vec![task.clone()]).await;
    assert_kept(store, &team, &task).await;
}

/// What was asked never changes, everything else does, back to nothing as well.
pub async fn an_update_writes_everything_but_the_spec(store: &dyn Store) {
    let team = default_team(store).await;
    let (bare, full) = (sample::task(1), sample::full_task(1));
    insert(store, &team, vec![bare.clone(), sample::task(2)]).await;
    // Where a task came from is part of what was asked.
    let kept_of = |task: &Task| Task {
        created_by: bare.created_by.clone(),
        created_at: bare.created_at,
        spec: bare.spec.clone(),
        ..task.clone()
    };
    let moved = kept_of(&full);
    let sent = Task {
        spec: full.spec.clone(),
        ..moved.clone()
    };
    update(store, &team, vec![sent]).await;
    assert_kept(store, &team, &moved).await;
    update(store, &team, vec![kept_of(&bare)]).await;
    assert_kept(store, &team, &bare).await;
    assert_kept(store, &team, &sample::task(2)).await;
}

/// A change that meets no row is a bug of the caller and mustn't pass in silence.
pub async fn updating_what_is_not_there_fails(store: &dyn Store) {
    let team = default_team(store).await;
    insert(store, &team, vec![sample::task(1)]).await;
    let of = team.clone();
    let mut moved = sample::task(1);
    moved.attempts_used = 1;
    let updated = write(store, None, move |tx| {
        Box::pin(async move { Ok(tx.update_tasks(&of, &[moved, sample::task(2)]).await?) })
    })
    .await;
    assert!(
        matches!(updated, Err(Failed::Store(_))),
        "it gave {updated:?}"
    );
    assert_kept(store, &team, &sample::task(1)).await;
}

/// A batch's answer is in the order of its request.
pub async fn locking_gives_the_tasks_in_the_order_asked(store: &dyn Store) {
    let team = default_team(store).await;
    let tasks = (1..=9).map(sample::task).collect();
    insert(store, &team, tasks).await;
    let of = team.clone();
    let (locked, _) = done(store, move |tx| {
        Box::pin(async move {
            let ids = [5, 2, 77, 9, 1, 78].map(task_id);
            let some = tx.lock_tasks(&of, &ids).await?;
            let none = tx.lock_tasks(&of, &[]).await?;
            Ok((some, none))
        })
    })
    .await;
    let numbers: Vec<u64> = locked.0.iter().map(|task| task.number).collect();
    assert_eq!(numbers, [5, 2, 9, 1]);
    assert_eq!(locked.1, []);
    assert_eq!(at(0), sample::task(1).created_at);
}
