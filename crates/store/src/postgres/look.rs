//! A look at the database before anything stands on it. It changes nothing:
//! what it writes to see whether it may is rolled back.

use std::error::Error as _;
use std::io;
use std::time::{Duration, Instant};

use collective_core::ports::{About, Finding, FindingCode, StoreError};
use tokio::time::timeout;
use tokio_postgres::{Client, Error};

use super::column::at_most;
use super::error::{connect_error, store_error};
use super::now;
use super::options::PgOptions;
use super::schema::schema;
use super::tls::connector;

/// How long logging in may take once somebody answers, and all questions together.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How far the clocks may be apart: leases are told in seconds, and `/readyz`
/// takes no more.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);

const ABOUT: &str = "
    SELECT current_setting('server_version'), current_setting('server_encoding'),
           COALESCE((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), FALSE)";
const IS_THERE: &str = "SELECT to_regclass('schema_version') IS NOT NULL";
const VERSION: &str = "SELECT COALESCE(MAX(version), 0) FROM schema_version";
const CLOCK: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
/// Which of these tables are there.
const PRESENT: &str = "
    SELECT name FROM unnest($1::text[]) AS name
    WHERE to_regclass('public.' || quote_ident(name)) IS NOT NULL";
/// Which of these tables aren't there, or aren't open to this user.
const CLOSED: &str = "
    SELECT name FROM unnest($1::text[]) AS name,
           LATERAL (SELECT to_regclass('public.' || quote_ident(name))::oid AS number) AS it
    WHERE it.number IS NULL
       OR NOT has_table_privilege(it.number, 'SELECT')
       OR NOT has_table_privilege(it.number, 'INSERT')
       OR NOT has_table_privilege(it.number, 'UPDATE')
       OR NOT has_table_privilege(it.number, 'DELETE')";
const WRITE: &str = "
    BEGIN;
    INSERT INTO probe (single, written_at) VALUES (TRUE, clock_timestamp())
    ON CONFLICT (single) DO UPDATE SET written_at = excluded.written_at;
    ROLLBACK";
const CREATE: &str = "BEGIN; CREATE TABLE collective_look (it INTEGER); ROLLBACK";

/// Everything that a server would stumble over, and what is as it should be.
pub async fn look(options: &PgOptions) -> Vec<Finding> {
    let place = options.place();
    let tls = match connector(options) {
        Ok(tls) => tls,
        Err(error) => {
            let seen = reason(error);
            return vec![Finding::wrong(FindingCode::TlsRefused, About::CaFile, seen)];
        }
    };
    let config = options.config();
    let hosts = u32::try_from(options.hosts.len()).unwrap_or(u32::MAX);
    let limit = options.connect_timeout.saturating_mul(hosts.max(1)) + ANSWER_LIMIT;
    let (client, connection) = match timeout(limit, config.connect(tls)).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return vec![of_connecting(&error, options)],
        Err(_) => return vec![silent(&place, limit)],
    };
    let driver = tokio::spawn(connection);
    let found = timeout(ANSWER_LIMIT, ask(&client, options)).await;
    drop(client);
    // With the client gone it ends by itself, unless the other end is silent.
    driver.abort();
    found.unwrap_or_else(|_| vec![silent(&place, ANSWER_LIMIT)])
}

fn silent(place: &str, limit: Duration) -> Finding {
    let seen = format!("PostgreSQL at {place} didn't answer in {limit:?}");
    Finding::wrong(FindingCode::NoAnswer, About::Host, seen)
}

/// Asks one question after the other; one that fails doesn't hide the others.
async fn ask(client: &Client, options: &PgOptions) -> Vec<Finding> {
    let mut found = Vec::new();
    for answer in [
        identity(client, options).await,
        tables(client, options).await,
        clocks(client).await,
    ] {
        match answer {
            Ok(findings) => found.extend(findings),
            Err(error) => found.push(of_question(&error, options)),
        }
    }
    found
}

