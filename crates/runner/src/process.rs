//! A command under guard, as the runner holds it: started, read, stopped, waited for.
//!
//! Dropping a [`Guarded`] closes the socket to its guard, which ends the
//! command and all that it started. Knows nothing of tasks.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use collective_core::task::FailureClass;
use rustix::io::Errno;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use uuid::Uuid;

use crate::guard::wire::{Order, Report};
use crate::guard::{End, Guard, MARK};
use crate::orphans;

/// Variables of git that say where a repository is. A runner that was started
/// by a git hook has them, and they would lead every git below it astray
/// (`git rev-parse --local-env-vars`).
pub(crate) const GIT_LOCATION: [&str; 16] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
    "GIT_INTERNAL_SUPER_PREFIX",
];

/// What starts with this in the environment is ours; a command gets what its
/// attempt is given and nothing that the runner happens to have.
const OUR_PREFIX: &str = "COLLECTIVE_";

/// How long a guard may take to start a command on a machine under load.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How much longer than it promised a guard may take before the runner takes over.
const GUARD_MARGIN: Duration = Duration::from_secs(5);

/// What to run.
#[derive(Clone, Debug)]
pub struct CommandSpec {
    /// A word for people who look at the process list.
    pub label: String,
    /// The program and its arguments; nothing passes through a shell.
    pub argv: Vec<String>,
    /// Variables to set, beside those that the runner itself has.
    pub env: Vec<(OsString, OsString)>,
    /// Variables to leave out.
    pub drop_env: Vec<String>,
    /// Where to run it.
    pub workdir: PathBuf,
    /// The file that it reads as standard input; none gives an empty one.
    pub stdin: Option<PathBuf>,
    /// How long it may take to end after SIGTERM, should the runner die.
    pub grace: Duration,
}

/// Why a command didn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is nothing to run.
    #[error("the command is empty")]
    Empty,
    /// An argument can't be handed over.
    #[error("the command has an argument with a NUL character")]
    Nul,
    /// The working folder is missing.
    #[error("working folder `{}` doesn't exist", .0.display())]
    NoWorkdir(PathBuf),
    /// The working folder is something else.
    #[error("working folder `{}` is not a folder", .0.display())]
    WorkdirNotFolder(PathBuf),
    /// The working folder can't be entered.
    #[error("working folder `{}` can't be used: {source}", path.display())]
    Workdir {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No file of this name in the PATH, or at this path.
    #[error("program `{0}` doesn't exist{hint}", hint = not_found_hint(.0))]
    NoProgram(String),
    /// The file is there, but may not be executed.
    #[error("program `{0}` may not be executed")]
    NotExecutable(String),
    /// The arguments are larger than the system allows.
    #[error("the arguments of `{0}` are larger than this system allows")]
    TooLong(String),
    /// The system refuses for another reason.
    #[error("program `{program}` can't be executed: {source}")]
    Exec {
        /// The program.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// The guard couldn't be started.
    #[error("the guard can't be started: {0}")]
    Guard(#[source] io::Error),
    /// The guard ended before the command started.
    #[error("the guard was killed before the command started")]
    GuardKilled,
}

fn not_found_hint(program: &str) -> &'static str {
    if Path::new(program).exists() {
        ", or its interpreter doesn't"
    } else if program.contains('/') {
        ""
    } else {
        " in the PATH"
    }
}

impl StartError {
    /// Whether trying again can help.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Exec { source, .. } | Self::Workdir { source, .. } => match errno(source) {
                Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::TXTBSY) => {
                    FailureClass::Transient
                }
                _ => FailureClass::Permanent,
            },
            Self::Guard(_) | Self::GuardKilled => FailureClass::Transient,
            Self::Empty
            | Self::Nul
            | Self::NoWorkdir(_)
            | Self::WorkdirNotFolder(_)
            | Self::NoProgram(_)
            | Self::NotExecutable(_)
            | Self::TooLong(_) => FailureClass::Permanent,
        }
    }

    fn of_exec(program: &str, number: i32) -> Self {
        let program = collective_core::text::shown(program);
        let source = io::Error::from_raw_os_error(number);
        match errno(&source) {
            Some(Errno::NOENT) => Self::NoProgram(program),
            Some(Errno::ACCESS) => Self::NotExecutable(program),
            Some(Errno::TOOBIG) => Self::TooLong(program),
            _ => Self::Exec { program, source },
        }
    }
}

