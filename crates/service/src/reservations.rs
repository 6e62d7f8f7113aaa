//! Reservations: hold paths for a time, so that two agents don't edit the same files.

use collective_api::messages::Reserve;
use collective_core::event::Fact;
use collective_core::limits::MAX_REASON_LEN;
use collective_core::reservation::{self, MAX_RESERVATIONS, Reservation};
use collective_core::role::{Permission, Principal};
use collective_core::{Code, Rejection, ReservationId};

use crate::access::{require, require_agent};
use crate::ledger::Ledger;
use crate::{Hub, tasks};

/// `POST /v1/reservations`.
pub async fn reserve(
    hub: &Hub,
    who: &Principal,
    request: Reserve,
) -> Result<Reservation, Rejection> {
    require(hub, who, Permission::Reserve).await?;
    require_agent(hub, who, &request.agent).await?;
    let paths = reservation::validate(&request.repository, &request.paths, request.ttl)?;
    if request.reason.len() > MAX_REASON_LEN {
        return Err(
            Rejection::too_large("the reason", request.reason.len(), MAX_REASON_LEN).at("reason"),
        );
    }
    if request.task.is_some() != request.token.is_some() {
        return Err(Rejection::new(
            Code::InvalidField,
            "a reservation for a task needs the token of its claim",
        )
        .at("token"));
    }
    let now = hub.now();
    let id = ReservationId(hub.entropy().id(now));
    let (team, actor) = (who.team.clone(), who.to_string());
    hub.write(&who.team, move |tx| {
        Box::pin(async move {
            if tx.agent(&team, &request.agent).await?.is_none() {
                return Err(Rejection::not_found("agent", &request.agent)
                    .at("agent")
                    .into());
            }
            let mut epoch = None;
            if let (Some(task), Some(token)) = (request.task, request.token) {
                let task = tasks::lock(tx, &team, task).await?;
                if task.check_lease(token)?.agent != request.agent {
                    return Err(
                        Rejection::new(Code::Forbidden, "another agent holds the task")
                            .at("task")
                            .into(),
                    );
                }
                epoch = Some(token.epoch);
            }
            let live = tx.reservations(&team).await?;
            if live.len() >= MAX_RESERVATIONS {
                return Err(Rejection::new(
                    Code::LimitReached,
                    format!("the team has {MAX_RESERVATIONS} reservations"),
                )
                .into());
            }
            if let Some((held, path)) = reservation::conflict(
                &request.agent,
                &request.repository,
                &paths,
                request.shared,
                &live,
                now,
            ) {
                let path = if path.is_empty() {
                    "the whole repository"
                } else {
                    path
                };
                return Err(Rejection::new(
                    Code::Reserved,
                    format!(
                        "agent `{}` holds {path} until {}",
                        held.agent, held.expires_at
                    ),
                )
                .hint("wait, work on other files, or ask its holder")
                .at("paths")
                .into());
            }
            let made = Reservation {
                id,
                agent: request.agent,
                task: request.task,
                epoch,
                repository: request.repository,
                paths,
                shared: request.shared,
                reason: request.reason,
                created_at: now,
                expires_at: now + request.ttl,
            };
            tx.put_reservation(&team, &made).await?;
            let mut ledger = Ledger::new(team, actor, now);
            ledger.fact(Fact::ReservationMade {
                reservation: id,
                agent: made.agent.clone(),
                repository: made.repository.clone(),
                paths: made.paths.clone(),
                expires_at: made.expires_at,
            });
            ledger.commit(tx).await?;
            Ok(made)
        })
    })
    .await
}

/// `GET /v1/reservations`: the live ones, oldest first.
pub async fn list(hub: &Hub, who: &Principal) -> Result<Vec<Reservation>, Rejection> {
    require(hub, who, Permission::Read).await?;
    let now = hub.now();
    let mut live = hub.read().await?.reservations(&who.team).await?;
    live.retain(|reservation| reservation.expires_at > now);
    Ok(live)
}

/// `DELETE /v1/reservations/{reservation}`: its holder gives it up.
pub async fn release(hub: &Hub, who: &Principal, id: ReservationId) -> Result<(), Rejection> {
    require(hub, who, Permission::Reserve).await?;
    let held = hub
        .read()
        .await?
        .reservation(&who.team, id)
        .await?
        .ok_or_else(|| Rejection::not_found("reservation", id))?;
    require_agent(hub, who, &held.agent).await?;
    let (team, actor, now) = (who.team.clone(), who.to_string(), hub.now());
    hub.write(&who.team, move |tx| {
        Box::pin(async move {
            if tx.reservation(&team, id).await?.is_none() {
                return Ok(());
            }
            tx.remove_reservation(&team, id).await?;
            let mut ledger = Ledger::new(team, actor, now);
            ledger.fact(Fact::ReservationEnded {
                reservation: id,
                agent: held.agent,
                reason: "released".to_owned(),
            });
            ledger.commit(tx).await
        })
    })
    .await
}
