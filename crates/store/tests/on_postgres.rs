//! The store on PostgreSQL keeps every promise of the port, on a real server.

use std::sync::Arc;

use collective_store::{PgOptions, PgStore};
use collective_testkit::servers::Postgres;
use futures_util::{StreamExt, stream};

/// Cases that run beside each other: enough to keep the server busy, and few
/// enough for its connections.
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_on_postgresql_keeps_every_promise() {
    let server = Arc::new(Postgres::start().expect("a server"));
    let cases = collective_testkit::store_conformance!(whole table);
    let total = cases.len();
    let failed: Vec<&str> = stream::iter(cases)
        .map(|(name, case)| {
            let server = Arc::clone(&server);
            async move {
                let run = tokio::spawn(async move {
                    let url = server.create_database(name).expect("a database");
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
