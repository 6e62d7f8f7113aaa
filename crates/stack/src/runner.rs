//! The only place where processes are started.
//!
//! Every call has a limit in time, and what is kept of its words has a limit in
//! size. Whoever changes their mind ends what runs by one switch.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::call::Call;
use crate::error::StackError;

/// How often it is seen whether a call has ended.
const GLANCE: Duration = Duration::from_millis(10);
/// How long a stream may be silent before the limits are looked at.
const PATIENCE: Duration = Duration::from_millis(200);
/// Bytes that are passed on at once, and how many times that waits in between.
const CHUNK: usize = 128 * 1024;
const CHUNKS_AHEAD: usize = 8;
/// Most bytes that are kept of one stream: `docker inspect` of a large stack is 1 MB.
const MAX_KEPT: usize = 64 << 20;
/// Most characters of a complaint that an error repeats.
const MAX_SAID: usize = 2_000;

/// How a call ended, and what it said.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Ran {
    /// Whether it went well.
    pub fn is_good(&self) -> bool {
        self.code == Some(0)
    }

    /// What it complained of: standard error, else standard output.
    pub fn said(&self) -> String {
        let stderr = self.stderr.trim();
        let text = if stderr.is_empty() {
            self.stdout.trim()
        } else {
            stderr
        };
        ending_of(text)
    }
}

/// Whom a call is told to before it changes something.
pub type Tell = Box<dyn Fn(&Call) + Send + Sync>;

/// Starts calls.
pub struct Runner {
    tell: Tell,
    dry: bool,
    stop: Arc<AtomicBool>,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("dry", &self.dry)
            .finish_non_exhaustive()
    }
}

impl Runner {
    /// One that tells each call that changes something, and carries it out
    /// unless it is `dry`.
    pub fn new(dry: bool, tell: Tell) -> Self {
        Self {
            tell,
            dry,
            stop: Arc::default(),
        }
    }

