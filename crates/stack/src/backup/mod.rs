//! Backups: taken while the stack works, proven by restoring them elsewhere,
//! put back into a stack that stands still.

mod manifest;
mod metrics;
mod postgres;
mod proof;
mod rabbitmq;
mod redis;
pub mod restore;
pub mod schedule;
mod shelf;
mod vault;
mod volumes;
mod workshop;

use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

pub use manifest::{Manifest, Part};
pub use proof::{PartProof, prove};
pub use shelf::{Shelved, list, pick};
pub use vault::Key;

use self::metrics::Metrics;
use self::shelf::Shelf;
use crate::container::Container;
use crate::error::StackError;
use crate::machine::{free_disk, size};
use crate::stack::Stack;

/// The variable of the folder of backups.
const FOLDER: &str = "BACKUP_DIR";
/// The variable of the folder of metrics, and its default, as the compose files
/// have them.
const METRICS_FOLDER: &str = "BACKUP_METRICS_FOLDER";
const DEFAULT_METRICS_FOLDER: &str = "../monitoring/textfile";
/// The file of metrics in it.
const METRICS_FILE: &str = "collective_backup.prom";

/// What is to be taken, and where it goes.
#[derive(Clone, Debug)]
pub struct BackupPlan {
    /// The folder of backups.
    pub folder: PathBuf,
    /// The key to encrypt with.
    pub key: Option<Key>,
    /// How many backups stay.
    pub keep: usize,
    /// The file that metrics are written into, for the node exporter.
    pub metrics: PathBuf,
    /// The parts; every one, if there are none.
    pub parts: Vec<Part>,
}

/// A part as it was taken.
#[derive(Clone, Debug, Serialize)]
pub struct TakenPart {
    /// The part.
    pub part: Part,
    /// Its bytes.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
}

/// A backup as it was taken.
#[derive(Clone, Debug, Serialize)]
pub struct Taken {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Its parts.
    pub parts: Vec<TakenPart>,
    /// Older backups that went.
    pub removed: Vec<String>,
}

impl Stack {
    /// The folder of backups: what was said, else beside the project's files.
    pub fn backup_folder(&self, said: Option<&Path>) -> PathBuf {
        match said {
            Some(folder) => folder.to_owned(),
            None => self.value(FOLDER).map_or_else(
                || self.place.root().join("backups"),
                |folder| self.place.root().join(folder),
            ),
        }
    }

    /// The file of metrics: what was said, else where the node exporter of the
    /// compose files reads.
    pub fn backup_metrics(&self, said: Option<&Path>) -> PathBuf {
        match said {
            Some(file) => file.to_owned(),
            None => {
                let folder = self.value(METRICS_FOLDER);
                let folder = folder.unwrap_or_else(|| DEFAULT_METRICS_FOLDER.to_owned());
                // As in the compose files, from their own folder.
                self.place.compose_folder().join(folder).join(METRICS_FILE)
            }
        }
    }
}

/// Takes a backup. `tell` hears of each part as it is done.
pub fn take(
    stack: &Stack,
    plan: &BackupPlan,
    mut tell: impl FnMut(&TakenPart),
) -> Result<Taken, StackError> {
    let shelf = Shelf::take(&plan.folder)?;
    let containers = stack.containers()?;
    let parts = parts_of(stack, plan)?;
    needs_room(stack, &containers, &plan.folder)?;
    let before = list(&plan.folder)?;
    let stage = shelf.stage()?;
    let now = Timestamp::now();
    let mut manifest = Manifest::new(second(now), stack.project_name(), plan.key.is_some());
    let mut taken = Vec::new();
    for part in parts {
        let start = Instant::now();
        let source = Source {
            stack,
            containers: &containers,
            folder: stage.path(),
            key: plan.key.as_ref(),
        };
        if let Err(error) = source.take(part, &mut manifest, &before) {
            Metrics::change(&plan.metrics, |metrics| metrics.failed(part))?;
            return Err(error);
        }
        let done = TakenPart {
            part,
            bytes: manifest.size(part),
            seconds: start.elapsed().as_secs_f64(),
        };
        tell(&done);
        taken.push(done);
    }
    let ended = Timestamp::now();
    manifest.ended_at = second(ended);
    let shelved = shelf.put(stage, manifest)?;
    Metrics::change(&plan.metrics, |metrics| {
        taken
            .iter()
            .for_each(|done| metrics.taken(done.part, done.bytes, ended));
    })?;
    let removed = shelf.keep(plan.keep)?;
    trim(stack, &containers, &plan.folder)?;
    Ok(Taken {
        name: shelved.name,
        folder: shelved.folder,
        parts: taken,
        removed,
    })
}

