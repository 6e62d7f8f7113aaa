//! The proof of a backup: its checksums hold, and each part comes back to life
//! in a throw-away server and holds what was counted when it was taken.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::manifest::{Manifest, Part, Postgres, Rabbitmq, Redis, Volumes};
use super::metrics::Metrics;
use super::postgres::COUNT_SQL;
use super::shelf::Shelved;
use super::vault::{self, Key};
use super::workshop::Workshop;
use crate::compose::{docker, exec};
use crate::error::StackError;
use crate::runner::Runner;

/// How long the queues of a broker may take to find their leaders.
const LEADER_LIMIT: Duration = Duration::from_secs(60);
/// How often they are looked at.
const GLANCE: Duration = Duration::from_secs(1);
/// Where the dump is restored to, beside the database itself.
const FROM_DUMP: &str = "restored_from_dump";

/// How the proof of a part came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartProof {
    /// The part.
    pub part: Part,
    /// Whether it holds.
    pub good: bool,
    /// What was seen.
    pub seen: String,
}

/// Proves every part. A part that doesn't hold is told, not an error.
pub fn prove(
    runner: &Runner,
    backup: &Shelved,
    key: Option<&Key>,
    metrics: &Path,
    mut tell: impl FnMut(&PartProof),
) -> Result<Vec<PartProof>, StackError> {
    let mut proofs = Vec::new();
    for part in backup.manifest.parts() {
        let proof = match prove_part(runner, backup, key, part) {
            Ok(Ok(seen)) => PartProof {
                part,
                good: true,
                seen,
            },
            Ok(Err(seen)) => PartProof {
                part,
                good: false,
                seen,
            },
            // What isn't the backup's fault says nothing of the backup.
            Err(
                error @ (StackError::Interrupted
                | StackError::Usage { .. }
                | StackError::NotStarted { .. }),
            ) => {
                return Err(error);
            }
            Err(error) => PartProof {
                part,
                good: false,
                seen: error.to_string(),
            },
        };
        tell(&proof);
        proofs.push(proof);
    }
    let now = Timestamp::now();
    Metrics::change(metrics, |metrics| {
        for proof in &proofs {
            if proof.good {
                metrics.proven(proof.part, now);
            } else {
                metrics.failed(proof.part);
            }
        }
    })?;
    Ok(proofs)
}

/// What was seen, or what is wrong.
type Seen = Result<Result<String, String>, StackError>;

fn prove_part(runner: &Runner, backup: &Shelved, key: Option<&Key>, part: Part) -> Seen {
    if let Err(why) = unchanged(&backup.manifest, &backup.folder, part)? {
        return Ok(Err(why));
    }
    let mut workshop = Workshop::new(runner, &backup.folder, key);
    let manifest = &backup.manifest;
    match part {
        Part::Postgres => manifest
            .postgres
            .as_ref()
            .map(|it| postgres(&mut workshop, it)),
        Part::Redis => manifest
            .redis
            .as_ref()
            .map(|it| redis(runner, &mut workshop, it)),
        Part::Rabbitmq => manifest
            .rabbitmq
            .as_ref()
            .map(|it| rabbitmq(runner, &mut workshop, it)),
        Part::Volumes => manifest
            .volumes
            .as_ref()
            .map(|it| volumes(&mut workshop, it)),
    }
    .unwrap_or_else(|| Ok(Err("it is not in the backup".to_owned())))
}

/// Whether every file of a part is what was written.
pub(super) fn unchanged(
    manifest: &Manifest,
    folder: &Path,
    part: Part,
) -> Result<Result<(), String>, StackError> {
    for entry in manifest.files(part) {
        if let Err(why) = vault::is_unchanged(folder, entry)? {
            return Ok(Err(why));
        }
    }
    Ok(Ok(()))
}

fn postgres(workshop: &mut Workshop<'_>, taken: &Postgres) -> Seen {
    let volume = workshop.postgres_folder(taken)?;
    // Every file against the list that PostgreSQL wrote with the backup.
    let check = "pg_verifybackup --quiet /data";
    workshop.script(&taken.image, &[format!("{volume}:/data")], check)?;
    let server = workshop.postgres(taken.into(), &volume, &[], &["archive_mode=off".to_owned()])?;
    let of_base: BTreeMap<String, u64> =
        counts(&workshop.query(&server, taken.into(), &taken.database, COUNT_SQL)?)?;
    let missing: Vec<&str> = taken
        .tables
        .keys()
        .filter(|table| !of_base.contains_key(*table))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        return Ok(Err(format!("the base backup lacks {}", missing.join(", "))));
    }
    workshop.query(
        &server,
        taken.into(),
        "postgres",
        &format!("CREATE DATABASE {FROM_DUMP};"),
    )?;
    workshop.restore_dump(&server, taken, FROM_DUMP)?;
    let of_dump = counts(&workshop.query(&server, taken.into(), FROM_DUMP, COUNT_SQL)?)?;
    if let Some(difference) = difference(&taken.tables, &of_dump, "rows") {
        return Ok(Err(format!("the dump differs: {difference}")));
    }
    let rows: u64 = of_dump.values().sum();
    Ok(Ok(format!(
        "the base backup recovers; the dump has the {rows} rows of {} tables",
        of_dump.len()
    )))
}

pub(super) fn counts(json: &str) -> Result<BTreeMap<String, u64>, StackError> {
    serde_json::from_str(json).map_err(|error| StackError::Garbled {
        call: "psql".to_owned(),
        what: error.to_string(),
    })
}

