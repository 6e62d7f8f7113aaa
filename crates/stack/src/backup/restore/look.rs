//! Everything that can be known before a restore changes anything: which backup
//! it is, whether it is whole, whether the key opens it, whether it fits this
//! stack, whether the moment can be reached, whether there is room.
//!
//! Each finding stands for itself, so that all that is wrong is told at once.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::aside::{Set, aside_name, staged_name};
use super::journal::Swap;
use super::{Moment, STOP_IT, Site, Target, Wish, running, unfinished_finding};
use crate::accounts::ACCOUNTS;
use crate::backup::manifest::{Manifest, Part, Postgres};
use crate::backup::proof::unchanged;
use crate::backup::shelf::{Shelved, survey};
use crate::backup::vault::{self, Key};
use crate::compose::docker;
use crate::error::StackError;
use crate::finding::{Finding, FindingCode as Code, Level};
use crate::machine::size;
use crate::stack::Stack;
use crate::version::major_of_image;

/// How much larger than in the backup something may be: text packs to a fifth,
/// what is packed already not at all.
const UNPACKED: u64 = 4;
/// How long a look into the volumes may take: an image may have to be pulled.
const PROBE_LIMIT: Duration = Duration::from_secs(900);
/// The same in one call: room, what volumes hold, when WAL was written last.
const PROBE: &str = "set -eu; df -Pk / /v/* 2>/dev/null | awk 'NR > 1 {print \"free\", $4}'; \
    for folder in /v/*; do [ -d \"$folder\" ] || continue; \
        echo \"holds ${folder#/v/} $(du -sk \"$folder\" | cut -f1) $(ls -A \"$folder\" | wc -l)\"; done; \
    for folder in /w/archive /w/data/pg_wal; do [ -d \"$folder\" ] || continue; \
        find \"$folder\" -maxdepth 1 -type f -name '????????????????????????' -exec stat -c 'wal %Y' {} +; done";

/// What is restored, and where to.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The backup.
    pub backup: Shelved,
    /// Up to when PostgreSQL is brought.
    pub moment: Moment,
    /// The parts.
    pub parts: Vec<Part>,
    pub(super) key: Option<Key>,
    /// The backup and all after it, for their WAL.
    pub(super) since: Vec<Shelved>,
    /// The volumes, and whether each holds something now.
    pub(super) targets: Vec<(Target, bool)>,
    /// The archive of WAL, if it is there.
    pub(super) archive: Option<String>,
}

impl Plan {
    /// The volumes whose content is set aside.
    pub fn occupied(&self) -> Vec<&str> {
        self.targets
            .iter()
            .filter(|(_, is_full)| *is_full)
            .map(|(target, _)| target.volume.as_str())
            .collect()
    }

    pub(super) fn swaps(&self, at: &str) -> Vec<Swap> {
        self.targets
            .iter()
            .map(|(target, is_full)| Swap {
                part: target.part,
                declared: target.declared.clone(),
                volume: target.volume.clone(),
                staged: staged_name(&target.volume, at),
                aside: is_full.then(|| aside_name(&target.volume, at)),
            })
            .collect()
    }

    /// Up to when the WAL reaches that backups hold.
    pub(super) fn of_backups(&self) -> Option<Timestamp> {
        reaches(&self.since, None)
    }

    /// The volume of a part that holds something now.
    pub(super) fn present(&self, part: Part) -> Option<&str> {
        self.targets
            .iter()
            .find(|(target, is_full)| target.part == part && *is_full)
            .map(|(target, _)| target.volume.as_str())
    }
}

