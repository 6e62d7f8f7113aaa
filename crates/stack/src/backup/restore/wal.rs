//! WAL: which of it there is, which timeline a moment lies on, and what is
//! missing in between.
//!
//! Each restore begins a timeline. What was lived after it is on that one, what
//! was lived before it on the one before, even if that is later on the clock than
//! the moment it was restored to: so the moment decides, not the newest number.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Moment, Site};
use crate::backup::shelf::Shelved;
use crate::backup::workshop::Workshop;
use crate::error::StackError;

/// A segment is 16 MB, as the images make them.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Segments in 4 GB, which a name counts apart.
const SEGMENTS: u64 = 256;
/// Length of a segment's name.
const NAME_LEN: usize = 24;

/// `take FOLDER` brings into `/to` the segments there that are of this cluster,
/// whose number stands in the header of each, and the histories that lie beside
/// one: those of another cluster say nothing of this one.
const TAKE: &str = "set -eu; umask 022; \
    is_ours() { [ \"$(od -An -tx1 -j24 -N8 \"$1\" | tr -d ' \\n')\" = \"$cluster\" ]; }; \
    bring() { [ ! -e \"$1\" ] || [ -e \"/to/$1\" ] || cp -p \"$1\" /to/; }; \
    take() { cd \"$1\"; found=no; \
        for file in *; do [ ${#file} -ne 24 ] || ! is_ours \"$file\" || { found=yes; bring \"$file\"; }; done; \
        [ $found = yes ] || return 0; \
        for file in *.history; do bring \"$file\"; done; }; \
    cluster=";
/// Takes from the archive, and from the folder of a server that couldn't archive
/// its last segments.
const COLLECT: &str =
    "for folder in /archive /data/pg_wal; do [ ! -d \"$folder\" ] || take \"$folder\"; done";
/// The histories alone: which timelines are taken.
const COLLECT_HISTORIES: &str = "set -eu; \
    for folder in /archive /data/pg_wal; do \
        for file in \"$folder\"/*.history; do [ ! -e \"$file\" ] || cp -p \"$file\" /to/; done; \
    done";
/// Tells what is in `/to`, with times and, for a history, the timelines before.
const LIST: &str = "set -eu; cd /to; chmod -R a+rX .; for file in *; do \
    case \"$file\" in \
    *.history) echo \"history $file $(stat -c %Y \"$file\")\" $(awk '$1 ~ /^[0-9]+$/ {print $1 \":\" $2}' \"$file\") ;; \
    *) [ ! -f \"$file\" ] || echo \"segment $file $(stat -c %Y \"$file\")\" ;; \
    esac; done";
/// Unpacks the WAL of a backup, or only its histories: GNU's tar has to be told
/// that a name is a pattern, and the other one takes it as one.
const UNPACK: &str = "mkdir /to/.in; tar -xzf - -C /to/.in; take /to/.in; rm -rf /to/.in";
const UNPACK_HISTORIES: &str = "if tar --version 2>/dev/null | grep -q GNU; then set -- --wildcards; fi; \
    tar -xzf - -C /to \"$@\" '*.history' 2>/dev/null || true";

/// What is at hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// When each segment was written, in seconds since 1970, by timeline and number.
    segments: BTreeMap<(u32, u64), i64>,
    /// Timelines that were begun by a restore: when, and those before with the
    /// segment that each was left in.
    timelines: BTreeMap<u32, (i64, BTreeMap<u32, u64>)>,
}

