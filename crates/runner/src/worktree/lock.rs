//! One change of a repository's worktrees at a time, whichever process makes it.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::time::Instant;

use crate::git::GitError;

/// The lock's file in the repository's git folder; it stays there, empty.
const FILE: &str = "collective.lock";

/// Longest wait for the lock: what it guards takes milliseconds each.
const LIMIT: Duration = Duration::from_secs(120);

/// How often it is tried.
const INTERVAL: Duration = Duration::from_millis(10);

/// The lock, until it is dropped or its process dies.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) async fn take(common: &Path) -> Result<Self, GitError> {
        let path = common.join(FILE);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(GitError::io(format!(
                "`{}` can't be opened",
                path.display()
            )))?;
        let deadline = Instant::now() + LIMIT;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < deadline => {
                    tokio::time::sleep(INTERVAL).await;
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) => {
                    return Err(GitError::Locked(common.to_owned()));
                }
                Err(error) => {
                    return Err(GitError::io("the worktrees can't be locked")(error.into()));
                }
            }
        }
    }
}
