//! From a request's headers to who sends it, within its rate.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use collective_api::TEAM_HEADER;
use collective_core::ports::{Permit, RateLimit};
use collective_core::role::Principal;
use collective_core::{Code, Rejection, Span};
use collective_service::access;

use super::app::App;
use super::problem::Refused;
use crate::listen::Peer;
use crate::telemetry::events::RequestNotAuthenticated;

/// Who sends the request: authenticated, and within the rate of its key.
pub(crate) struct Who(pub(crate) Principal);

impl FromRequestParts<App> for Who {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        match principal(app, bearer(&parts.headers), team(&parts.headers)).await {
            Ok(principal) => {
                tracing::Span::current().record("collective.team", principal.team.as_str());
                Ok(Self(principal))
            }
            Err(refused) if refused.rejection().code() == Code::Unauthenticated => {
                Err(unauthenticated(app, parts, refused).await)
            }
            Err(refused) => Err(refused),
        }
    }
}

/// Whose token it is, if that is within its rate.
pub(crate) async fn principal(
    app: &App,
    token: Option<&str>,
    team: Option<&str>,
) -> Result<Principal, Refused> {
    let principal = access::authenticate(&app.hub, token, team).await?;
    let bucket = format!("requests/{}", key_name(token));
    within(app, &bucket, app.limits.requests)
        .await
        .map_err(|wait| slower("too many requests with this key", wait))?;
    Ok(principal)
}

/// What a request showed of itself, kept by an answer that goes on for long.
pub(crate) struct Credentials {
    token: Option<String>,
    team: Option<String>,
}

impl Credentials {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self {
            token: bearer(headers).map(str::to_owned),
            team: team(headers).map(str::to_owned),
        }
    }

    /// Whether they are still worth what they were: a key may have been revoked since.
    pub(crate) async fn still_name(&self, app: &App, who: &Principal) -> bool {
        match access::authenticate(&app.hub, self.token.as_deref(), self.team.as_deref()).await {
            Ok(now) => now == *who,
            // A store that is down for a moment revokes nothing.
            Err(rejection) => rejection.code() != Code::Unauthenticated,
        }
    }
}

fn team(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(TEAM_HEADER)
        .map(|value| value.to_str().unwrap_or("\u{fffd}"))
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750 section 2.1). The scheme's case doesn't matter.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_matches(' '))
}

/// What names the key of a valid token: the public half of an API key, `admin` for the administrator's.
fn key_name(token: Option<&str>) -> &str {
    token
        .and_then(|token| token.strip_prefix("ck_"))
        .and_then(|rest| rest.split_once('_'))
        .map_or("admin", |(id, _)| id)
}

/// A valid key always passes, so that one wrong agent behind an address can't lock out the others.
async fn unauthenticated(app: &App, parts: &Parts, refused: Refused) -> Refused {
    let peer = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
    let bucket = match peer {
        Some(ip) => format!("auth-failures/{ip}"),
        None => "auth-failures/unknown".to_owned(),
    };
    let within = within(app, &bucket, app.limits.auth_failures).await;
    app.metrics.emit(&RequestNotAuthenticated {
        peer,
        path: parts.uri.path(),
        put_off: within.is_err(),
    });
    match within {
        Ok(()) => refused,
        Err(wait) => slower(
            "too many requests without a valid key from this address",
            wait,
        ),
    }
}

/// Takes a permit, for all servers or, while the cache is down, for this one.
pub(crate) async fn within(app: &App, bucket: &str, limit: RateLimit) -> Result<(), Span> {
    match app.hub.take(bucket, limit).await {
        Permit::Granted => Ok(()),
        Permit::Denied { retry_after } => Err(retry_after),
    }
}

fn slower(what: &str, wait: Span) -> Refused {
    let rejection = Rejection::new(Code::RateLimited, what)
        .hint("wait as long as Retry-After says; send batches instead of single items");
    Refused::for_now(rejection, wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_a_bearer_token_is_read() {
        let token = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(token("Bearer ca_x").as_deref(), Some("ca_x"));
        assert_eq!(token("bearer  ca_x ").as_deref(), Some("ca_x"));
        assert_eq!(token("Basic ca_x"), None);
        assert_eq!(token("Bearer"), None);
    }

    #[test]
    fn a_bucket_is_named_by_the_public_half_of_a_key() {
        assert_eq!(key_name(Some("ck_0123_secret")), "0123");
        assert_eq!(key_name(Some("ca_secret")), "admin");
        assert_eq!(key_name(None), "admin");
    }
}
