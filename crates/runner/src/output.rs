//! What a command prints: streamed on in bounded pieces, kept in bounded size,
//! searched for progress.
//!
//! Standard output and standard error are one log, in the order in which their
//! lines arrive. The end of standard output is kept apart: it is what a command
//! without a result file has to say. Bytes stay bytes; text is made of them,
//! lossily, only where text is asked for.
//!
//! Reading never waits for whoever takes the log: a command is not to stand
//! still because a server is away.

mod log;
mod progress;

use std::pin::pin;
use std::time::Duration;

use collective_core::limits::{MAX_LOG_CHUNK, MAX_RESULT_LEN};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use log::Log;
pub use progress::Progress;

/// Longest that output waits to fill a piece.
pub const FLUSH_INTERVAL: Duration = Duration::from_millis(200);

/// Longest wait for whoever takes the log, once the command has ended.
const LAST_CHUNKS_LIMIT: Duration = Duration::from_secs(60);

/// How long output may still come once no process is known to be left: only one
/// that got away from a killed guard can still hold the pipe.
const LAST_OUTPUT_LIMIT: Duration = Duration::from_secs(2);

/// How much is read at once: what a pipe holds by default.
const READ_SIZE: usize = 64 * 1024;

/// Longest line that is kept together while it waits for its end.
const MAX_LINE_LEN: usize = 16 * 1024;

/// A piece of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its place, from 1.
    pub position: u64,
    /// The bytes, as the command wrote them; at most
    /// [`MAX_LOG_CHUNK`].
    pub bytes: Vec<u8>,
}

/// Who is told of output while it comes. Either may be left out, and dropping
/// the other end of either is fine.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    /// Gets the log.
    pub log: Option<mpsc::Sender<Chunk>>,
    /// Gets how far the command says it is.
    pub progress: Option<watch::Sender<Option<Progress>>>,
}

/// What is known of the output once it has ended.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    /// The end of standard output without progress lines, at most
    /// [`MAX_RESULT_LEN`].
    pub stdout: Vec<u8>,
    /// Whether standard output was longer than that.
    pub stdout_cut: bool,
    /// The end of both streams together, at most [`TAIL_LEN`].
    pub tail: Vec<u8>,
    /// How much there was in all.
    pub total: u64,
    /// SHA-256 of everything, as it arrived.
    pub sha256: [u8; 32],
}

/// How much of the end of both streams is kept for feedback and for recognising failures.
pub const TAIL_LEN: usize = 64 * 1024;

impl Captured {
    /// The end of both streams, as text of at most `max` bytes.
    pub fn tail_text(&self, max: usize) -> String {
        let text = String::from_utf8_lossy(&self.tail);
        collective_core::text::tail(&text, max).to_owned()
    }

    /// The SHA-256 in hex.
    pub fn sha256_hex(&self) -> String {
        hex(&self.sha256)
    }
}

/// Bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads both streams to their ends, or until shortly after `gone` is cancelled,
/// which says that nobody writes any more. Returns when the last piece of the log
/// is taken too, or can't be.
pub async fn follow(
    mut stdout: impl AsyncRead + Unpin,
    mut stderr: impl AsyncRead + Unpin,
    listeners: Listeners,
    gone: CancellationToken,
) -> Captured {
    let mut output = Output::new(listeners.progress);
    let mut outlet = Outlet::new(listeners.log);
    let (mut out_open, mut err_open) = (true, true);
    let mut out_buffer = vec![0; READ_SIZE];
    let mut err_buffer = vec![0; READ_SIZE];
    let mut cut = pin!(async {
        gone.cancelled().await;
        tokio::time::sleep(LAST_OUTPUT_LIMIT).await;
    });
    while out_open || err_open {
        let flush_at = output.flush_at;
        tokio::select! {
            read = stdout.read(&mut out_buffer), if out_open => match read {
                Ok(length) if length > 0 => output.came(Stream::Stdout, &out_buffer[..length]),
                _ => out_open = false,
            },
            read = stderr.read(&mut err_buffer), if err_open => match read {
                Ok(length) if length > 0 => output.came(Stream::Stderr, &err_buffer[..length]),
                _ => err_open = false,
            },
            () = tokio::time::sleep_until(flush_at.unwrap_or_else(Instant::now)), if flush_at.is_some() => {
                output.flush();
            }
            () = &mut cut => break,
            () = outlet.room(), if output.has_chunk() => outlet.give(output.log.chunk()),
        }
    }
    output.end();
    let last = async {
        while let Some(bytes) = output.log.chunk() {
            outlet.room().await;
            outlet.give(Some(bytes));
        }
    };
    let _ = tokio::time::timeout(LAST_CHUNKS_LIMIT, last).await;
    output.captured()
}

#[derive(Clone, Copy)]
enum Stream {
    Stdout,
    Stderr,
}

