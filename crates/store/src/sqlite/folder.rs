//! The data folder: private to its user, and open in one server at a time.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use collective_core::ports::StoreError;
use rustix::fs::FlockOperation;

use super::error::io_error;

/// Name of the database file.
const DATABASE: &str = "collective.db";
/// Name of the file whose lock says that the folder is in use, and by whom.
const LOCK: &str = "lock";
/// Only the user may enter the folder: prompts, results and key hashes are in it.
const FOLDER_MODE: u32 = 0o700;
/// Only the user may read the files. SQLite gives its WAL the database's mode.
const FILE_MODE: u32 = 0o600;
/// Longest content of the lock file that is read: a process id.
const MAX_HOLDER_LEN: u64 = 32;

/// A data folder that this process holds. The lock ends with the value, and
/// with the process however it ends.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: File,
}

impl Folder {
    /// Creates the folder if it isn't there, and takes its lock.
    /// Fails as [`StoreError::InUse`] while another process holds it.
    pub fn hold(path: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(path)
            .map_err(|error| io_error("creating the folder", path, &error))?;
        let lock_path = path.join(LOCK);
        let mut lock = private_file(&lock_path)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StoreError::InUse {
                    folder: path.display().to_string(),
                    holder: holder(&mut lock),
                });
            }
            Err(error) => return Err(io_error("locking", &lock_path, &error.into())),
        }
        // The id is for the message of whoever comes second; a full disk that
        // has no room for it mustn't keep the server from its data.
        if let Err(error) = write_holder(&mut lock) {
            tracing::warn!(%error, "the lock file doesn't name this process");
        }
        Ok(Self {
            path: path.to_owned(),
            lock,
        })
    }

    /// Whether a folder has a database file.
    pub(super) fn has_database(path: &Path) -> bool {
        path.join(DATABASE).is_file()
    }

    /// The database file, created empty and private if it isn't there.
    pub(super) fn database(&self) -> Result<PathBuf, StoreError> {
        let path = self.path.join(DATABASE);
        private_file(&path)?;
        Ok(path)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    /// Closing the file wouldn't do: a process that was just started has a copy
    /// of it until it runs its own program, and the lock would last as long.
    fn drop(&mut self) {
        if let Err(error) = rustix::fs::flock(&self.lock, FlockOperation::Unlock) {
            tracing::warn!(%error, "the data folder's lock ends with this process");
        }
    }
}

fn private_file(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(path)
        .map_err(|error| io_error("opening", path, &error))
}

fn write_holder(lock: &mut File) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.seek(SeekFrom::Start(0))?;
    writeln!(lock, "{}", std::process::id())
}

fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    match lock.take(MAX_HOLDER_LEN).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}
