//! API keys: what is stored of them. The secret itself never is.

use serde::{Deserialize, Serialize};

use crate::role::Role;
use crate::{AgentName, KeyId, TeamName, Timestamp};

/// A stored key. The secret's SHA-256 is enough, since the secret is random (256 bits), not chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiKey {
    /// The public half.
    pub id: KeyId,
    /// The one team it sees; an admin's key sees all.
    pub team: TeamName,
    /// What it is for, said by whoever made it.
    pub label: String,
    /// The agent that it is, if it is one.
    pub agent: Option<AgentName>,
    /// Its role; absent for an admin's key.
    pub role: Option<Role>,
    /// SHA-256 of the secret.
    #[serde(skip)]
    pub secret_hash: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}
