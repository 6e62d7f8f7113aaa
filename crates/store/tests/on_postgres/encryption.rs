//! Encrypted connections: whom the server is trusted as, and what is said when
//! it isn't.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use collective_core::ports::{Store, StoreError};
use collective_store::{PgOptions, PgStore, TlsMode};
use collective_testkit::process::run;
use collective_testkit::servers::Postgres;
use tempfile::TempDir;

use crate::{database, eventually, open, server};

/// What makes a certificate for 127.0.0.1 that vouches for itself.
const CERTIFY: &str = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -subj /CN=database -days 2 -addext subjectAltName=IP:127.0.0.1 \
    -addext basicConstraints=critical,CA:FALSE";

/// Makes the server speak TLS. It makes the files itself, since it refuses a key
/// that others can read.
fn secure(server: &Postgres) {
    let make = format!("{CERTIFY} -keyout server.key -out server.crt 2>&1 && chmod 600 server.key");
    for statement in [
        format!("COPY (SELECT 1) TO PROGRAM '{make}'"),
        "ALTER SYSTEM SET ssl = on".to_owned(),
        "SELECT pg_reload_conf()".to_owned(),
    ] {
        server
            .sql("postgres", &statement)
            .expect("the server does it");
    }
}

/// The server's certificate, and one of a stranger.
fn certificates(server: &Postgres) -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let (own, other) = (
        folder.path().join("own.pem"),
        folder.path().join("other.pem"),
    );
    fs::copy(server.home().join("data/server.crt"), &own).expect("its certificate");
    let mut command = Command::new("sh");
    command.current_dir(folder.path());
    command.args(["-c", &format!("{CERTIFY} -keyout other.key -out other.pem")]);
    run(command).expect("openssl makes a certificate");
    (folder, own, other)
}

/// How many connections of a store are encrypted, and how many aren't.
fn encrypted(server: &Postgres) -> (usize, usize) {
    let ask = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
               WHERE application_name = 'collective'";
    let answer = server.sql("postgres", ask).expect("an answer");
    let count = |what: &str| answer.lines().filter(|line| line.trim() == what).count();
    (count("t"), count("f"))
}

fn with(plain: &PgOptions, tls: TlsMode, ca_file: Option<&PathBuf>) -> PgOptions {
    PgOptions {
        tls,
        ca_file: ca_file.cloned(),
        ..plain.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_encrypted_and_the_server_is_vouched_for() {
    let server = server();
    let plain = database(&server, "encrypted");
    secure(&server);
    let (_folder, own, other) = certificates(&server);
    eventually("it speaks TLS", async || {
        PgStore::open(&with(&plain, TlsMode::Require, None))
            .await
            .ok()
            .map(drop)
    })
    .await;
    eventually("the first one is gone", async || {
        (encrypted(&server) == (0, 0)).then_some(())
    })
    .await;
    for (tls, ca) in [
        (TlsMode::Prefer, None),
        (TlsMode::Require, None),
        (TlsMode::Require, Some(&own)),
        (TlsMode::VerifyFull, Some(&own)),
    ] {
        let store = open(&with(&plain, tls, ca)).await;
        let (secret, open) = encrypted(&server);
        assert!(
            secret > 0 && open == 0,
            "{tls:?}: {secret} and {open} in the open"
        );
        store.close().await;
        eventually("it is gone", async || {
            (encrypted(&server) == (0, 0)).then_some(())
        })
        .await;
    }
    // Neither a stranger vouches for it nor does the system; an address that the
    // certificate doesn't name is somebody else's.
    let mut elsewhere = with(&plain, TlsMode::VerifyFull, Some(&own));
    elsewhere.hosts[0].name = "localhost".to_owned();
    for options in [
        with(&plain, TlsMode::VerifyFull, Some(&other)),
        with(&plain, TlsMode::Require, Some(&other)),
        with(&plain, TlsMode::VerifyFull, None),
        elsewhere,
    ] {
        let refused = PgStore::open(&options).await.err();
        assert!(
            matches!(&refused, Some(StoreError::Unavailable(why)) if why.contains("certificate")),
            "{refused:?}"
        );
    }
}

/// Gives the server a certificate that ends as it begins.
fn expire(server: &Postgres) {
    const MAKE: &str = "openssl x509 -in server.crt -signkey server.key -days 0 -out ended.crt 2>&1 \
        && mv ended.crt server.crt";
    for statement in [
        format!("COPY (SELECT 1) TO PROGRAM '{MAKE}'"),
        "SELECT pg_reload_conf()".to_owned(),
    ] {
        server
            .sql("postgres", &statement)
            .expect("the server does it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_is_told_as_that() {
    let server = server();
    let plain = database(&server, "expired");
    secure(&server);
    expire(&server);
    let (_folder, own, _) = certificates(&server);
    let options = with(&plain, TlsMode::VerifyFull, Some(&own));
    let said = eventually("the certificate has ended", async || {
        let error = PgStore::open(&options).await.err()?.to_string();
        error.contains("certificate").then_some(error)
    })
    .await;
    assert!(said.contains("expired"), "{said}");
    // Nobody who was told to look connects all the same.
    assert!(PgStore::open(&options).await.is_err());
}
