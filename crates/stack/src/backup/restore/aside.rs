//! What is there is set aside, what comes is put in its place, and back.
//!
//! The engine can't rename a volume, so content is copied. Each step can be made
//! again from its beginning: a volume is only emptied once all that it held lies
//! in another one, on the disk.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::journal::{Begun, Journal, Step, Swap};
use crate::backup::manifest::Part;
use crate::call::Call;
use crate::compose::docker;
use crate::container::PROJECT_LABEL;
use crate::error::StackError;
use crate::stack::Stack;

/// What is set aside is marked with the project, with the volume that it was in
/// and its name in the compose files, with its part, and with its time.
const ASIDE: &str = "collective.stack.aside";
const OF: &str = "collective.stack.aside.of";
const DECLARED: &str = "collective.stack.aside.declared";
const PART: &str = "collective.stack.aside.part";
const AT: &str = "collective.stack.aside.at";
/// Compose's label of a volume.
const VOLUME_LABEL: &str = "com.docker.compose.volume";

/// How long one copy may take: 1 TB at 100 MB/s are three hours.
const COPY_LIMIT: Duration = Duration::from_secs(4 * 3_600);
/// Makes `/to` what `/from` is.
const COPY: &str = "set -eu; find /to -mindepth 1 -maxdepth 1 -exec rm -rf {} +; cp -a /from/. /to/; \
                    chown \"$(stat -c %u:%g /from)\" /to; chmod \"$(stat -c %a /from)\" /to; sync";
/// Empties `/to`.
const EMPTY: &str = "set -eu; find /to -mindepth 1 -maxdepth 1 -exec rm -rf {} +; sync";

/// What one restore set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set {
    /// When.
    pub(super) at: String,
    /// Each volume.
    pub(super) kept: Vec<Kept>,
}

/// One volume of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// Where it lies.
    pub(super) name: String,
    /// The volume that it was in.
    pub(super) volume: String,
    /// That one's name in the compose files.
    pub(super) declared: String,
    /// The part that it is of.
    pub(super) part: Part,
}

/// The container that copies; only one at a time, so that one that goes on after
/// whoever started it was killed can be ended by its name.
fn copier(begun: &Begun) -> String {
    format!("{}-restore-copy", begun.project)
}

fn copy(begun: &Begun, from: &str, to: &str) -> Call {
    script(
        begun,
        &[&format!("{from}:/from:ro"), &format!("{to}:/to")],
        COPY,
    )
}

fn script(begun: &Begun, mounts: &[&str], script: &str) -> Call {
    let mut call = docker(["run", "--rm", "--name"]).arg(copier(begun)).args([
        "--network",
        "none",
        "--user",
        "0",
    ]);
    for mount in mounts {
        call = call.args(["--volume", mount]);
    }
    call.args(["--entrypoint", "sh", &begun.image, "-c", script])
        .limit(COPY_LIMIT)
}

/// Ends a copy that outlived whoever started it.
pub(super) fn end_copies(stack: &Stack, begun: &Begun) {
    stack
        .runner()
        .restore(&docker(["rm", "--force", &copier(begun)]));
}

/// Makes the volumes of a swap that aren't there: the stack's own, as Compose
/// would, and the one for what is set aside.
pub(super) fn make(stack: &Stack, begun: &Begun, swap: &Swap) -> Result<(), StackError> {
    let all = super::volumes(stack)?;
    let is_there = |name: &str| all.iter().any(|one| one == name);
    if !is_there(&swap.volume) {
        let project = format!("{PROJECT_LABEL}={}", begun.project);
        let volume = format!("{VOLUME_LABEL}={}", swap.declared);
        let call = docker(["volume", "create", "--label", &project, "--label", &volume]);
        stack.runner().change(&call.arg(&swap.volume))?;
    }
    if let Some(aside) = swap.aside.as_deref().filter(|aside| !is_there(aside)) {
        let mut call = docker(["volume", "create"]);
        for (label, value) in [
            (ASIDE, begun.project.as_str()),
            (OF, &swap.volume),
            (DECLARED, &swap.declared),
            (PART, swap.part.as_str()),
            (AT, &begun.at),
        ] {
            call = call.arg("--label").arg(format!("{label}={value}"));
        }
        stack.runner().change(&call.arg(aside))?;
    }
    Ok(())
}

/// Copies what is there, if something is.
pub(super) fn set_aside(stack: &Stack, begun: &Begun, swap: &Swap) -> Result<(), StackError> {
    match &swap.aside {
        Some(aside) => stack.runner().change(&copy(begun, &swap.volume, aside)),
        None => Ok(()),
    }
}

/// Puts what comes in its place.
pub(super) fn place(stack: &Stack, begun: &Begun, swap: &Swap) -> Result<(), StackError> {
    stack
        .runner()
        .change(&copy(begun, &swap.staged, &swap.volume))
}

/// Makes the swaps that aren't made yet: first everything is set aside, so that
/// a disk that is full is met while nothing is changed.
pub(super) fn swap(stack: &Stack, journal: &mut Journal) -> Result<(), StackError> {
    for swap in journal.begun.swaps.clone() {
        if !journal.progress.aside.contains(&swap.volume) {
            make(stack, &journal.begun, &swap)?;
            set_aside(stack, &journal.begun, &swap)?;
            journal.note(&Step::Aside(swap.volume))?;
        }
    }
    for swap in journal.begun.swaps.clone() {
        if !journal.progress.placed.contains(&swap.volume) {
            place(stack, &journal.begun, &swap)?;
            journal.note(&Step::Placed(swap.volume))?;
        }
    }
    Ok(())
}

