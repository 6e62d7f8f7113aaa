//! Queues: lanes of work that agents serve and an operator can pause.

use serde::{Deserialize, Serialize};

use crate::{QueueName, Timestamp};

/// Most queues of one team.
pub const MAX_QUEUES: usize = 1_000;

/// A declared queue. Agents declare the queues they serve by registering.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Queue {
    /// Its name, unique in the team.
    pub name: QueueName,
    /// While paused, nothing is handed out from it; running tasks go on.
    pub paused: bool,
    /// When it was declared.
    pub created_at: Timestamp,
}
