//! Lines by which a command says how far it is, on either stream:
//!
//! ```text
//! ::progress 40 reading the tests
//! ::progress 40%
//! ::progress reading the tests
//! ```
//!
//! The number is a percentage and may have a fraction; the text is free. Such
//! lines stay in the log, and out of the result.

use collective_core::limits::MAX_TITLE_LEN;
use serde::{Deserialize, Serialize};

/// How a line of progress begins.
const PREFIX: &[u8] = b"::progress";

/// Longer lines are no progress.
const MAX_LEN: usize = 1_024;

/// How far a command says it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 100.
    pub percent: Option<f64>,
    /// What it does now; at most [`MAX_TITLE_LEN`] bytes, without control characters.
    pub note: String,
}

/// Reads a line of progress.
pub(super) fn parse(line: &[u8]) -> Option<Progress> {
    if line.len() > MAX_LEN {
        return None;
    }
    let rest = line.strip_prefix(PREFIX)?;
    if !rest.first().is_none_or(u8::is_ascii_whitespace) {
        return None;
    }
    let rest = String::from_utf8_lossy(rest);
    let rest = rest.trim();
    let (first, text) = rest
        .split_once(|c: char| c.is_ascii_whitespace())
        .unwrap_or((rest, ""));
    let number = first.strip_suffix('%').unwrap_or(first).parse::<f64>();
    let (percent, note) = match number {
        Ok(percent) if percent.is_finite() => (Some(percent.clamp(0.0, 100.0)), text),
        _ => (None, rest),
    };
    if percent.is_none() && note.is_empty() {
        return None;
    }
    let note: String = note
        .trim()
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    Some(Progress {
        percent,
        note: collective_core::text::head(&note, MAX_TITLE_LEN).to_owned(),
    })
}

/// Whether an unfinished line may still become a line of progress.
pub(super) fn may_become(line: &[u8]) -> bool {
    line.len() <= MAX_LEN && (line.starts_with(PREFIX) || PREFIX.starts_with(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_progress_are_read_and_others_are_not() {
        type Seen = (Option<f64>, &'static str);
        let cases: [(&str, Option<Seen>); 13] = [
            ("::progress 40 reading", Some((Some(40.0), "reading"))),
            ("::progress 40%\n", Some((Some(40.0), ""))),
            ("::progress 12.5 a b\r\n", Some((Some(12.5), "a b"))),
            ("::progress reading files", Some((None, "reading files"))),
            ("::progress 250", Some((Some(100.0), ""))),
            ("::progress -3 x", Some((Some(0.0), "x"))),
            ("::progress NaN", Some((None, "NaN"))),
            ("::progress\t7\tx", Some((Some(7.0), "x"))),
            ("::progress", None),
            ("::progress  ", None),
            ("::progressive 4", None),
            (" ::progress 4", None),
            ("progress 4", None),
        ];
        for (line, expected) in cases {
            let seen = parse(line.as_bytes()).map(|p| (p.percent, p.note));
            let expected = expected.map(|(percent, note)| (percent, note.to_owned()));
            assert_eq!(seen, expected, "{line:?}");
        }
        assert_eq!(
            parse(b"::progress 4 \x1b[31m").unwrap().note,
            "\u{fffd}[31m"
        );
        assert!(parse("::progress 4 ".repeat(200).as_bytes()).is_none());
    }

    #[test]
    fn only_a_start_of_progress_may_become_progress() {
        assert!(may_become(b"::pro") && may_become(b"::progress 4"));
        assert!(!may_become(b"::prox") && !may_become(b"hello"));
    }
}
