//! Every promise of the port, each on a database of its own.

use std::sync::Arc;

use collective_store::{PgOptions, PgStore};
use collective_testkit::servers::{Postgres, PostgresOptions};
use futures_util::{StreamExt, stream};

/// Cases that run beside each other: enough to keep the server busy, and few
/// enough for its connections.
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_on_postgresql_keeps_every_promise() {
    // Nothing is killed here, and sixty databases are created.
    let settings = ["fsync=off", "full_page_writes=off"].map(str::to_owned);
    let server = Postgres::start_with(PostgresOptions {
        settings: settings.to_vec(),
    });
    let server = Arc::new(server.expect("a server"));
    let cases = collective_testkit::store_conformance!(whole table);
    let total = cases.len();
    let failed: Vec<&str> = stream::iter(cases)
        .map(|(name, case)| {
            let server = Arc::clone(&server);
            async move {
                let run = tokio::spawn(async move {
                    let creating =
                        tokio::task::spawn_blocking(move || server.create_database(name));
                    let url = creating.await.expect("no panic").expect("a database");
                    let mut options = PgOptions::from_url(&url).expect("a URL");
                    (options.writers, options.readers) = (6, 4);
                    let store = PgStore::open(&options).await.expect("a store");
                    case(&store).await;
                });
                run.await.err().map(|_| name)
            }
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(|failed| async move { failed })
        .collect()
        .await;
    assert!(
        failed.is_empty(),
        "{} of {total} cases fail: {failed:?}",
        failed.len()
    );
}
