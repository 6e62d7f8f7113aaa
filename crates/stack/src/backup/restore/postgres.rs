//! PostgreSQL recovers beside: from its base backup alone, or with WAL up to a
//! moment, and is told the passwords of now before it takes its place.
//!
//! It always comes back on a new timeline, so that the WAL that it writes from
//! then on can't be taken for the one in the archive.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::look::{Plan, shown};
use super::wal::{self, Listing};
use super::{Moment, Site};
use crate::accounts::{ACCOUNTS, Account, Server, alter_role};
use crate::backup::manifest::{Part, Postgres};
use crate::backup::postgres::COUNT_SQL;
use crate::backup::proof::counts;
use crate::backup::workshop::{Cluster, UNPACK_POSTGRES, Workshop};
use crate::error::StackError;

/// Says that it is to recover from an archive.
const SIGNAL: &str =
    "set -eu; touch /to/recovery.signal; chown postgres:postgres /to/recovery.signal";
/// The number of the cluster, as the header of a segment has it.
const CLUSTER: &str =
    "set -eu; LC_ALL=C pg_controldata -D /to | awk -F: '/system identifier/ {print $2}'";
/// The last piece of the old timeline is in the archive already, or will come from
/// whoever goes on with it: under this name two restores would quarrel about it.
const FINISH: &str =
    "set -eu; rm -f /to/pg_wal/*.partial /to/pg_wal/archive_status/*.partial.*; sync";
/// What PostgreSQL says when it has no more WAL and wasn't there yet.
const ENDED_EARLY: &str = "recovery ended before configured recovery target was reached";
/// The time of the last change that it has, and its timeline.
const RECOVERED_SQL: &str = "SELECT \
    coalesce(to_char(pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), ''), \
    timeline_id FROM pg_control_checkpoint();";

/// Recovers into a volume. Says how far it came.
pub(super) fn stage(
    site: &Site<'_>,
    plan: &Plan,
    workshop: &mut Workshop<'_>,
    taken: &Postgres,
    to: &str,
) -> Result<String, StackError> {
    let image = site.image(Part::Postgres.as_str())?;
    let cluster = Cluster {
        image,
        ..taken.into()
    };
    workshop.unpack(&taken.base, to, image, UNPACK_POSTGRES)?;
    let staged = [format!("{to}:/to")];
    workshop.script(image, &staged, SIGNAL)?;
    let id = header_of(workshop.script(image, &staged, CLUSTER)?.trim());
    let source = wal::Source {
        backup: &plan.backup,
        since: &plan.since,
        cluster: &id,
        archive: plan.archive.as_deref(),
        data: plan.present(Part::Postgres),
    };
    let (wal, listing) = wal::collect(site, workshop, &source, &plan.moment)?;
    let base = wal::timeline_of(&taken.start_wal);
    let timeline = listing.timeline(base, &plan.moment);
    let mounts = [format!("{wal}:/wal:ro")];
    let begin = |workshop: &mut Workshop<'_>, settings: &[String]| {
        workshop.postgres(cluster, to, &mounts, settings)
    };
    let first = settings(taken, &plan.moment, base, timeline);
    let server = match (begin(workshop, &first), &plan.moment) {
        // Nothing was committed from the moment on: the end of the WAL is it, as
        // long as the WAL goes on to that moment.
        (Err(error), Moment::At(until)) if error.to_string().contains(ENDED_EARLY) => {
            reaches(plan, &listing, taken, timeline, *until)?;
            workshop.clear()?;
            let to_the_end = settings(taken, &Moment::Latest, base, timeline);
            begin(workshop, &to_the_end)?
        }
        (server, _) => server?,
    };
    let mut seen = recovered(workshop, cluster, &server)?;
    if plan.moment == Moment::Latest
        && let Some(missing) = listing.missing(&taken.start_wal, timeline)
    {
        seen = format!("{seen}; WAL is missing from {missing} on, and what came after it is lost");
    }
    passwords(site, workshop, cluster, &server)?;
    workshop.stop(&server)?;
    workshop.script(image, &staged, FINISH)?;
    Ok(seen)
}

/// What a server on this base backup is started with.
fn settings(taken: &Postgres, moment: &Moment, base: u32, timeline: u32) -> Vec<String> {
    let target = if base == timeline {
        "current".to_owned()
    } else {
        timeline.to_string()
    };
    let mut settings = vec![
        "restore_command=cp \"/wal/%f\" \"%p\"".to_owned(),
        "recovery_target_action=promote".to_owned(),
        format!("recovery_target_timeline={target}"),
    ];
    settings.extend(match moment {
        Moment::Backup => Some("recovery_target=immediate".to_owned()),
        Moment::At(time) => Some(format!("recovery_target_time={}", for_postgres(*time))),
        Moment::Latest => None,
    });
    settings.extend(archiving(taken.wal.is_some()));
    settings
}

/// A time as a setting of PostgreSQL: it knows no names of time zones then, `Z`
/// neither.
fn for_postgres(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S%.f+00").to_string()
}

/// Where WAL is archived, what is written from here on is noted as not archived
/// yet, and the stack's server does it.
fn archiving(is_on: bool) -> Vec<String> {
    if is_on {
        vec!["archive_mode=on".to_owned(), "archive_command=".to_owned()]
    } else {
        vec!["archive_mode=off".to_owned()]
    }
}

