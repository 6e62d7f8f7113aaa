//! API keys: make, list, revoke. Secrets are shown once and stored as hashes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use collective_api::agents::{CreateKey, CreatedKey};
use collective_core::event::Fact;
use collective_core::key::ApiKey;
use collective_core::limits::MAX_LABEL_LEN;
use collective_core::role::{Permission, Principal};
use collective_core::{Code, KeyId, Rejection};

use crate::Hub;
use crate::access::{hash_secret, require};
use crate::ledger::Ledger;

/// Most live keys of one team.
const MAX_KEYS: usize = 20_000;

/// A secret of 256 random bits, as text that is safe in a header and a URL.
pub fn new_secret(random: [u128; 2]) -> String {
    let mut bytes = [0u8; 32];
    bytes[..16].copy_from_slice(&random[0].to_be_bytes());
    bytes[16..].copy_from_slice(&random[1].to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `POST /v1/keys`.
pub async fn create(
    hub: &Hub,
    who: &Principal,
    request: CreateKey,
) -> Result<CreatedKey, Rejection> {
    require(hub, who, Permission::Administer).await?;
    if request.label.is_empty() || request.label.len() > MAX_LABEL_LEN {
        return Err(Rejection::new(
            Code::InvalidField,
            format!("must have 1 to {MAX_LABEL_LEN} bytes"),
        )
        .at("label"));
    }
    match (request.admin, request.role, &request.agent) {
        (true, None, None) | (false, Some(_), _) => {}
        (true, _, _) => {
            return Err(Rejection::new(
                Code::InvalidField,
                "an administrator's key has neither role nor agent",
            )
            .at("admin"));
        }
        (false, None, _) => {
            return Err(
                Rejection::new(Code::InvalidField, "a key needs a role, or admin").at("role"),
            );
        }
    }
    let now = hub.now();
    let secret = new_secret([hub.entropy().secret(), hub.entropy().secret()]);
    let key = ApiKey {
        id: KeyId(hub.entropy().id(now)),
        team: who.team.clone(),
        label: request.label,
        agent: request.agent,
        role: request.role,
        secret_hash: hash_secret(&secret),
        created_at: now,
        revoked_at: None,
    };
    let (stored, actor) = (key.clone(), who.to_string());
    hub.write(&key.team, move |tx| {
        Box::pin(async move {
            let live = tx
                .keys(&stored.team)
                .await?
                .iter()
                .filter(|key| key.revoked_at.is_none())
                .count();
            if live >= MAX_KEYS {
                return Err(Rejection::new(
                    Code::LimitReached,
                    format!("the team has {MAX_KEYS} live keys"),
                )
                .hint("revoke keys that are not used: collective key revoke ID")
                .into());
            }
            tx.put_key(&stored).await?;
            let mut ledger = Ledger::new(stored.team.clone(), actor, now);
            ledger.fact(Fact::KeyCreated {
                key: stored.id,
                label: stored.label,
                role: stored.role,
                agent: stored.agent,
            });
            ledger.commit(tx).await
        })
    })
    .await?;
    let token = format!("ck_{}_{secret}", key.id.0.simple());
    Ok(CreatedKey { key, token })
}

/// `GET /v1/keys`, oldest first.
pub async fn list(hub: &Hub, who: &Principal) -> Result<Vec<ApiKey>, Rejection> {
    require(hub, who, Permission::Administer).await?;
    Ok(hub.read().await?.keys(&who.team).await?)
}

/// `DELETE /v1/keys/{key}`: it works no longer, here at once, at other replicas within a second.
pub async fn revoke(hub: &Hub, who: &Principal, id: KeyId) -> Result<(), Rejection> {
    require(hub, who, Permission::Administer).await?;
    let (team, actor, now) = (who.team.clone(), who.to_string(), hub.now());
    hub.write(&who.team, move |tx| {
        Box::pin(async move {
            let found = tx.key(id).await?.filter(|key| key.team == team);
            let mut key = found.ok_or_else(|| Rejection::not_found("key", id))?;
            if key.revoked_at.is_none() {
                key.revoked_at = Some(now);
                tx.put_key(&key).await?;
                let mut ledger = Ledger::new(team, actor, now);
                ledger.fact(Fact::KeyRevoked { key: id });
                ledger.commit(tx).await?;
            }
            Ok(())
        })
    })
    .await?;
    hub.forget_key(id);
    Ok(())
}
