//! The inner guard: starts the command, reports how it ends, and ends whatever
//! it leaves behind.

use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitStatus};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::family::{self, Reaped};
use super::wire::{End, MAX_LINE, Order, Report};
use super::{Interruptions, NO_PATH, SUBCOMMAND, extinguish, runtime, this_binary};

/// How long what a command leaves behind may take to end after the command itself did.
const LEFTOVER_GRACE: Duration = Duration::from_secs(2);

pub(super) fn main(lock: Option<&Path>, stdin: Option<&Path>) -> ExitCode {
    let keep = || -> io::Result<()> {
        family::adopt_orphans()?;
        // Held to the end; whoever wants to clean up after this run waits for it.
        let _lock = lock.map(hold).transpose()?;
        runtime()?.block_on(keep(stdin))
    };
    match keep() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn hold(path: &Path) -> io::Result<OwnedFd> {
    let file = std::fs::File::open(path)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared)?;
    Ok(file.into())
}

async fn keep(stdin: Option<&Path>) -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    socket.set_nonblocking(true)?;
    let (orders, reports) = tokio::net::UnixStream::from_std(socket)?.into_split();
    let mut runner = Runner {
        orders: tokio::io::BufReader::new(orders.take(MAX_LINE)),
        line: Vec::new(),
        reports: Some(reports),
    };
    let mut ended = signal(SignalKind::child())?;
    let mut interruptions = Interruptions::new()?;
    let Some(Order::Start { argv, grace_ms }) = runner.order().await else {
        return Ok(());
    };
    let leader = match start(&argv, stdin)? {
        Ok(leader) => leader,
        Err(number) => {
            runner.report(&Report::NotStarted(number)).await;
            return Ok(());
        }
    };
    runner
        .report(&Report::Started(leader.as_raw_nonzero().get()))
        .await;
    let mut family = Family {
        leader: Some(leader),
        kill_at: None,
    };
    let grace = Duration::from_millis(grace_ms);
    let mut connected = true;
    loop {
        loop {
            match family::reap() {
                Reaped::Child(pid, status) => {
                    if let Some(end) = family.buried(pid, status) {
                        runner.report(&Report::Ended(end)).await;
                    }
                }
                Reaped::NoneYet => {
                    if family.leader.is_none() {
                        family.stop(LEFTOVER_GRACE);
                    }
                    break;
                }
                Reaped::Childless => {
                    runner.report(&Report::Cleared(0)).await;
                    return Ok(());
                }
            }
        }
        let kill_at = family.kill_at;
        tokio::select! {
            _ = ended.recv() => {}
            order = runner.order(), if connected => match order {
                Some(Order::Stop { grace_ms }) => family.stop(Duration::from_millis(grace_ms)),
                Some(Order::Start { .. }) => {}
                None => {
                    connected = false;
                    family.stop(grace);
                }
            },
            () = interruptions.next() => family.stop(grace),
            () = tokio::time::sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => break,
        }
    }
    if let Some(leader) = family.leader {
        // Taken out of `extinguish`'s hands, since its end is to be reported.
        family::signal_all(Some(leader), Signal::KILL);
        let end = last_moments(leader).await;
        runner.report(&Report::Ended(end)).await;
    }
    let left = extinguish().await;
    runner.report(&Report::Cleared(left)).await;
    Ok(())
}

/// Waits for a command that got SIGKILL.
async fn last_moments(leader: Pid) -> End {
    let deadline = Instant::now() + super::KILL_LIMIT;
    while Instant::now() < deadline {
        match family::reap() {
            Reaped::Child(pid, status) if pid == leader => return end_of(status),
            Reaped::Child(..) => {}
            Reaped::NoneYet => tokio::time::sleep(super::KILL_INTERVAL).await,
            Reaped::Childless => break,
        }
    }
    End::Signal(Signal::KILL.as_raw())
}

/// The command and all that it started.
struct Family {
    /// The command, until it is reaped.
    leader: Option<Pid>,
    /// When SIGKILL follows, once SIGTERM was sent.
    kill_at: Option<Instant>,
}

impl Family {
    /// Notes that a child is gone; gives its end if it was the command.
    fn buried(&mut self, pid: Pid, status: WaitStatus) -> Option<End> {
        (self.leader == Some(pid)).then(|| {
            self.leader = None;
            end_of(status)
        })
    }

    /// Asks everything to end, and sets the time after which it isn't asked any more.
    fn stop(&mut self, grace: Duration) {
        let at = Instant::now() + grace;
        match self.kill_at {
            Some(earlier) => self.kill_at = Some(earlier.min(at)),
            None => {
                self.kill_at = Some(at);
                family::signal_all(self.leader, Signal::TERM);
            }
        }
    }
}

fn end_of(status: WaitStatus) -> End {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => End::Code(code),
        (None, Some(number)) => End::Signal(number),
        // Stopped or continued isn't asked for, so it can't be reaped.
        (None, None) => End::Code(0),
    }
}

/// Starts the command by way of the `exec` stage; gives its process id, or the
/// system's error number if it can't be executed.
fn start(argv: &[String], stdin: Option<&Path>) -> io::Result<Result<Pid, i32>> {
    let (mine, its) = UnixStream::pair()?;
    let stdin = stdin.map_or(NO_PATH.as_ref(), Path::as_os_str);
    let me = rustix::process::getpid().as_raw_nonzero().to_string();
    let spawned = Command::new(this_binary())
        .arg0("collective")
        .args([SUBCOMMAND, "exec", &me])
        .arg(stdin)
        .args(argv)
        .stdin(Stdio::from(OwnedFd::from(its)))
        .process_group(0)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        // Most likely the arguments are too long for the system (E2BIG).
        Err(error) => return Ok(Err(error.raw_os_error().unwrap_or(0))),
    };
    let mut error = String::new();
    BufReader::new(mine.take(16)).read_line(&mut error)?;
    if error.is_empty() {
        return Ok(Ok(Pid::from_child(&child)));
    }
    child.wait()?;
    Ok(Err(error.trim().parse().unwrap_or(0)))
}

/// The runner, as far as it is still there.
struct Runner {
    orders: tokio::io::BufReader<tokio::io::Take<OwnedReadHalf>>,
    /// What of a line has come so far; kept here so that no byte is lost when
    /// something else happens first.
    line: Vec<u8>,
    reports: Option<OwnedWriteHalf>,
}

impl Runner {
    /// The next order; nothing when the runner is gone or talks nonsense.
    async fn order(&mut self) -> Option<Order> {
        self.orders.get_mut().set_limit(MAX_LINE);
        self.orders.read_until(b'\n', &mut self.line).await.ok()?;
        let order = serde_json::from_slice(&self.line).ok();
        self.line.clear();
        order
    }

    /// Tells the runner, if it listens. A report is far smaller than a socket's
    /// buffer, so this can't block for long on a runner that doesn't read.
    async fn report(&mut self, report: &Report) {
        let Some(reports) = &mut self.reports else {
            return;
        };
        let Ok(mut line) = serde_json::to_vec(report) else {
            return;
        };
        line.push(b'\n');
        if reports.write_all(&line).await.is_err() {
            self.reports = None;
        }
    }
}
