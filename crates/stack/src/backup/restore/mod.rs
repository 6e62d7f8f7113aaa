//! A restore: into a stack that stands still, and only of what was brought to
//! life beside it before.
//!
//! First it looks, and changes nothing. Then everything that comes is made ready
//! in volumes of its own: PostgreSQL recovers and is told the passwords of now,
//! the broker starts on its messages, Redis loads its snapshot. Only then, volume
//! by volume, what is there is set aside and what comes is put in its place. A
//! journal says how far that went, so that whoever is killed in between is
//! followed by one who finishes it, or goes back.

mod aside;
mod journal;
mod look;
mod parts;
mod postgres;
mod wal;

use std::path::PathBuf;
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

pub use look::{Plan, look};

use self::journal::{Begun, Journal, Step, Swap};
use super::manifest::{Manifest, Part};
use super::vault::Key;
use super::workshop::Workshop;
use crate::compose::{docker, shown};
use crate::config::Resolved;
use crate::error::StackError;
use crate::finding::{Finding, FindingCode};
use crate::stack::Stack;

/// Where the three servers keep their data in their containers.
const POSTGRES_DATA: &str = "/var/lib/postgresql/data";
const POSTGRES_WAL: &str = "/var/lib/postgresql/wal_archive";
const REDIS_DATA: &str = "/data";
const RABBITMQ_DATA: &str = "/var/lib/rabbitmq";
/// What is made for a restore, and goes with it, is marked with this and the
/// project's name.
const MARK: &str = "collective.stack.restore";

/// Up to when PostgreSQL is brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The end of its base backup.
    Backup,
    /// A point in time.
    At(Timestamp),
    /// As far as there is WAL.
    Latest,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wish {
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

/// A part as it lies ready.
#[derive(Clone, Debug, Serialize)]
pub struct Restored {
    /// The part.
    pub part: Part,
    /// What is in it.
    pub seen: String,
    /// How long it took.
    pub seconds: f64,
}

/// What was put in place.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
    /// The backup's name, or what was set aside when.
    pub source: String,
    /// Its parts; none if they were ready before.
    pub parts: Vec<Restored>,
    /// The volumes with what was there before.
    pub aside: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

/// What became of a restore that was interrupted.
#[derive(Clone, Debug)]
pub enum Resumed {
    /// It is finished.
    Finished(Done),
    /// Everything is as it was before.
    Undone(String),
    /// It had changed nothing, and what it left is removed.
    Cleared(String),
}

/// One volume that a part is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) part: Part,
    /// Its name in the compose files.
    pub(super) declared: String,
    /// Its name as the engine knows it.
    pub(super) volume: String,
}

/// Where a backup comes back to.
pub(super) struct Site<'s> {
    pub(super) stack: &'s Stack,
    resolved: Resolved,
    project: String,
}

impl<'s> Site<'s> {
    fn new(stack: &'s Stack) -> Result<Self, StackError> {
        Ok(Self {
            stack,
            resolved: stack.resolved()?,
            project: stack.project_name(),
        })
    }

    /// The image of a service: what it opens from now on is made by it.
    fn image(&self, service: &str) -> Result<&str, StackError> {
        self.resolved
            .services
            .get(service)
            .and_then(|service| service.image.as_deref())
            .ok_or_else(|| {
                StackError::usage(
                    format!("the compose files name no image of {service}"),
                    "name the environment that the backup is of with --env",
                )
            })
    }

    /// The volume that a service has at a place.
    fn target(&self, part: Part, at: &str) -> Option<Target> {
        let mounted = self.resolved.mounted(part.as_str(), &self.project);
        let found = mounted.into_iter().find(|mounted| mounted.target == at)?;
        Some(Target {
            part,
            declared: found.declared,
            volume: found.volume,
        })
    }

    /// The archive of WAL.
    fn archive(&self) -> Option<String> {
        self.target(Part::Postgres, POSTGRES_WAL)
            .map(|found| found.volume)
    }

    /// The volumes that a part of a backup goes into.
    fn targets(&self, part: Part, manifest: &Manifest) -> Vec<Target> {
        match part {
            Part::Postgres => self.target(part, POSTGRES_DATA).into_iter().collect(),
            Part::Redis => self.target(part, REDIS_DATA).into_iter().collect(),
            Part::Rabbitmq => self.target(part, RABBITMQ_DATA).into_iter().collect(),
            Part::Volumes => manifest
                .volumes
                .iter()
                .flat_map(|taken| &taken.volumes)
                .filter_map(|one| {
                    let volume = self.resolved.volume(&one.volume, &self.project)?;
                    Some(Target {
                        part,
                        declared: one.volume.clone(),
                        volume,
                    })
                })
                .collect(),
        }
    }

    /// What is made for this restore and goes with it is marked so.
    fn mark(&self) -> String {
        format!("{MARK}={}", self.project)
    }

