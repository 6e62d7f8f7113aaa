//! One team, from where its copy ends to the end of its log.

use std::collections::BTreeMap;

use collective_core::event::{Event, Fact};
use collective_core::limits::MAX_PAGE;
use collective_core::message::{Delivery, Message};
use collective_core::ports::store::{Edge, Failed, LogChunk, Query, Remembered, Tx, write};
use collective_core::ports::{Store, StoreError};
use collective_core::question::Question;
use collective_core::task::{Attempt, Epoch, Task};
use collective_core::{AgentName, Code, MessageId, Rejection, TaskId, TeamName, Timestamp};

use super::{Progress, TeamPlan};

/// Events of one step, and so roughly the tasks that one commit writes.
const STEP: usize = 500;
/// Pieces of output that are read at once.
const LOG_PAGE: usize = 16;

/// What a step's events brought into being, as it stands today.
#[derive(Default)]
struct Born {
    tasks: Vec<Task>,
    edges: Vec<Edge>,
    attempts: Vec<(TaskId, Attempt)>,
    messages: Vec<(Message, Vec<Delivery>)>,
    questions: Vec<Question>,
}

pub(super) async fn team(
    from: &dyn Store,
    to: &dyn Store,
    plan: &TeamPlan,
    tell: &mut (impl FnMut(&Progress) + Send),
) -> Result<(), Rejection> {
    let mut progress = Progress {
        team: plan.team.clone(),
        done: plan.copied,
        total: plan.events,
    };
    found(from, to, &plan.team).await?;
    tell(&progress);
    while progress.done < progress.total {
        let mut query = from.reader().await?;
        let events = query.events(&plan.team, progress.done, STEP).await?;
        let Some(last) = events.last().map(|event| event.seq) else {
            return Err(Rejection::new(
                Code::Internal,
                format!("the source's log ends at {} too soon", progress.done),
            ));
        };
        let born = born(&mut *query, &plan.team, &events).await?;
        drop(query);
        for task in &born.tasks {
            bytes(from, to, &plan.team, task).await?;
        }
        step(to, plan.team.clone(), events, born).await?;
        progress.done = last;
        tell(&progress);
    }
    surroundings(from, to, &plan.team).await
}

/// Creates the team as of its first event, if it isn't there.
async fn found(from: &dyn Store, to: &dyn Store, team: &TeamName) -> Result<(), Rejection> {
    let first = from.reader().await?.events(team, 0, 1).await?;
    let at = first.first().map_or(Timestamp::default(), |event| event.at);
    let of = team.clone();
    write(to, Some(team), move |tx| {
        Box::pin(async move { Ok(tx.insert_team(&of, at).await?) })
    })
    .await?;
    Ok(())
}

async fn born(
    query: &mut dyn Query,
    team: &TeamName,
    events: &[Event],
) -> Result<Born, StoreError> {
    let mut born = Born::default();
    for event in events {
        match &event.fact {
            Fact::TaskCreated { task, .. } => {
                let id = *task;
                born.tasks.extend(query.task(team, id).await?);
                born.edges.extend(query.dependencies(team, id).await?);
                let attempts = query.attempts(team, id).await?;
                born.attempts
                    .extend(attempts.into_iter().map(|attempt| (id, attempt)));
            }
            Fact::MessageSent { message, .. } => {
                if let Some(found) = query.message(team, *message).await? {
                    let deliveries = query.deliveries(team, *message).await?;
                    born.messages.push((found, deliveries));
                }
            }
            Fact::TaskAsked { question, .. } => {
                born.questions
                    .extend(query.question(team, *question).await?);
            }
            _ => {}
        }
    }
    Ok(born)
}

/// Output and artifacts, which may be large: before the task's own step, piece
/// by piece. Writing them again changes nothing.
async fn bytes(
    from: &dyn Store,
    to: &dyn Store,
    team: &TeamName,
    task: &Task,
) -> Result<(), Rejection> {
    let id = task.id;
    for epoch in (1..=task.epoch.0).map(Epoch) {
        let mut after = 0;
        loop {
            let mut query = from.reader().await?;
            let chunks = query.log(team, id, epoch, after, LOG_PAGE).await?;
            let Some(last) = chunks.last() else { break };
            after = last.position;
            let of = team.clone();
            write(to, Some(team), move |tx| {
                Box::pin(async move { append_chunks(tx, &of, id, epoch, chunks).await })
            })
            .await?;
        }
    }
    let artifacts = task.result.iter().flat_map(|result| &result.artifacts);
    for name in artifacts.map(|artifact| artifact.name.clone()) {
        let kept = from.reader().await?.artifact(team, id, &name).await?;
        let Some(kept) = kept else { continue };
        let of = team.clone();
        write(to, Some(team), move |tx| {
            Box::pin(async move { Ok(tx.put_artifact(&of, id, &name, &kept).await?) })
        })
        .await?;
    }
    Ok(())
}

