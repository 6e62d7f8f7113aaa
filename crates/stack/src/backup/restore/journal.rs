//! What a restore has done up to now, on the disk before the next step begins.
//!
//! It lies beside the file of variables, one line of JSON for each step, and is
//! held by a lock as long as somebody works on it. It is there exactly while a
//! restore is unfinished, and holds names only, never a secret.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::backup::manifest::Part;
use crate::error::StackError;

/// What its name ends with.
const ENDING: &str = ".restoring";
/// It is for its owner only, as the file of variables is.
const MODE: u32 = 0o600;

/// A volume whose content is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Swap {
    /// The part that it is of.
    pub(super) part: Part,
    /// Its name in the compose files.
    pub(super) declared: String,
    /// Its name as the engine knows it.
    pub(super) volume: String,
    /// The volume with what comes.
    pub(super) staged: String,
    /// The volume for what goes, if there is something.
    pub(super) aside: Option<String>,
}

/// What was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    /// When, as a part of names.
    pub(super) at: String,
    /// What is put in place: a backup's name, or what was set aside when.
    pub(super) source: String,
    /// The stack.
    pub(super) project: String,
    /// The image that copies.
    pub(super) image: String,
    /// The volumes.
    pub(super) swaps: Vec<Swap>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    /// The first one.
    Begun(Begun),
    /// All that comes lies ready; from here on the volumes are changed.
    Staged,
    /// What was in a volume is set aside.
    Aside(String),
    /// What comes is in a volume.
    Placed(String),
    /// Everything is to be as it was.
    GoingBack,
    /// A volume is as it was.
    Back(String),
}

/// How far it went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) staged: bool,
    pub(super) aside: BTreeSet<String>,
    pub(super) placed: BTreeSet<String>,
    pub(super) going_back: bool,
    pub(super) back: BTreeSet<String>,
}

impl Progress {
    fn apply(&mut self, step: &Step) {
        match step {
            Step::Begun(_) => {}
            Step::Staged => self.staged = true,
            Step::Aside(volume) => self.aside.extend([volume.clone()]),
            Step::Placed(volume) => self.placed.extend([volume.clone()]),
            Step::GoingBack => self.going_back = true,
            Step::Back(volume) => self.back.extend([volume.clone()]),
        }
    }
}

/// The journal of one restore, held by this process alone.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    pub(super) begun: Begun,
    pub(super) progress: Progress,
}

/// Where it is, for a file of variables.
pub(super) fn path(env_path: &Path) -> PathBuf {
    let mut name = env_path.file_name().unwrap_or_default().to_owned();
    name.push(ENDING);
    env_path.with_file_name(name)
}

impl Journal {
    /// Begins one. One that is there is a restore that is not finished.
    pub(super) fn begin(path: &Path, begun: Begun) -> Result<Self, StackError> {
        let unwritable = |source| StackError::file("can't write", path, source);
        let made = OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .mode(MODE)
            .open(path);
        let file = match made {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(busy(path)),
            made => made.map_err(unwritable)?,
        };
        lock(&file, path)?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            begun: begun.clone(),
            progress: Progress::default(),
        };
        journal.note(&Step::Begun(begun))?;
        sync_folder(path).map_err(unwritable)?;
        Ok(journal)
    }

    /// The one that is there, if one is. Somebody who works on it keeps it.
    pub(super) fn resume(path: &Path) -> Result<Option<Self>, StackError> {
        let unreadable = |source| StackError::file("can't read", path, source);
        let mut file = match OpenOptions::new().read(true).append(true).open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(unreadable)?,
        };
        lock(&file, path)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(unreadable)?;
        // Whoever was killed while writing a line had not begun the step after it.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).map_err(unreadable)?;
        file.seek(SeekFrom::End(0)).map_err(unreadable)?;
        let Some((begun, progress)) = read(&text[..whole]).map_err(|what| {
            StackError::wrong_state(
                format!("{}:{what}", path.display()),
                "it was changed by hand: look at the volumes that it names, then remove it",
            )
        })?
        else {
            fs::remove_file(path).map_err(unreadable)?;
            return Ok(None);
        };
        Ok(Some(Self {
            path: path.to_owned(),
            file,
            begun,
            progress,
        }))
    }

    /// Writes down that a step is done.
    pub(super) fn note(&mut self, step: &Step) -> Result<(), StackError> {
        let unwritable = |source| StackError::file("can't write", &self.path, source);
        let mut line = serde_json::to_string(step)
            .map_err(|error| unwritable(std::io::Error::other(error)))?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(unwritable)?;
        self.file.sync_data().map_err(unwritable)?;
        self.progress.apply(step);
        Ok(())
    }

    /// It is finished.
    pub(super) fn end(self) -> Result<(), StackError> {
        fs::remove_file(&self.path)
            .and_then(|()| sync_folder(&self.path))
            .map_err(|source| StackError::file("can't remove", &self.path, source))
    }
}

