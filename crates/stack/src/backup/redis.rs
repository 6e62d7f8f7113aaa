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
    let mut checked = Begins::with(file);
    let call = redis(stack, &container.name)?
        .args(["--rdb", "-"])
        .limit(STREAM_LIMIT);
    stack.runner().pour(&call, &mut checked)?;
    if checked.seen != MAGIC {
        return Err(StackError::Garbled {
            call: call.to_string(),
            what: "it gives no snapshot".to_owned(),
        });
    }
    let after = keys(stack, &container.name)?;
    Ok(Redis {
        image: container.image.clone(),
        snapshot: checked.file.finish()?,
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

/// Remembers how a stream begins.
struct Begins {
    file: Sealing,
    seen: Vec<u8>,
}

impl Begins {
    fn with(file: Sealing) -> Self {
        Self {
            file,
            seen: Vec::new(),
        }
    }
}

impl Write for Begins {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        let missing = MAGIC.len().saturating_sub(self.seen.len());
        self.seen.extend(bytes[..count].iter().take(missing));
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
