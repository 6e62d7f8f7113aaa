//! A look at the server before anything stands on it: whether it lets us in and
//! does what the cache needs, on keys that are removed again, and what it does
//! when its memory is full.

use std::time::Duration;

use ::redis::{Cmd, ErrorKind, Value, cmd};
use collective_core::ports::{About, Finding, FindingCode};

use super::failure::Failure;
use super::link::{Limits, Link};
use super::options::RedisOptions;
use super::{SetupError, client};

/// How long the keys stay should removing them fail.
const TTL: Duration = Duration::from_secs(60);

/// Everything that a server would stumble over, and what is as it should be.
pub async fn look(options: &RedisOptions) -> Vec<Finding> {
    let limits = Limits {
        connect: options.connect_limit,
        answer: options.answer_limit,
        call: options.call_limit,
    };
    let link = match client(options) {
        Ok(client) => Link::new(client, options.place(), limits),
        Err(error) => return vec![unusable(&error)],
    };
    let mut found = Vec::new();
    let info = match link.run(&cmd("INFO")).await {
        Ok(answer) => text(&answer),
        // Who may only do what the cache does gets no version; that is fine.
        Err(Failure::Refused(error)) if error.code() == Some("NOPERM") => String::new(),
        Err(failure) => return vec![finding(&failure, options)],
    };
    found.push(identity(&info, options));
    found.push(match trial(&link, &options.prefix).await {
        Ok(()) => {
            let seen = format!(
                "it reads, writes and runs scripts under `{}`",
                options.prefix
            );
            Finding::fine(FindingCode::Permitted, About::User, seen)
        }
        Err(failure) => finding(&failure, options),
    });
    found.extend(room(&info));
    found
}

/// Does what the cache does, on keys of its own.
async fn trial(link: &Link, prefix: &str) -> Result<(), Failure> {
    let name = format!("{prefix}look:{}", std::process::id());
    let bucket = format!("{name}:bucket");
    let mut set = cmd("SET");
    set.arg(&name)
        .arg("seen")
        .arg("PX")
        .arg(TTL.as_secs() * 1_000);
    let mut take = cmd("EVAL");
    // Its arguments: now, tolerance, period, and how long it is kept past that.
    take.arg(include_str!("take.lua")).arg(1).arg(&bucket);
    take.arg(1).arg(0).arg(1).arg(TTL.as_secs() * 1_000);
    let of = |how: &str, keys: &[&String]| {
        let mut command: Cmd = cmd(how);
        command.arg(keys);
        command
    };
    let done = async {
        link.run(&set).await?;
        link.run(&of("GET", &[&name])).await?;
        link.run(&of("MGET", &[&name, &bucket])).await?;
        link.run(&take).await
    };
    let done = done.await;
    let removed = link.run(&of("DEL", &[&name, &bucket])).await;
    done.and(removed).map(drop)
}

fn identity(info: &str, options: &RedisOptions) -> Finding {
    let version = match (field(info, "valkey_version"), field(info, "redis_version")) {
        (Some(version), _) => format!("Valkey {version}"),
        (None, Some(version)) => format!("Redis {version}"),
        (None, None) => "Redis".to_owned(),
    };
    let secret = match options.tls {
        Some(_) => "encrypted",
        None => "not encrypted",
    };
    let seen = format!(
        "{version} at {}, database {}, user `{}`, {secret}",
        options.place(),
        options.database,
        options.user.as_deref().unwrap_or("default")
    );
    Finding::fine(FindingCode::Connected, About::Host, seen)
}

/// What happens when its memory is full. What the cache keeps may vanish, so
/// any policy but the one that refuses is good.
fn room(info: &str) -> Option<Finding> {
    let most: u64 = field(info, "maxmemory")?.parse().ok()?;
    let policy = field(info, "maxmemory_policy")?;
    let (code, about) = (FindingCode::Room, About::Host);
    Some(match (most, policy) {
        (0, _) => Finding::fine(code, about, "its memory has no bound of its own"),
        (_, "noeviction") => Finding::notice(
            code,
            about,
            format!("it refuses writes once its {most} bytes are full (noeviction)"),
            "set its maxmemory-policy to volatile-ttl: what is kept there may vanish at any time",
        ),
        (_, policy) => Finding::fine(
            code,
            about,
            format!("it evicts keys once its {most} bytes are full ({policy}), which does no harm"),
        ),
    })
}

