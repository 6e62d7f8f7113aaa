//! Runs `git`, with nothing in its way: no prompt, no hook, no pager, no
//! background job, bounded in time and in output.
//!
//! Hooks stay out because saving an agent's work must not depend on what a
//! hook thinks of it. Knows nothing of worktrees.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use collective_core::task::FailureClass;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use crate::process::GIT_LOCATION;

/// Longest that one git command may take: the checkout of a large repository.
const LIMIT: Duration = Duration::from_secs(600);

/// Most of an error message that is kept.
const MAX_STDERR: usize = 4 * 1024;

/// Settings that hold for every command here.
const SETTINGS: [&str; 8] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.safecrlf=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "commit.gpgSign=false",
    "advice.addEmbeddedRepo=false",
    "submodule.recurse=false",
];

/// Why something with git didn't work.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no git.
    #[error("git is not installed, or not in the PATH")]
    NoGit,
    /// The folder belongs to no repository.
    #[error("`{}` is not in a git repository", .0.display())]
    NotARepository(PathBuf),
    /// The folder isn't there.
    #[error("folder `{}` doesn't exist", .0.display())]
    NoFolder(PathBuf),
    /// git refuses a repository that belongs to somebody else.
    #[error("the git repository at `{}` belongs to another user", .0.display())]
    NotOurs(PathBuf),
    /// A repository without a commit has nothing to start from.
    #[error("the git repository at `{}` has no commit yet", .0.display())]
    NoCommit(PathBuf),
    /// The commit to start from doesn't exist.
    #[error("`{0}` names no commit of the git repository")]
    UnknownCommit(String),
    /// Another process holds the lock of the repository's worktrees for too long.
    #[error("the worktrees of `{}` stay locked by another process", .0.display())]
    Locked(PathBuf),
    /// It took too long.
    #[error("`git {0}` took longer than {limit} s", limit = LIMIT.as_secs())]
    TimedOut(String),
    /// git says no.
    #[error("`git {command}` failed: {message}")]
    Failed {
        /// The subcommand.
        command: String,
        /// What it says.
        message: String,
    },
    /// Files around it can't be read or written.
    #[error("{what}: {source}")]
    Io {
        /// What failed, on what.
        what: String,
        /// What the system says.
        source: io::Error,
    },
}

impl GitError {
    /// Whether trying again can help.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::NoGit
            | Self::NotARepository(_)
            | Self::NoFolder(_)
            | Self::NotOurs(_)
            | Self::NoCommit(_)
            | Self::UnknownCommit(_) => FailureClass::Permanent,
            Self::Locked(_) | Self::TimedOut(_) | Self::Failed { .. } | Self::Io { .. } => {
                FailureClass::Transient
            }
        }
    }

    /// What to do next, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoGit => Some("install git".to_owned()),
            Self::NotARepository(path) => Some(format!(
                "run `git init` there, or name a repository: {}",
                path.display()
            )),
            Self::NotOurs(path) => Some(format!(
                "if you trust it: git config --global --add safe.directory {}",
                path.display()
            )),
            Self::NoCommit(_) => Some("make a first commit".to_owned()),
            _ => None,
        }
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// What a git command gave.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) success: bool,
    pub(crate) stdout: Vec<u8>,
    /// Whether there was more than was asked for.
    pub(crate) cut: bool,
    pub(crate) stderr: String,
}

/// git in one folder.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    folder: PathBuf,
    settings: Vec<String>,
}

impl Git {
    pub(crate) fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            settings: Vec::new(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// With one more setting, `key=value`.
    pub(crate) fn set(mut self, setting: impl Into<String>) -> Self {
        self.settings.push(setting.into());
        self
    }

    /// Runs a command that has to succeed; gives what it prints, without the last line break.
    pub(crate) async fn text<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<String, GitError> {
        /// More than any answer that is asked for as text.
        const MAX_TEXT: usize = 16 * 1024 * 1024;
        let answer = self.run(arguments, MAX_TEXT).await?;
        if !answer.success {
            return Err(failed(arguments, &answer.stderr));
        }
        let text = String::from_utf8_lossy(&answer.stdout);
        Ok(text.trim_end_matches('\n').to_owned())
    }

    /// Runs a command; keeps the first `max` bytes of what it prints.
    pub(crate) async fn run<S: AsRef<OsStr>>(
        &self,
        arguments: &[S],
        max: usize,
    ) -> Result<Answer, GitError> {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.folder);
        for setting in SETTINGS
            .into_iter()
            .chain(self.settings.iter().map(String::as_str))
        {
            command.args(["-c", setting]);
        }
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_PAGER", "cat")
            .env("GIT_EDITOR", "false")
            .process_group(0)
            .kill_on_drop(true);
        for name in GIT_LOCATION {
            command.env_remove(name);
        }
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => GitError::NoGit,
            _ => GitError::io("git can't be started")(error),
        })?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let all = async {
            let ((stdout, cut), (stderr, _)) =
                tokio::join!(read(stdout, max), read(stderr, MAX_STDERR));
            (stdout, cut, stderr, child.wait().await)
        };
        let Ok((stdout, cut, stderr, status)) = tokio::time::timeout(LIMIT, all).await else {
            if let Some(group) = group {
                // Filters and helpers of git are in it too.
                let _ = kill_process_group(group, Signal::KILL);
            }
            return Err(GitError::TimedOut(subcommand(arguments)));
        };
        let status = status.map_err(GitError::io("git can't be waited for"))?;
        Ok(Answer {
            success: status.success(),
            stdout,
            cut,
            stderr: String::from_utf8_lossy(&stderr).trim().to_owned(),
        })
    }
}

pub(crate) fn failed<S: AsRef<OsStr>>(arguments: &[S], message: &str) -> GitError {
    GitError::Failed {
        command: subcommand(arguments),
        message: message.to_owned(),
    }
}

fn subcommand<S: AsRef<OsStr>>(arguments: &[S]) -> String {
    arguments
        .iter()
        .take(2)
        .map(|argument| argument.as_ref().to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Keeps the first `max` bytes of a stream and reads on to its end, so that
/// its writer isn't held up.
async fn read(stream: Option<impl AsyncRead + Unpin>, max: usize) -> (Vec<u8>, bool) {
    let mut kept = Vec::new();
    let mut cut = false;
    let Some(mut stream) = stream else {
        return (kept, cut);
    };
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length) = stream.read(&mut buffer).await {
        if length == 0 {
            break;
        }
        let room = max - kept.len();
        kept.extend_from_slice(&buffer[..length.min(room)]);
        cut |= length > room;
    }
    (kept, cut)
}