async fn append_chunks(
    tx: &mut dyn Tx,
    team: &TeamName,
    task: TaskId,
    epoch: Epoch,
    chunks: Vec<LogChunk>,
) -> Result<(), Failed> {
    for chunk in chunks {
        tx.append_log(team, task, epoch, chunk).await?;
    }
    Ok(())
}

/// One commit: the events, and what they brought into being.
async fn step(
    to: &dyn Store,
    team: TeamName,
    events: Vec<Event>,
    born: Born,
) -> Result<(), Failed> {
    write(to, Some(&team.clone()), move |tx| {
        Box::pin(async move {
            append(tx, &team, events).await?;
            tx.insert_tasks(&team, &born.tasks).await?;
            tx.insert_edges(&team, &born.edges).await?;
            tx.insert_attempts(&team, &born.attempts).await?;
            for (message, deliveries) in born.messages {
                deliver(tx, &team, &message, deliveries).await?;
            }
            for question in &born.questions {
                tx.put_question(&team, question).await?;
            }
            Ok(())
        })
    })
    .await
    .map(drop)
}

/// Appends events, those of one command together, and sees that each keeps its number.
async fn append(tx: &mut dyn Tx, team: &TeamName, events: Vec<Event>) -> Result<(), Failed> {
    let mut events = events.into_iter().peekable();
    while let Some(first) = events.next() {
        let (seq, at, actor) = (first.seq, first.at, first.actor);
        let mut facts = vec![first.fact];
        while let Some(next) = events.next_if(|next| next.at == at && next.actor == actor) {
            facts.push(next.fact);
        }
        let given = tx.append(team, &actor, at, facts).await?;
        if given != seq {
            return Err(Rejection::new(
                Code::WrongState,
                format!("event {seq} of team `{team}` would become {given} in the target"),
            )
            .hint("somebody else writes to the target; stop its servers first")
            .into());
        }
    }
    Ok(())
}

async fn deliver(
    tx: &mut dyn Tx,
    team: &TeamName,
    message: &Message,
    mut deliveries: Vec<Delivery>,
) -> Result<(), StoreError> {
    deliveries.sort_by(|one, other| one.recipient.cmp(&other.recipient));
    let to: Vec<AgentName> = deliveries
        .iter()
        .map(|delivery| delivery.recipient.clone())
        .collect();
    tx.insert_message(team, message, &to).await?;
    for delivery in deliveries {
        let receipts: [(MessageId, _); 1] = [(message.id, delivery.receipt)];
        tx.set_receipts(team, &delivery.recipient, &receipts, delivery.receipt_at)
            .await?;
    }
    Ok(())
}

/// What has no place in the log, or is changed in place. Writing it again changes nothing.
async fn surroundings(from: &dyn Store, to: &dyn Store, team: &TeamName) -> Result<(), Rejection> {
    let mut query = from.reader().await?;
    let agents = query.agents(team).await?;
    let queues = query.queues(team).await?;
    let keys = query.keys(team).await?;
    let schedules = query.schedules(team).await?;
    let reservations = query.reservations(team).await?;
    drop(query);
    let of = team.clone();
    write(to, Some(team), move |tx| {
        Box::pin(async move {
            for agent in &agents {
                tx.put_agent(&of, agent).await?;
            }
            for queue in &queues {
                tx.put_queue(&of, queue).await?;
            }
            for key in &keys {
                tx.put_key(key).await?;
            }
            for schedule in &schedules {
                tx.put_schedule(&of, schedule).await?;
            }
            for reservation in &reservations {
                tx.put_reservation(&of, reservation).await?;
            }
            Ok(())
        })
    })
    .await?;
    answers(from, to, team).await
}

/// Answers under idempotency keys, so that a request repeated after the move isn't carried out twice.
async fn answers(from: &dyn Store, to: &dyn Store, team: &TeamName) -> Result<(), Rejection> {
    let mut after = String::new();
    loop {
        let mut query = from.reader().await?;
        let page = query.answers(team, &after, MAX_PAGE).await?;
        drop(query);
        let Some((last, ..)) = page.last() else {
            return Ok(());
        };
        after.clone_from(last);
        let by_time: BTreeMap<Timestamp, Vec<(String, Remembered)>> =
            page.into_iter()
                .fold(BTreeMap::new(), |mut all, (key, answer, at)| {
                    all.entry(at).or_default().push((key, answer));
                    all
                });
        let of = team.clone();
        write(to, Some(team), move |tx| {
            Box::pin(async move {
                for (at, answers) in by_time {
                    for (key, answer) in answers {
                        tx.remember(&of, &key, &answer, at).await?;
                    }
                }
                Ok(())
            })
        })
        .await?;
    }
}
