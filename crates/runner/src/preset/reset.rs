//! When a provider's limit resets, from how it says so.
//!
//! The named groups of a pattern say which form it is:
//!
//! | group | form |
//! |---|---|
//! | `epoch`, `epoch_ms` | seconds or milliseconds since 1970 |
//! | `time` | a date with a time: RFC 3339, or `Jul 5th, 2026 8:19 PM`; without an offset it is local, or in `zone` |
//! | `clock` | a time of day, the next one: `9am`, `12:50am`, `21:30`; local, or in `zone` (`Europe/Paris`); on `day` (`Feb 16`), if that is there |
//! | `span` | a length of time from now: `5 days 22 hours 11 minutes`, `3h20m`, `13872s`, `45` (seconds) |
//!
//! What can't be read, or lies in the past, gives no time; the server then
//! waits its own default.

use collective_core::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp as Instant, Zoned};
use regex::Captures;

/// The time that a match tells of.
pub(super) fn time(captures: &Captures<'_>, now: Timestamp) -> Option<Timestamp> {
    let group = |name: &str| captures.name(name).map(|found| found.as_str().trim());
    let now_here = Instant::from_microsecond(now.micros())
        .ok()?
        .to_zoned(zone(group("zone")));
    let at = group("epoch")
        .and_then(|text| Instant::from_second(text.parse().ok()?).ok())
        .or_else(|| Instant::from_millisecond(group("epoch_ms")?.parse().ok()?).ok())
        .or_else(|| date(group("time")?, &now_here))
        .or_else(|| clock(group("clock")?, group("day"), &now_here))
        .or_else(|| now_here.timestamp().checked_add(span(group("span")?)?).ok())?;
    let at = Timestamp::from_micros(at.as_microsecond());
    (at > now).then_some(at)
}

fn zone(name: Option<&str>) -> TimeZone {
    name.and_then(|name| TimeZone::get(name).ok())
        .unwrap_or_else(TimeZone::system)
}

/// `2026-07-05T20:19:00Z`, `2026-07-05 20:19`, `Jul 5th, 2026 8:19 PM`.
fn date(text: &str, now: &Zoned) -> Option<Instant> {
    if let Ok(at) = text.parse::<Instant>() {
        return Some(at);
    }
    if let Ok(at) = text.parse::<DateTime>() {
        return zoned(at, now);
    }
    let plain = without_ordinals(text);
    ["%b %d %Y %I:%M %p", "%b %d %Y %H:%M", "%d %b %Y %H:%M"]
        .into_iter()
        .find_map(|form| DateTime::strptime(form, &plain).ok())
        .and_then(|at| zoned(at, now))
}

fn zoned(at: DateTime, now: &Zoned) -> Option<Instant> {
    let zoned = at.to_zoned(now.time_zone().clone()).ok()?;
    Some(zoned.timestamp())
}

