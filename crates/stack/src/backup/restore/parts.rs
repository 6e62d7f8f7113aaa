//! Each part is made ready in a volume of its own, by the image that is going to
//! open it, and is seen to work there.

use std::time::Duration;

use super::journal::Swap;
use super::look::Plan;
use super::{Site, postgres};
use crate::accounts::{ACCOUNTS, Server};
use crate::backup::manifest::{Part, Rabbitmq, Redis, Volumes};
use crate::backup::proof::{loaded_keys, queues};
use crate::backup::workshop::Workshop;
use crate::compose::{docker, exec};
use crate::error::StackError;

/// How long Redis may take to write what it holds: 4 GB at 30 MB/s are two minutes.
const SAVE_LIMIT: Duration = Duration::from_secs(1_800);
/// Takes the snapshot in.
const UNPACK_REDIS: &str = "set -eu; cat > /to/dump.rdb; redis-check-rdb /to/dump.rdb >&2";
/// Redis reads its log before its snapshot: the snapshot becomes the beginning of
/// a new log. Users stay those of now, with their passwords.
const FINISH_REDIS: &str = "set -eu; cd /to; mkdir -p appendonlydir; \
    cp dump.rdb appendonlydir/appendonly.aof.1.base.rdb; \
    echo 'file appendonly.aof.1.base.rdb seq 1 type b' > appendonlydir/appendonly.aof.manifest; \
    for file in /from/users.acl*; do [ ! -e \"$file\" ] || cp -p \"$file\" /to/; done; \
    chown -R redis:redis /to; sync";
/// The cookie was for the workshop; the stack makes its own.
const FINISH_RABBITMQ: &str = "set -eu; rm -f /to/.erlang.cookie; sync";
/// Unpacks a volume, and says how many files it holds.
const UNPACK_VOLUME: &str = "set -eu; tar -xzf - -C /to; sync; find /to -type f | wc -l";

/// Makes a part ready. Says what is in it.
pub(super) fn stage(
    site: &Site<'_>,
    plan: &Plan,
    part: Part,
    swaps: &[Swap],
) -> Result<String, StackError> {
    let mut workshop = Workshop::new(site.stack.runner(), &plan.backup.folder, plan.key.as_ref())
        .marked(&site.mark());
    let swaps: Vec<&Swap> = swaps.iter().filter(|swap| swap.part == part).collect();
    for swap in &swaps {
        let mark = site.mark();
        let call = docker(["volume", "create", "--label", &mark, &swap.staged]);
        site.stack.runner().ask(&call)?;
    }
    let manifest = &plan.backup.manifest;
    let to = |swaps: &[&Swap]| swaps.first().map(|swap| swap.staged.clone());
    match part {
        Part::Postgres => match (&manifest.postgres, to(&swaps)) {
            (Some(taken), Some(to)) => postgres::stage(site, plan, &mut workshop, taken, &to),
            _ => Ok(nothing()),
        },
        Part::Redis => match (&manifest.redis, to(&swaps)) {
            (Some(taken), Some(to)) => redis(site, plan, &mut workshop, taken, &to),
            _ => Ok(nothing()),
        },
        Part::Rabbitmq => match (&manifest.rabbitmq, to(&swaps)) {
            (Some(taken), Some(to)) => rabbitmq(site, &mut workshop, taken, &to),
            _ => Ok(nothing()),
        },
        Part::Volumes => match &manifest.volumes {
            Some(taken) => volumes(site, &workshop, taken, &swaps),
            None => Ok(nothing()),
        },
    }
}

fn nothing() -> String {
    "nothing of it is in the backup".to_owned()
}

fn redis(
    site: &Site<'_>,
    plan: &Plan,
    workshop: &mut Workshop<'_>,
    taken: &Redis,
    to: &str,
) -> Result<String, StackError> {
    let image = site.image(Part::Redis.as_str())?;
    workshop.unpack(&taken.snapshot, to, image, UNPACK_REDIS)?;
    let server = workshop.redis(image, to)?;
    let logs = site.stack.runner().look(&docker(["logs", &server]))?;
    let loaded = loaded_keys(&format!("{}{}", logs.stdout, logs.stderr));
    // What was streamed ends with a mark that a log must not have behind it: the
    // server writes it anew.
    let save = exec(&server, None, ["redis-cli", "-e", "save"]).limit(SAVE_LIMIT);
    site.stack.runner().ask(&save)?;
    workshop.stop(&server)?;
    let mut mounts = vec![format!("{to}:/to")];
    mounts.extend(
        plan.present(Part::Redis)
            .map(|present| format!("{present}:/from:ro")),
    );
    workshop.script(image, &mounts, FINISH_REDIS)?;
    Ok(match loaded {
        Some(1) => "1 key".to_owned(),
        Some(keys) => format!("{keys} keys"),
        None => "a snapshot that doesn't say how many keys it has".to_owned(),
    })
}

fn rabbitmq(
    site: &Site<'_>,
    workshop: &mut Workshop<'_>,
    taken: &Rabbitmq,
    to: &str,
) -> Result<String, StackError> {
    let stack = site.stack;
    let taken = Rabbitmq {
        image: site.image(Part::Rabbitmq.as_str())?.to_owned(),
        ..taken.clone()
    };
    let server = workshop.rabbitmq(&taken, to)?;
    let there = queues(stack.runner(), &server, &taken.queues)?;
    let told = exec(
        &server,
        None,
        ["rabbitmqctl", "--quiet", "--no-table-headers", "list_users"],
    );
    let users = stack.runner().ask(&told)?;
    let has = |user: &str| {
        let mut names = users.lines().filter_map(|line| line.split('\t').next());
        names.any(|name| name.trim() == user)
    };
    for account in ACCOUNTS
        .iter()
        .filter(|account| account.server == Server::Rabbitmq)
    {
        if let Some(password) = stack.password(account)
            && has(&stack.user(account))
        {
            let call = stack.change_password(account, &password, &server)?;
            stack.runner().ask(&call)?;
        }
    }
    workshop.stop(&server)?;
    workshop.script(&taken.image, &[format!("{to}:/to")], FINISH_RABBITMQ)?;
    let messages: u64 = there.values().sum();
    let were: u64 = taken.queues.values().sum();
    Ok(if messages == were {
        format!("{} queues with {messages} messages", there.len())
    } else {
        format!(
            "{} queues with {messages} of {were} messages: the time of the others is over",
            there.len()
        )
    })
}

fn volumes(
    site: &Site<'_>,
    workshop: &Workshop<'_>,
    taken: &Volumes,
    swaps: &[&Swap],
) -> Result<String, StackError> {
    let image = site.image(Part::Postgres.as_str())?;
    let mut files = 0;
    for swap in swaps {
        let found = taken.volumes.iter().find(|one| one.volume == swap.declared);
        let Some(one) = found else { continue };
        let counted = workshop.unpack(&one.content, &swap.staged, image, UNPACK_VOLUME)?;
        if counted.trim().parse() != Ok(one.files) {
            return Err(StackError::wrong_state(
                format!(
                    "{} has {} files instead of {}",
                    one.volume,
                    counted.trim(),
                    one.files
                ),
                "take another backup; nothing was changed",
            ));
        }
        files += one.files;
    }
    Ok(format!("{} volumes with {files} files", swaps.len()))
}
