//! What a client is made with: address, key, team, bounds.

use std::time::Duration;

use collective_core::TeamName;
use reqwest::Url;

use crate::error::ClientError;
use crate::retry::RetryLimits;

/// How long one try of a call may take, beside what the call itself waits for.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// A secret that opens the server: the admin's token or an API key. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// From its text; white space around it (a file's last line break) is dropped.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().trim().to_owned())
    }

    /// The secret itself, to be handed on to an agent's environment.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    /// The secret stays out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What a client is made with.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The server's address, such as `http://127.0.0.1:7420`.
    pub url: String,
    /// The key; without one only `/healthz`, `/readyz` and the docs answer.
    pub token: Option<Token>,
    /// The team, for an admin's key; any other key has its own.
    pub team: Option<TeamName>,
    /// The place in a trace that every call belongs to (W3C `traceparent`).
    pub traceparent: Option<String>,
    /// How often and how long a call is tried again.
    pub retry: RetryLimits,
    /// How long one try may take, beside what the call itself waits for.
    pub timeout: Duration,
}

impl ClientOptions {
    /// Defaults for everything but address and key.
    pub fn new(url: impl Into<String>, token: Token) -> Self {
        Self {
            token: Some(token),
            ..Self::anonymous(url)
        }
    }

    /// Without a key.
    pub fn anonymous(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: None,
            team: None,
            traceparent: None,
            retry: RetryLimits::default(),
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// With this team.
    #[must_use]
    pub fn team(mut self, team: TeamName) -> Self {
        self.team = Some(team);
        self
    }
}

/// Reads a server's address. A path below it is kept, for servers behind a prefix.
pub(crate) fn parse_url(text: &str) -> Result<Url, ClientError> {
    let bad = |what: String| ClientError::InvalidOptions {
        what,
        hint: "write the address as http://HOST:PORT".to_owned(),
    };
    let shown = collective_core::text::shown(text);
    let url =
        Url::parse(text).map_err(|error| bad(format!("`{shown}` is not an address: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ClientError::InvalidOptions {
            what: "the address carries a user or a password".to_owned(),
            hint: "give the key apart from the address".to_owned(),
        });
    }
    match url.scheme() {
        "http" if url.has_host() => Ok(url),
        "https" if url.has_host() && cfg!(feature = "tls") => Ok(url),
        "https" => Err(ClientError::InvalidOptions {
            what: format!("`{shown}` needs TLS, which this build doesn't have"),
            hint: "build with the feature `tls`, or use http:// on loopback".to_owned(),
        }),
        _ => Err(bad(format!("`{shown}` is not an http address"))),
    }
}

/// Whether the address is this machine's own.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_printed_and_loses_the_line_break_of_its_file() {
        let token = Token::new("ca_secret\n");
        assert_eq!(token.reveal(), "ca_secret");
        let options = ClientOptions::new("http://127.0.0.1:1", token);
        assert!(!format!("{options:?}").contains("secret"), "{options:?}");
    }

    #[test]
    fn an_address_that_cannot_be_called_is_refused() {
        for bad in [
            "",
            "127.0.0.1:7420",
            "ftp://host",
            "http://",
            "http://user:secret@host:1",
        ] {
            let error = parse_url(bad).unwrap_err();
            assert!(
                matches!(error, ClientError::InvalidOptions { .. }),
                "{bad:?}"
            );
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        for good in ["http://127.0.0.1:7420", "http://host/prefix/"] {
            assert!(parse_url(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn loopback_is_known_in_every_form() {
        for (url, expected) in [
            ("http://127.0.0.1:1", true),
            ("http://127.9.9.9:1", true),
            ("http://[::1]:1", true),
            ("http://localhost:1", true),
            ("http://10.0.0.1:1", false),
            ("http://localhost.example:1", false),
        ] {
            assert_eq!(is_loopback(&parse_url(url).unwrap()), expected, "{url}");
        }
    }
}