/// Looks. There is a plan if nothing is wrong.
pub fn look(stack: &Stack, wish: &Wish) -> Result<(Vec<Finding>, Option<Plan>), StackError> {
    let mut findings: Vec<Finding> = unfinished_finding(stack).into_iter().collect();
    findings.push(stands_still(stack)?);
    let seen = survey(&wish.folder)?;
    let backup = match choose(seen.whole.clone(), &seen.broken, wish) {
        Ok(backup) => backup,
        Err(finding) => {
            findings.push(finding);
            return Ok((findings, None));
        }
    };
    let site = Site::new(stack)?;
    let manifest = &backup.manifest;
    let (parts, of_parts) = parts(&site, manifest, wish);
    findings.extend(of_parts);
    let since: Vec<Shelved> = seen
        .whole
        .into_iter()
        .filter(|one| one.name >= backup.name && one.manifest.postgres.is_some())
        .collect();
    if parts.contains(&Part::Postgres)
        && let Some(taken) = &manifest.postgres
    {
        findings.extend(fits(&site, taken));
        findings.extend(window(&backup, taken, &wish.moment));
    } else if wish.moment != Moment::Backup {
        findings.push(Finding::wrong(
            Code::RestoreTime,
            "--until",
            "only PostgreSQL can be brought to a time, and it is none of the parts",
            "leave --until out, or add postgres to --part",
        ));
    }
    findings.extend(whole(&backup, &parts, wish)?);
    if wish.moment != Moment::Backup {
        findings.extend(later_wal(&backup, &since, wish)?);
    }
    let targets: Vec<Target> = parts
        .iter()
        .flat_map(|part| site.targets(*part, manifest))
        .collect();
    let all = super::volumes(stack)?;
    let archive = site
        .archive()
        .filter(|archive| parts.contains(&Part::Postgres) && all.contains(archive));
    let seen = probe(&site, &targets, &all, archive.as_deref())?;
    findings.push(room(&backup, &parts, &since, &seen, &wish.moment));
    findings.extend(
        targets
            .iter()
            .map(|target| becomes(target, &all, seen.holds(&target.volume))),
    );
    if let Moment::At(until) = wish.moment {
        findings.extend(covered(until, reaches(&since, seen.newest_wal)));
    }
    let is_wrong = findings.iter().any(|finding| finding.level == Level::Wrong);
    let plan = (!is_wrong).then(|| Plan {
        targets: targets
            .into_iter()
            .map(|target| {
                let is_full = seen
                    .holds(&target.volume)
                    .is_some_and(|held| held.count > 0);
                (target, is_full)
            })
            .collect(),
        moment: wish.moment.clone(),
        key: wish.key.clone(),
        backup,
        parts,
        since,
        archive,
    });
    Ok((findings, plan))
}

fn stands_still(stack: &Stack) -> Result<Finding, StackError> {
    let running = running(stack)?;
    Ok(if running.is_empty() {
        Finding::fine(
            Code::RestoreRunning,
            stack.project_name(),
            "no container runs",
        )
    } else {
        Finding::wrong(
            Code::RestoreRunning,
            stack.project_name(),
            format!("it runs: {}", running.join(", ")),
            STOP_IT,
        )
    })
}

/// The backup that was named, or the newest one that was whole before the moment.
fn choose(
    mut whole: Vec<Shelved>,
    broken: &[(String, StackError)],
    wish: &Wish,
) -> Result<Shelved, Finding> {
    const MEND: &str = "collective stack backup list --to FOLDER shows what is there";
    let place = wish.folder.display().to_string();
    let missing = |seen: String| Finding::wrong(Code::BackupMissing, &place, seen, MEND);
    let unreadable = |name: &str, error: &StackError| {
        Finding::wrong(
            Code::BackupBroken,
            name,
            error.to_string(),
            "take another one, by its name",
        )
    };
    if let Some(name) = &wish.name {
        if let Some((name, error)) = broken.iter().find(|(one, _)| one == name) {
            return Err(unreadable(name, error));
        }
        return whole
            .into_iter()
            .find(|one| one.name == *name)
            .ok_or_else(|| missing(format!("no backup is named {name}")));
    }
    if let Moment::At(until) = wish.moment {
        whole.retain(|one| {
            let taken = one.manifest.postgres.as_ref();
            taken.is_some_and(|taken| whole_at(&one.manifest, taken).is_some_and(|at| at <= until))
        });
    }
    let Some(newest) = whole.pop() else {
        return Err(match (&wish.moment, broken.last()) {
            (_, Some((name, error))) => unreadable(name, error),
            (Moment::At(until), None) => {
                missing(format!("no backup was whole before {}", shown(*until)))
            }
            _ => missing("there is no backup".to_owned()),
        });
    };
    // Somebody who wants the newest one is not given an older one in silence.
    match broken.last() {
        Some((name, error)) if *name > newest.name => Err(unreadable(name, error)),
        _ => Ok(newest),
    }
}

