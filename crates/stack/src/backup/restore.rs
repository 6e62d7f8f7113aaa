//! A restore: into a stack that stands still, and only of what was brought to
//! life beside it before.
//!
//! PostgreSQL always comes back on a new timeline, so that the WAL that it
//! writes from then on can't be taken for the one in the archive.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::manifest::{Part, Postgres, Rabbitmq, Redis, Volumes};
use super::proof::unchanged;
use super::shelf::{Shelved, list, pick};
use super::vault::Key;
use super::workshop::Workshop;
use crate::compose::docker;
use crate::config::Resolved;
use crate::error::StackError;
use crate::stack::Stack;

/// Where PostgreSQL's data and its archive are in their container.
const POSTGRES_DATA: &str = "/var/lib/postgresql/data";
const POSTGRES_WAL: &str = "/var/lib/postgresql/wal_archive";
const REDIS_DATA: &str = "/data";
const RABBITMQ_DATA: &str = "/var/lib/rabbitmq";

/// Replaces the content of `/to` by that of `/from`.
const REPLACE: &str =
    "set -eu; find /to -mindepth 1 -maxdepth 1 -exec rm -rf {} +; cp -a /from/. /to/; sync";
/// Redis reads its log before its snapshot: the snapshot becomes the beginning
/// of a new log. Its users stay.
const REPLACE_REDIS: &str = "set -eu; cd /to; cat > .incoming.rdb; redis-check-rdb .incoming.rdb >&2; \
    rm -rf appendonlydir dump.rdb; mkdir appendonlydir; cp .incoming.rdb dump.rdb; \
    mv .incoming.rdb appendonlydir/appendonly.aof.1.base.rdb; \
    echo 'file appendonly.aof.1.base.rdb seq 1 type b' > appendonlydir/appendonly.aof.manifest; \
    chown -R redis:redis dump.rdb appendonlydir; sync";
/// A volume's content is whole before the old one goes.
const REPLACE_VOLUME: &str = "set -eu; cd /to; rm -rf .incoming; mkdir .incoming; tar -xzf - -C .incoming; \
    find . -mindepth 1 -maxdepth 1 ! -name .incoming -exec rm -rf {} +; \
    cp -a .incoming/. .; rm -rf .incoming; sync";

/// Up to when PostgreSQL is brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The end of the backup.
    Backup,
    /// A point in time.
    At(Timestamp),
    /// As far as there is WAL.
    Latest,
}

/// What is put back.
#[derive(Clone, Debug)]
pub struct RestorePlan {
    /// The folder of backups.
    pub folder: PathBuf,
    /// The backup; the newest that fits, if none is named.
    pub name: Option<String>,
    /// Up to when.
    pub moment: Moment,
    /// The key that opens it.
    pub key: Option<Key>,
    /// The parts; all of the backup's, if there are none.
    pub parts: Vec<Part>,
}

/// A part as it was put back.
#[derive(Clone, Debug, Serialize)]
pub struct Restored {
    /// The part.
    pub part: Part,
    /// What is there now.
    pub seen: String,
}

/// The volumes that a restore would replace and that aren't empty.
pub fn occupied(stack: &Stack, plan: &RestorePlan) -> Result<Vec<String>, StackError> {
    let backup = choose(plan)?;
    let site = Site::new(stack, &backup, plan)?;
    let mut full = Vec::new();
    for part in site.parts() {
        for volume in site.targets(part) {
            let there = docker(["volume", "inspect", "--format", "{{.Name}}", &volume]);
            if stack.runner().look(&there)?.is_good() {
                full.push(volume);
            }
        }
    }
    Ok(full)
}

/// Puts it back. Everything that can fail without harm comes first.
pub fn restore(
    stack: &Stack,
    plan: &RestorePlan,
    mut tell: impl FnMut(&Restored),
) -> Result<Vec<Restored>, StackError> {
    stands_still(stack)?;
    let backup = choose(plan)?;
    for part in backup.manifest.parts() {
        unchanged(&backup.manifest, &backup.folder, part)?.map_err(|why| {
            StackError::wrong_state(
                format!("the backup {} is broken: {why}", backup.name),
                "take another one: collective stack backup list; nothing was changed",
            )
        })?;
    }
    let site = Site::new(stack, &backup, plan)?;
    site.make_volumes()?;
    let mut all = Vec::new();
    for part in site.parts() {
        let seen = site.restore(part)?;
        let restored = Restored { part, seen };
        tell(&restored);
        all.push(restored);
    }
    Ok(all)
}

fn stands_still(stack: &Stack) -> Result<(), StackError> {
    let containers = stack.containers()?;
    let running: Vec<&str> = containers
        .iter()
        .filter(|container| !matches!(container.state.as_str(), "exited" | "created" | "dead"))
        .map(|container| container.name.as_str())
        .collect();
    if running.is_empty() {
        return Ok(());
    }
    Err(StackError::wrong_state(
        format!("the stack runs: {}", running.join(", ")),
        "stop it with `collective stack down`, which keeps its data; nothing was changed",
    ))
}

