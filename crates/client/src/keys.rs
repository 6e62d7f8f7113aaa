//! API keys.

use collective_api::Page;
use collective_api::agents::{CreateKey, CreatedKey};
use collective_core::KeyId;
use collective_core::key::ApiKey;
use reqwest::Method;

use crate::{Client, ClientError};

impl Client {
    /// `POST /v1/keys`. Not sent again after an unknown fate: its secret is
    /// shown once, so a key whose answer is lost is of no use; revoke it.
    pub async fn create_key(&self, request: &CreateKey) -> Result<CreatedKey, ClientError> {
        self.post(&["v1", "keys"]).json(request).answer().await
    }

    /// `GET /v1/keys`.
    pub async fn list_keys(&self) -> Result<Page<ApiKey>, ClientError> {
        self.get(&["v1", "keys"]).answer().await
    }

    /// `DELETE /v1/keys/{key}`: it opens nothing any more.
    pub async fn revoke_key(&self, key: KeyId) -> Result<(), ClientError> {
        self.call(Method::DELETE, &["v1", "keys", &key.to_string()])
            .done()
            .await
    }
}
