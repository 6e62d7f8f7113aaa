//! Registering, finding and draining agents.

use collective_api::Page;
use collective_api::agents::{AgentView, Drain};
use collective_core::AgentName;
use collective_core::agent::AgentSpec;
use reqwest::Method;

use crate::{Client, ClientError};

impl Client {
    /// `PUT /v1/agents/{agent}`. An agent that restarts takes its identity back with it.
    pub async fn register_agent(
        &self,
        agent: &AgentName,
        spec: &AgentSpec,
    ) -> Result<AgentView, ClientError> {
        self.call(Method::PUT, &["v1", "agents", agent.as_str()])
            .json(spec)
            .answer()
            .await
    }

    /// `GET /v1/agents`.
    pub async fn list_agents(&self) -> Result<Page<AgentView>, ClientError> {
        self.get(&["v1", "agents"]).answer().await
    }

    /// `GET /v1/agents/{agent}`.
    pub async fn agent(&self, agent: &AgentName) -> Result<AgentView, ClientError> {
        self.get(&["v1", "agents", agent.as_str()]).answer().await
    }

    /// `DELETE /v1/agents/{agent}`.
    pub async fn remove_agent(&self, agent: &AgentName) -> Result<(), ClientError> {
        self.call(Method::DELETE, &["v1", "agents", agent.as_str()])
            .done()
            .await
    }

    /// `POST /v1/agents/{agent}/drain`.
    pub async fn drain_agent(
        &self,
        agent: &AgentName,
        draining: bool,
    ) -> Result<AgentView, ClientError> {
        self.post(&["v1", "agents", agent.as_str(), "drain"])
            .json(&Drain { draining })
            .harmless()
            .answer()
            .await
    }
}
