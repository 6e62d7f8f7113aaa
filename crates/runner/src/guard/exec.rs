//! The last step to the command: ties its life to the guard's, puts its
//! standard input in place, and becomes it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Standard input is the guard's end of a socket pair. It closes when the
/// command is executed; before that it carries the error, if there is one.
pub(super) fn main(parent: &OsStr, stdin: Option<&Path>, argv: &[OsString]) -> ExitCode {
    // Kept as a copy that closes by itself on exec.
    let Ok(guard) = io::stdin().as_fd().try_clone_to_owned() else {
        return ExitCode::FAILURE;
    };
    let mut guard = UnixStream::from(guard);
    let error = become_command(parent, stdin, argv);
    let number = error.raw_os_error().unwrap_or(0);
    let _ = writeln!(guard, "{number}");
    ExitCode::FAILURE
}

fn become_command(parent: &OsStr, stdin: Option<&Path>, argv: &[OsString]) -> io::Error {
    match prepare(parent, stdin) {
        Err(error) => error,
        Ok(()) => match argv {
            [] => io::ErrorKind::InvalidInput.into(),
            [program, arguments @ ..] => Command::new(program).args(arguments).exec(),
        },
    }
}

fn prepare(parent: &OsStr, stdin: Option<&Path>) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // The guard may have died before the signal was asked for.
    let alive = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
    if alive.as_deref() != parent.to_str() {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    let input = File::open(stdin.unwrap_or(Path::new("/dev/null")))?;
    rustix::stdio::dup2_stdin(input)?;
    Ok(())
}
