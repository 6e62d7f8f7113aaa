//! One call: its request, its tries, its answer.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use collective_api::{IDEMPOTENCY_HEADER, Problem, TEAM_HEADER};
use collective_core::{Code, Span};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Request, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Client;
use crate::error::{ClientError, root};
use crate::retry::{self, Fate, Repeat};

/// The header of W3C Trace Context.
const TRACEPARENT: &str = "traceparent";
/// Largest answer that is read; a page of tasks with long results is the largest that there is.
const MAX_ANSWER_LEN: usize = 256 * 1024 * 1024;
/// How much of an answer that can't be understood is shown.
const MAX_SHOWN_LEN: usize = 200;

/// A call that is being put together.
pub(crate) struct Call<'c> {
    client: &'c Client,
    builder: RequestBuilder,
    repeat: Repeat,
    wait: Duration,
}

/// What came back, whole.
pub(crate) struct Whole {
    /// The status, always one of success.
    pub(crate) status: StatusCode,
    /// The body.
    pub(crate) body: Bytes,
    url: String,
}

impl Whole {
    /// The body as a value.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| ClientError::Protocol {
            url: self.url.clone(),
            status: self.status.as_u16(),
            what: error.to_string(),
        })
    }
}

impl Client {
    /// A call of a route; each part of the path is escaped.
    pub(crate) fn call(&self, method: Method, path: &[&str]) -> Call<'_> {
        let repeat = match method {
            Method::GET | Method::PUT => Repeat::Harmless,
            Method::DELETE => Repeat::Removal,
            _ => Repeat::Harmful,
        };
        let mut builder = self.http.request(method, self.address(path));
        if let Some(token) = &self.settings.token {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()))
                // What can't stand in a header is no key; the server says so.
                .unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
            value.set_sensitive(true);
            builder = builder.header(AUTHORIZATION, value);
        }
        if let Some(team) = &self.settings.team {
            builder = builder.header(TEAM_HEADER, team.as_str());
        }
        if let Some(traceparent) = &self.settings.traceparent
            && let Ok(value) = HeaderValue::from_str(traceparent)
        {
            builder = builder.header(TRACEPARENT, value);
        }
        Call {
            client: self,
            builder,
            repeat,
            wait: Duration::ZERO,
        }
    }

    pub(crate) fn get(&self, path: &[&str]) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &[&str]) -> Call<'_> {
        self.call(Method::POST, path)
    }

    fn address(&self, path: &[&str]) -> Url {
        let mut url = self.settings.url.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(path);
        }
        url
    }

    async fn send(
        &self,
        request: &Request,
        repeat: Repeat,
        per_try: Duration,
    ) -> Result<Whole, ClientError> {
        let started = Instant::now();
        let mut unknown_fate = false;
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match self.try_once(request, per_try).await {
                Ok(whole) => return Ok(whole),
                Err(error) => error,
            };
            if repeat == Repeat::Removal && unknown_fate && error.is(Code::NotFound) {
                // An earlier try, whose answer was lost, removed it.
                return Ok(Whole {
                    status: StatusCode::NO_CONTENT,
                    body: Bytes::new(),
                    url: request.url().to_string(),
                });
            }
            let fate = retry::fate(&error);
            unknown_fate |= fate == Fate::Unknown;
            if !retry::may_repeat(repeat, fate) {
                return Err(error);
            }
            let retry_after = match &error {
                ClientError::Refused { retry_after, .. } => *retry_after,
                _ => None,
            };
            let Some(delay) = self.settings.limits.next_delay(
                tries,
                started.elapsed(),
                retry_after,
                rand::random::<f64>(),
            ) else {
                return Err(error);
            };
            tracing::debug!(
                path = request.url().path(),
                tries,
                ?delay,
                %error,
                "a call is sent again"
            );
            tokio::time::sleep(delay).await;
        }
    }

    async fn try_once(&self, request: &Request, per_try: Duration) -> Result<Whole, ClientError> {
        let request = request.try_clone().ok_or_else(|| ClientError::Unsendable {
            what: "its body is a stream".to_owned(),
        })?;
        let url = request.url().to_string();
        let (status, headers, body) = self.exchange(request, per_try).await?;
        if status.is_success() {
            Ok(Whole { status, body, url })
        } else {
            Err(refused(&url, status, &headers, &body))
        }
    }

    /// Sends a request once; whatever comes back is the answer.
    pub(crate) async fn ask_once(&self, request: Request) -> Result<(u16, Bytes), ClientError> {
        let (status, _, body) = self.exchange(request, self.settings.timeout).await?;
        Ok((status.as_u16(), body))
    }

    async fn exchange(
        &self,
        request: Request,
        per_try: Duration,
    ) -> Result<(StatusCode, HeaderMap, Bytes), ClientError> {
        let exchange = async {
            let response = self
                .http
                .execute(request)
                .await
                .map_err(|error| self.unreachable(&error))?;
            self.read(response).await
        };
        tokio::time::timeout(per_try, exchange)
            .await
            .map_err(|_| ClientError::Timeout {
                url: self.url().to_owned(),
                after: per_try,
            })?
    }

    pub(crate) async fn read(
        &self,
        mut response: Response,
    ) -> Result<(StatusCode, HeaderMap, Bytes), ClientError> {
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let mut body = BytesMut::new();
        while let Some(piece) = response
            .chunk()
            .await
            .map_err(|error| self.unreachable(&error))?
        {
            if body.len() + piece.len() > MAX_ANSWER_LEN {
                return Err(ClientError::Protocol {
                    url: self.url().to_owned(),
                    status: status.as_u16(),
                    what: format!(
                        "the answer is larger than {MAX_ANSWER_LEN} bytes: ask for fewer things at once"
                    ),
                });
            }
            body.extend_from_slice(&piece);
        }
        Ok((status, headers, body.freeze()))
    }

    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        ClientError::Unreachable {
            url: self.url().to_owned(),
            reason: root(error),
            sent: !error.is_connect() && !error.is_builder(),
        }
    }
}

