//! Reports of a lease's holder: done, failed, given back, output.
//!
//! A report that is repeated with the same token gets the answer that the first one got.

use std::collections::HashMap;

use collective_api::leases::{
    AppendLog, CompleteRequest, Completion, FailRequest, ReleaseRequest, Settled,
};
use collective_api::{Item, Items};
use collective_core::limits::{MAX_LOG_CHUNK, MAX_REASON_LEN};
use collective_core::ports::store::{Failed, LogChunk, Tx};
use collective_core::role::{Permission, Principal};
use collective_core::task::{AttemptOutcome, LeaseToken, Task, TaskResult, TaskState, Transition};
use collective_core::{AgentName, Code, Rejection, TaskId, Timestamp};

use super::{bounded_batch, lock_all};
use crate::access::require;
use crate::ledger::Ledger;
use crate::{Hub, artifacts, schemas, tasks};

/// `POST /v1/leases/complete`.
pub async fn complete(
    hub: &Hub,
    who: &Principal,
    request: CompleteRequest,
) -> Result<Items<Settled>, Rejection> {
    bounded_batch(request.completions.len(), "completions")?;
    let reports = request
        .completions
        .into_iter()
        .map(|completion| {
            let key = (completion.task, completion.token);
            (key, accept(completion))
        })
        .collect();
    report(hub, who, reports, |task, token, accepted, now, chance| {
        let (mut result, contents) = accepted?;
        result.evidence =
            schemas::complete_evidence(&task.spec, result.json.as_ref(), result.evidence);
        let transition = task
            .complete(token, result, now, chance)
            .map_err(|rejection| rejection.within("result"))?;
        Ok((
            transition,
            if task.state == TaskState::Succeeded {
                contents
            } else {
                Vec::new()
            },
        ))
    })
    .await
}

/// A completion in core's words, with the bytes of its artifacts.
type Accepted = Result<(TaskResult, artifacts::Contents), Rejection>;

fn accept(completion: Completion) -> Accepted {
    let (artifacts, contents) = artifacts::accept(&completion.artifacts)?;
    let result = TaskResult {
        text: completion.text,
        json: completion.json,
        artifacts,
        usage: completion.usage,
        commit: completion.commit,
        evidence: completion.evidence,
    };
    Ok((result, contents))
}

/// `POST /v1/leases/fail`.
pub async fn fail(
    hub: &Hub,
    who: &Principal,
    request: FailRequest,
) -> Result<Items<Settled>, Rejection> {
    bounded_batch(request.failures.len(), "failures")?;
    let reports = request
        .failures
        .into_iter()
        .map(|failed| ((failed.task, failed.token), failed))
        .collect();
    report(hub, who, reports, |task, token, failed, now, chance| {
        Ok((
            task.fail(token, failed.outcome, failed.failure, now, chance)?,
            Vec::new(),
        ))
    })
    .await
}

/// `POST /v1/leases/release`.
pub async fn release(
    hub: &Hub,
    who: &Principal,
    request: ReleaseRequest,
) -> Result<Items<Settled>, Rejection> {
    bounded_batch(request.leases.len(), "leases")?;
    if request.reason.len() > MAX_REASON_LEN {
        return Err(
            Rejection::too_large("the reason", request.reason.len(), MAX_REASON_LEN).at("reason"),
        );
    }
    let reason = if request.reason.is_empty() {
        "given back".to_owned()
    } else {
        request.reason
    };
    let reports = request
        .leases
        .into_iter()
        .map(|lease| ((lease.task, lease.token), reason.clone()))
        .collect();
    report(hub, who, reports, |task, token, reason: String, now, _| {
        Ok((task.release(token, &reason, now)?, Vec::new()))
    })
    .await
}

type Told = Result<(Transition, artifacts::Contents), Rejection>;

