//! A URL of a server, taken apart into the keys that it stands for.
//!
//! It never repeats the URL, which may hold a password.

use percent_encoding::percent_decode_str;

use crate::key;
use crate::mistake::MistakeCode;
use crate::secret::Secret;
use crate::value::{self, Value, Wrong};

/// What a URL of this kind of server looks like.
pub(crate) fn form(server: &str) -> &'static str {
    match server {
        "postgres" => "postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=MODE",
        "amqp" => "amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps:// for TLS",
        _ => "redis://USER:PASSWORD@HOST:PORT/DATABASE, or rediss:// for TLS",
    }
}

/// Whether it is an address that can be called over HTTP. It isn't repeated if it
/// holds a password.
pub(crate) fn is_callable(text: &str) -> Result<(), Wrong> {
    let rest = match text.split_once("://") {
        Some(("http", rest)) => rest,
        Some(("https", _)) => {
            return Err(bad(
                "needs TLS, which isn't spoken with collectors: name one beside the server, which can hand on, or nothing",
            ));
        }
        _ => return Err(bad("is not an address such as http://localhost:4318")),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(bad("carries a user or a password: set trace.headers_file"));
    }
    if rest.contains(['?', '#']) || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(bad("is more than an address"));
    }
    let (host, port) = host_and_port(authority)?;
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if host.is_empty() || !port_fits {
        return Err(bad("has no host, or a port that is none"));
    }
    Ok(())
}

/// Headers of the form `NAME=VALUE,NAME=VALUE` (OpenTelemetry, "OTLP exporter
/// configuration"). Nothing of them is repeated in the message.
pub(crate) fn headers(text: &str) -> Result<Vec<(String, Secret)>, Wrong> {
    let pairs = text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| bad("is not NAME=VALUE,NAME=VALUE"))?;
            let (name, value) = (name.trim(), decoded(value.trim())?);
            let name_fits = !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
            let value_fits = value.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
            if !name_fits || !value_fits {
                return Err(bad("has a name or a value that no header can have"));
            }
            Ok((name.to_owned(), Secret::new(value)))
        })
        .collect()
}

/// The keys that a URL says something of, without their section.
pub(crate) fn parts(server: &'static str, url: &str) -> Result<Vec<(&'static str, Value)>, Wrong> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("is not a URL"))?;
    let section = section(server);
    let mut parts = Vec::new();
    match (server, scheme) {
        ("postgres", "postgres" | "postgresql") => {}
        ("amqp", "amqp") | ("redis", "redis") => {}
        ("amqp", "amqps") | ("redis", "rediss") => parts.push(("tls", Value::Flag(true))),
        _ => return Err(bad("is a URL of another kind of server")),
    }
    if rest.contains('#') {
        return Err(bad("has a `#`: in a password write it as %23"));
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => (login, hosts),
        None => ("", authority),
    };
    if login.contains('@') {
        return Err(bad("has an `@` too many: in a password write it as %40"));
    }
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (login, None),
    };
    if !user.is_empty() {
        parts.push(("user", checked(section, "user", &decoded(user)?)?));
    }
    if let Some(password) = password.filter(|password| !password.is_empty()) {
        parts.push(("password", Value::Secret(Secret::new(decoded(password)?))));
    }
    if server == "postgres" && hosts.contains(',') {
        parts.push(("host", checked(section, "host", &decoded(hosts)?)?));
    } else {
        let (host, port) = host_and_port(hosts)?;
        if !host.is_empty() {
            parts.push(("host", checked(section, "host", &decoded(host)?)?));
        }
        if let Some(port) = port {
            parts.push(("port", checked(section, "port", port)?));
        }
    }
    if !path.is_empty() {
        let name = if server == "amqp" {
            "vhost"
        } else {
            "database"
        };
        parts.push((name, checked(section, name, &decoded(path)?)?));
    }
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match (server, parameter.split_once('=')) {
            ("postgres", Some(("sslmode", mode))) => {
                parts.push(("tls", checked(section, "tls", mode)?));
            }
            _ => return Err(bad("has a parameter that isn't known here")),
        }
    }
    Ok(parts)
}