/// Refuses what would be an older state than was asked for.
fn reaches(
    plan: &Plan,
    listing: &Listing,
    taken: &Postgres,
    timeline: u32,
    until: Timestamp,
) -> Result<(), StackError> {
    const HINT: &str =
        "`--until latest` brings back all that there is up to there; nothing was changed";
    if let Some(missing) = listing.missing(&taken.start_wal, timeline) {
        return Err(StackError::wrong_state(
            format!(
                "{} can't be reached: the WAL is missing from {missing} on",
                shown(until)
            ),
            HINT,
        ));
    }
    let reaches = listing
        .reaches(&taken.start_wal, timeline)
        .max(plan.of_backups());
    match reaches {
        Some(reaches) if reaches >= until => Ok(()),
        reaches => Err(StackError::wrong_state(
            format!(
                "{} can't be reached: the WAL of this server ends at {}",
                shown(until),
                reaches.map_or_else(|| "no time".to_owned(), shown)
            ),
            HINT,
        )),
    }
}

/// The number of the cluster as bytes of a header, in hexadecimal: PostgreSQL
/// writes it in the order of the machine, the little end first.
fn header_of(decimal: &str) -> String {
    let number: u64 = decimal.parse().unwrap_or_default();
    let bytes = number.to_le_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How far it came, and what is in it.
fn recovered(
    workshop: &Workshop<'_>,
    cluster: Cluster<'_>,
    server: &str,
) -> Result<String, StackError> {
    let answer = workshop.query(server, cluster, cluster.database, RECOVERED_SQL)?;
    let (time, timeline) = answer.split_once('|').unwrap_or_default();
    let counted: BTreeMap<String, u64> =
        counts(&workshop.query(server, cluster, cluster.database, COUNT_SQL)?)?;
    let rows: u64 = counted.values().sum();
    let upto = if time.is_empty() {
        "as it was in the base backup".to_owned()
    } else {
        format!("its last change is of {time}")
    };
    Ok(format!(
        "{upto}; {rows} rows in {} tables, timeline {timeline}",
        counted.len()
    ))
}

/// Gives each role the password of the file of variables, and logs in with it.
fn passwords(
    site: &Site<'_>,
    workshop: &Workshop<'_>,
    cluster: Cluster<'_>,
    server: &str,
) -> Result<(), StackError> {
    let roles = workshop.query(
        server,
        cluster,
        "postgres",
        "SELECT rolname FROM pg_roles WHERE rolcanlogin;",
    )?;
    let is_there = |account: &&Account| {
        let user = site.stack.user(account);
        account.server == Server::Postgres && roles.lines().any(|role| role.trim() == user)
    };
    for account in ACCOUNTS.iter().filter(is_there) {
        let Some(password) = site.stack.password(account) else {
            continue;
        };
        let user = site.stack.user(account);
        let sql = alter_role(&user, password.reveal());
        workshop.query(server, cluster, "postgres", &sql)?;
        site.stack
            .log_in(account, &password, server)?
            .map_err(|why| {
                StackError::wrong_state(
                    format!(
                        "{user} can't log in to the restored server with {}: {why}",
                        account.password_from
                    ),
                    "nothing was changed; another backup may do",
                )
            })?;
    }
    Ok(())
}

/// Gives a PostgreSQL that was set aside the passwords of now.
pub(super) fn settle(
    site: &Site<'_>,
    workshop: &mut Workshop<'_>,
    volume: &str,
) -> Result<String, StackError> {
    let (database, user) = (site.stack.database(), site.stack.user(&ACCOUNTS[0]));
    let cluster = Cluster {
        image: site.image(Part::Postgres.as_str())?,
        database: &database,
        user: &user,
    };
    let is_archived = site.archive().is_some() && site.stack.environment.is_serious();
    let server = workshop.postgres(cluster, volume, &[], &archiving(is_archived))?;
    let counted: BTreeMap<String, u64> =
        counts(&workshop.query(&server, cluster, &database, COUNT_SQL)?)?;
    passwords(site, workshop, cluster, &server)?;
    workshop.stop(&server)?;
    let rows: u64 = counted.values().sum();
    Ok(format!("{rows} rows in {} tables", counted.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::manifest::Entry;

    fn taken() -> Postgres {
        let entry = Entry {
            path: String::new(),
            size: 0,
            sha256: String::new(),
        };
        Postgres {
            image: String::new(),
            database: String::new(),
            user: String::new(),
            base: entry.clone(),
            dump: entry.clone(),
            wal: Some(entry),
            start_wal: String::new(),
            whole_at: None,
            bytes: None,
            tables: BTreeMap::new(),
        }
    }

    #[test]
    fn the_moment_and_its_timeline_are_what_recovery_is_told() {
        let time = "2026-11-30T02:00:00.25Z".parse().unwrap();
        let said =
            |moment: &Moment, timeline: u32| settings(&taken(), moment, 1, timeline)[2..4].to_vec();
        assert_eq!(
            said(&Moment::At(time), 1),
            [
                "recovery_target_timeline=current",
                "recovery_target_time=2026-11-30 02:00:00.25+00"
            ]
        );
        assert_eq!(
            said(&Moment::Latest, 3),
            ["recovery_target_timeline=3", "archive_mode=on"]
        );
        assert_eq!(said(&Moment::Backup, 1)[1], "recovery_target=immediate");
    }

    #[test]
    fn the_number_of_the_cluster_is_read_as_a_header_has_it() {
        assert_eq!(header_of("7301234567890123456"), "c0bae4e827325365");
        assert_eq!(header_of("1"), "0100000000000000");
    }
}