fn text(answer: &Value) -> String {
    match answer {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.clone(),
        _ => String::new(),
    }
}

fn field<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    info.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(':')?;
        Some(value.trim())
    })
}

fn unusable(error: &SetupError) -> Finding {
    let (code, about) = match error {
        SetupError::CaFile { .. } | SetupError::Certificates { .. } => {
            (FindingCode::TlsRefused, About::CaFile)
        }
        SetupError::Settings(_) => (FindingCode::Refused, About::Host),
    };
    Finding::wrong(code, about, error.to_string())
}

/// What a failure is called, and which option is responsible.
fn finding(failure: &Failure, options: &RedisOptions) -> Finding {
    let seen = failure.text(&options.place());
    let (code, about) = match failure {
        Failure::Refused(error) => refused(error.code().unwrap_or_default(), &seen),
        Failure::Late(_) => (FindingCode::NoAnswer, About::Host),
        Failure::Connecting(error) if error.kind() == ErrorKind::AuthenticationFailed => {
            (FindingCode::LoginRefused, About::Password)
        }
        // A server that doesn't speak TLS waits for the end of a line.
        Failure::Connecting(error) if error.is_timeout() => match options.tls {
            Some(_) => (FindingCode::NoAnswer, About::Tls),
            None => (FindingCode::NoAnswer, About::Host),
        },
        Failure::Connecting(error) if error.is_connection_refusal() => {
            (FindingCode::Unreachable, About::Port)
        }
        Failure::Connecting(error) if !error.is_io_error() && error.code().is_some() => {
            refused(error.code().unwrap_or_default(), &seen)
        }
        Failure::Connecting(_) if seen.contains("certificate") => {
            (FindingCode::TlsRefused, About::CaFile)
        }
        Failure::Connecting(_) if seen.contains("TLS") => (FindingCode::TlsRefused, About::Tls),
        Failure::Connecting(_) => (FindingCode::Unreachable, About::Host),
        Failure::Dropped(_) | Failure::Known(_) => (FindingCode::Refused, About::Host),
    };
    let finding = Finding::wrong(code, about, seen);
    match code {
        FindingCode::NoAnswer if about == About::Tls => {
            finding.hint("see that Redis runs there and that this port speaks TLS")
        }
        FindingCode::Unreachable | FindingCode::NoAnswer => {
            finding.hint("see that Redis runs there and that nothing is in between")
        }
        FindingCode::LoginRefused => finding.hint("look at the user and the password"),
        FindingCode::NoDatabase => finding.hint("name a lower one, or raise its `databases`"),
        _ => finding,
    }
}

fn refused(code: &str, seen: &str) -> (FindingCode, About) {
    match code {
        "NOAUTH" | "WRONGPASS" => (FindingCode::LoginRefused, About::Password),
        "NOPERM" => (FindingCode::NoPermission, About::User),
        "READONLY" | "MASTERDOWN" => (FindingCode::ReadOnly, About::Host),
        "OOM" | "MISCONF" => (FindingCode::Full, About::Host),
        _ if seen.contains("is full (OOM)") => (FindingCode::Full, About::Host),
        _ if seen.contains("DB index") => (FindingCode::NoDatabase, About::Space),
        _ => (FindingCode::Refused, About::Host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_refuses_when_it_is_full_is_worth_a_look() {
        let table = [
            ("maxmemory:0\r\nmaxmemory_policy:noeviction\r\n", "no bound"),
            (
                "maxmemory:9\r\nmaxmemory_policy:noeviction\r\n",
                "refuses writes",
            ),
            (
                "maxmemory:9\r\nmaxmemory_policy:volatile-lru\r\n",
                "no harm",
            ),
        ];
        for (info, words) in table {
            let found = room(info).expect("a finding");
            assert!(found.seen.contains(words), "{found:?}");
        }
        assert_eq!(room(""), None);
    }
}
