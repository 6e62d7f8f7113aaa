//! The outer guard: waits for *keep*, and buries what a killed *keep* leaves.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::process::Pid;
use tokio::signal::unix::{SignalKind, signal};

use super::family::{self, Reaped};
use super::{Interruptions, SUBCOMMAND, extinguish, runtime, this_binary};

pub(super) fn main(label: &OsStr, lock: &OsStr, stdin: &OsStr) -> ExitCode {
    // A session of its own: no terminal's Ctrl-C reaches the command past the
    // runner, and nothing in it can ask for a password on the terminal.
    let _ = rustix::process::setsid();
    let watch = || -> std::io::Result<ExitCode> {
        family::adopt_orphans()?;
        runtime()?.block_on(watch(label, lock, stdin))
    };
    watch().unwrap_or(ExitCode::FAILURE)
}

async fn watch(label: &OsStr, lock: &OsStr, stdin: &OsStr) -> std::io::Result<ExitCode> {
    let mut ended = signal(SignalKind::child())?;
    let mut interruptions = Interruptions::new()?;
    // The standard streams pass through: the socket, and the command's output.
    let child = Command::new(this_binary())
        .arg0("collective")
        .args([OsStr::new(SUBCOMMAND), OsStr::new("keep")])
        .args([label, lock, stdin])
        .spawn()?;
    let keep = Pid::from_child(&child);
    loop {
        loop {
            match family::reap() {
                Reaped::Child(pid, status) if pid == keep => {
                    let orderly = status.exit_status() == Some(0);
                    let left = extinguish().await;
                    let code = if orderly && left == 0 { 0 } else { 1 };
                    return Ok(ExitCode::from(code));
                }
                Reaped::Child(..) => {}
                Reaped::NoneYet => break,
                Reaped::Childless => return Ok(ExitCode::FAILURE),
            }
        }
        tokio::select! {
            _ = ended.recv() => {}
            // *keep* gets the same signal or the runner's order; until it is
            // done, this process is still needed.
            () = interruptions.next() => {}
        }
    }
}
