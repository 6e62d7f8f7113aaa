//! The last line against orphans: processes whose guards are dead are found by
//! the mark that they carry in their environment, and killed.
//!
//! Needs `/proc`; elsewhere nothing is found. A process that cleared its
//! environment is out of reach here, but not for a living guard.

use uuid::Uuid;

/// Kills everything that a dead run has left behind; says how many it found.
pub fn kill_run(run: Uuid) -> usize {
    kill(&format!("{run}/"))
}

/// Kills everything under one mark, guards included; says how many it found.
pub(crate) fn kill_marked(mark: &str) -> usize {
    kill(mark)
}

#[cfg(not(target_os = "linux"))]
fn kill(_mark: &str) -> usize {
    0
}

#[cfg(target_os = "linux")]
fn kill(mark: &str) -> usize {
    use rustix::process::{Signal, getpid, kill_process};

    /// Each round finds what was born during the one before.
    const ROUNDS: usize = 200;
    let wanted = format!("{}={mark}", crate::guard::MARK);
    let mut killed = std::collections::HashSet::new();
    for _ in 0..ROUNDS {
        let mut found = false;
        for pid in crate::guard::pids().filter(|pid| *pid != getpid() && has(*pid, &wanted)) {
            found = true;
            killed.insert(pid);
            let _ = kill_process(pid, Signal::KILL);
        }
        if !found {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    killed.len()
}

/// Whether a process was started with a variable that begins like this. A
/// zombie has no environment any more.
#[cfg(target_os = "linux")]
fn has(pid: rustix::process::Pid, wanted: &str) -> bool {
    std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).is_ok_and(|environ| {
        environ
            .split(|byte| *byte == 0)
            .any(|variable| variable.starts_with(wanted.as_bytes()))
    })
}
