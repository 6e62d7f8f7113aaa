//! Teams.

use collective_api::Page;
use collective_core::TeamName;
use reqwest::Method;

use crate::{Client, ClientError};

impl Client {
    /// `PUT /v1/teams/{team}`: creates it, if it isn't there.
    pub async fn create_team(&self, team: &TeamName) -> Result<(), ClientError> {
        self.call(Method::PUT, &["v1", "teams", team.as_str()])
            .done()
            .await
    }

    /// `GET /v1/teams`.
    pub async fn list_teams(&self) -> Result<Page<TeamName>, ClientError> {
        self.get(&["v1", "teams"]).answer().await
    }
}