/// Carries out reports on leases: one commit, each item for itself.
#[tracing::instrument(name = "settle leases", skip_all, fields(collective.leases = crate::trace::count(reports.len())))]
async fn report<R, F>(
    hub: &Hub,
    who: &Principal,
    reports: Vec<((TaskId, LeaseToken), R)>,
    decide: F,
) -> Result<Items<Settled>, Rejection>
where
    R: Send + Sync + 'static,
    F: Fn(&mut Task, LeaseToken, R, Timestamp, f64) -> Told + Send + 'static,
{
    require(hub, who, Permission::ClaimTasks).await?;
    let (who, now, hub_of_work) = (who.clone(), hub.now(), hub.clone());
    hub.write(&who.team.clone(), move |tx| {
        Box::pin(async move {
            let team = who.team.clone();
            let mut locked =
                lock_all(tx, &team, reports.iter().map(|((task, _), _)| *task)).await?;
            let mut ledger = Ledger::new(team.clone(), who.to_string(), now);
            let mut items = Vec::with_capacity(reports.len());
            let mut settled: HashMap<TaskId, (LeaseToken, Settled)> = HashMap::new();
            for ((id, token), report) in reports {
                let result = match locked.remove(&id) {
                    Some(mut task) => {
                        let chance = hub_of_work.entropy().chance();
                        match held(&task, token, &who) {
                            Err(lost) => {
                                let told = repeated(tx, &who, &task, token).await?.ok_or(lost);
                                locked.insert(id, task);
                                told
                            }
                            Ok(()) => match decide(&mut task, token, report, now, chance) {
                                Err(rejection) => {
                                    // Nothing was decided: a later report of the batch may stand.
                                    locked.insert(id, task);
                                    Err(rejection)
                                }
                                Ok((transition, contents)) => {
                                    for (name, bytes) in contents {
                                        tx.put_artifact(&team, id, &name, &bytes).await?;
                                    }
                                    let answer = answer(&task, &transition);
                                    settled.insert(id, (token, answer.clone()));
                                    ledger.moved(task, transition);
                                    Ok(answer)
                                }
                            },
                        }
                    }
                    // Twice in one batch: the second gets the answer of the first.
                    None => match settled.get(&id) {
                        Some((first, answer)) if *first == token => Ok(answer.clone()),
                        Some(_) => Err(Rejection::new(
                            Code::LeaseLost,
                            format!("the lease on task {id} has ended"),
                        )),
                        None => Err(Rejection::not_found("task", id)),
                    },
                };
                items.push(Item::from_result(result));
            }
            ledger.commit(tx).await?;
            Ok(Items { items })
        })
    })
    .await
}

fn held(task: &Task, token: LeaseToken, who: &Principal) -> Result<(), Rejection> {
    let lease = task.check_lease(token)?;
    may_report(who, &lease.agent, task.number)
}

fn answer(task: &Task, transition: &Transition) -> Settled {
    let outcome = transition
        .attempt
        .as_ref()
        .map_or(AttemptOutcome::Failed, |attempt| attempt.outcome);
    Settled {
        task: task.id,
        attempt: task.epoch,
        outcome,
        state: task.state,
    }
}

/// The answer of a report that was carried out before with this token.
async fn repeated(
    tx: &mut dyn Tx,
    who: &Principal,
    task: &Task,
    token: LeaseToken,
) -> Result<Option<Settled>, Failed> {
    let attempt = tx.attempt(&who.team, task.id, token.epoch).await?;
    Ok(attempt
        .filter(|attempt| attempt.token == Some(token) && who.require_agent(&attempt.agent).is_ok())
        // A lease that ran out was never reported on: its holder must learn that it is lost.
        .filter(|attempt| attempt.outcome != AttemptOutcome::Lost)
        .map(|attempt| Settled {
            task: task.id,
            attempt: attempt.epoch,
            outcome: attempt.outcome,
            state: task.state,
        }))
}

/// `POST /v1/tasks/{task}/log`.
pub async fn append_log(
    hub: &Hub,
    who: &Principal,
    task: &str,
    request: AppendLog,
) -> Result<(), Rejection> {
    require(hub, who, Permission::ClaimTasks).await?;
    let bytes = artifacts::decode(&request.content, MAX_LOG_CHUNK).map_err(|r| r.at("content"))?;
    if request.position == 0 || request.position > i64::MAX.unsigned_abs() {
        return Err(Rejection::new(Code::InvalidField, "positions start at 1").at("position"));
    }
    let id = tasks::id_of(hub, who, task).await?;
    let (who, now) = (who.clone(), hub.now());
    hub.write(&who.team.clone(), move |tx| {
        Box::pin(async move {
            let task = tasks::lock(tx, &who.team, id).await?;
            held(&task, request.token, &who)?;
            let chunk = LogChunk {
                position: request.position,
                at: now,
                bytes,
            };
            let total = tx.append_log(&who.team, id, task.epoch, chunk).await?;
            if total > tasks::LOG_BOUND {
                return Err(Rejection::new(
                    Code::TooLarge,
                    "the attempt's output is over its bound",
                )
                .hint("keep the start and the end, leave out the middle")
                .into());
            }
            Ok(())
        })
    })
    .await
}

fn may_report(who: &Principal, agent: &AgentName, number: u64) -> Result<(), Rejection> {
    who.require_agent(agent).map_err(|rejection| {
        Rejection::new(
            rejection.code(),
            format!("{who} doesn't hold task {number}"),
        )
    })
}
