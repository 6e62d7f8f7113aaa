//! PostgreSQL: a base backup, the archived WAL, and a dump that was counted in
//! its own snapshot.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::manifest::{Entry, Postgres};
use super::vault::{Key, Sealing};
use crate::accounts::ACCOUNTS;
use crate::compose::exec;
use crate::container::Container;
use crate::error::StackError;
use crate::stack::Stack;

/// How long one stream may take: 100 GB at 30 MB/s is an hour.
const STREAM_LIMIT: Duration = Duration::from_secs(4 * 3_600);
/// How long the last WAL segment may take to reach the archive.
const ARCHIVE_LIMIT: Duration = Duration::from_secs(60);
/// How often the archive is looked at.
const GLANCE: Duration = Duration::from_millis(250);
/// Where the archive is in the container, unless its environment says another place.
const ARCHIVE: &str = "${COLLECTIVE_WAL_ARCHIVE:-/var/lib/postgresql/wal_archive}";
/// What begins the counts in what psql complains of.
const COUNTS: &str = "counts:";

/// Bytes of all databases.
pub(super) const SIZE_SQL: &str = "SELECT sum(pg_database_size(oid))::bigint FROM pg_database;";

/// Rows of every table, as JSON. Each is really counted.
pub(super) const COUNT_SQL: &str = "\
SELECT coalesce(json_object_agg(name, (xpath('/row/c/text()', counted))[1]::text::bigint ORDER BY name), '{}')
FROM (
    SELECT n.nspname || '.' || c.relname AS name,
        query_to_xml(format('SELECT count(*) AS c FROM %I.%I', n.nspname, c.relname), false, true, '') AS counted
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
) AS tables";

/// Takes it.
pub(super) fn take(
    stack: &Stack,
    container: &Container,
    folder: &Path,
    key: Option<&Key>,
    since: Option<&str>,
) -> Result<Postgres, StackError> {
    let name = container.name.as_str();
    let start_wal = start_wal(stack, name)?;
    let (dump, tables) = dump(stack, name, folder, key)?;
    let bytes = stack.runner().ask(&stack.psql(name, SIZE_SQL))?;
    let base = base(stack, name, folder, key)?;
    let whole_at = Timestamp::now();
    let wal = wal(stack, name, folder, key, since.unwrap_or_default())?;
    Ok(Postgres {
        image: container.image.clone(),
        database: stack.database(),
        user: stack.user(&ACCOUNTS[0]),
        base,
        dump,
        wal,
        start_wal,
        // Rounded up: what is asked for in whole seconds must lie behind it.
        whole_at: Some(super::second(whole_at + Duration::from_secs(1))),
        bytes: bytes.trim().parse().ok(),
        tables,
    })
}

/// The segment that is written now: the base backup begins there or later.
fn start_wal(stack: &Stack, container: &str) -> Result<String, StackError> {
    let sql = "SELECT pg_walfile_name(pg_current_wal_lsn());";
    Ok(stack
        .runner()
        .ask(&stack.psql(container, sql))?
        .trim()
        .to_owned())
}

/// One session holds a snapshot, counts in it, and has pg_dump read it.
fn dump(
    stack: &Stack,
    container: &str,
    folder: &Path,
    key: Option<&Key>,
) -> Result<(Entry, BTreeMap<String, u64>), StackError> {
    let script = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n\
         SELECT pg_export_snapshot() AS snapshot \\gset\n\
         SELECT ({COUNT_SQL}) AS counted \\gset\n\
         \\warn {COUNTS} :counted\n\
         \\setenv SNAPSHOT :snapshot\n\
         \\setenv PGUSER :USER\n\
         \\setenv PGDATABASE :DBNAME\n\
         \\! pg_dump --format=custom --no-password --snapshot=\"$SNAPSHOT\" || echo dump-failed >&2\n\
         COMMIT;\n"
    );
    let call = stack.psql(container, script).limit(STREAM_LIMIT);
    let mut file = Sealing::begin(folder, "postgres/dump.pgc", key)?;
    let said = stack.runner().pour(&call, &mut file)?;
    let garbled = |what: String| StackError::Garbled {
        call: call.to_string(),
        what,
    };
    if said.contains("dump-failed") {
        return Err(garbled(said));
    }
    let counts = said.lines().find_map(|line| line.strip_prefix(COUNTS));
    let tables = counts
        .ok_or_else(|| garbled(format!("no counts: {said}")))
        .and_then(|counts| {
            serde_json::from_str(counts).map_err(|error| garbled(error.to_string()))
        })?;
    Ok((file.finish()?, tables))
}

