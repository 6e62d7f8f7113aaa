//! Leases: the right to work on an attempt until a time, fenced by an epoch.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::rejection::{Code, Rejection};
use crate::{AgentName, Span, Timestamp};

/// How many times a task was claimed. Grows by one with each claim, never goes back.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The epoch of the next claim.
    pub const fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an agent shows with every heartbeat, completion and failure: the epoch
/// and a secret, written `7-0f3a…` (the secret as 32 hex digits).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken {
    /// The claim that it belongs to.
    pub epoch: Epoch,
    /// 128 random bits.
    pub secret: u128,
}

impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:032x}", self.epoch, self.secret)
    }
}

impl fmt::Debug for LeaseToken {
    /// The secret stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseToken({}-…)", self.epoch)
    }
}

impl FromStr for LeaseToken {
    type Err = Rejection;

    fn from_str(text: &str) -> Result<Self, Rejection> {
        let parse = || {
            let (epoch, secret) = text.split_once('-')?;
            let secret = (secret.len() == 32).then(|| u128::from_str_radix(secret, 16).ok())??;
            Some(LeaseToken {
                epoch: Epoch(epoch.parse().ok()?),
                secret,
            })
        };
        parse().ok_or_else(|| {
            Rejection::new(Code::InvalidField, "a lease token can't be read")
                .hint("send the token exactly as the claim gave it")
        })
    }
}

impl Serialize for LeaseToken {
    fn serialize<S: serde::Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        ser.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LeaseToken {
    fn deserialize<D: serde::Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(de)?;
        text.parse()
            .map_err(|rejection: Rejection| serde::de::Error::custom(rejection.message()))
    }
}

/// A live lease. Its token is known to the store and to its holder only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lease {
    /// Who holds it.
    pub agent: AgentName,
    /// What its holder must show; absent wherever a task is shown to others.
    #[serde(skip)]
    pub token: Option<LeaseToken>,
    /// How far a heartbeat extends it.
    pub ttl: Span,
    /// Until when it lasts without a heartbeat.
    pub expires_at: Timestamp,
}
