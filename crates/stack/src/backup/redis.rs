//! Redis: one snapshot, as it would be written by itself.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use super::manifest::Redis;
use super::vault::{Key, Sealing};
use crate::accounts::{ACCOUNTS, Account, REDIS_CLI, Server};
use crate::call::Call;
use crate::compose::exec;
use crate::container::Container;
use crate::error::StackError;
use crate::stack::Stack;

/// How long the snapshot may take: 4 GB at 30 MB/s are two minutes.
const STREAM_LIMIT: Duration = Duration::from_secs(1_800);
/// Length of the mark that may follow one.
const MARK_LEN: usize = 40;
/// What a snapshot begins with.
const MAGIC: &[u8] = b"REDIS";

/// Takes it.
pub(super) fn take(
    stack: &Stack,
    container: &Container,
    folder: &Path,
    key: Option<&Key>,
) -> Result<Redis, StackError> {
    let before = keys(stack, &container.name)?;
    let file = Sealing::begin(folder, "redis/dump.rdb", key)?;
    let mut snapshot = Snapshot::into(file);
    let call = redis(stack, &container.name)?
        .args(["--rdb", "-"])
        .limit(STREAM_LIMIT);
    stack.runner().pour(&call, &mut snapshot)?;
    let (file, begin) = snapshot.end().map_err(|source| StackError::Stream {
        call: call.to_string(),
        source,
    })?;
    if begin != MAGIC {
        return Err(StackError::Garbled {
            call: call.to_string(),
            what: "it gives no snapshot".to_owned(),
        });
    }
    let after = keys(stack, &container.name)?;
    Ok(Redis {
        image: container.image.clone(),
        snapshot: file.finish()?,
        keys: (before.min(after), before.max(after)),
    })
}

/// A call of redis-cli as the administrator.
fn redis(stack: &Stack, container: &str) -> Result<Call, StackError> {
    let admin = ACCOUNTS
        .iter()
        .find(|account: &&Account| account.server == Server::Redis);
    let password = admin.and_then(|account| stack.password(account));
    let secret = password
        .as_ref()
        .map(|password| ("REDISCLI_AUTH", password));
    Ok(exec(container, secret, [REDIS_CLI, "--no-auth-warning"]))
}

fn keys(stack: &Stack, container: &str) -> Result<u64, StackError> {
    let call = redis(stack, container)?.arg("dbsize");
    let answer = stack.runner().ask(&call)?;
    // Without a terminal the bare number is printed; a refusal is words.
    answer.trim().parse().map_err(|_| StackError::Garbled {
        call: call.to_string(),
        what: answer.trim().to_owned(),
    })
}

/// Remembers how a stream begins, and leaves out the mark behind it: where the
/// length isn't known beforehand, Redis sends one, and only a file can be cut.
struct Snapshot<W> {
    sink: W,
    begin: Vec<u8>,
    tail: Vec<u8>,
}

impl<W: Write> Snapshot<W> {
    fn into(sink: W) -> Self {
        Self {
            sink,
            begin: Vec::new(),
            tail: Vec::new(),
        }
    }

    /// What follows the mark's place is the end.
    fn end(mut self) -> io::Result<(W, Vec<u8>)> {
        // A snapshot ends with 0xff and a checksum, which is no such text.
        let is_mark = self.tail.len() == MARK_LEN && self.tail.iter().all(u8::is_ascii_hexdigit);
        if !is_mark {
            self.sink.write_all(&self.tail)?;
        }
        Ok((self.sink, self.begin))
    }
}

impl<W: Write> Write for Snapshot<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let missing = MAGIC.len().saturating_sub(self.begin.len());
        self.begin.extend(bytes.iter().take(missing));
        self.tail.extend_from_slice(bytes);
        let ready = self.tail.len().saturating_sub(MARK_LEN);
        self.sink.write_all(&self.tail[..ready])?;
        self.tail.drain(..ready);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(stream: &[u8], at_once: usize) -> Vec<u8> {
        let mut snapshot = Snapshot::into(Vec::new());
        for piece in stream.chunks(at_once) {
            snapshot.write_all(piece).unwrap();
        }
        let (sink, begin) = snapshot.end().unwrap();
        assert_eq!(begin, stream[..stream.len().min(MAGIC.len())]);
        sink
    }

    #[test]
    fn the_mark_behind_a_streamed_snapshot_is_left_out() {
        let snapshot = b"REDIS0010 keys and values \xff12345678";
        let mark = [b'a'; MARK_LEN];
        let streamed = [&snapshot[..], &mark].concat();
        for at_once in [1, 7, 1_000] {
            assert_eq!(kept(&streamed, at_once), snapshot);
            assert_eq!(kept(snapshot, at_once), snapshot);
            assert_eq!(kept(b"RED", at_once), b"RED");
        }
    }
}