impl Listing {
    fn parse(text: &str) -> Self {
        let mut listing = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(kind), Some(name), Some(at)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let Ok(at) = at.parse::<i64>() else { continue };
            match kind {
                "history" => {
                    let number = name
                        .strip_suffix(".history")
                        .and_then(|digits| u32::from_str_radix(digits, 16).ok());
                    if let Some(number) = number {
                        let before = words.filter_map(left).collect();
                        listing.timelines.insert(number, (at, before));
                    }
                }
                "segment" => {
                    if let Some(segment) = segment(name) {
                        listing.segments.insert(segment, at);
                    }
                }
                _ => {}
            }
        }
        listing
    }

    /// The timeline that was lived on at a moment, among the backup's and those
    /// that descend from it. A segment holds what was written before its time, so
    /// the next one after the moment tells; where there is none, the last sign of
    /// life before it does.
    pub(super) fn timeline(&self, base: u32, moment: &Moment) -> u32 {
        let is_after_base = |number: u32| {
            number == base
                || self
                    .timelines
                    .get(&number)
                    .is_some_and(|(_, before)| before.contains_key(&base))
        };
        let written: Vec<(i64, u32)> = self
            .segments
            .iter()
            .map(|((number, _), at)| (*at, *number))
            .filter(|(_, number)| is_after_base(*number))
            .collect();
        let begun: Vec<(i64, u32)> = self
            .timelines
            .iter()
            .map(|(number, (at, _))| (*at, *number))
            .filter(|(_, number)| is_after_base(*number))
            .collect();
        let last = |until: i64| {
            written
                .iter()
                .copied()
                .chain(begun.iter().copied())
                .filter(|(at, _)| *at <= until)
                .max()
        };
        let found = match moment {
            Moment::Backup => None,
            Moment::Latest => last(i64::MAX),
            Moment::At(time) => {
                let time = time.as_second();
                let next = written.iter().copied().filter(|(at, _)| *at >= time).min();
                next.or_else(|| last(time))
            }
        };
        found.map_or(base, |(_, number)| number)
    }

    /// The segments on the way from one to the end of a timeline, with their times.
    fn way(&self, start: &str, timeline: u32) -> BTreeMap<u64, i64> {
        let Some((base, first)) = segment(start) else {
            return BTreeMap::new();
        };
        let before = self.timelines.get(&timeline).map(|(_, before)| before);
        let is_on_the_way = |number: u32, at: u64| {
            let left = before.and_then(|before| before.get(&number));
            number == timeline || (number >= base && left.is_some_and(|left| at <= *left))
        };
        self.segments
            .iter()
            .filter(|((number, at), _)| is_on_the_way(*number, *at) && *at >= first)
            .map(|((_, at), written)| (*at, *written))
            .collect()
    }

    /// The first segment from `start` on that isn't there, though a later one of
    /// that timeline is.
    pub(super) fn missing(&self, start: &str, timeline: u32) -> Option<String> {
        let (_, first) = segment(start)?;
        let way = self.way(start, timeline);
        let last = *way.keys().next_back()?;
        (first..=last)
            .find(|at| !way.contains_key(at))
            .map(|at| name_of(timeline, at))
    }

    /// Up to when it reaches on a timeline.
    pub(super) fn reaches(&self, start: &str, timeline: u32) -> Option<Timestamp> {
        let newest = self.way(start, timeline).into_values().max()?;
        Timestamp::from_second(newest).ok()
    }
}

/// A timeline and the segment that it was left in, of `2:0/7000200`.
fn left(word: &str) -> Option<(u32, u64)> {
    let (number, place) = word.split_once(':')?;
    let (high, low) = place.split_once('/')?;
    let high = u64::from_str_radix(high, 16).ok()?;
    let low = u64::from_str_radix(low, 16).ok()?;
    Some((number.parse().ok()?, high * SEGMENTS + low / SEGMENT_BYTES))
}

/// The timeline and the number of a segment, by its name.
fn segment(name: &str) -> Option<(u32, u64)> {
    if name.len() != NAME_LEN || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let part = |at: usize| u32::from_str_radix(&name[at..at + 8], 16).ok();
    let number = u64::from(part(8)?) * SEGMENTS + u64::from(part(16)?);
    Some((part(0)?, number))
}

fn name_of(timeline: u32, number: u64) -> String {
    format!(
        "{timeline:08X}{:08X}{:08X}",
        number / SEGMENTS,
        number % SEGMENTS
    )
}

/// The timeline of a segment.
pub(super) fn timeline_of(name: &str) -> u32 {
    segment(name).map_or(1, |(timeline, _)| timeline)
}

/// Where WAL comes from.
pub(super) struct Source<'w> {
    /// The backup that is restored.
    pub(super) backup: &'w Shelved,
    /// That one and all after it, the oldest first.
    pub(super) since: &'w [Shelved],
    /// The number of the cluster.
    pub(super) cluster: &'w str,
    /// The archive, if there is one.
    pub(super) archive: Option<&'w str>,
    /// What PostgreSQL has now, if it has something.
    pub(super) data: Option<&'w str>,
}