fn section(server: &str) -> &'static str {
    match server {
        "postgres" => "store",
        "amqp" => "bus",
        _ => "cache",
    }
}

/// The host without the brackets of an IPv6 address, and the port.
fn host_and_port(authority: &str) -> Result<(&str, Option<&str>), Wrong> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest
            .split_once(']')
            .ok_or_else(|| bad("has an address without its closing bracket"))?;
        let port = rest.strip_prefix(':').filter(|port| !port.is_empty());
        return Ok((host, port));
    }
    Ok(match authority.split_once(':') {
        Some((host, port)) => (host, (!port.is_empty()).then_some(port)),
        None => (authority, None),
    })
}

/// A part as its key reads it. What is wrong is said without the value: a
/// password with an unescaped `/` ends up in the port.
fn checked(section: &str, name: &str, text: &str) -> Result<Value, Wrong> {
    let key = key::find(&format!("{section}.{name}")).ok_or_else(|| bad("can't be read"))?;
    value::from_text(key.kind, text).map_err(|(code, _)| {
        let message = format!("has a {name} that is not {}", key.kind.describe());
        (code, message)
    })
}

fn decoded(text: &str) -> Result<String, Wrong> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| bad("is not UTF-8"))
}

fn bad(message: &str) -> Wrong {
    (MistakeCode::BadValue, message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(server: &'static str, url: &str) -> String {
        let parts = parts(server, url).unwrap();
        let shown = parts.iter().map(|(name, value)| match value {
            Value::Secret(secret) => format!("{name}={}", secret.reveal()),
            other => format!("{name}={other}"),
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_url_says_what_its_parts_are() {
        for (server, url, expected) in [
            ("postgres", "postgres://h", "host=h"),
            (
                "postgres",
                "postgresql://ada:p%40s%2Fs@db.example:5433/team?sslmode=verify-full",
                "user=ada password=p@s/s host=db.example port=5433 database=team tls=verify-full",
            ),
            (
                "postgres",
                "postgres://u@a:1,b:2/d",
                "user=u host=a:1,b:2 database=d",
            ),
            (
                "postgres",
                "postgres://u:p@%2Frun%2Fpostgresql/d",
                "user=u password=p host=/run/postgresql database=d",
            ),
            ("amqp", "amqp://h/", "host=h"),
            (
                "amqp",
                "amqps://u:p@[::1]:5671/%2F",
                "tls=true user=u password=p host=::1 port=5671 vhost=/",
            ),
            ("redis", "redis://:p@h/3", "password=p host=h database=3"),
        ] {
            assert_eq!(shown(server, url), expected, "{url}");
        }
    }

    #[test]
    fn a_url_that_is_none_is_refused_without_being_repeated() {
        for (server, url) in [
            ("postgres", "secret"),
            ("postgres", "mysql://u:secret@h/d"),
            ("postgres", "postgres://u:secret@h:port/d"),
            ("postgres", "postgres://u:secret@h/d?secret=1"),
            ("postgres", "postgres://u:secret@h/d?sslmode=secret"),
            ("postgres", "postgres://u:%FFsecret@h/d"),
            ("postgres", "postgres://u:sec@ret@h/d"),
            ("postgres", "postgres://u:secret#1@h/d"),
            ("amqp", "redis://u:secret@h"),
            ("redis", "rediss://u:secret@h/#insecure"),
            ("redis", "redis://u:secret/word@h"),
            ("redis", "redis://:secret@[::1/0"),
        ] {
            let (_, message) = parts(server, url).unwrap_err();
            assert!(
                !message.contains("secret") && !message.contains("sec"),
                "{message}"
            );
        }
    }
}