/// From when on PostgreSQL's base backup can be brought to a time.
fn whole_at(manifest: &Manifest, taken: &Postgres) -> Option<Timestamp> {
    taken
        .whole_at
        .as_ref()
        .unwrap_or(&manifest.ended_at)
        .parse()
        .ok()
}

/// The parts that are restored. What was asked for by name must be there.
fn parts(site: &Site<'_>, manifest: &Manifest, wish: &Wish) -> (Vec<Part>, Vec<Finding>) {
    let there = manifest.parts();
    let is_asked = !wish.parts.is_empty();
    let mut parts = if is_asked {
        wish.parts.clone()
    } else {
        there.clone()
    };
    parts.sort_unstable();
    parts.dedup();
    let mut findings = Vec::new();
    parts.retain(|part| {
        let seen = if !there.contains(part) {
            "it is not in the backup"
        } else if *part != Part::Volumes && site.targets(*part, manifest).is_empty() {
            "this environment keeps nothing of it"
        } else {
            return true;
        };
        let mend = "take another backup, or leave the part out";
        findings.push(if is_asked {
            Finding::wrong(Code::BackupPart, part.as_str(), seen, mend)
        } else {
            Finding::notice(Code::BackupPart, part.as_str(), seen, "it is left out")
        });
        false
    });
    (parts, findings)
}

/// Whether this stack's PostgreSQL opens it, and finds in it what it looks for.
fn fits(site: &Site<'_>, taken: &Postgres) -> Vec<Finding> {
    let stack = site.stack;
    let mut findings = Vec::new();
    let image = site.image(Part::Postgres.as_str()).unwrap_or_default();
    if let (Some(made), Some(here)) = (major_of_image(&taken.image), major_of_image(image)) {
        findings.push(if made == here {
            Finding::fine(
                Code::BackupVersion,
                image,
                format!("the backup is of PostgreSQL {made} too"),
            )
        } else {
            Finding::wrong(
                Code::BackupVersion,
                image,
                format!("the backup is of PostgreSQL {made} ({})", taken.image),
                format!(
                    "take an image of PostgreSQL {made}; to move on, restore its dump, \
                     postgres/dump.pgc, into a new database with pg_restore"
                ),
            )
        });
    }
    for (variable, backup, here) in [
        ("POSTGRES_USER", &taken.user, stack.user(&ACCOUNTS[0])),
        ("POSTGRES_DB", &taken.database, stack.database()),
    ] {
        if *backup != here {
            findings.push(Finding::wrong(
                Code::BackupNames,
                variable,
                format!("it is `{here}` here, and `{backup}` in the backup"),
                format!("set {variable}={backup} in {}", stack.env_shown()),
            ));
        }
    }
    findings
}