    /// What ends everything here when it becomes true: a person changed their
    /// mind. What runs in the foreground hears of it by itself.
    pub fn stop_switch(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Goes on, unless everything is to end.
    pub(crate) fn go_on(&self) -> Result<(), StackError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(StackError::Interrupted);
        }
        Ok(())
    }

    /// Whether calls that change something are only told.
    pub fn is_dry(&self) -> bool {
        self.dry
    }

    /// Carries out a call that changes nothing, without a word. A bad exit code
    /// is for the caller to judge.
    pub fn look(&self, call: &Call) -> Result<Ran, StackError> {
        let mut child = start(
            call,
            call.command().stdout(Stdio::piped()).stderr(Stdio::piped()),
        )?;
        let stdout = keep(child.stdout.take());
        let stderr = keep(child.stderr.take());
        let status = self.wait(&mut child, call.limit);
        self.go_on()?;
        let ran = |code| Ran {
            code,
            stdout: kept(stdout),
            stderr: kept(stderr),
        };
        match status {
            Ok(Some(status)) => Ok(ran(status.code())),
            Ok(None) => Err(StackError::TimedOut {
                call: call.to_string(),
                seconds: call.limit.as_secs(),
                said: ran(None).said(),
            }),
            Err(source) => Err(not_started(call, source)),
        }
    }

    /// The same, where only success helps: its standard output.
    pub fn ask(&self, call: &Call) -> Result<String, StackError> {
        let ran = self.look(call)?;
        if ran.is_good() {
            return Ok(ran.stdout);
        }
        Err(failed(call, &ran))
    }

    /// Tells a call and carries it out; its words go where ours go. Without a
    /// limit in time: a build or an attached stack ends when it ends.
    pub fn act(&self, call: &Call) -> Result<(), StackError> {
        self.go_on()?;
        (self.tell)(call);
        if self.dry {
            return Ok(());
        }
        let mut child = start(call, &mut call.command())?;
        let status = child.wait().map_err(|source| not_started(call, source))?;
        self.go_on()?;
        if status.success() {
            return Ok(());
        }
        Err(StackError::Failed {
            call: call.to_string(),
            ending: ending(status.code()),
            said: String::new(),
        })
    }

    /// Tells a call and carries it out within its limit; what it says is only
    /// repeated if it fails.
    pub(crate) fn change(&self, call: &Call) -> Result<(), StackError> {
        self.go_on()?;
        (self.tell)(call);
        if self.dry {
            return Ok(());
        }
        self.ask(call).map(drop)
    }

    /// Carries out a call that puts something back as it was, whatever happened
    /// before. What it says helps nobody any more.
    pub(crate) fn restore(&self, call: &Call) {
        let mut command = call.command();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let _ = command.status();
    }

    /// Carries out a call and passes its standard output on, as it comes. Good
    /// is what ended well and was taken whole; the answer is standard error.
    pub(crate) fn pour(&self, call: &Call, sink: &mut dyn Write) -> Result<String, StackError> {
        let mut child = start(
            call,
            call.command().stdout(Stdio::piped()).stderr(Stdio::piped()),
        )?;
        let stderr = keep(child.stderr.take());
        let chunks = chunks_of(child.stdout.take());
        let deadline = Instant::now() + call.limit;
        let mut taken = Ok(());
        let mut is_late = false;
        loop {
            match chunks.recv_timeout(PATIENCE) {
                Ok(chunk) => taken = sink.write_all(&chunk),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            is_late = Instant::now() > deadline;
            if taken.is_err() || is_late || self.go_on().is_err() {
                // It may have ended by itself in between.
                let _ = child.kill();
                break;
            }
        }
        drop(chunks);
        let status = child.wait().map_err(|source| not_started(call, source))?;
        let ran = Ran {
            code: status.code(),
            stdout: String::new(),
            stderr: kept(stderr),
        };
        self.go_on()?;
        taken.map_err(|source| StackError::Stream {
            call: call.to_string(),
            source,
        })?;
        if is_late {
            return Err(StackError::TimedOut {
                call: call.to_string(),
                seconds: call.limit.as_secs(),
                said: ran.said(),
            });
        }
        if !ran.is_good() {
            return Err(failed(call, &ran));
        }
        Ok(ran.stderr)
    }

    /// Carries out a call and gives it what is read, whole, on standard input.
    pub(crate) fn feed(
        &self,
        call: &Call,
        source: &mut (dyn Read + Send),
    ) -> Result<String, StackError> {
        let mut command = call.command();
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|source| not_started(call, source))?;
        let stdout = keep(child.stdout.take());
        let stderr = keep(child.stderr.take());
        let stdin = child.stdin.take();
        let (given, status) = std::thread::scope(|scope| {
            let writer = scope.spawn(move || match stdin {
                Some(mut stdin) => io::copy(source, &mut stdin).map(drop),
                None => Ok(()),
            });
            let status = self.wait(&mut child, call.limit);
            let given = writer
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the writer broke off")));
            (given, status)
        });
        self.go_on()?;
        let ran = |code| Ran {
            code,
            stdout: kept(stdout),
            stderr: kept(stderr),
        };
        match status.map_err(|source| not_started(call, source))? {
            None => Err(StackError::TimedOut {
                call: call.to_string(),
                seconds: call.limit.as_secs(),
                said: ran(None).said(),
            }),
            Some(status) => {
                let ran = ran(status.code());
                if !ran.is_good() {
                    return Err(failed(call, &ran));
                }
                given.map_err(|source| StackError::Stream {
                    call: call.to_string(),
                    source,
                })?;
                Ok(ran.stdout)
            }
        }
    }

    /// Waits; `None` says that the time was over, or everything is to end, and
    /// that the process was killed.
    fn wait(&self, child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() > deadline || self.go_on().is_err() {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            std::thread::sleep(GLANCE);
        }
    }
}

fn start(call: &Call, command: &mut Command) -> Result<Child, StackError> {
    command.stdin(match call.input {
        Some(_) => Stdio::piped(),
        None => Stdio::null(),
    });
    let mut child = command
        .spawn()
        .map_err(|source| not_started(call, source))?;
    if let (Some(input), Some(mut stdin)) = (&call.input, child.stdin.take()) {
        // A process that doesn't want it says so by its exit code. What is given
        // is a password or a page of a program, which no pipe is too small for.
        let _ = stdin.write_all(input.reveal().as_bytes());
    }
    Ok(child)
}

fn failed(call: &Call, ran: &Ran) -> StackError {
    StackError::Failed {
        call: call.to_string(),
        ending: ending(ran.code),
        said: ran.said(),
    }
}

