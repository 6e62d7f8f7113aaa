//! The folder of one run of the runner: private files of attempts, worktrees,
//! and the lock that tells a living run from a dead one.
//!
//! ```text
//! ROOT/<run>/lock          shared lock, held by the runner and by each of its guards
//! ROOT/<run>/attempts/     one private folder per attempt, removed with it
//! ROOT/<run>/worktrees/    one worktree per attempt that asked for one
//! ```
//!
//! The kernel releases the lock with the last process that holds it, so a run
//! whose lock is free is dead, and nothing of it runs any more.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;
use uuid::Uuid;

use crate::guard::Guard;

/// A living run.
#[derive(Debug)]
pub struct Run {
    id: Uuid,
    folder: PathBuf,
    _lock: File,
}

/// A run whose processes are all gone, to be cleaned up by whoever holds this.
#[derive(Debug)]
pub struct DeadRun {
    /// Its id.
    pub id: Uuid,
    folder: PathBuf,
    _lock: File,
}

impl Run {
    /// Begins a run below `root`, which is created if need be.
    pub fn begin(root: &Path) -> io::Result<Self> {
        private_folder(root)?;
        let root = root.canonicalize()?;
        let id = Uuid::now_v7();
        // Nobody sees the folder under its name before the lock is held.
        let unborn = root.join(format!(".{id}"));
        private_folder(&unborn)?;
        let lock = File::options()
            .create_new(true)
            .write(true)
            .read(true)
            .mode(0o600)
            .open(unborn.join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockShared)?;
        let folder = root.join(id.to_string());
        fs::rename(&unborn, &folder)?;
        private_folder(&folder.join(ATTEMPTS))?;
        private_folder(&folder.join(WORKTREES))?;
        Ok(Self {
            id,
            folder,
            _lock: lock,
        })
    }

    /// Its id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// A guard for its commands, played by this binary.
    pub fn guard(&self) -> Guard {
        Guard::this_binary(self.id).holding(self.folder.join(LOCK))
    }

    /// Where its worktrees go.
    pub fn worktrees(&self) -> PathBuf {
        self.folder.join(WORKTREES)
    }

    /// A private folder that is removed when it is dropped.
    pub fn attempt_folder(&self, label: &str) -> io::Result<TempDir> {
        tempfile::Builder::new()
            .prefix(&format!("{}-", file_name(label)))
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(self.folder.join(ATTEMPTS))
    }

    /// Ends the run: removes its folder, unless a worktree had to be kept.
    pub fn end(self) -> io::Result<()> {
        remove(&self.folder)
    }
}

impl DeadRun {
    /// The dead runs below `root`. What can't be read is left alone.
    pub fn find(root: &Path) -> Vec<Self> {
        let Ok(root) = root.canonicalize() else {
            return Vec::new();
        };
        let entries = fs::read_dir(&root).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| {
                let id: Uuid = entry.file_name().to_str()?.parse().ok()?;
                let folder = entry.path();
                let lock = File::open(folder.join(LOCK)).ok()?;
                flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
                Some(Self {
                    id,
                    folder,
                    _lock: lock,
                })
            })
            .collect()
    }

    /// The worktrees that it left behind.
    pub fn worktrees(&self) -> Vec<PathBuf> {
        fs::read_dir(self.folder.join(WORKTREES))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect()
    }

    /// Removes what is left of it, unless there is still a worktree.
    pub fn bury(self) -> io::Result<()> {
        remove(&self.folder)
    }
}

const LOCK: &str = "lock";
const ATTEMPTS: &str = "attempts";
const WORKTREES: &str = "worktrees";

fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Worktrees go first and only if they are gone already; the lock goes last.
fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir(folder.join(WORKTREES)) {
        Ok(()) => fs::remove_dir_all(folder),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::remove_dir_all(folder),
        // Somebody's work is in there.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            fs::remove_dir_all(folder.join(ATTEMPTS))
        }
        Err(error) => Err(error),
    }
}

/// A label as a file name.
fn file_name(label: &str) -> String {
    label
        .chars()
        .take(40)
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_dead_once_nobody_holds_its_lock() {
        let root = tempfile::tempdir().unwrap();
        let run = Run::begin(root.path()).unwrap();
        let id = run.id();
        assert!(DeadRun::find(root.path()).is_empty());
        // What a guard does for as long as it lives.
        let guard = File::open(run.folder.join(LOCK)).unwrap();
        flock(&guard, FlockOperation::NonBlockingLockShared).unwrap();
        drop(run);
        assert!(DeadRun::find(root.path()).is_empty());
        drop(guard);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let mut dead = DeadRun::find(root.path());
        // A process that another test is just starting may hold a copy of the lock.
        while dead.is_empty() && std::time::Instant::now() < deadline {
            std::thread::yield_now();
            dead = DeadRun::find(root.path());
        }
        assert_eq!(dead.iter().map(|run| run.id).collect::<Vec<_>>(), [id]);
        for run in dead {
            run.bury().unwrap();
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_run_with_a_worktree_left_keeps_it() {
        let root = tempfile::tempdir().unwrap();
        let run = Run::begin(root.path()).unwrap();
        let work = run.worktrees().join("3-1");
        fs::create_dir(&work).unwrap();
        run.end().unwrap();
        assert!(work.exists());
    }

    #[test]
    fn private_folders_are_private_and_vanish() {
        let root = tempfile::tempdir().unwrap();
        let run = Run::begin(root.path()).unwrap();
        let folder = run.attempt_folder("a b/c").unwrap();
        let path = folder.path().to_owned();
        assert!(
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("a-b-c-")
        );
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        drop(folder);
        assert!(!path.exists());
        run.end().unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