/// Whether a moment lies behind the base backup, and WAL is kept at all.
fn window(backup: &Shelved, taken: &Postgres, moment: &Moment) -> Option<Finding> {
    let wrong =
        |seen: String, mend: &str| Some(Finding::wrong(Code::RestoreTime, "--until", seen, mend));
    if *moment == Moment::Backup {
        return None;
    }
    if taken.wal.is_none() {
        return wrong(
            format!("{} is of a server that archives no WAL", backup.name),
            "leave --until out; staging and production archive it",
        );
    }
    let Moment::At(until) = moment else {
        return None;
    };
    let from = whole_at(&backup.manifest, taken)?;
    if *until < from {
        return wrong(
            format!(
                "{} is before {}, where {} begins",
                shown(*until),
                shown(from),
                backup.name
            ),
            "take an older backup: without a name the right one is found",
        );
    }
    if *until > Timestamp::now() {
        return wrong(
            format!("{} is not over yet", shown(*until)),
            "take a time that has passed, or `latest`",
        );
    }
    None
}

/// Whether every file of the parts is what was written, and the key opens it.
fn whole(backup: &Shelved, parts: &[Part], wish: &Wish) -> Result<Vec<Finding>, StackError> {
    let mut findings = Vec::new();
    for part in parts {
        let place = format!("{} {part}", backup.name);
        if let Err(why) = unchanged(&backup.manifest, &backup.folder, *part)? {
            findings.push(broken(&place, why));
            continue;
        }
        let seen = format!(
            "{} in {} files, as they were written",
            size(backup.manifest.size(*part)),
            backup.manifest.files(*part).len()
        );
        findings.push(Finding::fine(Code::BackupBroken, &place, seen));
        for entry in backup.manifest.files(*part) {
            if let Err(why) = vault::opens(&backup.folder, entry, wish.key.as_ref())? {
                findings.push(locked(&place, why));
                break;
            }
        }
    }
    Ok(findings)
}

/// The same of the WAL that later backups hold.
fn later_wal(backup: &Shelved, since: &[Shelved], wish: &Wish) -> Result<Vec<Finding>, StackError> {
    let mut findings = Vec::new();
    for one in since.iter().filter(|one| one.name != backup.name) {
        let entry = one
            .manifest
            .postgres
            .as_ref()
            .and_then(|it| it.wal.as_ref());
        let Some(entry) = entry else { continue };
        if let Err(why) = vault::is_unchanged(&one.folder, entry)? {
            findings.push(broken(&one.name, why));
        } else if let Err(why) = vault::opens(&one.folder, entry, wish.key.as_ref())? {
            findings.push(locked(&one.name, why));
        }
    }
    Ok(findings)
}

fn broken(place: &str, why: String) -> Finding {
    let mend = "take another backup: collective stack backup list --to FOLDER";
    Finding::wrong(Code::BackupBroken, place, why, mend)
}

fn locked(place: &str, why: String) -> Finding {
    let mend = "give the file with the private key that it was made with by --key";
    Finding::wrong(Code::BackupKey, place, why, mend)
}

/// What a volume holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    bytes: u64,
    count: u64,
}

/// What was seen of the disk and the volumes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Probe {
    free: Option<u64>,
    volumes: BTreeMap<String, Held>,
    newest_wal: Option<i64>,
}

impl Probe {
    /// Reads the answer; volumes are numbered in it.
    fn parse(text: &str, names: &[&str]) -> Self {
        let mut probe = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["free", kib] => {
                    let free = kib.parse::<u64>().ok().map(|kib| kib * 1024);
                    // The room of the fullest of them is what counts.
                    probe.free = match (probe.free, free) {
                        (Some(a), Some(b)) => Some(a.min(b)),
                        (a, b) => a.or(b),
                    };
                }
                ["holds", number, kib, count] => {
                    let name = number.parse().ok().and_then(|at: usize| names.get(at));
                    let held = (kib.parse::<u64>(), count.parse());
                    if let (Some(name), (Ok(kib), Ok(count))) = (name, held) {
                        let bytes = kib * 1024;
                        probe
                            .volumes
                            .insert((*name).to_owned(), Held { bytes, count });
                    }
                }
                ["wal", at] => probe.newest_wal = probe.newest_wal.max(at.parse().ok()),
                _ => {}
            }
        }
        probe
    }

    fn holds(&self, volume: &str) -> Option<Held> {
        self.volumes.get(volume).copied()
    }
}