    /// Names for what is about to be made.
    fn begin(&self, source: String, swaps: Vec<Swap>, at: String) -> Result<Begun, StackError> {
        Ok(Begun {
            at,
            source,
            project: self.project.clone(),
            image: self.image("postgres")?.to_owned(),
            swaps,
        })
    }
}

/// Now, as a part of names.
fn now() -> String {
    Timestamp::now().strftime("%Y%m%dt%H%M%S").to_string()
}

/// What an unfinished restore puts in place, if there is one.
pub fn unfinished(stack: &Stack) -> Option<String> {
    journal::unfinished(&journal::path(&stack.env_path))
}

/// The same as a finding.
pub(crate) fn unfinished_finding(stack: &Stack) -> Option<Finding> {
    let source = unfinished(stack)?;
    let place = shown(&journal::path(&stack.env_path));
    Some(Finding::wrong(
        FindingCode::RestoreUnfinished,
        place,
        format!("the restore of {source} was interrupted, or goes on now"),
        "`collective stack restore` finishes it, `collective stack restore --undo` goes back",
    ))
}

/// The containers that run: nothing is changed under them.
fn running(stack: &Stack) -> Result<Vec<String>, StackError> {
    let containers = stack.containers()?;
    Ok(containers
        .into_iter()
        .filter(|one| !matches!(one.state.as_str(), "exited" | "created" | "dead"))
        .map(|one| one.name)
        .collect())
}

/// How a stack is made to stand still.
const STOP_IT: &str = "stop it with `collective stack down`, which keeps its data";

fn stands_still(stack: &Stack) -> Result<(), StackError> {
    let running = running(stack)?;
    if running.is_empty() {
        return Ok(());
    }
    Err(StackError::wrong_state(
        format!("the stack runs: {}", running.join(", ")),
        STOP_IT,
    ))
}

/// Tells what a restore would change; the runner only tells, if it is dry.
pub fn rehearse(stack: &Stack, plan: &Plan) -> Result<(), StackError> {
    let site = Site::new(stack)?;
    let begun = site.begin(plan.backup.name.clone(), plan.swaps(&now()), now())?;
    begun.swaps.iter().try_for_each(|swap| {
        aside::make(stack, &begun, swap)?;
        aside::set_aside(stack, &begun, swap)?;
        aside::place(stack, &begun, swap)
    })
}

