//! Which names a server answers for: the guard against DNS rebinding.
//!
//! A page in a browser can make any name resolve to 127.0.0.1 and so reach a
//! server on loopback as if it were its own origin; the `Host` header shows it.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::{HeaderMap, Uri, header};
use collective_core::{Code, Rejection};

/// The names that are always answered for.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The names that a server answers for.
pub(crate) enum Hosts {
    /// These and no others.
    Only(BTreeSet<String>),
    /// Any: on an address that others reach, nothing is gained by guessing our names.
    Any,
}

impl Hosts {
    pub(crate) fn new(address: SocketAddr, allowed: &[String]) -> Self {
        if !address.ip().is_loopback() && allowed.is_empty() {
            return Self::Any;
        }
        let loopback = LOOPBACK.into_iter().map(str::to_owned);
        let allowed = allowed.iter().map(|name| name.to_ascii_lowercase());
        Self::Only(loopback.chain(allowed).collect())
    }

    /// Refuses a request that was sent to a name that isn't ours. `by_address`
    /// lets it be sent to any address as well: rebinding needs a name, so a page
    /// that asks an address was served by that address.
    pub(crate) fn check(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        by_address: bool,
    ) -> Result<(), Rejection> {
        let Self::Only(names) = self else {
            return Ok(());
        };
        let asked = match uri.authority() {
            Some(authority) => Some(authority.as_str()),
            None => headers
                .get(header::HOST)
                .and_then(|value| value.to_str().ok()),
        };
        let name = asked.map(without_port).unwrap_or_default();
        if names.contains(&name.to_ascii_lowercase()) || (by_address && is_address(name)) {
            return Ok(());
        }
        Err(Rejection::new(
            Code::WrongHost,
            format!(
                "the server doesn't answer for the host `{}`",
                collective_core::text::shown(name)
            ),
        )
        .hint("use 127.0.0.1, or allow the name when the server is started"))
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The colons of a bare IPv6 address are inside brackets.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_address(host: &str) -> bool {
    let v6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match v6 {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn answers(listen: &str, allowed: &[&str], host: &str) -> bool {
        asked(listen, allowed, host, false)
    }

    fn asked(listen: &str, allowed: &[&str], host: &str, by_address: bool) -> bool {
        let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        let mut headers = HeaderMap::new();
        headers.insert(
            header::HOST,
            HeaderValue::from_str(host).expect("a header value"),
        );
        Hosts::new(listen.parse().expect("an address"), &allowed)
            .check(&Uri::from_static("/metrics"), &headers, by_address)
            .is_ok()
    }

    #[test]
    fn a_server_on_loopback_answers_for_loopback_and_what_was_allowed() {
        const HERE: &str = "127.0.0.1:7420";
        for host in ["127.0.0.1:7420", "localhost", "LOCALHOST:1", "[::1]:7420"] {
            assert!(answers(HERE, &[], host), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:7420",
            "localhost.",
            "",
            "[::1",
        ] {
            assert!(!answers(HERE, &[], host), "{host}");
        }
        assert!(answers(HERE, &["Team.example"], "team.example:443"));
    }

    #[test]
    fn metrics_are_asked_for_by_any_address_and_by_no_foreign_name() {
        let scraped = |host| asked("0.0.0.0:7420", &["team.example"], host, true);
        for host in [
            "172.18.0.9:7420",
            "172.18.0.9",
            "[fd00::9]:7420",
            "team.example",
        ] {
            assert!(scraped(host), "{host}");
        }
        for host in [
            "evil.example",
            "172.18.0.9.evil.example",
            "[evil]",
            "1.2.3",
            "",
        ] {
            assert!(!scraped(host), "{host}");
        }
        assert!(!answers(
            "0.0.0.0:7420",
            &["team.example"],
            "172.18.0.9:7420"
        ));
    }

    #[test]
    fn a_server_that_others_reach_answers_for_any_name_unless_told() {
        assert!(answers("0.0.0.0:7420", &[], "team.example"));
        assert!(!answers("0.0.0.0:7420", &["team.example"], "other.example"));
        assert!(answers("0.0.0.0:7420", &["team.example"], "127.0.0.1:7420"));
    }
}
