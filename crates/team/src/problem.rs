//! What is wrong with a team file, where, and what to do about it.
//!
//! Every mistake is collected, none ends the reading. The text makes sense
//! without colour: `file:line:column: error: ...`, the line, a caret, a hint.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use collective_core::Rejection;
use serde::Serialize;

use crate::place::Place;

/// Most mistakes that are told: a file with more has one cause, not a hundred.
pub const MAX_PROBLEMS: usize = 100;
/// Most mistakes that are kept while reading, so that sorting them stays cheap.
const MAX_KEPT: usize = 1_000;
/// Widest piece of a line that is shown: a terminal's width, less the gutter.
const MAX_SHOWN: usize = 100;
/// What is shown before the caret of a line that is too wide.
const SHOWN_BEFORE: usize = 40;
/// Longest caret: enough to underline a word or a value.
const MAX_CARET: usize = 60;

/// A stretch of one line of the file. Lines and columns start at 1 and count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct At {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) width: usize,
}

impl At {
    /// The file as a whole.
    pub(crate) const FILE: At = At {
        line: 0,
        column: 0,
        width: 0,
    };
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The line, from 1; 0 if it is about the file as a whole.
    pub line: usize,
    /// The column in characters, from 1; 0 if it is about the file as a whole.
    pub column: usize,
    /// The field, such as `tasks.build.retry.max_attempts`; empty if it is about the file as a whole.
    pub field: String,
    /// What is wrong, as a lower-case fragment.
    pub message: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// How many characters are meant.
    #[serde(skip)]
    width: usize,
    /// The line's text around the column, without control characters.
    #[serde(skip_serializing_if = "String::is_empty")]
    source: String,
    /// Where in that text the column is, from 0.
    #[serde(skip)]
    caret: usize,
}

/// Every mistake of one team file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problems {
    file: String,
    problems: Vec<Problem>,
    left_out: usize,
}

impl Problems {
    /// The mistakes that are told, at most [`MAX_PROBLEMS`].
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.problems.iter()
    }

    /// How many there are in all.
    pub fn count(&self) -> usize {
        self.problems.len() + self.left_out
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            write!(f, "{}", self.file)?;
            if problem.line > 0 {
                write!(f, ":{}:{}", problem.line, problem.column)?;
            }
            f.write_str(": error: ")?;
            if !problem.field.is_empty() {
                write!(f, "{}: ", problem.field)?;
            }
            writeln!(f, "{}", problem.message)?;
            if problem.line > 0 {
                excerpt(f, problem)?;
            }
            if let Some(hint) = &problem.hint {
                writeln!(f, "  hint: {hint}")?;
            }
        }
        match self.count() {
            1 => writeln!(f, "1 mistake in {}", self.file),
            count => {
                write!(f, "{count} mistakes in {}", self.file)?;
                if self.left_out > 0 {
                    write!(f, ", the first {} are shown", self.problems.len())?;
                }
                writeln!(f)
            }
        }
    }
}

/// The line with its number, and a caret below what is meant.
fn excerpt(f: &mut fmt::Formatter<'_>, problem: &Problem) -> fmt::Result {
    let number = problem.line.to_string();
    let room = problem.source.chars().count().saturating_sub(problem.caret);
    writeln!(f, "  {number} | {}", problem.source.trim_end())?;
    writeln!(
        f,
        "  {} | {}{}",
        " ".repeat(number.len()),
        " ".repeat(problem.caret),
        "^".repeat(problem.width.clamp(1, room.clamp(1, MAX_CARET)))
    )
}

/// A mistake as it is noted, before its line is looked up.
struct Note {
    at: At,
    field: String,
    message: String,
    hint: Option<String>,
}

#[derive(Default)]
struct Notes {
    kept: Vec<Note>,
    seen: HashSet<(usize, usize, String)>,
    dropped: usize,
}

/// Where mistakes go while the file is read.
pub(crate) struct Sink(RefCell<Notes>);

impl Sink {
    pub(crate) fn new() -> Self {
        Self(RefCell::default())
    }

    /// Notes a mistake. One that was noted before, with the same words at the same place, is
    /// noted once: the tasks of a fan-out share their lines.
    pub(crate) fn report(
        &self,
        at: At,
        place: &Place,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let message = message.into();
        let mut notes = self.0.borrow_mut();
        if notes.kept.len() == MAX_KEPT {
            notes.dropped += 1;
        } else if notes.seen.insert((at.line, at.column, message.clone())) {
            notes.kept.push(Note {
                at,
                field: place.to_string(),
                message,
                hint,
            });
        }
    }

    /// Notes a refusal by one of core's rules.
    pub(crate) fn reject(&self, at: At, place: &Place, rejection: &Rejection) {
        let hint = rejection.hint_text().map(str::to_owned);
        self.report(at, place, rejection.message(), hint);
    }

    /// Whether nothing was noted.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().kept.is_empty()
    }

    /// Everything that was noted, in the order of the file, with the lines of `text`.
    pub(crate) fn into_problems(self, file: String, text: &str) -> Problems {
        let mut notes = self.0.into_inner();
        notes
            .kept
            .sort_by_key(|note| (note.at.line, note.at.column));
        let left_out = notes.dropped + notes.kept.len().saturating_sub(MAX_PROBLEMS);
        notes.kept.truncate(MAX_PROBLEMS);
        let lines: Vec<&str> = text.lines().collect();
        let problems = notes
            .kept
            .into_iter()
            .map(|note| {
                let line = note.at.line.checked_sub(1).and_then(|i| lines.get(i));
                let (source, caret) = piece(line.copied().unwrap_or_default(), note.at.column);
                Problem {
                    line: note.at.line,
                    column: note.at.column,
                    field: note.field,
                    message: note.message,
                    hint: note.hint,
                    width: note.at.width,
                    source,
                    caret,
                }
            })
            .collect();
        Problems {
            file,
            problems,
            left_out,
        }
    }
}

/// The piece of a line that is shown, and the place of the column in it.
fn piece(line: &str, column: usize) -> (String, usize) {
    let start = column.saturating_sub(1);
    let wide = line.chars().nth(MAX_SHOWN).is_some();
    let skipped = if wide {
        start.saturating_sub(SHOWN_BEFORE)
    } else {
        0
    };
    let source = line.chars().skip(skipped).take(MAX_SHOWN);
    let source = source.map(|c| if c.is_control() { ' ' } else { c });
    (source.collect(), start - skipped)
}