impl Call<'_> {
    pub(crate) fn query<T: Serialize>(mut self, query: &T) -> Self {
        self.builder = self.builder.query(query);
        self
    }

    pub(crate) fn json<T: Serialize>(mut self, body: &T) -> Self {
        self.builder = self.builder.json(body);
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    /// Carrying it out twice gives what carrying it out once gives.
    pub(crate) fn harmless(mut self) -> Self {
        self.repeat = Repeat::Harmless;
        self
    }

    /// Under a key, so that the server answers a repetition from memory.
    pub(crate) fn once(self, key: Option<&str>) -> Self {
        let call = match key {
            Some(key) => self.header(IDEMPOTENCY_HEADER, key),
            None => {
                let key = uuid::Uuid::now_v7().to_string();
                self.header(IDEMPOTENCY_HEADER, &key)
            }
        };
        call.harmless()
    }

    /// The server may take this long before it answers.
    pub(crate) fn waiting(mut self, wait: Span) -> Self {
        self.wait = wait.as_duration();
        self
    }

    /// The answer's body as a value.
    pub(crate) async fn answer<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        self.whole().await?.json()
    }

    /// Nothing but success.
    pub(crate) async fn done(self) -> Result<(), ClientError> {
        self.whole().await.map(drop)
    }

    /// Status and body.
    pub(crate) async fn whole(self) -> Result<Whole, ClientError> {
        let client = self.client;
        let repeat = self.repeat;
        let per_try = client.settings.timeout + self.wait;
        let request = self.request()?;
        client.send(&request, repeat, per_try).await
    }

    /// The request itself, for an answer that is read as it comes.
    pub(crate) fn request(self) -> Result<Request, ClientError> {
        self.builder
            .build()
            .map_err(|error| ClientError::Unsendable {
                what: crate::error::chain(&error),
            })
    }
}

/// What an answer without success says.
pub(crate) fn refused(
    url: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> ClientError {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => ClientError::Refused {
            problem: Box::new(problem),
            retry_after: retry_after(headers),
        },
        Err(_) => {
            let text = String::from_utf8_lossy(&body[..body.len().min(MAX_SHOWN_LEN)]);
            ClientError::Protocol {
                url: url.to_owned(),
                status: status.as_u16(),
                what: format!(
                    "not a problem of this API: `{}`",
                    collective_core::text::shown(text.trim())
                ),
            }
        }
    }
}