/// Looks into the volumes that are there, read-only.
fn probe(
    site: &Site<'_>,
    targets: &[Target],
    all: &[String],
    archive: Option<&str>,
) -> Result<Probe, StackError> {
    let there: Vec<&str> = targets
        .iter()
        .map(|target| target.volume.as_str())
        .filter(|volume| all.iter().any(|one| one == volume))
        .collect();
    let mut mounts = numbered(&there);
    if let Some(archive) = archive {
        mounts.push(format!("{archive}:/w/archive:ro"));
        let data = targets.iter().find(|target| target.part == Part::Postgres);
        let data = data.filter(|data| there.contains(&data.volume.as_str()));
        mounts.extend(data.map(|data| format!("{}:/w/data:ro", data.volume)));
    }
    ask(site, &mounts).map(|answer| Probe::parse(&answer, &there))
}

fn numbered(volumes: &[&str]) -> Vec<String> {
    let mounts = volumes.iter().enumerate();
    mounts
        .map(|(number, volume)| format!("{volume}:/v/{number}:ro"))
        .collect()
}

fn ask(site: &Site<'_>, mounts: &[String]) -> Result<String, StackError> {
    let mut call = docker(["run", "--rm", "--network", "none", "--user", "0"]);
    for mount in mounts {
        call = call.args(["--volume", mount]);
    }
    let image = site.image(Part::Postgres.as_str())?;
    let call = call
        .args(["--entrypoint", "sh", image, "-c", PROBE])
        .limit(PROBE_LIMIT);
    site.stack.runner().ask(&call)
}

/// What comes lies there twice for a while, beside what goes.
fn room(
    backup: &Shelved,
    parts: &[Part],
    since: &[Shelved],
    seen: &Probe,
    moment: &Moment,
) -> Finding {
    let manifest = &backup.manifest;
    let comes: u64 = parts
        .iter()
        .map(|part| {
            let stored = manifest.size(*part);
            match (&manifest.postgres, part) {
                (Some(taken), Part::Postgres) => {
                    let base = taken.base.size * UNPACKED;
                    base.max(taken.bytes.unwrap_or_default())
                }
                _ => stored * UNPACKED,
            }
        })
        .sum();
    let wal: u64 = since
        .iter()
        .filter(|_| *moment != Moment::Backup)
        .filter_map(|one| one.manifest.postgres.as_ref()?.wal.as_ref())
        .map(|entry| entry.size * UNPACKED)
        .sum();
    let goes: u64 = seen.volumes.values().map(|held| held.bytes).sum();
    enough(seen.free, 2 * comes + wal + goes)
}

fn enough(free: Option<u64>, needed: u64) -> Finding {
    let place = "the engine's disk";
    match free {
        Some(free) if free < needed => Finding::wrong(
            Code::RestoreDisk,
            place,
            format!("{} are free, and {} are needed", size(free), size(needed)),
            "make room: `docker system df` shows what takes it; what is there now is kept beside \
             what comes",
        ),
        Some(free) => Finding::fine(
            Code::RestoreDisk,
            place,
            format!("{} are free, {} are needed", size(free), size(needed)),
        ),
        None => Finding::notice(
            Code::RestoreDisk,
            place,
            format!("it can't be seen; {} are needed", size(needed)),
            "look at it yourself",
        ),
    }
}

fn becomes(target: &Target, all: &[String], held: Option<Held>) -> Finding {
    let seen = match held {
        Some(held) if held.count > 0 => format!("its {} are set aside", size(held.bytes)),
        _ if all.contains(&target.volume) => "it is empty".to_owned(),
        _ => "it is made".to_owned(),
    };
    Finding::fine(Code::RestoreVolume, &target.volume, seen)
}