/// Puts all WAL that there is into a volume of the workshop.
pub(super) fn collect(
    site: &Site<'_>,
    workshop: &mut Workshop<'_>,
    source: &Source<'_>,
    moment: &Moment,
) -> Result<(String, Listing), StackError> {
    let image = site.image("postgres")?;
    let wal = workshop.volume("wal")?;
    let of_cluster = |script: &str| format!("{TAKE}{}; {script}", source.cluster);
    let is_all = *moment != Moment::Backup;
    // The newest has all histories; what is in between is only needed to go there.
    let last = source.since.last().map(|newest| newest.name.as_str());
    for one in source.since {
        let entry = one
            .manifest
            .postgres
            .as_ref()
            .and_then(|it| it.wal.as_ref());
        let Some(entry) = entry else { continue };
        if is_all {
            workshop.unpack_from(&one.folder, entry, &wal, image, &of_cluster(UNPACK))?;
        } else if last == Some(one.name.as_str()) || one.name == source.backup.name {
            workshop.unpack_from(&one.folder, entry, &wal, image, UNPACK_HISTORIES)?;
        }
    }
    let mut mounts = vec![format!("{wal}:/to")];
    mounts.extend(
        source
            .archive
            .map(|archive| format!("{archive}:/archive:ro")),
    );
    mounts.extend(source.data.map(|data| format!("{data}:/data:ro")));
    if mounts.len() > 1 {
        let script = if is_all {
            of_cluster(COLLECT)
        } else {
            COLLECT_HISTORIES.to_owned()
        };
        workshop.script(image, &mounts, &script)?;
    }
    let listing = workshop.script(image, &[format!("{wal}:/to")], LIST)?;
    Ok((wal, Listing::parse(&listing)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One restore at 10:05 to a time before, another one at 15:00.
    const TEXT: &str = "\
segment 000000010000000000000005 100
segment 000000010000000000000006 200
segment 000000010000000000000007 300
segment 000000020000000000000006 700
segment 000000020000000000000007 800
history 00000002.history 605 1:0/6000100
history 00000003.history 900 1:0/6000100 2:0/7000200
segment 0000000100000000000000FF.partial 999
other x 1
";

    fn at(second: i64) -> Moment {
        Moment::At(Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn a_moment_is_on_the_timeline_that_was_lived_on_then() {
        let listing = Listing::parse(TEXT);
        for (moment, expected) in [
            (at(250), 1),
            (at(300), 1),
            // Between the end of the first and the restore: where the second begins.
            (at(604), 2),
            (at(750), 2),
            (at(899), 2),
            (at(900), 3),
            (Moment::Latest, 3),
            (Moment::Backup, 1),
        ] {
            assert_eq!(listing.timeline(1, &moment), expected, "{moment:?}");
        }
        // A backup of the second one has nothing to do with those before.
        assert_eq!(listing.timeline(2, &at(250)), 2);
        assert_eq!(listing.timeline(2, &Moment::Latest), 3);
        assert_eq!(listing.timeline(9, &Moment::Latest), 9);
    }

    #[test]
    fn a_restore_that_was_undone_is_not_gone_on_with() {
        let undone = format!("{TEXT}segment 000000010000000000000008 1000\n");
        let listing = Listing::parse(&undone);
        assert_eq!(listing.timeline(1, &Moment::Latest), 1);
        assert_eq!(listing.timeline(1, &at(950)), 1);
        assert_eq!(listing.timeline(1, &at(750)), 2);
        let start = "000000010000000000000005";
        let reaches = |timeline| listing.reaches(start, timeline).map(Timestamp::as_second);
        assert_eq!((reaches(1), reaches(2)), (Some(1000), Some(800)));
    }

    #[test]
    fn a_hole_in_the_wal_is_named() {
        let listing = Listing::parse(TEXT);
        let start = "000000010000000000000005";
        assert_eq!(listing.missing(start, 1), None);
        assert_eq!(listing.missing(start, 2), None);
        let hole = TEXT.replace("segment 000000010000000000000006 200\n", "");
        let listing = Listing::parse(&hole);
        assert_eq!(
            listing.missing(start, 1).as_deref(),
            Some("000000010000000000000006")
        );
        // The second timeline has that piece itself, and nothing of what came after.
        assert_eq!(listing.missing(start, 2), None);
        let hole = TEXT.replace(
            "segment 000000020000000000000007 800\n",
            "segment 000000020000000000000008 800\n",
        );
        assert_eq!(
            Listing::parse(&hole).missing(start, 2).as_deref(),
            Some("000000020000000000000007")
        );
        assert_eq!(
            listing.missing("000000010000000000000004", 1).as_deref(),
            Some("000000010000000000000004")
        );
    }

    #[test]
    fn names_of_segments_are_read_and_written() {
        assert_eq!(segment("00000002000000010000000A"), Some((2, 266)));
        assert_eq!(name_of(2, 266), "00000002000000010000000A");
        assert_eq!(segment("00000002.history"), None);
        assert_eq!(timeline_of("00000002000000010000000A"), 2);
    }
}
