//! Who is it, and may they: the one place where both are decided.
//!
//! Deny by default. Every denial of an authenticated principal is an audit
//! event, at a bounded rate, so that a misbehaving agent can't fill the log.

use collective_core::event::Fact;
use collective_core::ports::{Permit, RateLimit};
use collective_core::queue::Queue;
use collective_core::role::{Grant, Permission, Principal};
use collective_core::{AgentName, Code, KeyId, QueueName, Rejection, Span, TeamName};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::Hub;
use crate::ledger::{Ledger, SERVER};

/// How many denials of a team are written as events: ten at once, then one each second.
const AUDIT_LIMIT: RateLimit = RateLimit {
    burst: 10,
    period: Span::from_secs(1),
};

/// SHA-256, as keys and tokens are stored.
pub fn hash_secret(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// From a bearer token and the team that was asked for to who it is.
pub async fn authenticate(
    hub: &Hub,
    token: Option<&str>,
    team: Option<&str>,
) -> Result<Principal, Rejection> {
    let unauthenticated = || {
        Rejection::new(Code::Unauthenticated, "the request has no valid key")
            .hint("send `Authorization: Bearer TOKEN`; the administrator's token is in the file `token` of the data folder")
    };
    let token = token.ok_or_else(unauthenticated)?;
    let asked = team
        .map(|name| TeamName::new(name).map_err(|r| r.at("collective-team")))
        .transpose()?;
    let hash = hash_secret(token);
    if hub
        .admin_hash()
        .is_some_and(|admin| bool::from(admin.ct_eq(&hash)))
    {
        let team = asked.unwrap_or_else(TeamName::default_team);
        return Ok(Principal::admin(team));
    }
    let (id, secret) = token
        .strip_prefix("ck_")
        .and_then(|rest| rest.split_once('_'))
        .ok_or_else(unauthenticated)?;
    let id = KeyId(Uuid::try_parse(id).map_err(|_| unauthenticated())?);
    let key = match hub.known_key(id) {
        Some(key) => key,
        None => {
            let key = hub
                .read()
                .await?
                .key(id)
                .await?
                .ok_or_else(unauthenticated)?;
            hub.remember_key(&key);
            key
        }
    };
    if key.revoked_at.is_some() || !bool::from(key.secret_hash.ct_eq(&hash_secret(secret))) {
        return Err(unauthenticated());
    }
    let grant = match (key.agent, key.role) {
        (Some(agent), Some(role)) => Grant::Agent(agent, role),
        (None, Some(role)) => Grant::Role(role),
        (_, None) => return Ok(Principal::admin(asked.unwrap_or(key.team))),
    };
    if asked.is_some_and(|asked| asked != key.team) {
        return Err(Rejection::new(
            Code::Forbidden,
            format!("this key sees team `{}` only", key.team),
        )
        .at("collective-team"));
    }
    Ok(Principal {
        team: key.team,
        grant,
    })
}

/// Refuses what the principal may not do, and writes that down.
pub(crate) async fn require(
    hub: &Hub,
    who: &Principal,
    permission: Permission,
) -> Result<(), Rejection> {
    match who.require(permission) {
        Ok(()) => team_exists(hub, &who.team).await,
        Err(rejection) => Err(denied(hub, who, rejection).await),
    }
}

/// Refuses to act as another agent, and writes that down.
pub(crate) async fn require_agent(
    hub: &Hub,
    who: &Principal,
    agent: &AgentName,
) -> Result<(), Rejection> {
    match who.require_agent(agent) {
        Ok(()) => Ok(()),
        Err(rejection) => Err(denied(hub, who, rejection).await),
    }
}

/// Writes a denial down, and hands it on.
pub(crate) async fn denied(hub: &Hub, who: &Principal, rejection: Rejection) -> Rejection {
    let now = hub.now();
    let bucket = format!("audit/{}", who.team);
    // A cache that is down must not silence them, nor let a flood of them in.
    if hub.take(&bucket, AUDIT_LIMIT).await == Permit::Granted {
        let mut ledger = Ledger::new(who.team.clone(), who.to_string(), now);
        ledger.fact(Fact::AccessDenied {
            what: rejection.message().to_owned(),
        });
        if let Err(error) = hub
            .write(&who.team, move |tx| {
                Box::pin(async move { ledger.commit(tx).await })
            })
            .await
        {
            tracing::warn!(%error, "a denial could not be written to the log");
        }
    }
    rejection
}

async fn team_exists(hub: &Hub, team: &TeamName) -> Result<(), Rejection> {
    if hub.knows_team(team) {
        return Ok(());
    }
    if !hub.read().await?.team_exists(team).await? {
        return Err(Rejection::not_found("team", team)
            .hint("an administrator creates it: PUT /v1/teams/NAME, or a team file names it"));
    }
    hub.remember_team(team);
    Ok(())
}

/// `PUT /v1/teams/{team}`: says whether it is new.
pub async fn put_team(hub: &Hub, who: &Principal, team: &TeamName) -> Result<bool, Rejection> {
    if let Err(rejection) = who.require(Permission::Administer) {
        return Err(denied(hub, who, rejection).await);
    }
    create_team(hub, team).await
}

pub(crate) async fn create_team(hub: &Hub, team: &TeamName) -> Result<bool, Rejection> {
    let (name, now) = (team.clone(), hub.now());
    hub.write(team, move |tx| {
        Box::pin(async move {
            let new = tx.insert_team(&name, now).await?;
            if new {
                let queue = Queue {
                    name: QueueName::default_queue(),
                    paused: false,
                    created_at: now,
                };
                tx.put_queue(&name, &queue).await?;
                let mut ledger = Ledger::new(name.clone(), SERVER.to_owned(), now);
                ledger.fact(Fact::TeamCreated { name });
                ledger.fact(Fact::QueueDeclared { queue: queue.name });
                ledger.commit(tx).await?;
            }
            Ok(new)
        })
    })
    .await
}

/// `GET /v1/teams`: an agent's or a role's key sees its own.
pub async fn list_teams(hub: &Hub, who: &Principal) -> Result<Vec<TeamName>, Rejection> {
    if who.may(Permission::Administer) {
        return Ok(hub.read().await?.teams().await?);
    }
    Ok(vec![who.team.clone()])
}
