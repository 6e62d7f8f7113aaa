//! The folder of backups: one folder each, named by its time. A backup appears
//! there whole or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use super::manifest::{self, Manifest};
use crate::error::StackError;

/// What the name of an unfinished backup begins with.
const PARTIAL: &str = ".partial-";
/// Who holds this file makes or removes backups.
const LOCK: &str = ".lock";
/// Backups are for their owner only.
const MODE: u32 = 0o700;

/// The folder, held by this process alone.
#[derive(Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
    _lock: File,
}

/// One backup.
#[derive(Clone, Debug)]
pub struct Shelved {
    /// Its name: when it was begun.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// What it holds.
    pub manifest: Manifest,
}

impl Shelf {
    /// Takes the folder for this process, makes it if need be, and removes what
    /// a backup that was killed left there.
    pub(crate) fn take(folder: &Path) -> Result<Self, StackError> {
        let unwritable = |source| StackError::file("can't write", folder, source);
        fs::create_dir_all(folder).map_err(unwritable)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(MODE)).map_err(unwritable)?;
        let lock = File::create(folder.join(LOCK)).map_err(unwritable)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(StackError::wrong_state(
                format!("another backup works on {}", folder.display()),
                "wait until it has ended",
            ));
        }
        for entry in fs::read_dir(folder).map_err(unwritable)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
                fs::remove_dir_all(entry.path()).map_err(unwritable)?;
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            _lock: lock,
        })
    }

    /// A folder for a backup while it is made.
    pub(crate) fn stage(&self) -> Result<TempDir, StackError> {
        tempfile::Builder::new()
            .prefix(PARTIAL)
            .permissions(fs::Permissions::from_mode(MODE))
            .tempdir_in(&self.folder)
            .map_err(|source| StackError::file("can't write", &self.folder, source))
    }

    /// Puts a finished backup on the shelf.
    pub(crate) fn put(&self, stage: TempDir, manifest: Manifest) -> Result<Shelved, StackError> {
        let unwritable = |source| StackError::file("can't write", &self.folder, source);
        let json = serde_json::to_string_pretty(&manifest)
            .map_err(|error| unwritable(std::io::Error::other(error)))?;
        for (name, text) in [(manifest::NAME, json), (manifest::SUMS, manifest.sums())] {
            let mut file = File::create_new(stage.path().join(name)).map_err(unwritable)?;
            file.write_all(text.as_bytes()).map_err(unwritable)?;
            file.sync_all().map_err(unwritable)?;
        }
        sync_folder(stage.path()).map_err(unwritable)?;
        let name = name_of(&manifest.began_at);
        let folder = self.folder.join(&name);
        fs::rename(stage.path(), &folder).map_err(unwritable)?;
        // What it named is another folder now.
        let _ = stage.keep();
        sync_folder(&self.folder).map_err(unwritable)?;
        Ok(Shelved {
            name,
            folder,
            manifest,
        })
    }

    /// Removes all but the newest ones. Gives the names of what went.
    pub(crate) fn keep(&self, count: usize) -> Result<Vec<String>, StackError> {
        let all = list(&self.folder)?;
        let mut gone = Vec::new();
        for old in all.iter().rev().skip(count.max(1)) {
            // Out of sight first, so that none is half removed.
            let aside = self.folder.join(format!("{PARTIAL}{}", old.name));
            fs::rename(&old.folder, &aside)
                .and_then(|()| fs::remove_dir_all(&aside))
                .map_err(|source| StackError::file("can't remove", &old.folder, source))?;
            gone.push(old.name.clone());
        }
        Ok(gone)
    }
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A time as the name of a folder.
fn name_of(time: &str) -> String {
    time.replace(':', "-")
}

/// What a folder of backups holds.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// The backups, the oldest first.
    pub(crate) whole: Vec<Shelved>,
    /// Those whose manifest can't be read, with the reason.
    pub(crate) broken: Vec<(String, StackError)>,
}

/// Looks at every backup of a folder.
pub(crate) fn survey(folder: &Path) -> Result<Survey, StackError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Survey::default()),
        Err(source) => return Err(StackError::file("can't read", folder, source)),
    };
    let mut seen = Survey::default();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || !entry.path().join(manifest::NAME).is_file() {
            continue;
        }
        match Manifest::read(&entry.path()) {
            Ok(manifest) => seen.whole.push(Shelved {
                manifest,
                folder: entry.path(),
                name,
            }),
            Err(error) => seen.broken.push((name, error)),
        }
    }
    seen.whole.sort_by(|a, b| a.name.cmp(&b.name));
    seen.broken.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(seen)
}

/// Every backup of a folder, the oldest first.
pub fn list(folder: &Path) -> Result<Vec<Shelved>, StackError> {
    let mut seen = survey(folder)?;
    if seen.broken.is_empty() {
        return Ok(seen.whole);
    }
    Err(seen.broken.remove(0).1)
}

/// The backup of a name; the newest, if there is none.
pub fn pick(folder: &Path, name: Option<&str>) -> Result<Shelved, StackError> {
    let mut all = list(folder)?;
    let found = match name {
        Some(name) => all
            .iter()
            .position(|backup| backup.name == name)
            .map(|at| all.remove(at)),
        None => all.pop(),
    };
    found.ok_or_else(|| {
        let what = match name {
            Some(name) => format!("there is no backup {name} in {}", folder.display()),
            None => format!("there is no backup in {}", folder.display()),
        };
        StackError::usage(what, "collective stack backup list shows what is there")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(minute: u32) -> Manifest {
        let time = format!("2026-11-25T00:{minute:02}:00Z");
        Manifest::new(time, "compose".to_owned(), false)
    }

    #[test]
    fn a_backup_appears_whole_and_the_oldest_go() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("backups");
        let shelf = Shelf::take(&folder).unwrap();
        for minute in 0..4 {
            let stage = shelf.stage().unwrap();
            assert_eq!(list(&folder).unwrap().len(), minute as usize);
            shelf.put(stage, manifest(minute)).unwrap();
        }
        assert_eq!(
            shelf.keep(2).unwrap(),
            ["2026-11-25T00-01-00Z", "2026-11-25T00-00-00Z"]
        );
        let names: Vec<String> = list(&folder)
            .unwrap()
            .into_iter()
            .map(|one| one.name)
            .collect();
        assert_eq!(names, ["2026-11-25T00-02-00Z", "2026-11-25T00-03-00Z"]);
        assert_eq!(pick(&folder, None).unwrap().name, "2026-11-25T00-03-00Z");
        assert!(pick(&folder, Some("2025")).is_err());
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
    }

    #[test]
    fn what_a_killed_backup_left_is_removed_and_two_at_once_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join(".partial-x")).unwrap();
        let shelf = Shelf::take(temp.path()).unwrap();
        assert!(!temp.path().join(".partial-x").exists());
        let refused = Shelf::take(temp.path()).unwrap_err();
        assert!(refused.to_string().contains("another backup"), "{refused}");
        drop(shelf);
        Shelf::take(temp.path()).unwrap();
    }

    #[test]
    fn an_interrupted_backup_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let shelf = Shelf::take(temp.path()).unwrap();
        let stage = shelf.stage().unwrap();
        fs::write(stage.path().join("half"), "x").unwrap();
        drop(stage);
        let left = fs::read_dir(temp.path()).unwrap().flatten();
        let left: Vec<_> = left
            .map(|entry| entry.file_name())
            .filter(|name| *name != LOCK)
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
