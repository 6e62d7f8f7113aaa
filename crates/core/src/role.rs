//! Roles and permissions: one table, checked in one place.
//!
//! Deny by default: what a role's row doesn't name, it may not do.

use serde::{Deserialize, Serialize};

use crate::rejection::{Code, Rejection};

/// What an agent is in its team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Hands out tasks, answers questions.
    Leader,
    /// Takes tasks under leases.
    Worker,
    /// Takes part in brainstorms and ballots, and takes tasks.
    Collaborator,
    /// Runs workflows and schedules.
    Coordinator,
    /// Watches; changes nothing.
    Monitor,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 5] = [
        Role::Leader,
        Role::Worker,
        Role::Collaborator,
        Role::Coordinator,
        Role::Monitor,
    ];

    /// The role's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Leader => "leader",
            Role::Worker => "worker",
            Role::Collaborator => "collaborator",
            Role::Coordinator => "coordinator",
            Role::Monitor => "monitor",
        }
    }

    /// The role with this word.
    pub fn from_text(text: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// The table of who may do what.
    pub const fn permissions(self) -> &'static [Permission] {
        use Permission::*;
        match self {
            Role::Leader => &[
                Read,
                CreateTasks,
                ControlTasks,
                ClaimTasks,
                AnswerQuestions,
                SendMessages,
                Reserve,
                ManageQueues,
                ManageAgents,
                ManageSchedules,
            ],
            Role::Coordinator => &[
                Read,
                CreateTasks,
                ControlTasks,
                ClaimTasks,
                AnswerQuestions,
                SendMessages,
                Reserve,
                ManageQueues,
                ManageSchedules,
            ],
            Role::Worker => &[Read, ClaimTasks, SendMessages, Reserve],
            Role::Collaborator => &[Read, ClaimTasks, CreateTasks, SendMessages, Reserve],
            Role::Monitor => &[Read],
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that a key may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// See everything of the team, its event feed included.
    Read,
    /// Create tasks.
    CreateTasks,
    /// Cancel, retry and discard tasks.
    ControlTasks,
    /// Register under its own name, claim tasks and report on leases it holds.
    ClaimTasks,
    /// Answer questions that tasks ask.
    AnswerQuestions,
    /// Send messages and read its own inbox.
    SendMessages,
    /// Reserve paths.
    Reserve,
    /// Declare, pause and resume queues.
    ManageQueues,
    /// Register, drain and remove other agents.
    ManageAgents,
    /// Create, pause and remove schedules.
    ManageSchedules,
    /// Make and revoke keys, create teams.
    Administer,
}

/// Who sends a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The team that its commands go to.
    pub team: crate::TeamName,
    /// What it may do.
    pub grant: Grant,
}

/// What a principal was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Everything, in every team.
    Admin,
    /// A role's permissions in one team, with no agent's identity.
    Role(Role),
    /// A role's permissions in one team, as this agent and no other.
    Agent(crate::AgentName, Role),
}

impl Principal {
    /// The administrator of `team`.
    pub fn admin(team: crate::TeamName) -> Self {
        Self {
            team,
            grant: Grant::Admin,
        }
    }

    /// Whether it may do this.
    pub fn may(&self, permission: Permission) -> bool {
        match &self.grant {
            Grant::Admin => true,
            Grant::Role(role) | Grant::Agent(_, role) => role.permissions().contains(&permission),
        }
    }

    /// Refuses what it may not do.
    pub fn require(&self, permission: Permission) -> Result<(), Rejection> {
        if self.may(permission) {
            return Ok(());
        }
        Err(Rejection::new(
            Code::Forbidden,
            format!("{self} lacks the permission {permission:?}"),
        )
        .hint("use a key whose role allows it; the table of roles is in the docs"))
    }

    /// Refuses to act as an agent that it isn't. Keys without an agent's
    /// identity need the right to manage agents.
    pub fn require_agent(&self, agent: &crate::AgentName) -> Result<(), Rejection> {
        match &self.grant {
            Grant::Agent(own, _) if own == agent => Ok(()),
            Grant::Agent(own, _) => Err(Rejection::new(
                Code::Forbidden,
                format!("the key of agent `{own}` can't act as agent `{agent}`"),
            )),
            Grant::Admin | Grant::Role(_) => self.require(Permission::ManageAgents),
        }
    }

    /// The agent that it is, if it is one.
    pub fn agent(&self) -> Option<&crate::AgentName> {
        match &self.grant {
            Grant::Agent(name, _) => Some(name),
            _ => None,
        }
    }
}

impl std::fmt::Display for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.grant {
            Grant::Admin => f.write_str("admin"),
            Grant::Role(role) => write!(f, "key:{role}"),
            Grant::Agent(name, _) => write!(f, "agent:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_admins_administer_and_monitors_only_read() {
        for role in Role::ALL {
            assert!(
                !role.permissions().contains(&Permission::Administer),
                "{role}"
            );
            assert!(role.permissions().contains(&Permission::Read), "{role}");
        }
        assert_eq!(Role::Monitor.permissions(), [Permission::Read]);
    }

    #[test]
    fn an_agent_acts_only_as_itself() {
        let name = |text| crate::AgentName::new(text).unwrap();
        let principal = Principal {
            team: crate::TeamName::default_team(),
            grant: Grant::Agent(name("ada"), Role::Leader),
        };
        assert!(principal.require_agent(&name("ada")).is_ok());
        assert_eq!(
            principal.require_agent(&name("bob")).unwrap_err().code(),
            Code::Forbidden
        );
    }
}