/// `Jul 5th, 2026` becomes `Jul 5 2026`.
fn without_ordinals(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| !word.is_empty())
        .map(|word| {
            let number = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let is_ordinal = !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
                && matches!(&word[number.len()..], "st" | "nd" | "rd" | "th");
            if is_ordinal { number } else { word }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// The next time that a clock shows this, on a day of the year if one is named.
fn clock(text: &str, day: Option<&str>, now: &Zoned) -> Option<Instant> {
    let compact: String = text
        .to_ascii_uppercase()
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect();
    let compact = match compact.strip_suffix('M') {
        // `9AM` has no minutes.
        Some(rest) if !rest.contains(':') => {
            let (hour, half) = rest.split_at_checked(rest.len().checked_sub(1)?)?;
            format!("{hour}:00{half}M")
        }
        _ => compact,
    };
    let time = ["%I:%M%p", "%H:%M"]
        .into_iter()
        .find_map(|form| Time::strptime(form, &compact).ok())?;
    let (first, step) = match day {
        None => (now.date(), Span::new().days(1)),
        Some(day) => {
            let dated = format!("{} {}", without_ordinals(day), now.year());
            let first = Date::strptime("%b %d %Y", dated).ok()?;
            (first, Span::new().years(1))
        }
    };
    let at = zoned(first.to_datetime(time), now)?;
    if at > now.timestamp() {
        return Some(at);
    }
    zoned(first.checked_add(step).ok()?.to_datetime(time), now)
}

/// Adds up numbers with units; a number alone is in seconds.
fn span(text: &str) -> Option<SignedDuration> {
    let mut total = SignedDuration::ZERO;
    let mut rest = text.trim_start();
    let mut seen = false;
    while let Some(end) = rest.find(|c: char| !c.is_ascii_digit() && c != '.') {
        let Ok(number) = rest[..end].parse::<f64>() else {
            break;
        };
        let tail = rest[end..].trim_start();
        let unit_end = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let seconds = match &tail[..unit_end].to_ascii_lowercase()[..] {
            "d" | "day" | "days" => 86_400.0,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "ms" => 0.001,
            _ => break,
        };
        total = total.checked_add(SignedDuration::try_from_secs_f64(number * seconds).ok()?)?;
        seen = true;
        rest = tail[unit_end..].trim_start_matches([' ', ',']);
        rest = rest.strip_prefix("and ").unwrap_or(rest);
    }
    if seen {
        return Some(total);
    }
    SignedDuration::try_from_secs_f64(text.trim().parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::Regex;

    fn reset(pattern: &str, text: &str, now: &str) -> Option<String> {
        let pattern = Regex::new(pattern).unwrap();
        let captures = pattern.captures(text).unwrap();
        time(&captures, now.parse().unwrap()).map(|at| at.to_string()[..19].to_owned())
    }

    #[test]
    fn every_form_of_a_reset_is_read() {
        let now = "2026-07-04T10:00:00Z";
        let cases = [
            (
                r"\|(?P<epoch>\d+)",
                "reached|1783161000",
                "2026-07-04T10:30:00",
            ),
            (
                r"at (?P<epoch_ms>\d+)",
                "at 1783161000000",
                "2026-07-04T10:30:00",
            ),
            (
                r"at (?P<time>.*)\.",
                "at 2026-07-04T12:00:00Z.",
                "2026-07-04T12:00:00",
            ),
            (
                r"at (?P<time>[^(]*) \((?P<zone>.*)\)",
                "at Jul 5th, 2026 8:19 PM (Europe/Paris)",
                "2026-07-05T18:19:00",
            ),
            (
                r"resets (?P<clock>\S+) \((?P<zone>.*)\)",
                "resets 12:50am (America/Los_Angeles)",
                "2026-07-05T07:50:00",
            ),
            (
                r"resets (?P<clock>\S+) \((?P<zone>.*)\)",
                "resets 11:20am (UTC)",
                "2026-07-04T11:20:00",
            ),
            (
                r"resets (?P<clock>\S+) \((?P<zone>.*)\)",
                "resets 9am (UTC)",
                "2026-07-05T09:00:00",
            ),
            (
                r"resets (?P<clock>.*) \((?P<zone>.*)\)",
                "resets 9 PM (UTC)",
                "2026-07-04T21:00:00",
            ),
            (
                r"in (?P<span>.*)\.",
                "in 5 days 22 hours 11 minutes.",
                "2026-07-10T08:11:00",
            ),
            (
                r"after (?P<span>\S+)",
                "after 3h20m5s",
                "2026-07-04T13:20:05",
            ),
            (
                r"in (?P<span>.*)s\.",
                "in 1.5 hours and 30 seconds.",
                "2026-07-04T11:30:30",
            ),
            (
                r":(?P<span>\d+),",
                "\"resets_in_seconds\":90,",
                "2026-07-04T10:01:30",
            ),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(
                reset(pattern, text, now).as_deref(),
                Some(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn what_can_t_be_read_or_lies_in_the_past_gives_no_time() {
        let now = "2026-07-04T10:00:00Z";
        for (pattern, text) in [
            (r"\|(?P<epoch>\d+)", "|1"),
            (r"\|(?P<epoch>\d+)", "|99999999999999999999"),
            (r"at (?P<time>.*)", "at 10 de jul."),
            (r"at (?P<clock>.*)", "at 25:00"),
            (r"in (?P<span>.*)", "in a while"),
            (r"nothing", "nothing"),
        ] {
            assert_eq!(reset(pattern, text, now), None, "{text}");
        }
    }
}
