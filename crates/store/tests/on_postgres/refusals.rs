//! Servers that can't be used, and schemas that can't: each is told apart, in
//! words that name what is wrong and never the password.

use std::sync::Arc;
use std::time::Duration;

use collective_core::ports::store::write;
use collective_core::ports::{Failed, Store, StoreError};
use collective_store::{Password, PgOptions, PgStore, TlsMode};
use collective_testkit::servers::{Postgres, PostgresOptions};

use crate::{append, at, client, database, eventually, found, log, open, options, server, team};

/// Why the store can't be opened.
async fn refused(options: &PgOptions) -> StoreError {
    match PgStore::open(options).await {
        Ok(_) => panic!("{options:?} can be opened"),
        Err(error) => error,
    }
}

/// The error is `Unavailable` and has each of these words.
fn says(error: &StoreError, words: &[&str]) {
    assert!(
        matches!(error, StoreError::Unavailable(_)),
        "it is {error:?}"
    );
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
    for secret in ["postgres:postgres", "s3cret"] {
        assert!(!text.contains(secret), "the password is in: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_used_is_refused_with_its_reason() {
    let server = server();
    log_ins_are_refused(&server).await;
    schemas_are_refused(&server).await;
    an_interrupted_migration_has_not_happened(&server).await;
    replicas_that_start_at_once_migrate_once(&server).await;
    a_full_disk_is_full(&server).await;
    locks_and_statements_have_their_limits(&server).await;
}

async fn log_ins_are_refused(server: &Postgres) {
    let right = database(server, "right");
    let mut wrong = right.clone();
    wrong.password = Some(Password::new("s3cret"));
    says(&refused(&wrong).await, &["password", "`postgres`"]);
    let mut nobody = right.clone();
    nobody.user = "nobody".to_owned();
    says(&refused(&nobody).await, &["`nobody`"]);
    let mut unknown = right.clone();
    unknown.database = "unknown".to_owned();
    says(&refused(&unknown).await, &["no such database", "`unknown`"]);
    let mut nowhere = right.clone();
    nowhere.hosts[0].port = 1;
    says(&refused(&nowhere).await, &["127.0.0.1:1"]);
    let mut encrypted = right.clone();
    encrypted.tls = TlsMode::Require;
    says(&refused(&encrypted).await, &["TLS"]);
    encrypted.tls = TlsMode::VerifyFull;
    says(&refused(&encrypted).await, &["TLS"]);
    encrypted.ca_file = Some("/does/not/exist.pem".into());
    says(&refused(&encrypted).await, &["/does/not/exist.pem"]);
    server
        .sql("right", "CREATE ROLE guest LOGIN PASSWORD 's3cret'")
        .expect("a role");
    let mut guest = right.clone();
    guest.user = "guest".to_owned();
    guest.password = Some(Password::new("s3cret"));
    says(&refused(&guest).await, &["permission"]);
    let latin = "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0";
    server.sql("postgres", latin).expect("a database");
    says(&refused(&options(&server.url("latin"))).await, &["LATIN1"]);
}

async fn schemas_are_refused(server: &Postgres) {
    let mut options = database(server, "newer");
    options.migrate = false;
    says(&refused(&options).await, &["older"]);
    options.migrate = true;
    open(&options).await.close().await;
    options.migrate = false;
    open(&options).await.close().await;
    server
        .sql("newer", "INSERT INTO schema_version (version) VALUES (99)")
        .expect("a newer version");
    for migrate in [true, false] {
        options.migrate = migrate;
        let known = u32::try_from(collective_store::postgres::schema().len()).expect("few");
        let newer = StoreError::SchemaTooNew { found: 99, known };
        assert_eq!(refused(&options).await, newer);
    }
}

async fn an_interrupted_migration_has_not_happened(server: &Postgres) {
    let options = database(server, "halfway");
    // It can't create this table until the other one has decided.
    let other = client(&server.url("halfway")).await;
    let block = "BEGIN; CREATE TABLE answers (x INTEGER)";
    other.batch_execute(block).await.expect("a table");
    let opening = tokio::spawn(async move { refused(&options).await });
    let waiting = "SELECT pid FROM pg_stat_activity
                   WHERE datname = 'halfway' AND wait_event_type = 'Lock'";
    let pid = eventually("the migration's wait", || async {
        let pid = server.sql("halfway", waiting).expect("an answer");
        (!pid.trim().is_empty()).then(|| pid.trim().to_owned())
    });
    let pid = pid.await;
    let end = format!("SELECT pg_terminate_backend({pid})");
    server.sql("halfway", &end).expect("it ends");
    says(&opening.await.expect("no panic"), &[]);
    other.batch_execute("ROLLBACK").await.expect("no table");
    let tables = "SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'";
    let left = eventually("the end of the migration", || async {
        let left = server.sql("halfway", tables).expect("a count");
        let waiting = server.sql("halfway", waiting).expect("an answer");
        waiting.trim().is_empty().then(|| left.trim().to_owned())
    });
    assert_eq!(left.await, "0", "something is half done");
    let options = crate::options(&server.url("halfway"));
    assert_eq!(open(&options).await.health().await, Ok(()));
}

async fn replicas_that_start_at_once_migrate_once(server: &Postgres) {
    let options = database(server, "at_once");
    let opening = (0..4).map(|_| open(&options));
    let stores = futures_util::future::join_all(opening).await;
    for store in &stores {
        assert_eq!(store.health().await, Ok(()));
    }
    let steps = server
        .sql("at_once", "SELECT COUNT(*) FROM schema_version")
        .expect("a count");
    let known = collective_store::postgres::schema().len();
    assert_eq!(steps.trim(), known.to_string());
}

async fn a_full_disk_is_full(server: &Postgres) {
    let store = open(&database(server, "full")).await;
    let red = team("red");
    found(&store, &red).await;
    // The server's own words for it, where it would say them.
    let refuse = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$;
        CREATE TRIGGER full_disk BEFORE INSERT ON events EXECUTE FUNCTION full_disk()";
    server.sql("full", refuse).expect("a trigger");
    let written = append(&store, &red, vec!["x".to_owned()]).await;
    assert_eq!(written, Err(Failed::Store(StoreError::Full)));
    server
        .sql("full", "DROP TRIGGER full_disk ON events")
        .expect("room again");
    assert_eq!(append(&store, &red, vec!["y".to_owned()]).await, Ok(1));
    assert_eq!(log(&store, &red).await, ["y"]);
}

async fn locks_and_statements_have_their_limits(server: &Postgres) {
    let mut options = database(server, "limits");
    let red = team("red");
    let other = client(&server.url("limits")).await;
    for (lock, statement) in [(100, 60_000), (60_000, 100)] {
        options.lock_timeout = Duration::from_millis(lock);
        options.statement_timeout = Duration::from_millis(statement);
        let store = open(&options).await;
        found(&store, &red).await;
        other
            .batch_execute("BEGIN; SELECT FROM teams FOR UPDATE")
            .await
            .expect("a lock");
        let written = append(&store, &red, vec!["x".to_owned()]).await;
        match (lock < statement, &written) {
            (true, Err(Failed::Store(StoreError::Conflict(_)))) => {}
            (false, Err(Failed::Store(StoreError::Unavailable(reason)))) => {
                assert!(reason.contains("took too long"), "{reason}");
            }
            _ => panic!("it gave {written:?}"),
        }
        other.batch_execute("ROLLBACK").await.expect("no lock");
        let written = append(&store, &red, vec!["y".to_owned()]).await;
        assert!(written.is_ok(), "afterwards it gave {written:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_connections_left_is_told_and_waited_for() {
    let settings = vec!["max_connections=8".to_owned()];
    let server = Postgres::start_with(PostgresOptions { settings }).expect("a server");
    let mut options = database(&server, "few");
    server
        .sql(
            "few",
            "CREATE ROLE app LOGIN PASSWORD 's3cret'; GRANT CREATE ON SCHEMA public TO app",
        )
        .expect("a role");
    options.user = "app".to_owned();
    options.password = Some(Password::new("s3cret"));
    let store = Arc::new(open(&options).await);
    let red = team("red");
    found(&*store, &red).await;
    let url = format!("postgres://app:s3cret@127.0.0.1:{}/few", server.port());
    let mut taken = Vec::new();
    while let Ok((client, connection)) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await
    {
        tokio::spawn(connection);
        taken.push(client);
        assert!(taken.len() < 10, "there is no end of connections");
    }
    // Two works at once need two connections to write with; there is one.
    let (of, second) = (red.clone(), team("blue"));
    let beside = Arc::clone(&store);
    let both = write(&*store, Some(&red), move |tx| {
        Box::pin(async move {
            tx.append(&of, "admin", at(1), vec![crate::named("x")])
                .await?;
            let refused = write(&*beside, Some(&second), |_| Box::pin(async { Ok(()) }));
            Ok(refused.await.map(drop))
        })
    });
    let (refused, _) = both.await.expect("the first one commits");
    match refused {
        Err(Failed::Store(error)) => says(&error, &["max_connections"]),
        refused => panic!("it gave {refused:?}"),
    }
    says(
        &crate::refusals::refused(&options).await,
        &["max_connections", "`few`"],
    );
    drop(taken);
    eventually("a connection", || async {
        PgStore::open(&options).await.ok().map(drop)
    })
    .await;
}