/// Has every volume hold what it held before, and removes what was made for the
/// restore. All of it can be had again.
pub(super) fn put_back(stack: &Stack, journal: &mut Journal) -> Result<(), StackError> {
    let begun = journal.begun.clone();
    let is_all_aside = begun
        .swaps
        .iter()
        .all(|swap| journal.progress.aside.contains(&swap.volume));
    for swap in &begun.swaps {
        // A volume is only changed once all of them are set aside.
        if is_all_aside && !journal.progress.back.contains(&swap.volume) {
            let call = match &swap.aside {
                Some(aside) => copy(&begun, aside, &swap.volume),
                None => script(&begun, &[&format!("{}:/to", swap.volume)], EMPTY),
            };
            stack.runner().change(&call)?;
            journal.note(&Step::Back(swap.volume.clone()))?;
        }
    }
    for aside in begun.swaps.iter().filter_map(|swap| swap.aside.as_deref()) {
        stack
            .runner()
            .restore(&docker(["volume", "rm", "--force", aside]));
    }
    drop_staged(stack, &begun);
    Ok(())
}

/// The volume that something is made ready in.
pub(super) fn staged_name(volume: &str, at: &str) -> String {
    format!("{volume}-restored-{at}")
}

/// The volume that something is set aside in.
pub(super) fn aside_name(volume: &str, at: &str) -> String {
    format!("{volume}-before-{at}")
}

/// Removes what was made ready for this restore. What an earlier one set aside,
/// and this one was to bring back, stays.
pub(super) fn drop_staged(stack: &Stack, begun: &Begun) {
    drop_sources(stack, begun, |swap| {
        swap.staged == staged_name(&swap.volume, &begun.at)
    });
}

/// Removes the volumes that what came was in: all of it is in its place.
pub(super) fn drop_placed(stack: &Stack, begun: &Begun) {
    drop_sources(stack, begun, |_| true);
}

fn drop_sources(stack: &Stack, begun: &Begun, is_meant: impl Fn(&Swap) -> bool) {
    for swap in begun.swaps.iter().filter(|swap| is_meant(swap)) {
        stack
            .runner()
            .restore(&docker(["volume", "rm", "--force", &swap.staged]));
    }
}

/// Removes every container and volume with a mark.
pub(super) fn remove_marked(stack: &Stack, mark: &str) -> Result<(), StackError> {
    let filter = format!("label={mark}");
    let runner = stack.runner();
    let containers = docker(["ps", "--all", "--quiet", "--filter", &filter]);
    for container in runner.ask(&containers)?.split_whitespace() {
        runner.restore(&docker(["rm", "--force", "--volumes", container]));
    }
    let volumes = docker(["volume", "ls", "--quiet", "--filter", &filter]);
    for volume in runner.ask(&volumes)?.split_whitespace() {
        runner.restore(&docker(["volume", "rm", "--force", volume]));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    name: String,
    labels: Option<BTreeMap<String, String>>,
}

/// What was set aside last, if something of this stack is.
pub(super) fn newest(stack: &Stack) -> Result<Option<Set>, StackError> {
    let filter = format!("label={ASIDE}={}", stack.project_name());
    let list = docker(["volume", "ls", "--quiet", "--filter", &filter]);
    let names = stack.runner().ask(&list)?;
    let names: Vec<&str> = names.split_whitespace().collect();
    if names.is_empty() {
        return Ok(None);
    }
    let call = docker(["volume", "inspect"]).args(names);
    let answer = stack.runner().ask(&call)?;
    newest_of(&answer).map_err(|error| StackError::Garbled {
        call: call.to_string(),
        what: error.to_string(),
    })
}

fn newest_of(json: &str) -> Result<Option<Set>, serde_json::Error> {
    let inspected: Vec<Inspected> = serde_json::from_str(json)?;
    let mut sets: BTreeMap<String, Vec<Kept>> = BTreeMap::new();
    for one in inspected {
        let labels = one.labels.unwrap_or_default();
        let label = |name: &str| labels.get(name).cloned();
        let part = label(PART).and_then(|part| part.parse().ok());
        if let (Some(at), Some(volume), Some(declared), Some(part)) =
            (label(AT), label(OF), label(DECLARED), part)
        {
            sets.entry(at).or_default().push(Kept {
                name: one.name,
                volume,
                declared,
                part,
            });
        }
    }
    Ok(sets.pop_last().map(|(at, mut kept)| {
        kept.sort_by(|a, b| (a.part, &a.volume).cmp(&(b.part, &b.volume)));
        Set { at, kept }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_aside_last_is_found_by_its_labels() {
        let one = |name: &str, of: &str, part: &str, at: &str| {
            format!(
                r#"{{"Name":"{name}","Labels":{{"{ASIDE}":"compose","{OF}":"{of}","{DECLARED}":"{of}","{PART}":"{part}","{AT}":"{at}"}}}}"#
            )
        };
        let json = format!(
            "[{},{},{},{}]",
            one("a", "redis_data", "redis", "20261130t020000"),
            one("b", "redis_data", "redis", "20261130t030000"),
            one("c", "postgres_data", "postgres", "20261130t030000"),
            r#"{"Name":"d","Labels":null}"#
        );
        let set = newest_of(&json).unwrap().unwrap();
        assert_eq!(set.at, "20261130t030000");
        let names: Vec<&str> = set.kept.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["c", "b"]);
        assert_eq!(newest_of("[]").unwrap(), None);
    }

    #[test]
    fn names_say_what_is_in_a_volume() {
        assert_eq!(
            staged_name("redis_data", "20261130t020000"),
            "redis_data-restored-20261130t020000"
        );
        assert_eq!(
            aside_name("redis_data", "20261130t020000"),
            "redis_data-before-20261130t020000"
        );
    }
}
