//! Idempotency keys: an answer is remembered with its request, in the same commit.

use collective_core::limits::{IDEMPOTENCY_TTL, MAX_IDEMPOTENCY_KEY_LEN};
use collective_core::ports::store::{Failed, Remembered, Tx};
use collective_core::role::Principal;
use collective_core::{Code, Rejection, TeamName, Timestamp};
use sha2::{Digest, Sha256};

/// An idempotency key with the request that it stands for.
pub(crate) struct Memory {
    key: String,
    request_hash: [u8; 32],
}

impl Memory {
    pub(crate) fn of<R: serde::Serialize>(
        who: &Principal,
        what: &str,
        key: &str,
        request: &R,
    ) -> Result<Self, Rejection> {
        if key.is_empty()
            || key.len() > MAX_IDEMPOTENCY_KEY_LEN
            || key.chars().any(char::is_control)
        {
            return Err(Rejection::new(
                Code::InvalidField,
                format!("must have 1 to {MAX_IDEMPOTENCY_KEY_LEN} readable characters"),
            )
            .at("idempotency-key"));
        }
        let request = serde_json::to_vec(request)
            .map_err(|error| Rejection::new(Code::Internal, error.to_string()))?;
        Ok(Self {
            key: format!("{who}/{what}/{key}"),
            request_hash: Sha256::digest(&request).into(),
        })
    }

    pub(crate) async fn recall<A: serde::de::DeserializeOwned>(
        &self,
        tx: &mut dyn Tx,
        team: &TeamName,
        now: Timestamp,
    ) -> Result<Option<A>, Failed> {
        let Some(remembered) = tx
            .remembered(team, &self.key, now - IDEMPOTENCY_TTL)
            .await?
        else {
            return Ok(None);
        };
        if remembered.request_hash != self.request_hash {
            return Err(Rejection::new(
                Code::IdempotencyMismatch,
                "the key was used before with another request",
            )
            .hint("use a new key for a new request")
            .at("idempotency-key")
            .into());
        }
        serde_json::from_str(&remembered.answer)
            .map(Some)
            .map_err(|error| {
                Rejection::new(
                    Code::Internal,
                    format!("a remembered answer can't be read: {error}"),
                )
                .into()
            })
    }

    pub(crate) async fn keep<A: serde::Serialize + Sync>(
        self,
        tx: &mut dyn Tx,
        team: &TeamName,
        answer: &A,
        now: Timestamp,
    ) -> Result<(), Failed> {
        let answer = serde_json::to_string(answer)
            .map_err(|error| Rejection::new(Code::Internal, error.to_string()))?;
        let remembered = Remembered {
            request_hash: self.request_hash,
            answer,
        };
        Ok(tx.remember(team, &self.key, &remembered, now).await?)
    }
}
