//! Everything that descends from this process: finding it, signalling it, reaping it.
//!
//! A guard is a child subreaper, so whatever its command starts stays its
//! descendant, however often it forks or changes its session. On systems
//! without subreapers only the command's process group is reached.

use std::collections::HashSet;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

/// A process as `/proc` shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    parent: i32,
    group: i32,
    /// Start time since boot, in clock ticks; tells a reused pid from the old one.
    started: u64,
    zombie: bool,
}

/// Makes this process adopt the orphans among its descendants.
pub(crate) fn adopt_orphans() -> rustix::io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// What one look at the children gives.
pub(crate) enum Reaped {
    /// A child ended.
    Child(Pid, WaitStatus),
    /// Children live, none has ended since.
    NoneYet,
    /// No child is left, hence no descendant either.
    Childless,
}

/// Takes the status of one child that ended.
pub(crate) fn reap() -> Reaped {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => return Reaped::Child(pid, status),
            Ok(None) => return Reaped::NoneYet,
            Err(Errno::INTR) => {}
            Err(_) => return Reaped::Childless,
        }
    }
}

/// Takes the status of every child that ended, and forgets them in `struck`; says
/// whether none is left.
pub(crate) fn reap_all(struck: &mut HashSet<i32>) -> bool {
    loop {
        match reap() {
            Reaped::Child(pid, _) => drop(struck.remove(&pid.as_raw_nonzero().get())),
            Reaped::NoneYet => return false,
            Reaped::Childless => return true,
        }
    }
}

/// Kills the children of this thread that aren't in `struck` yet; says whether
/// there were any. A child that isn't reaped keeps its number, so that no other
/// process can be hit.
pub(crate) fn strike_children(struck: &mut HashSet<i32>) -> bool {
    // proc_pid_children(5): much quicker than a look at every process.
    let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    let mut any = false;
    for number in children.split_ascii_whitespace() {
        if let Ok(number) = number.parse()
            && struck.insert(number)
            && let Some(pid) = Pid::from_raw(number)
        {
            any = true;
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
    any
}

/// Sends a signal to the group of `leader` at once and to every other
/// descendant of this process one by one, each exactly once. `leader` must be a
/// child that isn't reaped yet, so that its number can't belong to another group.
pub(crate) fn signal_all(leader: Option<Pid>, signal: Signal) {
    if let Some(leader) = leader {
        // Fails when the group is gone, which is what is wanted.
        let _ = rustix::process::kill_process_group(leader, signal);
    }
    let spared = leader.map_or(0, |leader| leader.as_raw_nonzero().get());
    for process in descendants(rustix::process::getpid()) {
        if process.group != spared && !process.zombie {
            process.signal(signal);
        }
    }
}

/// How many descendants of this process are alive.
pub(crate) fn alive() -> usize {
    descendants(rustix::process::getpid())
        .iter()
        .filter(|process| !process.zombie)
        .count()
}

impl Process {
    /// Signals this process and no other that got its number since.
    fn signal(self, signal: Signal) {
        #[cfg(target_os = "linux")]
        {
            use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
            match pidfd_open(self.pid, PidfdFlags::empty()) {
                Ok(handle) => {
                    if look_at(self.pid).is_some_and(|now| now.started == self.started) {
                        let _ = pidfd_send_signal(&handle, signal);
                    }
                    return;
                }
                Err(Errno::NOSYS | Errno::PERM) => {}
                Err(_) => return,
            }
        }
        let _ = rustix::process::kill_process(self.pid, signal);
    }
}

/// Every process below `root`, from one pass over `/proc`.
fn descendants(root: Pid) -> Vec<Process> {
    let all = processes();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![root.as_raw_nonzero().get()];
    // Every round takes the children of one process, so it ends with the tree.
    while let Some(parent) = parents.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            found.push(*process);
            parents.push(process.pid.as_raw_nonzero().get());
        }
    }
    found
}

#[cfg(not(target_os = "linux"))]
fn processes() -> Vec<Process> {
    Vec::new()
}

/// Every process of this machine (of this PID namespace).
#[cfg(target_os = "linux")]
fn processes() -> Vec<Process> {
    pids().filter_map(look_at).collect()
}

/// The numbers of all processes.
#[cfg(target_os = "linux")]
pub(crate) fn pids() -> impl Iterator<Item = Pid> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
}

/// Reads `/proc/PID/stat` (proc_pid_stat(5)). The program's name stands in
/// parentheses and may hold anything, so fields are counted from the last one.
#[cfg(target_os = "linux")]
fn look_at(pid: Pid) -> Option<Process> {
    let stat = std::fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let fields = std::str::from_utf8(&stat[after_name..]).ok()?;
    let mut fields = fields.split_ascii_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let started = fields.nth(16)?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        group,
        started,
        zombie,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_with_its_parent_and_group() {
        let me = look_at(rustix::process::getpid()).unwrap();
        let parent = rustix::process::getppid().unwrap();
        assert_eq!(me.parent, parent.as_raw_nonzero().get());
        assert_eq!(me.group, rustix::process::getpgrp().as_raw_nonzero().get());
        assert!(!me.zombie && me.started > 0);
    }

    #[test]
    fn a_child_is_a_descendant_until_it_is_reaped() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let mine = || {
            descendants(rustix::process::getpid())
                .iter()
                .any(|process| process.pid == pid)
        };
        assert!(mine());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!mine());
    }
}
