//! The SQL files for whoever makes the database by hand are the server's own schema.
//!
//! `COLLECTIVE_BLESS=1` writes them.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use collective_core::ports::Store;
use collective_store::postgres::schema;
use collective_store::{PgOptions, PgStore};
use collective_testkit::servers::Postgres;

const BLESS: &str = "COLLECTIVE_BLESS";
/// Names of the steps' files, in order.
const STEPS: [&str; 1] = ["001_initial_schema.sql"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infrastructure/docker/postgres")
}

/// The whole schema as one file: what the server does to an empty database.
fn whole() -> String {
    let mut text = String::from(
        "-- The whole schema, as the server makes it in an empty database. It may be run\n\
         -- before the first server starts, which then finds everything in place.\n\
         -- Made from the server's own steps; see migrations/.\n\n\
         BEGIN;\n\n\
         CREATE TABLE schema_version (\n    \
             version     BIGINT      NOT NULL PRIMARY KEY,\n    \
             applied_at  TIMESTAMPTZ NOT NULL DEFAULT now()\n\
         );\n",
    );
    for (version, step) in (1..).zip(schema()) {
        let note = format!("INSERT INTO schema_version (version) VALUES ({version});");
        write!(text, "\n{step}\n{note}\n").expect("a string takes everything");
    }
    text.push_str("\nCOMMIT;\n");
    text
}

#[test]
fn the_files_are_the_servers_own_schema() {
    let mut expected = vec![(folder().join("schema.sql"), whole())];
    assert_eq!(STEPS.len(), schema().len(), "each step has a file");
    for (name, step) in STEPS.iter().zip(schema()) {
        expected.push((folder().join("migrations").join(name), (*step).to_owned()));
    }
    for (path, text) in expected {
        if std::env::var_os(BLESS).is_some() {
            fs::write(&path, &text).expect("the file is written");
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "{} differs from the schema in the code; write it anew with {BLESS}=1",
            path.display()
        );
    }
}

/// What `pg_dump` says of a database's schema, without what differs by run.
fn dump(postgres: &Postgres, database: &str) -> String {
    let mut command = Command::new(postgres.programs().join("pg_dump"));
    command.env("PGPASSWORD", postgres.password());
    command.args(["--schema-only", "-h", "127.0.0.1", "-U", "postgres"]);
    command
        .arg("-p")
        .arg(postgres.port().to_string())
        .arg(database);
    let answer = command.output().expect("pg_dump runs");
    assert!(answer.status.success(), "{answer:?}");
    let text = String::from_utf8(answer.stdout).expect("text");
    // Newer ones guard their output by a random word.
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_database_made_by_the_file_is_the_one_that_the_server_makes() {
    let postgres = Postgres::start().expect("a server");
    let by_file = postgres.create_database("by_file").expect("a database");
    let by_server = postgres.create_database("by_server").expect("a database");
    let text = fs::read_to_string(folder().join("schema.sql")).expect("the file");
    postgres.sql("by_file", &text).expect("the file runs");
    let options = PgOptions::from_url(&by_server).expect("a URL");
    let store = PgStore::open(&options).await.expect("a store");
    store.close().await;
    assert_eq!(dump(&postgres, "by_file"), dump(&postgres, "by_server"));
    let mut options = PgOptions::from_url(&by_file).expect("a URL");
    options.migrate = false;
    let store = PgStore::open(&options)
        .await
        .expect("nothing is left to migrate");
    store.close().await;
}