/// Puts back what was looked at. Nothing is changed before all of it lies ready;
/// what goes wrong after that is taken back. `tell` hears of each part.
pub fn restore(
    stack: &Stack,
    plan: &Plan,
    mut tell: impl FnMut(&Restored),
) -> Result<Done, StackError> {
    let start = Instant::now();
    stands_still(stack)?;
    let site = Site::new(stack)?;
    let at = now();
    let begun = site.begin(plan.backup.name.clone(), plan.swaps(&at), at)?;
    let mut journal = Journal::begin(&journal::path(&stack.env_path), begun)?;
    let mut parts = Vec::new();
    for part in &plan.parts {
        let began = Instant::now();
        let ready = parts::stage(&site, plan, *part, &journal.begun.swaps);
        let seen = match ready {
            Ok(seen) => seen,
            Err(error) => {
                aside::drop_staged(stack, &journal.begun);
                journal.end()?;
                return Err(error);
            }
        };
        let restored = Restored {
            part: *part,
            seen,
            seconds: began.elapsed().as_secs_f64(),
        };
        tell(&restored);
        parts.push(restored);
    }
    journal.note(&Step::Staged)?;
    let aside = go_on(stack, journal)?;
    Ok(Done {
        source: plan.backup.name.clone(),
        parts,
        aside,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Finishes the swaps of a journal, or takes them back if one can't be made.
fn go_on(stack: &Stack, mut journal: Journal) -> Result<Vec<String>, StackError> {
    match aside::swap(stack, &mut journal) {
        Ok(()) => {}
        // Whoever interrupts decides what comes next.
        Err(StackError::Interrupted) => {
            return Err(StackError::Interrupted);
        }
        Err(error) => {
            let why = error.to_string();
            let hint = error.hint();
            journal.note(&Step::GoingBack)?;
            aside::put_back(stack, &mut journal)?;
            journal.end()?;
            return Err(StackError::wrong_state(
                format!("{why}; everything is as it was"),
                hint.unwrap_or_else(|| "mend that, then restore again".to_owned()),
            ));
        }
    }
    let swaps = journal.begun.swaps.iter();
    let kept = swaps.filter_map(|swap| swap.aside.clone()).collect();
    aside::drop_placed(stack, &journal.begun);
    journal.end()?;
    Ok(kept)
}

/// Goes on with a restore that was interrupted, if there is one: one that had
/// everything ready is finished, one that had not has changed nothing.
pub fn resume(stack: &Stack) -> Result<Option<Resumed>, StackError> {
    let start = Instant::now();
    let Some(mut journal) = Journal::resume(&journal::path(&stack.env_path))? else {
        return Ok(None);
    };
    let source = journal.begun.source.clone();
    aside::end_copies(stack, &journal.begun);
    if !journal.progress.staged {
        clear(stack, journal)?;
        return Ok(Some(Resumed::Cleared(source)));
    }
    stands_still(stack)?;
    if journal.progress.going_back {
        aside::put_back(stack, &mut journal)?;
        journal.end()?;
        return Ok(Some(Resumed::Undone(source)));
    }
    let aside = go_on(stack, journal)?;
    Ok(Some(Resumed::Finished(Done {
        source,
        parts: Vec::new(),
        aside,
        seconds: start.elapsed().as_secs_f64(),
    })))
}

/// Removes what a restore left that was killed while it made things ready.
fn clear(stack: &Stack, journal: Journal) -> Result<(), StackError> {
    aside::remove_marked(stack, &format!("{MARK}={}", journal.begun.project))?;
    aside::drop_staged(stack, &journal.begun);
    journal.end()
}

/// What would be undone: a restore that was interrupted, or what it set aside.
pub fn undoable(stack: &Stack) -> Result<Undo, StackError> {
    if let Some(source) = unfinished(stack) {
        return Ok(Undo::Unfinished(source));
    }
    let found = aside::newest(stack)?;
    let Some(set) = found else {
        return Err(StackError::usage(
            format!("nothing of {} is set aside", stack.project_name()),
            "`docker volume ls --filter label=collective.stack.aside` shows what is, of all stacks",
        ));
    };
    Ok(Undo::Aside {
        at: set.at,
        volumes: set.kept.into_iter().map(|one| one.volume).collect(),
    })
}

/// What would be undone.
#[derive(Clone, Debug)]
pub enum Undo {
    /// A restore that was interrupted: of this backup.
    Unfinished(String),
    /// What was set aside comes back.
    Aside {
        /// When it was set aside.
        at: String,
        /// The volumes that it comes back into.
        volumes: Vec<String>,
    },
}

/// Goes back: an interrupted restore is taken back; else what the last one set
/// aside comes back, and what is there now is set aside in its turn.
pub fn undo(stack: &Stack) -> Result<Resumed, StackError> {
    let start = Instant::now();
    let path = journal::path(&stack.env_path);
    if let Some(mut journal) = Journal::resume(&path)? {
        let source = journal.begun.source.clone();
        aside::end_copies(stack, &journal.begun);
        if !journal.progress.staged {
            clear(stack, journal)?;
            return Ok(Resumed::Cleared(source));
        }
        stands_still(stack)?;
        if !journal.progress.going_back {
            journal.note(&Step::GoingBack)?;
        }
        aside::put_back(stack, &mut journal)?;
        journal.end()?;
        return Ok(Resumed::Undone(source));
    }
    stands_still(stack)?;
    let site = Site::new(stack)?;
    let Some(set) = aside::newest(stack)? else {
        return Err(StackError::usage(
            format!("nothing of {} is set aside", site.project),
            "a restore sets aside what it replaces",
        ));
    };
    let at = now();
    let swaps = look::undo(&site, &set, &at)?;
    let source = format!("what was set aside at {}", set.at);
    let mut journal = Journal::begin(&path, site.begin(source.clone(), swaps, at)?)?;
    let mut workshop = Workshop::new(stack.runner(), stack.place.root(), None).marked(&site.mark());
    let mut parts = Vec::new();
    for swap in &journal.begun.swaps {
        if swap.part == Part::Postgres {
            // A server that can't start comes back as broken as it was.
            let seen = match postgres::settle(&site, &mut workshop, &swap.staged) {
                Ok(seen) => seen,
                Err(StackError::Interrupted) => {
                    drop(workshop);
                    journal.end()?;
                    return Err(StackError::Interrupted);
                }
                Err(error) => format!("its passwords are those of its time: {error}"),
            };
            parts.push(Restored {
                part: swap.part,
                seen,
                seconds: start.elapsed().as_secs_f64(),
            });
        }
    }
    drop(workshop);
    journal.note(&Step::Staged)?;
    let aside = go_on(stack, journal)?;
    Ok(Resumed::Finished(Done {
        source,
        parts,
        aside,
        seconds: start.elapsed().as_secs_f64(),
    }))
}

/// The volumes that the engine has.
fn volumes(stack: &Stack) -> Result<Vec<String>, StackError> {
    let all = stack
        .runner()
        .ask(&docker(["volume", "ls", "--format", "{{.Name}}"]))?;
    Ok(all.lines().map(|line| line.trim().to_owned()).collect())
}