fn errno(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error)
}

/// What happened to a command.
#[derive(Debug)]
pub enum Happened {
    /// It ended. What it left behind is being ended now; more follows.
    Ended(End),
    /// Nothing of it is left: the last that happens.
    Gone(Gone),
}

/// How the last of a command went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// In order.
    Orderly,
    /// In order, but for so many processes that withstood SIGKILL.
    Left(u64),
    /// Its guard was killed, and what was under guard with it.
    GuardKilled,
}

/// A running command.
#[derive(Debug)]
pub struct Guarded {
    watch: Child,
    reports: Lines<BufReader<OwnedReadHalf>>,
    orders: OwnedWriteHalf,
    mark: String,
    pid: i32,
    grace: Duration,
    /// What it prints.
    pub stdout: Option<ChildStdout>,
    /// What it complains of.
    pub stderr: Option<ChildStderr>,
    watch_ended: bool,
    cleared: Option<u64>,
    give_up_at: Option<tokio::time::Instant>,
}

impl Guarded {
    /// Starts a command under guard; returns once it runs or can't.
    pub async fn start(guard: &Guard, spec: &CommandSpec) -> Result<Self, StartError> {
        let program = check(spec)?;
        let (ours, its) = std::os::unix::net::UnixStream::pair().map_err(StartError::Guard)?;
        ours.set_nonblocking(true).map_err(StartError::Guard)?;
        let mark = format!("{}/{}", guard.run(), Uuid::now_v7());
        let mut watch = spawn_guard(guard, spec, &mark, its.into()).map_err(StartError::Guard)?;
        let stream = UnixStream::from_std(ours).map_err(StartError::Guard)?;
        let (reports, orders) = stream.into_split();
        let mut guarded = Self {
            stdout: watch.stdout.take(),
            stderr: watch.stderr.take(),
            watch,
            reports: BufReader::new(reports).lines(),
            orders,
            mark,
            pid: 0,
            grace: spec.grace,
            watch_ended: false,
            cleared: None,
            give_up_at: None,
        };
        guarded
            .order(&Order::Start {
                argv: spec.argv.clone(),
                grace_ms: millis(spec.grace),
            })
            .await;
        let report = tokio::time::timeout(START_LIMIT, next_report(&mut guarded.reports));
        match report.await.ok().flatten() {
            Some(Report::Started(pid)) => {
                guarded.pid = pid;
                Ok(guarded)
            }
            Some(Report::NotStarted(number)) => Err(StartError::of_exec(program, number)),
            Some(Report::Ended(_) | Report::Cleared(_)) | None => Err(StartError::GuardKilled),
        }
    }

    /// The process id of the command, which is also that of its process group.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The process id of the outer guard.
    pub fn guard_pid(&self) -> Option<u32> {
        self.watch.id()
    }

    /// Asks it to end: SIGTERM to everything at once, SIGKILL after the grace
    /// period. May be called again to shorten the period.
    pub async fn stop(&mut self, grace: Duration) {
        self.order(&Order::Stop {
            grace_ms: millis(grace),
        })
        .await;
        self.expect_end_within(grace);
    }