/// The first thing that two counts don't agree on.
fn difference(
    taken: &BTreeMap<String, u64>,
    there: &BTreeMap<String, u64>,
    unit: &str,
) -> Option<String> {
    let names = taken.keys().chain(there.keys());
    names
        .filter(|name| taken.get(*name) != there.get(*name))
        .map(|name| {
            let count = |counts: &BTreeMap<String, u64>| counts.get(name).copied().unwrap_or(0);
            format!(
                "{name} has {} {unit} instead of {}",
                count(there),
                count(taken)
            )
        })
        .next()
}

fn redis(runner: &Runner, workshop: &mut Workshop<'_>, taken: &Redis) -> Seen {
    let volume = workshop.volume("redis")?;
    let script = "set -eu; cat > /to/dump.rdb; redis-check-rdb /to/dump.rdb >&2; chown redis:redis /to /to/dump.rdb";
    workshop.unpack(&taken.snapshot, &volume, &taken.image, script)?;
    let server = workshop.redis(&taken.image, &volume)?;
    let logs = runner.look(&docker(["logs", &server]))?;
    let loaded = loaded_keys(&format!("{}{}", logs.stdout, logs.stderr));
    let (least, most) = taken.keys;
    Ok(match loaded {
        Some(keys) if (least..=most).contains(&keys) => Ok(format!("{keys} keys load")),
        Some(keys) => Err(format!(
            "{keys} keys load, and there were {least} to {most}"
        )),
        None => Err("it doesn't say how many keys it loads".to_owned()),
    })
}

/// Keys that were in the snapshot; those whose time was over are told apart.
pub(super) fn loaded_keys(log: &str) -> Option<u64> {
    let line = log.lines().find(|line| line.contains("keys loaded: "))?;
    let number = |before: &str| -> Option<u64> {
        let (_, rest) = line.split_once(before)?;
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        rest[..end].parse().ok()
    };
    Some(number("keys loaded: ")? + number("keys expired: ").unwrap_or(0))
}

#[derive(Deserialize)]
struct Queue {
    name: String,
    /// A number, once there is one.
    #[serde(default)]
    messages: serde_json::Value,
}

fn rabbitmq(runner: &Runner, workshop: &mut Workshop<'_>, taken: &Rabbitmq) -> Seen {
    let volume = workshop.volume("rabbitmq")?;
    let server = workshop.rabbitmq(taken, &volume)?;
    let there = queues(runner, &server, &taken.queues)?;
    if let Some(difference) = difference(&taken.queues, &with_messages(&there), "messages") {
        return Ok(Err(difference));
    }
    let messages: u64 = there.values().sum();
    Ok(Ok(format!(
        "{} queues with {messages} messages come back",
        there.len()
    )))
}

fn with_messages(queues: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let full = queues.iter().filter(|(_, count)| **count > 0);
    full.map(|(name, count)| (name.clone(), *count)).collect()
}

/// The messages of each queue. A queue of a broker that has just started says
/// none until it has a leader: what is expected is waited for, for a while.
pub(super) fn queues(
    runner: &Runner,
    server: &str,
    expected: &BTreeMap<String, u64>,
) -> Result<BTreeMap<String, u64>, StackError> {
    let deadline = Instant::now() + LEADER_LIMIT;
    loop {
        let there = queues_now(runner, server)?;
        if with_messages(&there) == *expected || Instant::now() > deadline {
            return Ok(there);
        }
        std::thread::sleep(GLANCE);
    }
}

fn queues_now(runner: &Runner, server: &str) -> Result<BTreeMap<String, u64>, StackError> {
    let quiet = || exec(server, None, ["rabbitmqctl", "--quiet"]);
    let vhosts = runner.ask(&quiet().args(["--no-table-headers", "list_vhosts", "name"]))?;
    let mut all = BTreeMap::new();
    for vhost in vhosts
        .lines()
        .map(str::trim)
        .filter(|vhost| !vhost.is_empty())
    {
        let call = quiet().args([
            "--formatter",
            "json",
            "list_queues",
            "-p",
            vhost,
            "name",
            "messages",
        ]);
        let queues: Vec<Queue> =
            serde_json::from_str(&runner.ask(&call)?).map_err(|error| StackError::Garbled {
                call: call.to_string(),
                what: error.to_string(),
            })?;
        all.extend(queues.into_iter().map(|queue| {
            let messages = queue.messages.as_u64().unwrap_or_default();
            (format!("{vhost} {}", queue.name), messages)
        }));
    }
    Ok(all)
}

fn volumes(workshop: &mut Workshop<'_>, taken: &Volumes) -> Seen {
    for one in &taken.volumes {
        let volume = workshop.volume(&one.volume)?;
        let script = "set -eu; tar -xzf - -C /to; find /to -type f | wc -l";
        let counted = workshop.unpack(&one.content, &volume, &taken.image, script)?;
        if counted.trim().parse() != Ok(one.files) {
            return Ok(Err(format!(
                "{} has {} files instead of {}",
                one.volume,
                counted.trim(),
                one.files
            )));
        }
    }
    let files: u64 = taken.volumes.iter().map(|one| one.files).sum();
    Ok(Ok(format!(
        "{} volumes with {files} files unpack",
        taken.volumes.len()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_told() {
        let taken = BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert_eq!(difference(&taken, &taken.clone(), "rows"), None);
        let there = BTreeMap::from([("a".to_owned(), 1)]);
        assert_eq!(
            difference(&taken, &there, "rows").unwrap(),
            "b has 0 rows instead of 2"
        );
    }

    #[test]
    fn keys_are_counted_from_what_redis_says() {
        let log = "x\n1:M * Done loading RDB, keys loaded: 12, keys expired: 3.\n";
        assert_eq!(loaded_keys(log), Some(15));
        assert_eq!(loaded_keys("nothing"), None);
    }
}