/// The parts that were asked for, and that this stack has.
fn parts_of(stack: &Stack, plan: &BackupPlan) -> Result<Vec<Part>, StackError> {
    let services = stack.resolved()?.services;
    let wanted = if plan.parts.is_empty() {
        &Part::ALL[..]
    } else {
        &plan.parts[..]
    };
    Ok(wanted
        .iter()
        .copied()
        .filter(|part| *part == Part::Volumes || services.contains_key(part.as_str()))
        .collect())
}

/// Refuses to begin what the disk can't hold: what PostgreSQL holds is the
/// larger part, and compressed it is less.
fn needs_room(stack: &Stack, containers: &[Container], folder: &Path) -> Result<(), StackError> {
    let Some(postgres) = running(containers, "postgres") else {
        return Ok(());
    };
    let sql = stack.psql(&postgres.name, postgres::SIZE_SQL);
    let answer = stack.runner().ask(&sql)?;
    let needed: u64 = answer.trim().parse().unwrap_or(0);
    match free_disk(folder) {
        Some(free) if free < needed => Err(StackError::wrong_state(
            format!(
                "{} are free in {}, and the databases hold {}",
                size(free),
                folder.display(),
                size(needed)
            ),
            "make room, keep fewer backups with --keep, or take another folder with --to",
        )),
        _ => Ok(()),
    }
}

/// The oldest backup that is left says what the archive may forget: a restore
/// to any time since then finds its WAL here or there.
fn trim(stack: &Stack, containers: &[Container], folder: &Path) -> Result<(), StackError> {
    let newest = list(folder)?.pop();
    let start = newest.and_then(|backup| backup.manifest.postgres.map(|it| it.start_wal));
    match (running(containers, "postgres"), start) {
        (Some(postgres), Some(start)) => postgres::trim_archive(stack, &postgres.name, &start),
        _ => Ok(()),
    }
}

fn running<'c>(containers: &'c [Container], service: &str) -> Option<&'c Container> {
    containers
        .iter()
        .find(|container| container.service == service && container.runs())
}

/// A time as a backup is named by: whole seconds.
fn second(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Where a part comes from, and where it goes.
struct Source<'s> {
    stack: &'s Stack,
    containers: &'s [Container],
    folder: &'s Path,
    key: Option<&'s Key>,
}

impl Source<'_> {
    fn take(
        &self,
        part: Part,
        manifest: &mut Manifest,
        before: &[Shelved],
    ) -> Result<(), StackError> {
        let (stack, folder, key) = (self.stack, self.folder, self.key);
        match part {
            Part::Postgres => {
                let since = before
                    .iter()
                    .rev()
                    .find_map(|backup| backup.manifest.postgres.as_ref())
                    .map(|it| it.start_wal.as_str());
                let container = self.container(part)?;
                manifest.postgres = Some(postgres::take(stack, container, folder, key, since)?);
            }
            Part::Redis => {
                manifest.redis = Some(redis::take(stack, self.container(part)?, folder, key)?);
            }
            Part::Rabbitmq => {
                manifest.rabbitmq =
                    Some(rabbitmq::take(stack, self.container(part)?, folder, key)?);
            }
            Part::Volumes => {
                let image = &self.container(Part::Postgres)?.image;
                manifest.volumes = Some(volumes::take(stack, self.containers, image, folder, key)?);
            }
        }
        Ok(())
    }

    fn container(&self, part: Part) -> Result<&Container, StackError> {
        running(self.containers, part.as_str()).ok_or_else(|| {
            StackError::wrong_state(
                format!("{part} doesn't run"),
                "start the stack, or name the parts to take with --part",
            )
        })
    }
}
