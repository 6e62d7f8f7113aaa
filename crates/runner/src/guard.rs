//! The guard: the processes between the runner and a command, which see to it
//! that nothing of the command outlives it, whoever dies.
//!
//! The runner never starts a command itself. It re-executes its own binary
//! three times over:
//!
//! ```text
//! runner ── watch ── keep ── command ── whatever the command starts
//!    └── one socket pair ──┘
//! ```
//!
//! - **keep** starts the command in a process group of its own, adopts every
//!   orphan below it (child subreaper, prctl(2)), and ends them all (SIGTERM,
//!   grace period, SIGKILL) when the command has ended, when the runner says
//!   so, or when the runner's end of the socket closes, which the kernel does
//!   even if the runner is killed.
//! - **watch** waits for *keep*. If *keep* is killed, *watch* adopts what it
//!   had, and kills it. If *watch* is killed, the runner sees it and tells *keep*.
//! - The command gets SIGKILL from the kernel if *keep* dies (parent-death
//!   signal), so that a blow to all three processes stops it too; what it had
//!   started is then found by its mark (see [`crate::orphans`]).
//!
//! Neither keeps state on disk, and neither knows anything of tasks or servers.
//! Where there are no subreapers (not Linux), the process group and the socket remain.

mod exec;
mod family;
mod keep;
mod watch;
pub(crate) mod wire;

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[cfg(target_os = "linux")]
pub(crate) use family::pids;
pub use wire::End;

/// The hidden subcommand of the binary that [`main`] is behind.
pub const SUBCOMMAND: &str = "__guard";

/// Set in the environment of everything under a guard: `RUN/ATTEMPT`, two UUIDs.
pub const MARK: &str = "COLLECTIVE_GUARD";

/// Stands for "no path" among the arguments.
const NO_PATH: &str = "-";

/// How to start a guard: which binary plays it, and for which run.
#[derive(Clone, Debug)]
pub struct Guard {
    program: PathBuf,
    subcommand: Vec<OsString>,
    run: uuid::Uuid,
    lock: Option<PathBuf>,
}

impl Guard {
    /// This binary as guard, by [`SUBCOMMAND`]. `run` marks everything that is
    /// started, so that a later run can find what this one left behind.
    pub fn this_binary(run: uuid::Uuid) -> Self {
        Self {
            program: this_binary(),
            subcommand: vec![SUBCOMMAND.into()],
            run,
            lock: None,
        }
    }

    /// Each guard holds a shared lock on this file as long as it lives.
    #[must_use]
    pub fn holding(mut self, lock: impl Into<PathBuf>) -> Self {
        self.lock = Some(lock.into());
        self
    }

    /// The run that it marks its processes with.
    pub fn run(&self) -> uuid::Uuid {
        self.run
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    pub(crate) fn arguments(&self, label: &str, stdin: Option<&Path>) -> Vec<OsString> {
        let path = |path: Option<&Path>| path.map_or(NO_PATH.into(), |path| path.into());
        let mut arguments = self.subcommand.clone();
        arguments.extend([
            "watch".into(),
            label.into(),
            path(self.lock.as_deref()),
            path(stdin),
        ]);
        arguments
    }
}

/// The file of this binary; after an upgrade has replaced it, the link to the
/// old one that Linux keeps.
pub(crate) fn this_binary() -> PathBuf {
    match std::env::current_exe() {
        Ok(path) if path.exists() => path,
        _ => PathBuf::from("/proc/self/exe"),
    }
}

/// What the binary does for the arguments after [`SUBCOMMAND`]. To be called
/// first in `main`, before any thread or runtime is started.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let stage = arguments.first().and_then(|stage| stage.to_str());
    match (stage, arguments.get(1..).unwrap_or_default()) {
        (Some("watch"), [label, lock, stdin]) => watch::main(label, lock, stdin),
        (Some("keep"), [_, lock, stdin]) => keep::main(some_path(lock), some_path(stdin)),
        (Some("exec"), [parent, stdin, argv @ ..]) => exec::main(parent, some_path(stdin), argv),
        _ => {
            eprintln!("`{SUBCOMMAND}` is how collective guards the commands of agents;");
            eprintln!("it isn't meant to be called by people.");
            ExitCode::from(64)
        }
    }
}

fn some_path(argument: &std::ffi::OsStr) -> Option<&Path> {
    (argument != NO_PATH).then(|| Path::new(argument))
}

/// A runtime on this thread alone: the parent-death signal belongs to the
/// thread that starts the child, so it must be the one that lives longest.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// The signals that someone may send to a guard, as one stream. They are
/// handled, not ignored, because what is ignored stays ignored in the command.
struct Interruptions {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Interruptions {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

/// Kills every descendant with SIGKILL until none is left, and says how many
/// withstood it for longer than [`KILL_LIMIT`].
async fn extinguish() -> u64 {
    let deadline = tokio::time::Instant::now() + KILL_LIMIT;
    let mut struck = HashSet::new();
    loop {
        if family::reap_all(&mut struck) {
            return 0;
        }
        if tokio::time::Instant::now() >= deadline {
            return family::alive() as u64;
        }
        family::signal_all(None, rustix::process::Signal::KILL);
        // Processes that do nothing but start the next one are gone before a look
        // at everything finds them. Each becomes a child of this process, though,
        // and those are seen at once.
        let mut quiet_looks = 0;
        while quiet_looks < QUIET_LOOKS && tokio::time::Instant::now() < deadline {
            if family::strike_children(&mut struck) {
                quiet_looks = 0;
            } else {
                quiet_looks += 1;
            }
            if family::reap_all(&mut struck) {
                return 0;
            }
            std::thread::yield_now();
        }
        tokio::time::sleep(KILL_INTERVAL).await;
    }
}

/// After so many looks without a new child, nobody replaces himself.
const QUIET_LOOKS: u32 = 20;

/// A process that withstands SIGKILL this long hangs in the kernel (a dead
/// network mount); a slot must not wait for it for ever.
pub(crate) const KILL_LIMIT: std::time::Duration = std::time::Duration::from_secs(10);

/// How often SIGKILL is repeated, for processes that are just being born.
const KILL_INTERVAL: std::time::Duration = std::time::Duration::from_millis(5);
