//! What a backup holds: its files with their checksums, and what was counted
//! when they were taken, to be compared when they are proven.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::StackError;

/// The file in a backup's folder.
pub(crate) const NAME: &str = "manifest.json";
/// The same checksums, as `sha256sum --check` reads them.
pub(crate) const SUMS: &str = "SHA256SUMS";
/// The form of the manifest.
const FORMAT: u32 = 1;

/// A part of the stack that is backed up by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The database.
    Postgres,
    /// The cache.
    Redis,
    /// The broker.
    Rabbitmq,
    /// What the other services keep.
    Volumes,
}

impl Part {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Postgres, Self::Redis, Self::Rabbitmq, Self::Volumes];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Rabbitmq => "rabbitmq",
            Self::Volumes => "volumes",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|part| part.as_str() == text)
            .ok_or_else(|| "no such part; known are postgres, redis, rabbitmq, volumes".to_owned())
    }
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it is, from the backup's folder.
    pub path: String,
    /// Its size in bytes, as it lies there.
    pub size: u64,
    /// Its SHA-256, as it lies there.
    pub sha256: String,
}

/// What was taken of PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Postgres {
    /// The image that reads it.
    pub image: String,
    /// The database that was dumped.
    pub database: String,
    /// Who administers it.
    pub user: String,
    /// The base backup.
    pub base: Entry,
    /// The dump of the database.
    pub dump: Entry,
    /// The WAL since the backup before, if it is archived.
    pub wal: Option<Entry>,
    /// The first WAL segment that the base backup needs.
    pub start_wal: String,
    /// From when on it can be brought to any time, RFC 3339; older backups don't
    /// say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_at: Option<String>,
    /// Bytes of all databases; older backups don't say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Rows of each table, counted in the dump's own snapshot.
    pub tables: BTreeMap<String, u64>,
}

/// What was taken of Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redis {
    /// The image that reads it.
    pub image: String,
    /// The snapshot.
    pub snapshot: Entry,
    /// Keys before it was taken, and after.
    pub keys: (u64, u64),
}

/// What was taken of RabbitMQ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rabbitmq {
    /// The image that reads it.
    pub image: String,
    /// The host name that its data is keyed by.
    pub hostname: String,
    /// Users, permissions, exchanges, queues, policies.
    pub definitions: Entry,
    /// The data folder with the messages, if there were any.
    pub data: Option<Entry>,
    /// Messages of each queue, by `VHOST QUEUE`.
    pub queues: BTreeMap<String, u64>,
}

/// One volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name in the compose files.
    pub volume: String,
    /// Its content.
    pub content: Entry,
    /// How many files it holds.
    pub files: u64,
}

/// What was taken of the other services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volumes {
    /// The image that packs and unpacks.
    pub image: String,
    /// Each volume.
    pub volumes: Vec<Volume>,
}

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// When it was begun, RFC 3339.
    pub began_at: String,
    /// When it was whole, RFC 3339: what was committed before is in it.
    pub ended_at: String,
    /// The project that it is of.
    pub project: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// PostgreSQL.
    pub postgres: Option<Postgres>,
    /// Redis.
    pub redis: Option<Redis>,
    /// RabbitMQ.
    pub rabbitmq: Option<Rabbitmq>,
    /// The rest.
    pub volumes: Option<Volumes>,
}

impl Manifest {
    pub(crate) fn new(began_at: String, project: String, encrypted: bool) -> Self {
        Self {
            format: FORMAT,
            ended_at: began_at.clone(),
            began_at,
            project,
            encrypted,
            postgres: None,
            redis: None,
            rabbitmq: None,
            volumes: None,
        }
    }

    /// Reads the manifest of a backup.
    pub(crate) fn read(folder: &Path) -> Result<Self, StackError> {
        let path = folder.join(NAME);
        let text = fs::read_to_string(&path)
            .map_err(|source| StackError::file("can't read", &path, source))?;
        let broken = |what: String| {
            StackError::usage(
                format!("{}: {what}", path.display()),
                "the backup is broken: take another one",
            )
        };
        let manifest: Self =
            serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(broken(format!(
                "its form is {}, this program knows {FORMAT}",
                manifest.format
            )));
        }
        Ok(manifest)
    }

    /// The files of a part.
    pub fn files(&self, part: Part) -> Vec<&Entry> {
        match part {
            Part::Postgres => self
                .postgres
                .iter()
                .flat_map(|it| {
                    [&it.base, &it.dump]
                        .into_iter()
                        .chain(it.wal.as_ref())
                        .collect::<Vec<_>>()
                })
                .collect(),
            Part::Redis => self.redis.iter().map(|it| &it.snapshot).collect(),
            Part::Rabbitmq => self
                .rabbitmq
                .iter()
                .flat_map(|it| std::iter::once(&it.definitions).chain(it.data.as_ref()))
                .collect(),
            Part::Volumes => self
                .volumes
                .iter()
                .flat_map(|it| it.volumes.iter().map(|volume| &volume.content))
                .collect(),
        }
    }

    /// The parts that it holds.
    pub fn parts(&self) -> Vec<Part> {
        Part::ALL
            .into_iter()
            .filter(|part| match part {
                Part::Postgres => self.postgres.is_some(),
                Part::Redis => self.redis.is_some(),
                Part::Rabbitmq => self.rabbitmq.is_some(),
                Part::Volumes => self.volumes.is_some(),
            })
            .collect()
    }

    /// Bytes of a part.
    pub fn size(&self, part: Part) -> u64 {
        self.files(part).iter().map(|entry| entry.size).sum()
    }

    /// The checksums as `sha256sum --check` reads them.
    pub(crate) fn sums(&self) -> String {
        Part::ALL
            .into_iter()
            .flat_map(|part| self.files(part))
            .map(|entry| format!("{}  {}\n", entry.sha256, entry.path))
            .collect()
    }
}