/// The backup that was named, or the newest that was whole before the moment.
fn choose(plan: &RestorePlan) -> Result<Shelved, StackError> {
    let (None, Moment::At(moment)) = (&plan.name, &plan.moment) else {
        return pick(&plan.folder, plan.name.as_deref());
    };
    let is_before = |backup: &Shelved| {
        let ended: Option<Timestamp> = backup.manifest.ended_at.parse().ok();
        ended.is_some_and(|ended| ended <= *moment)
    };
    list(&plan.folder)?
        .into_iter()
        .rev()
        .find(is_before)
        .ok_or_else(|| {
            StackError::usage(
                format!(
                    "no backup in {} is older than {moment}",
                    plan.folder.display()
                ),
                "collective stack backup list shows what is there",
            )
        })
}

/// Where a backup comes back to.
struct Site<'s> {
    stack: &'s Stack,
    backup: &'s Shelved,
    plan: &'s RestorePlan,
    resolved: Resolved,
}

impl<'s> Site<'s> {
    fn new(
        stack: &'s Stack,
        backup: &'s Shelved,
        plan: &'s RestorePlan,
    ) -> Result<Self, StackError> {
        Ok(Self {
            stack,
            backup,
            plan,
            resolved: stack.resolved()?,
        })
    }

    fn parts(&self) -> Vec<Part> {
        let mut parts = self.backup.manifest.parts();
        parts.retain(|part| self.plan.parts.is_empty() || self.plan.parts.contains(part));
        parts
    }

    /// The volume of a service at a place.
    fn volume(&self, service: &str, target: &str) -> Option<String> {
        let mounted = self.resolved.mounted(service, &self.stack.project_name());
        let found = mounted.into_iter().find(|mounted| mounted.target == target);
        found.map(|mounted| mounted.volume)
    }

    fn needed(&self, service: &str, target: &str) -> Result<String, StackError> {
        self.volume(service, target).ok_or_else(|| {
            StackError::usage(
                format!(
                    "{service} keeps nothing at {target} in the environment {}",
                    self.stack.environment
                ),
                "name the environment that the backup is of with --env",
            )
        })
    }

    fn targets(&self, part: Part) -> Vec<String> {
        let project = self.stack.project_name();
        match part {
            Part::Postgres => self.volume("postgres", POSTGRES_DATA).into_iter().collect(),
            Part::Redis => self.volume("redis", REDIS_DATA).into_iter().collect(),
            Part::Rabbitmq => self.volume("rabbitmq", RABBITMQ_DATA).into_iter().collect(),
            Part::Volumes => self
                .backup
                .manifest
                .volumes
                .iter()
                .flat_map(|taken| &taken.volumes)
                .filter_map(|one| self.resolved.volume(&one.volume, &project))
                .collect(),
        }
    }

    /// Has Compose make the volumes that aren't there, under its own labels.
    fn make_volumes(&self) -> Result<(), StackError> {
        let call = self.stack.compose()?.call(&self.stack.project());
        self.stack.runner().act(&call.args(["up", "--no-start"]))
    }