/// What a stream gives, chunk by chunk, a few of them ahead.
fn chunks_of(stream: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(CHUNKS_AHEAD);
    std::thread::spawn(move || {
        let Some(mut stream) = stream else { return };
        let mut chunk = vec![0; CHUNK];
        // An error ends the stream; the exit code says whether that was its end.
        while let Ok(count @ 1..) = stream.read(&mut chunk) {
            if sender.send(chunk[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

fn not_started(call: &Call, source: io::Error) -> StackError {
    StackError::NotStarted {
        program: call.program.clone(),
        source,
    }
}

fn keep(stream: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read up to an error is all there is.
            let _ = (&mut stream).take(MAX_KEPT as u64).read_to_end(&mut bytes);
            let _ = io::copy(&mut stream, &mut io::sink());
        }
        bytes
    })
}

fn kept(reader: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}

fn ending(code: Option<i32>) -> String {
    match code {
        Some(code) => format!("exit code {code}"),
        None => "ended by a signal".to_owned(),
    }
}

/// The end of a long text, which is where programs say what went wrong.
fn ending_of(text: &str) -> String {
    let count = text.chars().count();
    if count <= MAX_SAID {
        return text.to_owned();
    }
    let rest: String = text.chars().skip(count - MAX_SAID).collect();
    format!("… {rest}")
}

/// Whether a program is on the PATH.
pub(crate) fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(OsStr::new(program)).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner() -> Runner {
        Runner::new(false, Box::new(|_| {}))
    }

    #[test]
    fn what_a_call_says_is_kept_with_its_exit_code() {
        let call = Call::new("sh").args(["-c", "echo out; echo bad >&2; exit 3"]);
        let ran = runner().look(&call).unwrap();
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), "out\n"));
        assert_eq!(ran.said(), "bad");
        let refused = runner().ask(&call).unwrap_err();
        assert!(
            refused.to_string().ends_with("failed (exit code 3): bad"),
            "{refused}"
        );
    }

    #[test]
    fn a_call_that_hangs_is_ended() {
        let call = Call::new("sleep")
            .arg("600")
            .limit(Duration::from_millis(100));
        let error = runner().look(&call).unwrap_err();
        assert!(matches!(error, StackError::TimedOut { .. }), "{error}");
    }

    #[test]
    fn what_streams_through_arrives_whole_or_is_an_error() {
        let mut sink = Vec::new();
        let call = Call::new("sh").args(["-c", "head -c 300000 /dev/zero; echo note >&2"]);
        assert_eq!(runner().pour(&call, &mut sink).unwrap(), "note\n");
        assert_eq!(sink.len(), 300_000);
        let broken = Call::new("sh").args(["-c", "echo half; exit 1"]);
        assert!(matches!(
            runner().pour(&broken, &mut Vec::new()),
            Err(StackError::Failed { .. })
        ));
        let hangs = Call::new("sleep")
            .arg("600")
            .limit(Duration::from_millis(100));
        assert!(matches!(
            runner().pour(&hangs, &mut Vec::new()),
            Err(StackError::TimedOut { .. })
        ));
        let mut source: &[u8] = &[b'x'; 200_000];
        let counted = runner()
            .feed(&Call::new("wc").arg("-c"), &mut source)
            .unwrap();
        assert_eq!(counted.trim(), "200000");
    }

    #[test]
    fn a_disk_that_is_full_ends_the_stream_and_whoever_gives_it() {
        let mut full = std::fs::File::create("/dev/full").unwrap();
        let endless = Call::new("cat").arg("/dev/zero");
        let error = runner().pour(&endless, &mut full).unwrap_err();
        let StackError::Stream { source, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_switch_ends_what_runs() {
        let runner = runner();
        let stop = runner.stop_switch();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            stop.store(true, Ordering::Relaxed);
        });
        let call = Call::new("sleep").arg("600");
        assert!(matches!(runner.look(&call), Err(StackError::Interrupted)));
        assert!(matches!(runner.look(&call), Err(StackError::Interrupted)));
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let error = runner().look(&Call::new("no-such-program")).unwrap_err();
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }

    #[test]
    fn a_dry_runner_tells_and_does_nothing() {
        let (sender, told) = std::sync::mpsc::channel();
        let sender = std::sync::Mutex::new(sender);
        let tell = move |call: &Call| sender.lock().unwrap().send(call.to_string()).unwrap();
        Runner::new(true, Box::new(tell))
            .act(&Call::new("false"))
            .unwrap();
        assert_eq!(told.recv().unwrap(), "false");
    }
}