/// `Retry-After` in seconds; the form with a date is a proxy's and left to the own backoff.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, Reply};
    use crate::{ClientOptions, Token};
    use collective_api::leases::{ClaimRequest, LeaseRef, ReleaseRequest};
    use collective_core::task::{LeaseToken, TaskSpec, TaskState};
    use collective_core::{AgentName, KeyId, TaskId, TeamName};

    const CREATED: &str =
        r#"{"id":"018f4e0e-7c1a-7000-8000-000000000001","number":1,"state":"queued"}"#;

    fn claim() -> ClaimRequest {
        serde_json::from_str(r#"{"agent":"ada"}"#).unwrap()
    }

    fn lease() -> LeaseRef {
        LeaseRef {
            task: TaskId(uuid::Uuid::nil()),
            token: LeaseToken {
                epoch: Default::default(),
                secret: 1,
            },
        }
    }

    #[tokio::test]
    async fn a_creating_call_whose_answer_is_lost_is_sent_again_under_the_same_key() {
        let fake = Fake::start(|seen| match seen.count {
            0 => Reply::Drop,
            _ => Reply::json(201, CREATED),
        })
        .await;
        let created = fake
            .client()
            .create_task(&TaskSpec::new("x"))
            .await
            .unwrap();
        assert_eq!((created.number, created.state), (1, TaskState::Queued));
        let keys = fake.headers(IDEMPOTENCY_HEADER);
        assert_eq!(keys.len(), 2);
        assert!(keys[0].is_some() && keys[0] == keys[1], "{keys:?}");
    }

    #[tokio::test]
    async fn two_creating_calls_have_two_keys() {
        let fake = Fake::start(|_| Reply::json(201, CREATED)).await;
        for _ in 0..2 {
            fake.client()
                .create_task(&TaskSpec::new("x"))
                .await
                .unwrap();
        }
        let keys = fake.headers(IDEMPOTENCY_HEADER);
        assert_ne!(keys[0], keys[1]);
    }

    #[tokio::test]
    async fn a_claim_whose_answer_is_lost_is_not_sent_again() {
        let fake = Fake::start(|_| Reply::Drop).await;
        let error = fake.client().claim(&claim()).await.unwrap_err();
        assert!(
            matches!(error, ClientError::Unreachable { sent: true, .. }),
            "{error:?}"
        );
        assert_eq!(fake.seen().len(), 1);
    }

    #[tokio::test]
    async fn a_claim_that_was_surely_not_carried_out_is_sent_again() {
        let fake = Fake::start(|seen| match seen.count {
            0 => Reply::problem(503, "draining"),
            1 => Reply::problem(429, "rate_limited"),
            _ => Reply::json(200, r#"{"claims":[]}"#),
        })
        .await;
        assert!(
            fake.client()
                .claim(&claim())
                .await
                .unwrap()
                .claims
                .is_empty()
        );
        assert_eq!(fake.seen().len(), 3);
    }

    #[tokio::test]
    async fn a_removal_that_an_earlier_try_carried_out_counts_as_done() {
        let fake = Fake::start(|seen| match seen.count {
            0 => Reply::Drop,
            _ => Reply::problem(404, "not_found"),
        })
        .await;
        let key = KeyId(uuid::Uuid::nil());
        fake.client().revoke_key(key).await.unwrap();

        let fake = Fake::start(|_| Reply::problem(404, "not_found")).await;
        let error = fake.client().revoke_key(key).await.unwrap_err();
        assert!(error.is(Code::NotFound), "{error}");
    }

    #[tokio::test]
    async fn a_refusal_is_not_sent_again_and_keeps_all_that_was_said() {
        let fake = Fake::start(|_| {
            Reply::json(
                422,
                r#"{"type":"/docs/errors#invalid_field","title":"t","status":422,
                    "code":"invalid_field","detail":"is empty","hint":"fill it","field":"title"}"#,
            )
        })
        .await;
        let error = fake
            .client()
            .create_task(&TaskSpec::new(""))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "title: is empty");
        assert_eq!(error.hint(), Some("fill it"));
        assert_eq!(error.exit_code(), 2);
        assert_eq!(fake.seen().len(), 1);
    }

    #[tokio::test]
    async fn what_is_no_collective_server_is_told_from_a_refusal() {
        let fake = Fake::start(|_| Reply::json(404, "<html>nothing here\u{1b}[31m</html>")).await;
        let error = fake.client().status().await.unwrap_err();
        assert!(
            matches!(error, ClientError::Protocol { status: 404, .. }),
            "{error:?}"
        );
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }

    #[tokio::test]
    async fn no_server_is_unreachable_and_nothing_was_sent() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let client = Client::new(ClientOptions {
            retry: crate::retry::RetryLimits::NONE,
            ..ClientOptions::new(url, Token::new("ca_secret"))
        })
        .unwrap();
        let error = client.status().await.unwrap_err();
        assert!(
            matches!(&error, ClientError::Unreachable { sent: false, reason, .. } if reason == "connection refused"),
            "{error:?}"
        );
        assert_eq!(error.exit_code(), 6);
    }

    #[tokio::test]
    async fn an_answer_that_does_not_come_is_a_timeout() {
        let fake = Fake::start(|_| Reply::Silence).await;
        let client = Client::new(ClientOptions {
            timeout: Duration::from_millis(50),
            retry: crate::retry::RetryLimits::NONE,
            ..ClientOptions::anonymous(fake.url())
        })
        .unwrap();
        let error = client.status().await.unwrap_err();
        assert!(matches!(error, ClientError::Timeout { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn key_team_and_trace_travel_in_headers_and_path_parts_are_escaped() {
        let fake = Fake::start(|_| Reply::json(200, "bytes")).await;
        let client = fake
            .client()
            .with_token(Token::new("ck_1"))
            .with_team(TeamName::new("red").unwrap())
            .with_traceparent(Some("00-a-b-01".to_owned()));
        client.artifact(7, "a/../b c").await.unwrap();
        let seen = fake.seen().remove(0);
        assert_eq!(seen.header("authorization"), Some("Bearer ck_1"));
        assert_eq!(seen.header(TEAM_HEADER), Some("red"));
        assert_eq!(seen.header(TRACEPARENT), Some("00-a-b-01"));
        assert_eq!(seen.path, "/v1/tasks/7/artifacts/a%2F..%2Fb%20c");
    }

    #[tokio::test]
    async fn waiting_goes_on_over_long_polls_until_the_task_has_ended() {
        fn task(state: &str) -> String {
            format!(
                r#"{{"id":"018f4e0e-7c1a-7000-8000-000000000001","number":1,"spec":{{"title":"x"}},
                "created_by":"admin","state":"{state}","waiting_on":0,"ready_at":"2026-11-24T18:00:00Z",
                "wake_at":null,"epoch":0,"attempts_used":0,"poisonings":0,"lease":null,"question":null,
                "cancel_reason":null,"failure":null,"result":null,"created_at":"2026-11-24T18:00:00Z",
                "started_at":null,"finished_at":null}}"#
            )
        }
        let fake = Fake::start(|seen| match seen.count {
            0 | 1 => Reply::json(202, &task("running")),
            _ => Reply::json(200, &task("succeeded")),
        })
        .await;
        let ended = fake.client().wait_for_result(1, None).await.unwrap();
        assert_eq!(ended.state, TaskState::Succeeded);
        assert_eq!(fake.seen()[0].path, "/v1/tasks/1/result?wait=55s");

        let fake = Fake::start(|_| Reply::json(202, &task("running"))).await;
        let now = std::time::Instant::now();
        let not_ended = fake.client().wait_for_result(1, Some(now)).await.unwrap();
        assert_eq!(not_ended.state, TaskState::Running);
        assert_eq!(fake.seen().len(), 1);
    }

    #[tokio::test]
    async fn a_refused_report_is_an_items_and_a_refused_call_is_the_calls() {
        let fake = Fake::start(|seen| match seen.count {
            0 | 1 => Reply::problem(409, "lease_lost"),
            _ => Reply::problem(401, "unauthenticated"),
        })
        .await;
        let client = fake.client();
        let error = client.release(lease(), "x").await.unwrap_err();
        assert!(error.is(Code::LeaseLost), "{error}");
        let request = ReleaseRequest {
            leases: vec![lease()],
            reason: String::new(),
        };
        let items = client.release_many(&request).await.unwrap();
        assert_eq!(items[0].as_ref().unwrap_err().code, "lease_lost");
        let error = client.release_many(&request).await.unwrap_err();
        assert!(error.is(Code::Unauthenticated), "{error}");
    }

    #[tokio::test]
    async fn connections_are_kept_and_shared_by_clones() {
        let fake = Fake::start(|_| Reply::json(200, r#"{"items":[]}"#)).await;
        let client = fake.client();
        for token in ["ck_1", "ck_2", "ck_3"] {
            let other = client.with_token(Token::new(token));
            other.list_keys().await.unwrap();
        }
        let agent = AgentName::new("ada").unwrap();
        assert!(client.agent(&agent).await.is_err());
        assert_eq!(fake.connections(), 1);
    }
}
