//! What agents say over AMQP: the kinds of reports, their bodies, and from
//! bytes to a typed order.

use collective_api::agents::AgentView;
use collective_api::leases::{Beat, Completion, FailedAttempt};
use collective_core::agent::{AgentSpec, Transport};
use collective_core::limits::DEFAULT_LEASE;
use collective_core::role::Role;
use collective_core::task::LeaseToken;
use collective_core::{AgentName, Code, QueueName, Rejection, Span, TaskId, text};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::decode;

/// `registered`: the agent is there, under a name that stays its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Registered {
    /// Its name.
    pub agent: AgentName,
    /// What it is in the team.
    #[serde(default = "default_role")]
    pub role: Role,
    /// The queues it serves; `default` if nothing is said.
    #[serde(default = "default_queues")]
    pub queues: Vec<QueueName>,
    /// How many tasks it holds at once.
    #[serde(default = "default_slots")]
    pub slots: u32,
    /// What it runs, for people to read.
    #[serde(default)]
    pub description: String,
}

fn default_role() -> Role {
    AgentSpec::default().role
}

fn default_queues() -> Vec<QueueName> {
    AgentSpec::default().queues
}

fn default_slots() -> u32 {
    AgentSpec::default().slots
}

impl Registered {
    pub(super) fn spec(self) -> AgentSpec {
        AgentSpec {
            role: self.role,
            queues: self.queues,
            slots: self.slots,
            description: self.description,
            transport: Transport::Amqp,
        }
    }
}

/// The answer of `registered`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Registration {
    /// The agent.
    #[serde(flatten)]
    pub agent: AgentView,
    /// The queues where its tasks are offered, most urgent first.
    pub task_queues: Vec<String>,
}

/// `started`: the agent takes the task that it was offered. The answer is the claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Started {
    /// The task of the offer.
    pub task: TaskId,
    /// Who takes it; registered before.
    pub agent: AgentName,
    /// How long the lease lasts without a heartbeat.
    #[serde(default = "default_lease")]
    pub lease: Span,
}

fn default_lease() -> Span {
    DEFAULT_LEASE
}

/// `heartbeat`: the agent is alive, and so is its work on these tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// Who is alive.
    pub agent: AgentName,
    /// The leases that it holds.
    #[serde(default)]
    pub beats: Vec<Beat>,
}

/// `released`: the task is given back untouched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Released {
    /// The task.
    pub task: TaskId,
    /// The token of the claim.
    pub token: LeaseToken,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// A report that was read.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Registered(Registered),
    Started(Started),
    Heartbeat(Heartbeat),
    Completed(Box<Completion>),
    Failed(Box<FailedAttempt>),
    Released(Released),
}

/// What an unknown kind is called in metrics and logs: whatever was sent stays out of them.
const UNKNOWN: &str = "unknown";
/// The kinds of reports.
const KINDS: [&str; 6] = [
    "registered",
    "started",
    "heartbeat",
    "completed",
    "failed",
    "released",
];

/// A kind as metrics and logs name it.
pub(super) fn known(kind: &str) -> &'static str {
    let known = KINDS.into_iter().find(|known| *known == kind);
    known.unwrap_or(UNKNOWN)
}

impl Order {
    pub(super) fn read(kind: &str, body: &[u8]) -> Result<Self, Rejection> {
        Ok(match kind {
            "registered" => Self::Registered(decode::json(body)?),
            "started" => Self::Started(decode::json(body)?),
            "heartbeat" => Self::Heartbeat(decode::json(body)?),
            "completed" => Self::Completed(Box::new(decode::json(body)?)),
            "failed" => Self::Failed(Box::new(decode::json(body)?)),
            "released" => Self::Released(decode::json(body)?),
            other => {
                return Err(Rejection::new(
                    Code::NoSuchRoute,
                    format!("`{}` is no kind of report", text::shown(other)),
                )
                .hint(format!(
                    "publish to the exchange agent.results with one of these routing keys: {}",
                    KINDS.join(", ")
                )));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_and_nothing_else() {
        let token = "1-00112233445566778899aabbccddeeff";
        let task = "01900000-0000-7000-8000-000000000000";
        for (kind, body) in [
            ("registered", r#"{"agent":"ada"}"#.to_owned()),
            ("started", format!(r#"{{"agent":"ada","task":"{task}"}}"#)),
            ("heartbeat", r#"{"agent":"ada"}"#.to_owned()),
            (
                "completed",
                format!(r#"{{"task":"{task}","token":"{token}"}}"#),
            ),
            (
                "failed",
                format!(
                    r#"{{"task":"{task}","token":"{token}","failure":{{"class":"transient","reason":"no"}}}}"#
                ),
            ),
            (
                "released",
                format!(r#"{{"task":"{task}","token":"{token}"}}"#),
            ),
        ] {
            assert_eq!(known(kind), kind);
            Order::read(kind, body.as_bytes()).expect(kind);
            let unknown = body.replacen('{', r#"{"colour":"red","#, 1);
            let refused = Order::read(kind, unknown.as_bytes()).expect_err(kind);
            assert_eq!(refused.code(), Code::InvalidField, "{kind}: {refused}");
            assert_eq!(refused.field(), Some("colour"), "{kind}");
            for garbage in ["", "[]", "{", "\u{0}\u{1}", "7"] {
                let refused = Order::read(kind, garbage.as_bytes()).expect_err(kind);
                assert_eq!(refused.code(), Code::InvalidBody, "{kind}: {garbage}");
            }
        }
        let refused = Order::read("Completed\n", b"{}").expect_err("no kind");
        assert_eq!(refused.code(), Code::NoSuchRoute);
        assert_eq!(known("Completed\n"), UNKNOWN);
    }

    #[test]
    fn an_agent_that_says_only_its_name_is_as_one_over_http() {
        let Ok(Order::Registered(said)) = Order::read("registered", br#"{"agent":"ada"}"#) else {
            panic!("it is one");
        };
        let expected = AgentSpec {
            transport: Transport::Amqp,
            ..AgentSpec::default()
        };
        assert_eq!(said.spec(), expected);
    }
}
