//! The store on SQLite keeps every promise of the port.

use std::ops::Deref;

use collective_store::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

/// A store and the folder that it lives in.
struct Fresh {
    store: SqliteStore,
    _folder: TempDir,
}

impl Deref for Fresh {
    type Target = SqliteStore;

    fn deref(&self) -> &SqliteStore {
        &self.store
    }
}

async fn fresh() -> Fresh {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path(), SqliteOptions::default()).expect("a store");
    Fresh {
        store,
        _folder: folder,
    }
}

collective_testkit::store_conformance!(fresh);