/// The whole cluster. Replication is asked for by the network, where a password
/// is needed.
fn base(
    stack: &Stack,
    container: &str,
    folder: &Path,
    key: Option<&Key>,
) -> Result<Entry, StackError> {
    let admin = &ACCOUNTS[0];
    let password = stack.password(admin).ok_or_else(|| {
        StackError::usage(
            format!("{} isn't set", admin.password_from),
            "a base backup needs the administrator's password",
        )
    })?;
    let words = [
        "pg_basebackup",
        "--host=127.0.0.1",
        "--no-password",
        "--pgdata=-",
        "--format=tar",
    ];
    let call = exec(container, Some(("PGPASSWORD", &password)), words)
        .args([
            "--wal-method=fetch",
            "--gzip",
            "--checkpoint=fast",
            "--username",
        ])
        .arg(stack.user(admin))
        .limit(STREAM_LIMIT);
    let mut file = Sealing::begin(folder, "postgres/base.tar.gz", key)?;
    stack.runner().pour(&call, &mut file)?;
    file.finish()
}

/// What is in the archive from `since` on, up to now; `None` if nothing is archived.
/// The histories of all timelines are in it: a restore has to know which are taken.
fn wal(
    stack: &Stack,
    container: &str,
    folder: &Path,
    key: Option<&Key>,
    since: &str,
) -> Result<Option<Entry>, StackError> {
    let sql = "SELECT current_setting('archive_mode');";
    let mode = stack.runner().ask(&stack.psql(container, sql))?;
    if mode.trim() == "off" {
        return Ok(None);
    }
    archive_all(stack, container)?;
    let pack = format!(
        "set -eu; cd \"{ARCHIVE}\"; \
         ls | awk -v since=\"$1\" '$0 >= since || /[.]history$/' > /tmp/.backup-wal; \
         tar -czf - -T /tmp/.backup-wal; rm -f /tmp/.backup-wal"
    );
    let call = exec(container, None, ["sh", "-c", &pack, "sh", since]).limit(STREAM_LIMIT);
    let mut file = Sealing::begin(folder, "postgres/wal.tar.gz", key)?;
    stack.runner().pour(&call, &mut file)?;
    Ok(Some(file.finish()?))
}

/// Waits until what is written up to now is in the archive.
fn archive_all(stack: &Stack, container: &str) -> Result<(), StackError> {
    let ask = |sql: &str| stack.runner().ask(&stack.psql(container, sql));
    let last = ask("SELECT pg_walfile_name(pg_switch_wal());")?;
    let last = last.trim();
    let sql = "SELECT coalesce(last_archived_wal, ''), coalesce(last_failed_wal, '') FROM pg_stat_archiver;";
    let deadline = Instant::now() + ARCHIVE_LIMIT;
    loop {
        let seen = ask(sql)?;
        let (archived, failed) = seen.trim().split_once('|').unwrap_or((seen.trim(), ""));
        if archived >= last {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(StackError::wrong_state(
                format!(
                    "PostgreSQL doesn't archive its WAL: {last} was not archived, {failed} failed last"
                ),
                format!("docker logs {container} says why; is the archive's volume full?"),
            ));
        }
        std::thread::sleep(GLANCE);
    }
}

/// Removes from the archive what this backup and those after it don't need.
pub(super) fn trim_archive(
    stack: &Stack,
    container: &str,
    start_wal: &str,
) -> Result<(), StackError> {
    let script = format!(
        "set -eu; cd \"{ARCHIVE}\" 2>/dev/null || exit 0; \
         ls | awk -v start=\"$1\" 'length($0) == 24 && $0 < start' | xargs rm -f"
    );
    let call = exec(container, None, ["sh", "-c", &script, "sh", start_wal]);
    stack.runner().ask(&call).map(drop)
}
