//! Request and answer types of `/v1`, shared by server and client.
//!
//! The words themselves are core's; what is here is only what a request or an
//! answer adds. This crate must never know how they travel or what becomes of them.

pub mod agents;
pub mod leases;
pub mod messages;
pub mod operations;
pub mod problem;
pub mod tasks;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use collective_core as core;
pub use problem::Problem;

/// Header that names the team; an agent's key sees only its own.
pub const TEAM_HEADER: &str = "collective-team";
/// Header under which a creating call is remembered for a day.
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";
/// Header that names a request in answers and logs.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// What to send as `cursor` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The answer for one item of a batch: exactly one of `ok` and `error` is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Item<T> {
    /// What the item gave.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub ok: Option<T>,
    /// Why it was refused. The other items of the batch stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}

fn none<T>() -> Option<T> {
    None
}

impl<T> Item<T> {
    /// From a result.
    pub fn from_result(result: Result<T, core::Rejection>) -> Self {
        match result {
            Ok(value) => Self {
                ok: Some(value),
                error: None,
            },
            Err(rejection) => Self {
                ok: None,
                error: Some(Problem::from(&rejection)),
            },
        }
    }

    /// Back to a result.
    pub fn into_result(self) -> Result<T, Box<Problem>> {
        match (self.ok, self.error) {
            (Some(value), _) => Ok(value),
            (None, Some(problem)) => Err(Box::new(problem)),
            (None, None) => Err(Box::new(Problem::from(&core::Rejection::new(
                core::Code::Internal,
                "an item of the answer has neither value nor error",
            )))),
        }
    }
}

/// The answers of a batch, in the order of its items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Items<T> {
    /// One for each item.
    pub items: Vec<Item<T>>,
}

/// A reason, for commands that may give one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Why.
    #[serde(default)]
    pub reason: String,
}