async fn identity(client: &Client, options: &PgOptions) -> Result<Vec<Finding>, Error> {
    let row = client.query_one(ABOUT, &[]).await?;
    let (version, encoding): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
    let secret = match row.try_get(2)? {
        true => "encrypted",
        false => "not encrypted",
    };
    let seen = format!("PostgreSQL {version} at {}, {secret}", options.place());
    let mut found = vec![Finding::fine(FindingCode::Connected, About::Host, seen)];
    if encoding != "UTF8" {
        let seen = format!(
            "the encoding of database `{}` is {encoding}",
            options.database
        );
        let wrong = Finding::wrong(FindingCode::WrongEncoding, About::Space, seen);
        found.push(wrong.hint("create it with ENCODING 'UTF8'"));
    }
    Ok(found)
}

/// The schema, and whether this user may do there what a server does.
async fn tables(client: &Client, options: &PgOptions) -> Result<Vec<Finding>, Error> {
    let newest = schema().len() as i64;
    let there: bool = client.query_one(IS_THERE, &[]).await?.try_get(0)?;
    let version: i64 = match there {
        true => client.query_one(VERSION, &[]).await?.try_get(0)?,
        false => 0,
    };
    let mut found = vec![of_schema(version, newest)];
    if version > newest {
        return Ok(found);
    }
    let ours: Vec<&str> = schema().iter().flat_map(|step| made_by(step)).collect();
    if version == 0 {
        found.extend(in_the_way(&names(client, PRESENT, &ours).await?));
    } else if version == newest {
        found.extend(closed(&names(client, CLOSED, &ours).await?, &options.user));
    }
    let (trial, may) = match version {
        0 => (CREATE, "may create tables"),
        _ => (WRITE, "may write"),
    };
    match client.batch_execute(trial).await {
        Ok(()) => {
            let seen = format!("user `{}` {may}", options.user);
            found.push(Finding::fine(FindingCode::Permitted, About::User, seen));
        }
        Err(error) => {
            found.push(of_question(&error, options));
            // The transaction failed; what comes next needs another.
            client.batch_execute("ROLLBACK").await?;
        }
    }
    Ok(found)
}