    fn workshop(&self) -> Workshop<'_> {
        Workshop::new(
            self.stack.runner(),
            &self.backup.folder,
            self.plan.key.as_ref(),
        )
    }

    fn restore(&self, part: Part) -> Result<String, StackError> {
        let manifest = &self.backup.manifest;
        let done = match part {
            Part::Postgres => manifest.postgres.as_ref().map(|it| self.postgres(it)),
            Part::Redis => manifest.redis.as_ref().map(|it| self.redis(it)),
            Part::Rabbitmq => manifest.rabbitmq.as_ref().map(|it| self.rabbitmq(it)),
            Part::Volumes => manifest.volumes.as_ref().map(|it| self.volumes(it)),
        };
        done.unwrap_or_else(|| Ok("it is not in the backup".to_owned()))
    }

    /// Recovers beside, then replaces.
    fn postgres(&self, taken: &Postgres) -> Result<String, StackError> {
        let data = self.needed("postgres", POSTGRES_DATA)?;
        let archive = self.volume("postgres", POSTGRES_WAL);
        let mut workshop = self.workshop();
        let volume = workshop.postgres_folder(taken)?;
        let wal = self.wal(&mut workshop, taken, archive.as_deref(), &data)?;
        workshop.script(
            &taken.image,
            &[format!("{volume}:/to")],
            "touch /to/recovery.signal && chown postgres:postgres /to/recovery.signal",
        )?;
        let mut settings = vec![
            "restore_command=cp /wal/%f %p".to_owned(),
            "recovery_target_action=promote".to_owned(),
        ];
        settings.extend(match &self.plan.moment {
            // Timelines that began after it have nothing to say to it.
            Moment::Backup => vec![
                "recovery_target_timeline=current".to_owned(),
                "recovery_target=immediate".to_owned(),
            ],
            Moment::At(moment) => vec![
                "recovery_target_timeline=latest".to_owned(),
                format!("recovery_target_time={moment}"),
            ],
            Moment::Latest => vec!["recovery_target_timeline=latest".to_owned()],
        });
        let server = workshop.postgres(taken, &volume, &[format!("{wal}:/wal:ro")], &settings)?;
        let seen = workshop.query(&server, taken, &taken.database, RECOVERED_SQL)?;
        workshop.stop(&server)?;
        workshop.script(
            &taken.image,
            &[format!("{volume}:/from:ro"), format!("{data}:/to")],
            REPLACE,
        )?;
        if let Some(archive) = archive {
            // The next restore has to know that this timeline is taken.
            let keep = "set -eu; for file in /from/pg_wal/*.history; do \
                        [ -e \"$file\" ] && cp -pn \"$file\" /to/ || true; done";
            workshop.script(
                &taken.image,
                &[format!("{volume}:/from:ro"), format!("{archive}:/to")],
                keep,
            )?;
        }
        Ok(seen)
    }

    /// All WAL from this backup on: of the archive, of later backups, and of the
    /// data that is there now.
    fn wal(
        &self,
        workshop: &mut Workshop<'_>,
        taken: &Postgres,
        archive: Option<&str>,
        data: &str,
    ) -> Result<String, StackError> {
        let wal = workshop.volume("wal")?;
        if self.plan.moment != Moment::Backup && taken.wal.is_none() {
            return Err(StackError::usage(
                "this backup is of a server that archives no WAL",
                "leave --to out; only production archives it",
            ));
        }
        if let Some(archive) = archive {
            let mounts = [format!("{archive}:/from:ro"), format!("{wal}:/to")];
            workshop.script(&taken.image, &mounts, "cp -a /from/. /to/")?;
        }
        for later in list(&self.plan.folder)? {
            let of_later = later
                .manifest
                .postgres
                .as_ref()
                .and_then(|it| it.wal.as_ref());
            if let Some(entry) = of_later
                && later.name >= self.backup.name
            {
                super::vault::is_unchanged(&later.folder, entry)?
                    .map_err(|why| broken(&later.folder, &why))?;
                workshop.unpack_wal(&later.folder, entry, &wal, &taken.image)?;
            }
        }
        if self.plan.moment != Moment::Backup {
            // What a server that was killed had not archived yet.
            let mounts = [format!("{data}:/from:ro"), format!("{wal}:/to")];
            let rest = "set -eu; cd /from/pg_wal 2>/dev/null || exit 0; for file in *; do \
                        [ ${#file} -ne 24 ] || [ -e \"/to/$file\" ] || cp -p \"$file\" /to/; done";
            workshop.script(&taken.image, &mounts, rest)?;
        }
        Ok(wal)
    }

    fn redis(&self, taken: &Redis) -> Result<String, StackError> {
        let data = self.needed("redis", REDIS_DATA)?;
        self.workshop()
            .unpack(&taken.snapshot, &data, &taken.image, REPLACE_REDIS)?;
        Ok(format!("{} keys", taken.keys.1))
    }

    fn rabbitmq(&self, taken: &Rabbitmq) -> Result<String, StackError> {
        let data = self.needed("rabbitmq", RABBITMQ_DATA)?;
        let mut workshop = self.workshop();
        let (volume, server) = workshop.rabbitmq(taken)?;
        workshop.stop(&server)?;
        let mounts = [format!("{volume}:/from:ro"), format!("{data}:/to")];
        workshop.script(&taken.image, &mounts, REPLACE)?;
        let messages: u64 = taken.queues.values().sum();
        Ok(format!("definitions and {messages} messages"))
    }

    fn volumes(&self, taken: &Volumes) -> Result<String, StackError> {
        let workshop = self.workshop();
        let project = self.stack.project_name();
        let mut count = 0;
        for one in &taken.volumes {
            let Some(name) = self.resolved.volume(&one.volume, &project) else {
                continue;
            };
            workshop.unpack(&one.content, &name, &taken.image, REPLACE_VOLUME)?;
            count += 1;
        }
        Ok(format!("{count} volumes"))
    }
}

fn broken(folder: &Path, why: &str) -> StackError {
    StackError::wrong_state(
        format!("the WAL in {} is broken: {why}", folder.display()),
        "take a moment before it; nothing was changed",
    )
}

/// Where the recovered server is.
const RECOVERED_SQL: &str = "\
SELECT format('timeline %s, %s events',
    ltrim(substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), '0'),
    (xpath('/row/c/text()', query_to_xml('SELECT count(*) AS c FROM events', false, true, '')))[1]);";