/// Up to when there is WAL: a backup has all that was written before its own.
fn reaches(since: &[Shelved], newest_wal: Option<i64>) -> Option<Timestamp> {
    let of_archive = newest_wal.and_then(|at| Timestamp::from_second(at).ok());
    since
        .iter()
        .filter_map(|one| {
            let taken = one.manifest.postgres.as_ref()?;
            taken.wal.as_ref()?;
            whole_at(&one.manifest, taken)
        })
        .chain(of_archive)
        .max()
}

fn covered(until: Timestamp, reaches: Option<Timestamp>) -> Option<Finding> {
    let reaches = reaches.filter(|reaches| *reaches < until)?;
    Some(Finding::wrong(
        Code::RestoreTime,
        "--until",
        format!(
            "the WAL at hand ends at {}, before {}",
            shown(reaches),
            shown(until)
        ),
        "`--until latest` brings back all that there is",
    ))
}

/// A moment as it is typed.
pub(super) fn shown(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The swaps that bring back what was set aside, if there is room.
pub(super) fn undo(site: &Site<'_>, set: &Set, at: &str) -> Result<Vec<Swap>, StackError> {
    let all = super::volumes(site.stack)?;
    let names: Vec<&str> = set
        .kept
        .iter()
        .flat_map(|kept| [kept.name.as_str(), kept.volume.as_str()])
        .filter(|name| all.iter().any(|one| one == name))
        .collect();
    let seen = Probe::parse(&ask(site, &numbered(&names))?, &names);
    let needed = seen.volumes.values().map(|held| held.bytes).sum();
    let finding = enough(seen.free, needed);
    if finding.level == Level::Wrong {
        return Err(StackError::wrong_state(
            finding.seen,
            finding.mend.unwrap_or_default(),
        ));
    }
    Ok(set
        .kept
        .iter()
        .map(|kept| {
            let is_full = seen.holds(&kept.volume).is_some_and(|held| held.count > 0);
            Swap {
                part: kept.part,
                declared: kept.declared.clone(),
                volume: kept.volume.clone(),
                staged: kept.name.clone(),
                aside: is_full.then(|| aside_name(&kept.volume, at)),
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn taken(whole_at: Option<i64>) -> Postgres {
        let entry = |path: &str| crate::backup::manifest::Entry {
            path: path.to_owned(),
            size: 10,
            sha256: String::new(),
        };
        Postgres {
            image: "postgres:15-alpine".to_owned(),
            database: "d".to_owned(),
            user: "u".to_owned(),
            base: entry("base"),
            dump: entry("dump"),
            wal: Some(entry("wal")),
            start_wal: "000000010000000000000005".to_owned(),
            whole_at: whole_at.map(|at| second(at).to_string()),
            bytes: None,
            tables: BTreeMap::new(),
        }
    }

    fn backup(at: i64) -> Shelved {
        let time = second(at).to_string();
        let mut manifest = Manifest::new(time.clone(), "compose".to_owned(), false);
        manifest.postgres = Some(taken(Some(at + 5)));
        Shelved {
            name: time.replace(':', "-"),
            folder: PathBuf::new(),
            manifest,
        }
    }

    fn wish(name: Option<&str>, moment: Moment) -> Wish {
        Wish {
            folder: "/backups".into(),
            name: name.map(str::to_owned),
            moment,
            key: None,
            parts: Vec::new(),
        }
    }

    fn broken_one(name: &str) -> (String, StackError) {
        (name.to_owned(), StackError::usage("it is broken", ""))
    }

    #[test]
    fn the_newest_backup_before_the_moment_is_chosen() {
        let all = || vec![backup(100), backup(200)];
        let chosen = |wish: &Wish| choose(all(), &[], wish).map(|one| one.name);
        let newest = chosen(&wish(None, Moment::Backup)).unwrap();
        assert_eq!(newest, "1970-01-01T00-03-20Z");
        let before = chosen(&wish(None, Moment::At(second(204)))).unwrap();
        assert_eq!(before, "1970-01-01T00-01-40Z");
        let on = chosen(&wish(None, Moment::At(second(205)))).unwrap();
        assert_eq!(on, newest);
        let none = chosen(&wish(None, Moment::At(second(104)))).unwrap_err();
        assert_eq!(none.code, Code::BackupMissing);
        let unknown = chosen(&wish(Some("2030"), Moment::Backup)).unwrap_err();
        assert_eq!(unknown.code, Code::BackupMissing);
        let nothing = choose(Vec::new(), &[], &wish(None, Moment::Backup)).unwrap_err();
        assert_eq!(nothing.code, Code::BackupMissing);
    }

    #[test]
    fn nobody_is_given_an_older_backup_in_the_place_of_a_broken_one() {
        let all = || vec![backup(100), backup(200)];
        let newest = [broken_one("1970-01-01T00-09-00Z")];
        let refused = choose(all(), &newest, &wish(None, Moment::Backup)).unwrap_err();
        assert_eq!(refused.code, Code::BackupBroken);
        let named = wish(Some("1970-01-01T00-01-40Z"), Moment::Backup);
        assert!(choose(all(), &newest, &named).is_ok());
        let older = [broken_one("1970-01-01T00-00-01Z")];
        assert!(choose(all(), &older, &wish(None, Moment::Backup)).is_ok());
        let itself = wish(Some("1970-01-01T00-00-01Z"), Moment::Backup);
        let refused = choose(all(), &older, &itself).unwrap_err();
        assert_eq!(refused.code, Code::BackupBroken);
    }

    #[test]
    fn a_moment_must_lie_within_what_is_kept() {
        let one = backup(100);
        let seen = |moment: &Moment| {
            let taken = one.manifest.postgres.as_ref().unwrap();
            window(&one, taken, moment).map(|finding| finding.seen)
        };
        assert_eq!(seen(&Moment::Backup), None);
        assert_eq!(seen(&Moment::Latest), None);
        assert_eq!(seen(&Moment::At(second(105))), None);
        let early = seen(&Moment::At(second(104))).unwrap();
        assert!(early.contains("before 1970-01-01T00:01:45Z"), "{early}");
        let late = Timestamp::now() + Duration::from_secs(3_600);
        assert!(seen(&Moment::At(late)).unwrap().contains("not over yet"));
        let mut without = taken(None);
        without.wal = None;
        let refused = window(&one, &without, &Moment::Latest).unwrap();
        assert_eq!(refused.code, Code::RestoreTime);

        let since = [backup(100), backup(200)];
        assert_eq!(reaches(&since, None), Some(second(205)));
        assert_eq!(reaches(&since, Some(300)), Some(second(300)));
        assert_eq!(covered(second(300), Some(second(300))), None);
        let beyond = covered(second(301), Some(second(300))).unwrap();
        assert_eq!(beyond.code, Code::RestoreTime);
    }

    #[test]
    fn what_the_look_into_volumes_says_is_read() {
        let text = "free 5000\nfree 4000\nholds 0 12 3\nholds 1 4 0\nwal 7\nwal 9\nnoise\n";
        let probe = Probe::parse(text, &["a", "b"]);
        assert_eq!(probe.free, Some(4000 * 1024));
        assert_eq!(
            probe.holds("a"),
            Some(Held {
                bytes: 12 * 1024,
                count: 3
            })
        );
        assert_eq!(probe.holds("b").map(|held| held.count), Some(0));
        assert_eq!(probe.newest_wal, Some(9));
        assert_eq!(enough(Some(10), 11).code, Code::RestoreDisk);
        assert_eq!(enough(Some(10), 11).level, Level::Wrong);
        assert_eq!(enough(Some(11), 11).level, Level::Fine);
    }
}