/// What an unfinished restore puts in place, if there is one.
pub(super) fn unfinished(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let begun = read(&text).ok().flatten().map(|(begun, _)| begun.source);
    Some(begun.unwrap_or_else(|| "a backup".to_owned()))
}

/// Reads the lines; `None` if not even the first one is whole.
fn read(text: &str) -> Result<Option<(Begun, Progress)>, String> {
    let mut begun = None;
    let mut progress = Progress::default();
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        // The last one may be half a line.
        let Some(line) = line.strip_suffix('\n') else {
            break;
        };
        let step: Step =
            serde_json::from_str(line).map_err(|error| format!("{number}: {error}"))?;
        progress.apply(&step);
        if let Step::Begun(first) = step {
            begun = Some(first);
        }
    }
    match begun {
        Some(begun) => Ok(Some((begun, progress))),
        None if text.contains('\n') => Err("1: it doesn't say what was begun".to_owned()),
        None => Ok(None),
    }
}

fn lock(file: &File, path: &Path) -> Result<(), StackError> {
    flock(file, FlockOperation::NonBlockingLockExclusive).map_err(|_| busy(path))
}

fn busy(path: &Path) -> StackError {
    StackError::wrong_state(
        format!("another restore works here: it holds {}", path.display()),
        "wait until it has ended",
    )
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun() -> Begun {
        Begun {
            at: "20261130t020000".to_owned(),
            source: "2026-11-30T02-00-00Z".to_owned(),
            project: "compose".to_owned(),
            image: "postgres:15-alpine".to_owned(),
            swaps: vec![Swap {
                part: Part::Redis,
                declared: "redis_data".to_owned(),
                volume: "blue-redis_data".to_owned(),
                staged: "s".to_owned(),
                aside: None,
            }],
        }
    }

    #[test]
    fn it_lies_beside_the_file_of_variables() {
        assert_eq!(path(Path::new("/p/.env")), Path::new("/p/.env.restoring"));
    }

    #[test]
    fn whoever_comes_after_a_kill_finds_every_step_that_was_done() {
        let temp = tempfile::tempdir().unwrap();
        let at = temp.path().join(".env.restoring");
        assert!(Journal::resume(&at).unwrap().is_none());
        let mut journal = Journal::begin(&at, begun()).unwrap();
        journal.note(&Step::Staged).unwrap();
        journal
            .note(&Step::Aside("blue-redis_data".to_owned()))
            .unwrap();
        drop(journal);
        // The next line was half written.
        let mut file = OpenOptions::new().append(true).open(&at).unwrap();
        file.write_all(br#"{"placed":"blue-re"#).unwrap();
        drop(file);
        assert_eq!(unfinished(&at).as_deref(), Some("2026-11-30T02-00-00Z"));
        let mut journal = Journal::resume(&at).unwrap().unwrap();
        assert_eq!(journal.begun, begun());
        assert!(journal.progress.staged && journal.progress.placed.is_empty());
        assert_eq!(journal.progress.aside.len(), 1);
        journal.note(&Step::GoingBack).unwrap();
        drop(journal);
        let journal = Journal::resume(&at).unwrap().unwrap();
        assert!(journal.progress.going_back);
        journal.end().unwrap();
        assert_eq!(unfinished(&at), None);
    }

    #[test]
    fn two_at_once_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let at = temp.path().join("x");
        let journal = Journal::begin(&at, begun()).unwrap();
        for refused in [Journal::begin(&at, begun()), {
            Journal::resume(&at).map(Option::unwrap)
        }] {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains("another restore"), "{refused}");
        }
        drop(journal);
        assert!(Journal::resume(&at).unwrap().is_some());
    }

    #[test]
    fn one_that_was_never_begun_is_none_and_a_changed_one_is_told_by_line() {
        let temp = tempfile::tempdir().unwrap();
        let at = temp.path().join("x");
        fs::write(&at, r#"{"begun":{"at":"#).unwrap();
        assert!(Journal::resume(&at).unwrap().is_none());
        assert!(!at.exists());
        fs::write(&at, "\"staged\"\n\"what\"\n").unwrap();
        let refused = Journal::resume(&at).unwrap_err().to_string();
        assert!(refused.contains("x:2"), "{refused}");
    }
}
