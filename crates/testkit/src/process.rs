//! Programs that a test or a benchmark starts: each in a process group of its own, its
//! output in a file, and ended when its owner lets go of it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::iter::successors;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::interrupt;

/// How often a condition is looked at while waiting for it.
const POLL: Duration = Duration::from_millis(2);
/// How often a wait for a program's end looks whether the run was called off.
const LOOK: Duration = Duration::from_millis(100);
/// How long a program may take to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// How much of a program's output an error repeats.
const TAIL_BYTES: usize = 2_000;

/// A running program.
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
    /// What asks this program to end in order.
    stop: Signal,
}

impl Process {
    /// Starts a program whose output goes to `<folder>/<name>.log`.
    pub fn start(
        name: &'static str,
        mut command: Command,
        folder: &Path,
        stop: Signal,
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file =
            File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let errors = file.try_clone().context("cannot share a log file")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name,
            child,
            log,
            stop,
        })
    }

    /// What the program has said so far.
    pub fn output(&self) -> String {
        fs::read(&self.log).map_or_else(
            |_| String::new(),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// Waits until the condition holds; the program ending first is an error.
    pub fn wait_until(
        &mut self,
        limit: Duration,
        mut condition: impl FnMut(&Self) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            interrupt::check()?;
            if condition(self) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended early, {status}: {}", self.name, self.tail());
            }
            if Instant::now() > deadline {
                bail!(
                    "{} is not ready after {limit:?}: {}",
                    self.name,
                    self.tail()
                );
            }
            thread::sleep(POLL);
        }
    }

    /// Waits for a program that ends by itself, and gives what it said.
    pub fn finish(mut self, limit: Duration) -> Result<String> {
        let deadline = Instant::now() + limit;
        let status = loop {
            interrupt::check()?;
            if let Some(status) = self.wait_for_end(Instant::now() + LOOK)? {
                break status;
            }
            if Instant::now() > deadline {
                bail!("{} is not done after {limit:?}: {}", self.name, self.tail());
            }
        };
        if !status.success() {
            bail!("{} failed, {status}: {}", self.name, self.tail());
        }
        Ok(self.output())
    }

    fn wait_for_end(&mut self, deadline: Instant) -> Result<Option<ExitStatus>> {
        loop {
            let status = self
                .child
                .try_wait()
                .with_context(|| format!("wait for {}", self.name))?;
            if status.is_some() || Instant::now() > deadline {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
    }

    fn tail(&self) -> String {
        let output = self.output();
        let start = output.len().saturating_sub(TAIL_BYTES);
        let start = (start..output.len())
            .find(|at| output.is_char_boundary(*at))
            .unwrap_or(0);
        output[start..].trim().to_owned()
    }

    /// Kills it (SIGKILL) with everything it started, without asking.
    pub fn kill(mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process_group(pid, Signal::KILL);
            let _ = self.child.wait();
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }
}

/// Asks the program to end, then ends what is left of its group. Errors mean
/// that it is gone already.
impl Drop for Process {
    fn drop(&mut self) {
        let Some(pid) = self.pid() else { return };
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(pid, self.stop);
            let _ = self.wait_for_end(Instant::now() + GRACE);
        }
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Runs a short command to its end; a failure repeats what it said.
pub fn run(mut command: Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let answer = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if !answer.status.success() {
        let said = String::from_utf8_lossy(&answer.stderr);
        bail!("{program} failed, {}: {}", answer.status, said.trim());
    }
    String::from_utf8(answer.stdout).with_context(|| format!("{program} said no text"))
}

/// A port on the loopback interface that nobody uses at the moment.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// CPU time of a process so far: `self`, or its id.
pub fn cpu_time(process: &str) -> Result<Duration> {
    Ok(Stat::read(process)?.own)
}

/// CPU time of a process and of all below it so far, of those included that
/// have ended.
pub fn cpu_time_of_tree(root: u32) -> Result<Duration> {
    let mut all = HashMap::new();
    for entry in fs::read_dir("/proc").context("cannot list the processes")? {
        let name = entry?.file_name();
        // A process may end while it is looked at.
        if let Some(id) = name.to_str().and_then(|name| name.parse::<u32>().ok())
            && let Ok(stat) = Stat::read(&id.to_string())
        {
            all.insert(id, stat);
        }
    }
    let is_below = |id: u32| {
        let mut parents = successors(Some(id), |id| all.get(id).map(|stat| stat.parent));
        parents.any(|parent| parent == root)
    };
    let below = all.iter().filter(|(id, _)| is_below(**id));
    Ok(below.map(|(_, stat)| stat.own + stat.ended).sum())
}

/// What the kernel tells of a process.
struct Stat {
    parent: u32,
    /// CPU time of the process itself.
    own: Duration,
    /// That of its children that have ended and were waited for.
    ended: Duration,
}

impl Stat {
    fn read(process: &str) -> Result<Self> {
        /// The kernel counts in these for programs, whatever its own clock.
        const TICK: Duration = Duration::from_millis(10);
        /// Where the fields begin that are read here, after the name.
        const PARENT: usize = 1;
        const TIMES: usize = 11;
        let stat = read_text(Path::new(&format!("/proc/{process}/stat")))?;
        // The name stands in brackets and may hold spaces.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().collect())
            .unwrap_or_default();
        let number = |at: usize| -> Result<u32> {
            fields
                .get(at)
                .and_then(|field| field.parse().ok())
                .with_context(|| format!("/proc/{process}/stat has no field {at}"))
        };
        Ok(Self {
            parent: number(PARENT)?,
            own: TICK * (number(TIMES)? + number(TIMES + 1)?),
            ended: TICK * (number(TIMES + 2)? + number(TIMES + 3)?),
        })
    }
}

/// Reads a small file of the system, such as those in `/proc`.
pub fn read_text(path: &Path) -> Result<String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|mut file| file.read_to_string(&mut text))
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}
