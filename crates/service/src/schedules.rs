//! Schedules: tasks that are created again and again.

use collective_api::messages::CreateSchedule;
use collective_core::event::Fact;
use collective_core::ports::store::{Failed, Tx};
use collective_core::role::{Permission, Principal};
use collective_core::schedule::{self, MAX_NAME_LEN, MAX_SCHEDULES, Overlap, Schedule};
use collective_core::{Code, Rejection, ScheduleId, TaskId, TeamName, Timestamp};

use crate::access::require;
use crate::ledger::{Ledger, SERVER};
use crate::memory::Memory;
use crate::tasks;
use crate::{Hub, schemas};

/// `POST /v1/schedules`.
pub async fn create(
    hub: &Hub,
    who: &Principal,
    request: CreateSchedule,
    idempotency_key: Option<&str>,
) -> Result<Schedule, Rejection> {
    require(hub, who, Permission::ManageSchedules).await?;
    if request.name.is_empty()
        || request.name.len() > MAX_NAME_LEN
        || request.name.chars().any(char::is_control)
    {
        return Err(Rejection::new(
            Code::InvalidName,
            format!("must have 1 to {MAX_NAME_LEN} readable bytes"),
        )
        .at("name"));
    }
    let now = hub.now();
    request
        .task
        .validate(now)
        .and_then(|()| schemas::validate(&request.task))
        .map_err(|r| r.at("task"))?;
    for (field, set) in [
        ("depends_on", !request.task.depends_on.is_empty()),
        ("run_at", request.task.run_at.is_some()),
        ("deadline", request.task.deadline.is_some()),
    ] {
        if set {
            return Err(
                Rejection::new(Code::InvalidField, "a recurring task can't have it")
                    .at(field)
                    .at("task"),
            );
        }
    }
    let next_at = schedule::next_time(&request.cron, &request.time_zone, now)?;
    let memory = idempotency_key
        .map(|key| Memory::of(who, "schedules", key, &request))
        .transpose()?;
    let made = Schedule {
        id: ScheduleId(hub.entropy().id(now)),
        name: request.name,
        cron: request.cron,
        time_zone: request.time_zone,
        spec: request.task,
        overlap: request.overlap,
        paused: false,
        next_at,
        last_task: None,
        created_at: now,
    };
    let (team, actor) = (who.team.clone(), who.to_string());
    hub.write(&who.team, move |tx| {
        Box::pin(async move {
            if let Some(memory) = &memory
                && let Some(answer) = memory.recall(tx, &team, now).await?
            {
                return Ok(answer);
            }
            let all = tx.schedules(&team).await?;
            if all.len() >= MAX_SCHEDULES {
                return Err(Rejection::new(
                    Code::LimitReached,
                    format!("the team has {MAX_SCHEDULES} schedules"),
                )
                .into());
            }
            if all.iter().any(|other| other.name == made.name) {
                return Err(Rejection::new(
                    Code::AlreadyExists,
                    format!("a schedule is named `{}` already", made.name),
                )
                .at("name")
                .into());
            }
            tx.put_schedule(&team, &made).await?;
            let mut ledger = Ledger::new(team.clone(), actor, now);
            ledger.fact(set(&made));
            ledger.commit(tx).await?;
            if let Some(memory) = memory {
                memory.keep(tx, &team, &made, now).await?;
            }
            Ok(made)
        })
    })
    .await
}

fn set(schedule: &Schedule) -> Fact {
    Fact::ScheduleSet {
        schedule: schedule.id,
        name: schedule.name.clone(),
        cron: schedule.cron.clone(),
        paused: schedule.paused,
    }
}

/// `GET /v1/schedules`.
pub async fn list(hub: &Hub, who: &Principal) -> Result<Vec<Schedule>, Rejection> {
    require(hub, who, Permission::Read).await?;
    Ok(hub.read().await?.schedules(&who.team).await?)
}

/// `POST /v1/schedules/{schedule}/pause` and `/resume`. Times that passed meanwhile are not made up.
pub async fn set_paused(
    hub: &Hub,
    who: &Principal,
    id: ScheduleId,
    paused: bool,
) -> Result<Schedule, Rejection> {
    require(hub, who, Permission::ManageSchedules).await?;
    let (team, actor, now) = (who.team.clone(), who.to_string(), hub.now());
    hub.write(&who.team, move |tx| {
        Box::pin(async move {
            let mut found = tx
                .schedule(&team, id)
                .await?
                .ok_or_else(|| Rejection::not_found("schedule", id))?;
            if found.paused != paused {
                found.paused = paused;
                found.next_at = schedule::next_time(&found.cron, &found.time_zone, now)?;
                tx.put_schedule(&team, &found).await?;
                let mut ledger = Ledger::new(team, actor, now);
                ledger.fact(set(&found));
                ledger.commit(tx).await?;
            }
            Ok(found)
        })
    })
    .await
}

/// `DELETE /v1/schedules/{schedule}`. Its tasks stay.
pub async fn remove(hub: &Hub, who: &Principal, id: ScheduleId) -> Result<(), Rejection> {
    require(hub, who, Permission::ManageSchedules).await?;
    let (team, actor, now) = (who.team.clone(), who.to_string(), hub.now());
    hub.write(&who.team, move |tx| {
        Box::pin(async move {
            let found = tx
                .schedule(&team, id)
                .await?
                .ok_or_else(|| Rejection::not_found("schedule", id))?;
            tx.remove_schedule(&team, id).await?;
            let mut ledger = Ledger::new(team, actor, now);
            ledger.fact(Fact::ScheduleRemoved {
                schedule: id,
                name: found.name,
            });
            ledger.commit(tx).await
        })
    })
    .await
}

/// Creates the task of a due schedule. Times that were missed are made up by one task.
pub(crate) async fn fire(
    tx: &mut dyn Tx,
    team: &TeamName,
    id: ScheduleId,
    task_id: TaskId,
    now: Timestamp,
) -> Result<(), Failed> {
    let Some(mut due) = tx.schedule(team, id).await? else {
        return Ok(());
    };
    if due.paused || due.next_at > now {
        return Ok(());
    }
    let overlaps = match due.last_task {
        Some(last) if due.overlap == Overlap::Skip => tx
            .task(team, last)
            .await?
            .is_some_and(|task| !task.state.is_terminal()),
        _ => false,
    };
    let mut created = None;
    if !overlaps {
        match tasks::insert(
            tx,
            team,
            SERVER,
            vec![due.spec.clone()],
            &[task_id],
            now,
            false,
        )
        .await
        {
            Ok(_) => created = Some(task_id),
            // Its queue or agent is gone: this time is left out, the next is tried again.
            Err(Failed::Rejected(rejection)) => {
                tracing::warn!(schedule = %due.name, %rejection, "a schedule could not create its task");
            }
            Err(failed) => return Err(failed),
        }
    }
    due.last_task = created.or(due.last_task);
    match schedule::next_time(&due.cron, &due.time_zone, now) {
        Ok(next) => due.next_at = next,
        // Valid when it was accepted; a time zone may have vanished since.
        Err(rejection) => {
            tracing::error!(schedule = %due.name, %rejection, "a schedule was paused: its next time can't be found");
            due.paused = true;
        }
    }
    tx.put_schedule(team, &due).await?;
    let mut ledger = Ledger::new(team.clone(), SERVER.to_owned(), now);
    ledger.fact(Fact::ScheduleFired {
        schedule: id,
        name: due.name,
        task: created,
    });
    ledger.commit(tx).await
}