async fn names(client: &Client, question: &str, tables: &[&str]) -> Result<Vec<String>, Error> {
    let rows = client.query(question, &[&tables]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// The tables that a step of the schema makes.
fn made_by(step: &'static str) -> impl Iterator<Item = &'static str> {
    step.lines()
        .filter_map(|line| line.strip_prefix("CREATE TABLE "))
        .filter_map(|rest| rest.split_whitespace().next())
}

fn of_schema(version: i64, newest: i64) -> Finding {
    let (code, about) = (FindingCode::Schema, About::Space);
    match version {
        0 => Finding::notice(
            code,
            about,
            "there is no schema yet",
            "the first `collective up` makes it",
        ),
        _ if version > newest => Finding::wrong(
            FindingCode::SchemaTooNew,
            about,
            format!("the schema is version {version}, newer than version {newest} of this binary"),
        )
        .hint("use the binary that migrated the database, or a newer one"),
        _ if version < newest => Finding::notice(
            code,
            about,
            format!("the schema is version {version}, older than version {newest} of this binary"),
            "the first `collective up` of this binary brings it up to date",
        ),
        _ => Finding::fine(
            code,
            about,
            format!("the schema is version {version}, this binary's"),
        ),
    }
}

/// Tables of our names without our schema are somebody else's.
fn in_the_way(present: &[String]) -> Option<Finding> {
    let first = present.first()?;
    let seen = format!(
        "table `{first}` is there and isn't ours ({} of our names are taken)",
        present.len()
    );
    let wrong = Finding::wrong(FindingCode::OtherArguments, About::Space, seen);
    Some(wrong.hint("name a database that nobody else uses"))
}

fn closed(tables: &[String], user: &str) -> Option<Finding> {
    let first = tables.first()?;
    let seen = format!(
        "table `{first}` isn't there or not open to user `{user}` ({} such tables)",
        tables.len()
    );
    let wrong = Finding::wrong(FindingCode::NoPermission, About::User, seen);
    Some(wrong.hint(format!(
        "log in as the tables' owner, or: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO \"{user}\""
    )))
}

async fn clocks(client: &Client) -> Result<Vec<Finding>, Error> {
    let called = (Instant::now(), now());
    // Once without looking at it: the first question has to be prepared.
    client.query_one(CLOCK, &[]).await?;
    let sent = called.0.elapsed();
    let server: i64 = client.query_one(CLOCK, &[]).await?.try_get(0)?;
    // The server looked at its clock half-way between the two.
    let looked: i64 = at_most(((sent + called.0.elapsed()) / 2).as_micros());
    let offset = server.saturating_sub(called.1.micros().saturating_add(looked));
    let apart = Duration::from_micros(offset.unsigned_abs());
    let direction = if offset > 0 { "behind" } else { "ahead of" };
    let seen = format!(
        "this machine's clock is {:.1} s {direction} PostgreSQL's",
        apart.as_secs_f64()
    );
    let (code, about) = (FindingCode::Clock, About::Host);
    Ok(vec![if apart <= CLOCK_TOLERANCE {
        Finding::fine(code, about, seen)
    } else {
        Finding::wrong(code, about, seen)
            .hint("leases end too early or too late: set both by the same time source")
    }])
}

/// What the error means, and which option is responsible for it.
fn of_connecting(error: &Error, options: &PgOptions) -> Finding {
    let seen = reason(connect_error(error, &options.place()));
    if error.code().is_some() {
        return of_server(error, seen, options);
    }
    let said = error.to_string();
    let io = error.source().and_then(|it| it.downcast_ref::<io::Error>());
    let (code, about) = if seen.contains("read only") {
        (FindingCode::ReadOnly, About::Host)
    } else if seen.contains("password missing") {
        (FindingCode::LoginRefused, About::Password)
    } else if said.contains("TLS handshake") {
        let about = match seen.contains("certificate") {
            true => About::CaFile,
            false => About::Tls,
        };
        (FindingCode::TlsRefused, about)
    } else {
        match io.map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => (FindingCode::Unreachable, About::Port),
            Some(io::ErrorKind::TimedOut) => (FindingCode::NoAnswer, About::Host),
            _ => (FindingCode::Unreachable, About::Host),
        }
    };
    let finding = Finding::wrong(code, about, seen);
    match code {
        FindingCode::Unreachable | FindingCode::NoAnswer => {
            finding.hint("see that PostgreSQL runs there and that nothing is in between")
        }
        FindingCode::TlsRefused => {
            finding.hint("see what the server speaks and who vouches for its certificate")
        }
        FindingCode::ReadOnly => finding.hint("name the primary, or promote the standby"),
        FindingCode::LoginRefused => finding.hint("set the password"),
        _ => finding,
    }
}

fn of_question(error: &Error, options: &PgOptions) -> Finding {
    of_server(error, reason(store_error(error)), options)
}

fn of_server(error: &Error, seen: String, options: &PgOptions) -> Finding {
    let state = error.code().map_or("", |code| code.code());
    let (code, about, hint) = match state {
        "28P01" => (
            FindingCode::LoginRefused,
            About::Password,
            "look at the user and the password".to_owned(),
        ),
        "28000" => (
            FindingCode::LoginRefused,
            About::User,
            "make the user, or let it in by pg_hba.conf".to_owned(),
        ),
        "3D000" => (
            FindingCode::NoDatabase,
            About::Space,
            format!(
                "CREATE DATABASE \"{}\" OWNER \"{}\"",
                options.database, options.user
            ),
        ),
        "42501" => (
            FindingCode::NoPermission,
            About::User,
            format!(
                "make the user its owner: ALTER DATABASE \"{}\" OWNER TO \"{}\"",
                options.database, options.user
            ),
        ),
        "25006" => (
            FindingCode::ReadOnly,
            About::Host,
            "name the primary".to_owned(),
        ),
        "53300" => (
            FindingCode::LimitReached,
            About::Host,
            "raise max_connections, or end what isn't needed".to_owned(),
        ),
        "53100" => (
            FindingCode::Full,
            About::Host,
            "free some space on its disk".to_owned(),
        ),
        _ => (
            FindingCode::Refused,
            About::Host,
            "see PostgreSQL's log".to_owned(),
        ),
    };
    Finding::wrong(code, about, seen).hint(hint)
}

/// Without the words that every failure of the store begins with.
fn reason(error: StoreError) -> String {
    match error {
        StoreError::Unavailable(reason) => reason,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_those_of_the_schema() {
        let ours: Vec<&str> = schema().iter().flat_map(|step| made_by(step)).collect();
        assert!(ours.contains(&"teams") && ours.contains(&"answers") && ours.len() > 15);
    }
}
