//! Ended attempts, their output, and artifacts.

use collective_core::TeamName;
use collective_core::limits::{MAX_ARTIFACT_LEN, MAX_LOG_CHUNK};
use collective_core::ports::Store;
use collective_core::ports::store::LogChunk;
use collective_core::task::{Attempt, AttemptOutcome, Epoch};

use super::sample::{self, at, task_id};
use super::{default_team, done, reader};

/// An attempt keeps its token, so that a repeated report is known again.
pub async fn attempts_come_back_oldest_first(store: &dyn Store) {
    let team = default_team(store).await;
    let mut attempts: Vec<Attempt> = (1..)
        .zip(AttemptOutcome::ALL)
        .map(|(epoch, outcome)| Attempt {
            outcome,
            ..sample::attempt(epoch)
        })
        .collect();
    attempts.push(sample::full_attempt(7));
    let mut rows: Vec<_> = attempts
        .iter()
        .map(|attempt| (task_id(1), attempt.clone()))
        .collect();
    rows.reverse();
    rows.push((task_id(2), sample::full_attempt(1)));
    let of = team.clone();
    done(store, move |tx| {
        Box::pin(async move { Ok(tx.insert_attempts(&of, &rows).await?) })
    })
    .await;
    let mut reader = reader(store).await;
    let kept = reader.attempts(&team, task_id(1)).await.expect("attempts");
    assert_eq!(kept, attempts);
    for attempt in attempts {
        let kept = reader.attempt(&team, task_id(1), attempt.epoch).await;
        assert_eq!(kept, Ok(Some(attempt)));
    }
    let of_other = reader.attempts(&team, task_id(2)).await;
    assert_eq!(of_other, Ok(vec![sample::full_attempt(1)]));
    assert_eq!(reader.attempts(&team, task_id(3)).await, Ok(vec![]));
    for (task, epoch) in [(1, 8), (2, 2), (3, 1)] {
        let none = reader.attempt(&team, task_id(task), Epoch(epoch)).await;
        assert_eq!(none, Ok(None), "task {task}, epoch {epoch}");
    }
}

async fn append(
    store: &dyn Store,
    team: &TeamName,
    task: u64,
    epoch: u32,
    position: u64,
    bytes: &[u8],
) -> u64 {
    let team = team.clone();
    let chunk = LogChunk {
        position,
        at: at(position as i64),
        bytes: bytes.to_vec(),
    };
    let (size, _) = done(store, move |tx| {
        Box::pin(async move {
            Ok(tx
                .append_log(&team, task_id(task), Epoch(epoch), chunk)
                .await?)
        })
    })
    .await;
    size
}

async fn output(
    store: &dyn Store,
    team: &TeamName,
    (task, epoch): (u64, u32),
    after: u64,
    limit: usize,
) -> Vec<LogChunk> {
    reader(store)
        .await
        .log(team, task_id(task), Epoch(epoch), after, limit)
        .await
        .expect("the output")
}

/// A chunk that is sent again changes nothing, whatever it then says.
pub async fn output_is_kept_once_and_in_order(store: &dyn Store) {
    let team = default_team(store).await;
    for (task, epoch, position, bytes, size) in [
        (1, 1, 1, "one", 3),
        (1, 1, 2, "two!", 7),
        (1, 1, 2, "two!", 7),
        (1, 1, 1, "another one", 7),
        (1, 2, 1, "second attempt", 14),
        (2, 1, 1, "x", 1),
        (1, 1, 5, "five", 11),
        (1, 1, 3, "", 11),
        (1, 1, 4, "for", 14),
    ] {
        let now = append(store, &team, task, epoch, position, bytes.as_bytes()).await;
        assert_eq!(now, size, "after {bytes:?} of task {task}, epoch {epoch}");
    }
    let expected = [(1, "one"), (2, "two!"), (3, ""), (4, "for"), (5, "five")];
    for (after, limit, from, to) in [
        (0, 100, 0, 5),
        (2, 2, 2, 4),
        (4, 100, 4, 5),
        (5, 100, 5, 5),
        (0, 0, 0, 0),
        (u64::MAX, 100, 5, 5),
    ] {
        let page = output(store, &team, (1, 1), after, limit).await;
        let page: Vec<_> = page
            .iter()
            .map(|chunk| (chunk.position, chunk.at, chunk.bytes.as_slice()))
            .collect();
        let expected: Vec<_> = expected[from..to]
            .iter()
            .map(|(position, text)| (*position, at(*position as i64), text.as_bytes()))
            .collect();
        assert_eq!(page, expected, "after {after}, at most {limit}");
    }
    let second = output(store, &team, (1, 2), 0, 100).await;
    assert_eq!(second.len(), 1, "attempts have their own output");
    assert_eq!(second[0].bytes, b"second attempt");
    assert_eq!(output(store, &team, (3, 1), 0, 100).await, []);
}

/// A command writes what it likes.
pub async fn output_is_any_bytes(store: &dyn Store) {
    let team = default_team(store).await;
    let all: Vec<u8> = (0..=255).collect();
    let largest: Vec<u8> = all.iter().copied().cycle().take(MAX_LOG_CHUNK).collect();
    let mut size = 0;
    let chunks = [&b"\xff\xfe\x00"[..], &all, &largest];
    for (position, bytes) in (1..).zip(chunks) {
        size += bytes.len() as u64;
        let now = append(store, &team, 1, 1, position, bytes).await;
        assert_eq!(now, size);
    }
    let kept = output(store, &team, (1, 1), 0, 100).await;
    let kept: Vec<_> = kept.iter().map(|chunk| chunk.bytes.as_slice()).collect();
    assert_eq!(kept, chunks);
}

/// A later attempt's artifact takes the place of an earlier one's.
pub async fn artifacts_are_replaced_by_name(store: &dyn Store) {
    let team = default_team(store).await;
    let largest: Vec<u8> = (0..=255).cycle().take(MAX_ARTIFACT_LEN).collect();
    let puts: [(u64, &str, Vec<u8>); 5] = [
        (1, "change.patch", b"old".to_vec()),
        (1, "report.md", b"\xff\x00".to_vec()),
        (2, "change.patch", Vec::new()),
        (1, "change.patch", b"new one".to_vec()),
        (2, "large", largest.clone()),
    ];
    let of = team.clone();
    done(store, move |tx| {
        Box::pin(async move {
            for (task, name, bytes) in &puts {
                tx.put_artifact(&of, task_id(*task), name, bytes).await?;
            }
            Ok(())
        })
    })
    .await;
    let mut reader = reader(store).await;
    for (task, name, expected) in [
        (1, "change.patch", Some(b"new one".to_vec())),
        (1, "report.md", Some(b"\xff\x00".to_vec())),
        (2, "change.patch", Some(Vec::new())),
        (2, "report.md", None),
        (3, "change.patch", None),
        (1, "", None),
    ] {
        let kept = reader.artifact(&team, task_id(task), name).await;
        assert_eq!(kept, Ok(expected), "{name} of task {task}");
    }
    let kept = reader.artifact(&team, task_id(2), "large").await;
    assert!(kept == Ok(Some(largest)), "the largest one differs");
}