    /// Waits for what happens next. Safe to drop and call again.
    pub async fn happened(&mut self) -> Happened {
        loop {
            let give_up_at = self.give_up_at;
            tokio::select! {
                report = next_report(&mut self.reports) => match report {
                    Some(Report::Ended(end)) => {
                        // Leftovers get their own, shorter grace.
                        self.expect_end_within(Duration::ZERO);
                        return Happened::Ended(end);
                    }
                    Some(Report::Cleared(left)) => self.cleared = Some(left),
                    Some(Report::Started(_) | Report::NotStarted(_)) => {}
                    // Every guard is gone.
                    None => return Happened::Gone(self.bury().await),
                },
                _ = self.watch.wait(), if !self.watch_ended => {
                    self.watch_ended = true;
                    // An inner guard that has outlived it ends everything now,
                    // as long as there still is one.
                    self.stop(self.grace).await;
                }
                () = tokio::time::sleep_until(give_up_at.unwrap_or_else(tokio::time::Instant::now)),
                    if give_up_at.is_some() =>
                {
                    // A guard that is stopped or hangs is no guard.
                    return Happened::Gone(self.bury().await);
                }
            }
        }
    }

    /// Waits for the end of it all; gives the command's end if it is known.
    pub async fn wait(&mut self) -> (Option<End>, Gone) {
        let mut end = None;
        loop {
            match self.happened().await {
                Happened::Ended(seen) => end = Some(seen),
                Happened::Gone(gone) => return (end, gone),
            }
        }
    }

    async fn order(&mut self, order: &Order) {
        let Ok(mut line) = serde_json::to_vec(order) else {
            return;
        };
        line.push(b'\n');
        // Fails when the guard is gone, which `happened` sees by itself.
        let _ = tokio::time::timeout(GUARD_MARGIN, self.orders.write_all(&line)).await;
    }

    fn expect_end_within(&mut self, grace: Duration) {
        let at = tokio::time::Instant::now() + grace + crate::guard::KILL_LIMIT + GUARD_MARGIN;
        self.give_up_at = Some(self.give_up_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// The guards are gone or to be given up: sees to what is left.
    async fn bury(&mut self) -> Gone {
        match self.cleared {
            Some(0)
                if self
                    .give_up_at
                    .is_none_or(|at| at > tokio::time::Instant::now()) =>
            {
                let _ = self.watch.wait().await;
                Gone::Orderly
            }
            cleared => {
                let mark = self.mark.clone();
                let found = tokio::task::spawn_blocking(move || orphans::kill_marked(&mark)).await;
                let _ = self.watch.start_kill();
                let _ = self.watch.wait().await;
                match (cleared, found) {
                    (None, _) => Gone::GuardKilled,
                    (Some(left), _) => Gone::Left(left),
                }
            }
        }
    }
}

async fn next_report(reports: &mut Lines<BufReader<OwnedReadHalf>>) -> Option<Report> {
    let line = reports.next_line().await.ok()??;
    serde_json::from_str(&line).ok()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// What can be seen to be wrong beforehand; gives the program.
fn check(spec: &CommandSpec) -> Result<&str, StartError> {
    let program = match spec.argv.first() {
        Some(program) if !program.is_empty() => program,
        _ => return Err(StartError::Empty),
    };
    if spec.argv.iter().any(|argument| argument.contains('\0')) {
        return Err(StartError::Nul);
    }
    let path = &spec.workdir;
    match std::fs::metadata(path) {
        Ok(folder) if folder.is_dir() => Ok(program),
        Ok(_) => Err(StartError::WorkdirNotFolder(path.clone())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(StartError::NoWorkdir(path.clone()))
        }
        Err(source) => Err(StartError::Workdir {
            path: path.clone(),
            source,
        }),
    }
}

fn spawn_guard(
    guard: &Guard,
    spec: &CommandSpec,
    mark: &str,
    socket: std::os::fd::OwnedFd,
) -> io::Result<Child> {
    let mut command = Command::new(guard.program());
    command
        .arg0("collective")
        .args(guard.arguments(&spec.label, spec.stdin.as_deref()))
        .current_dir(&spec.workdir)
        .stdin(Stdio::from(socket))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(OUR_PREFIX) {
            command.env_remove(name);
        }
    }
    for name in GIT_LOCATION {
        command.env_remove(name);
    }
    for name in &spec.drop_env {
        command.env_remove(name);
    }
    command.envs(spec.env.iter().map(|(name, value)| (name, value)));
    command.env(MARK, mark);
    command.spawn()
}
