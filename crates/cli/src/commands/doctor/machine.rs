//! What can be seen on this machine: the data folder, its files, the disk, git.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use collective_runner::runs::DeadRun;

use super::{Finding, fine, notice, wrong};
use crate::commands::run::WORK_FOLDER;
use crate::connect::ServerArgs;
use crate::errors::CliError;
use crate::folder::DataFolder;
use crate::when;
use crate::work::Book;

/// Less room than this, and writing may soon fail: a day of a busy team's logs and results.
const LITTLE_ROOM: u64 = 1024 * 1024 * 1024;
/// Less room than this, and writing may fail at any moment.
const NO_ROOM: u64 = 64 * 1024 * 1024;
/// How far the clock may differ from what it said when the server started, beside the time that passed.
const CLOCK_TOLERANCE_SECONDS: i64 = 5;

/// Looks.
pub(super) fn look(server: &ServerArgs) -> Result<Vec<Finding>, CliError> {
    let folder = server.folder()?;
    let mut findings = vec![fine("version", env!("CARGO_PKG_VERSION")), git(), presets()];
    if server.named_server().is_some() {
        // The server is elsewhere: what lies on this machine isn't its.
        return Ok(findings);
    }
    if !folder.path().exists() {
        findings.push(notice(
            "folder",
            format!("{} isn't there yet", folder.path().display()),
            "the first `collective up` or `collective run` makes it",
        ));
        return Ok(findings);
    }
    findings.push(private("folder", folder.path(), 0o700));
    if folder.token_file().exists() {
        findings.push(private("token", &folder.token_file(), 0o600));
    } else {
        findings.push(notice(
            "token",
            format!("{} isn't there", folder.token_file().display()),
            "`collective up` makes a new one",
        ));
    }
    findings.push(room(folder.path()));
    findings.extend(kept_worktrees(&folder.path().join(WORK_FOLDER)));
    findings.push(running(&folder));
    Ok(findings)
}

fn git() -> Finding {
    let hint = "install git; agents with a worktree need it";
    match Command::new("git").arg("--version").output() {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            fine(
                "git",
                text.trim().trim_start_matches("git version ").to_owned(),
            )
        }
        Ok(output) => wrong(
            "git",
            format!("`git --version` ends with {}", output.status),
            hint,
        ),
        Err(error) => wrong("git", format!("git doesn't run: {error}"), hint),
    }
}

fn presets() -> Finding {
    match Book::open() {
        Ok(book) => fine("presets", format!("{} known", book.iter().count())),
        Err(error) => {
            let mend = error.hint().unwrap_or_default();
            wrong("presets", error.to_string(), mend)
        }
    }
}

/// Worktrees of runs that are over, kept because something in them couldn't be saved.
fn kept_worktrees(root: &Path) -> Option<Finding> {
    let kept: Vec<_> = DeadRun::find(root)
        .iter()
        .flat_map(DeadRun::worktrees)
        .collect();
    let first = kept.first()?;
    Some(notice(
        "worktrees",
        format!(
            "{} of runs that are over, such as {}",
            kept.len(),
            first.display()
        ),
        "the next run saves their work on branches; see `git worktree list` for what stays",
    ))
}

/// Whether only its owner, who is this user, can use it.
fn private(what: &'static str, path: &Path, mode: u32) -> Finding {
    let shown = path.display();
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            return wrong(
                what,
                format!("{shown}: {error}"),
                "see who owns it, and its mode",
            );
        }
    };
    let me = rustix::process::geteuid().as_raw();
    if metadata.uid() != me {
        return wrong(
            what,
            format!(
                "{shown} belongs to user {}, not to you ({me})",
                metadata.uid()
            ),
            format!("run as its owner, or `chown {me} {shown}`"),
        );
    }
    let actual = metadata.permissions().mode() & 0o777;
    if actual & 0o077 != 0 {
        return wrong(
            what,
            format!("{shown} has mode {actual:03o}: others can use it"),
            format!("chmod {mode:o} {shown}"),
        );
    }
    fine(what, format!("{shown} (mode {actual:03o})"))
}

fn room(path: &Path) -> Finding {
    let stat = match rustix::fs::statvfs(path) {
        Ok(stat) => stat,
        Err(error) => {
            return notice(
                "disk",
                format!("can't be looked at: {error}"),
                "look with `df`",
            );
        }
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let text = format!("{} MiB free at {}", free / (1024 * 1024), path.display());
    let mend = "free some space, or move the folder (--data)";
    match free {
        ..NO_ROOM => wrong("disk", text, mend),
        NO_ROOM..LITTLE_ROOM => notice("disk", text, mend),
        _ => fine("disk", text),
    }
}

/// Whether lock, note and process agree on whether a server runs.
fn running(folder: &DataFolder) -> Finding {
    const WHAT: &str = "lock";
    let held = match lock_is_held(&folder.path().join("lock")) {
        Ok(held) => held,
        Err(error) => {
            return wrong(
                WHAT,
                format!("can't be looked at: {error}"),
                "see who owns the folder",
            );
        }
    };
    let note = match folder.server() {
        Ok(note) => note,
        Err(error) => {
            let mend = error.hint().unwrap_or_default();
            return wrong(WHAT, error.to_string(), mend);
        }
    };
    match (held, note) {
        (false, None) => notice(WHAT, "no server runs on this folder", "collective up"),
        (false, Some(note)) => notice(
            WHAT,
            format!(
                "the last server (process {}) ended without saying so",
                note.pid
            ),
            "`collective up` goes on where it was; nothing acknowledged is lost",
        ),
        (true, None) => notice(
            WHAT,
            "a server holds the folder and doesn't listen yet",
            "it may be starting: look again in a moment",
        ),
        (true, Some(note)) => clock(&note),
    }
}

fn clock(note: &crate::folder::ServerNote) -> Finding {
    let now = when::now();
    let behind = note.started_at.micros() - now.micros();
    if behind > CLOCK_TOLERANCE_SECONDS * 1_000_000 {
        return wrong(
            "clock",
            format!(
                "the server started at {}, which this clock hasn't reached",
                when::local(note.started_at)
            ),
            "set the clock; leases and schedules go by it",
        );
    }
    fine(
        "lock",
        format!("held by the server, process {}, at {}", note.pid, note.url),
    )
}

/// Whether another process holds the lock; taking it is the only way to know.
fn lock_is_held(path: &Path) -> std::io::Result<bool> {
    use rustix::fs::FlockOperation;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    // Shared, so that a server that starts at this moment is the only one that could be kept out, and only for that moment.
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