/// The far end of the log.
struct Outlet {
    to: Option<mpsc::Sender<Chunk>>,
    permit: Option<mpsc::OwnedPermit<Chunk>>,
    position: u64,
}

impl Outlet {
    fn new(to: Option<mpsc::Sender<Chunk>>) -> Self {
        Self {
            to,
            permit: None,
            position: 0,
        }
    }

    /// Waits until a piece can be given away; at once if nobody listens.
    async fn room(&mut self) {
        if self.permit.is_none()
            && let Some(to) = &self.to
        {
            match to.clone().reserve_owned().await {
                Ok(permit) => self.permit = Some(permit),
                Err(_) => self.to = None,
            }
        }
    }

    fn give(&mut self, bytes: Option<Vec<u8>>) {
        if let (Some(bytes), Some(permit)) = (bytes, self.permit.take()) {
            self.position += 1;
            permit.send(Chunk {
                position: self.position,
                bytes,
            });
        }
    }
}

/// The output so far.
struct Output {
    log: Log,
    stdout_line: Vec<u8>,
    stderr_line: Vec<u8>,
    stdout: Tail,
    tail: Tail,
    hasher: Sha256,
    total: u64,
    progress: Option<watch::Sender<Option<Progress>>>,
    /// When what waits is to be given away however little it is.
    flush_at: Option<Instant>,
    due: bool,
}

impl Output {
    fn new(progress: Option<watch::Sender<Option<Progress>>>) -> Self {
        Self {
            log: Log::default(),
            stdout_line: Vec::new(),
            stderr_line: Vec::new(),
            stdout: Tail::new(MAX_RESULT_LEN),
            tail: Tail::new(TAIL_LEN),
            hasher: Sha256::new(),
            total: 0,
            progress,
            flush_at: None,
            due: false,
        }
    }

    fn came(&mut self, stream: Stream, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        self.hasher.update(bytes);
        self.tail.push(bytes);
        self.flush_at
            .get_or_insert_with(|| Instant::now() + FLUSH_INTERVAL);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = match stream {
                Stream::Stdout => &mut self.stdout_line,
                Stream::Stderr => &mut self.stderr_line,
            };
            line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(line);
                self.line(stream, &line);
            } else if line.len() >= MAX_LINE_LEN {
                let part = std::mem::take(line);
                self.part(stream, &part);
            }
        }
    }

    /// A whole line, or the end of one that was given away in parts.
    fn line(&mut self, stream: Stream, line: &[u8]) {
        self.log.push(line);
        if let Some(progress) = progress::parse(line) {
            if let Some(sender) = &self.progress {
                sender.send_replace(Some(progress));
            }
        } else if matches!(stream, Stream::Stdout) {
            self.stdout.push(line);
        }
    }

    fn part(&mut self, stream: Stream, part: &[u8]) {
        self.log.push(part);
        if matches!(stream, Stream::Stdout) {
            self.stdout.push(part);
        }
    }

    /// Gives away what waits, unfinished lines included, except one that may
    /// still become a line of progress.
    fn flush(&mut self) {
        self.flush_at = None;
        self.due = true;
        for stream in [Stream::Stdout, Stream::Stderr] {
            let line = match stream {
                Stream::Stdout => &mut self.stdout_line,
                Stream::Stderr => &mut self.stderr_line,
            };
            if !line.is_empty() && !progress::may_become(line) {
                let part = std::mem::take(line);
                self.part(stream, &part);
            }
        }
    }

    fn has_chunk(&mut self) -> bool {
        let waiting = self.log.waiting();
        self.due &= waiting > 0;
        self.due || waiting >= MAX_LOG_CHUNK
    }

    fn end(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let line = match stream {
                Stream::Stdout => std::mem::take(&mut self.stdout_line),
                Stream::Stderr => std::mem::take(&mut self.stderr_line),
            };
            if !line.is_empty() {
                self.line(stream, &line);
            }
        }
        self.log.end();
    }

    fn captured(self) -> Captured {
        Captured {
            stdout_cut: self.stdout.cut,
            stdout: self.stdout.into_bytes(),
            tail: self.tail.into_bytes(),
            total: self.total,
            sha256: self.hasher.finalize().into(),
        }
    }
}

/// The last bytes of something.
#[derive(Debug)]
struct Tail {
    bytes: Vec<u8>,
    max: usize,
    cut: bool,
}

impl Tail {
    fn new(max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            max,
            cut: false,
        }
    }

    /// Cuts only when twice the bound is reached, so that each byte is moved once at most.
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= 2 * self.max {
            self.trim();
        }
    }

    fn trim(&mut self) {
        let surplus = self.bytes.len().saturating_sub(self.max);
        if surplus > 0 {
            self.cut = true;
            self.bytes.drain(..surplus);
        }
    }

    fn into_bytes(mut self) -> Vec<u8> {
        self.trim();
        self.bytes
    }
}
