//! What reaches the terminal: tables, lines and JSON, with or without colour.
//!
//! Results go to standard output, remarks to standard error. A reader that
//! goes away (`| head`) ends the command without a complaint.

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::errors::CliError;

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What a text is, which decides its colour. The text makes sense without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// It went well.
    Good,
    /// It went wrong.
    Bad,
    /// It needs someone.
    Warn,
    /// It goes on now.
    Busy,
    /// It matters less.
    Faint,
    /// A heading.
    Strong,
}

/// A text with its tone, for a table.
pub(crate) struct Piece {
    text: String,
    tone: Tone,
    right: bool,
}

/// A cell with a tone.
pub(crate) fn toned(tone: Tone, text: impl Into<String>) -> Piece {
    Piece {
        text: text.into(),
        tone,
        right: false,
    }
}

/// A cell with a number.
pub(crate) fn number(value: impl std::fmt::Display) -> Piece {
    Piece {
        text: value.to_string(),
        tone: Tone::Plain,
        right: true,
    }
}

impl From<String> for Piece {
    fn from(text: String) -> Self {
        toned(Tone::Plain, text)
    }
}

impl From<&str> for Piece {
    fn from(text: &str) -> Self {
        toned(Tone::Plain, text)
    }
}

/// Rows under a heading. Without rows, a sentence says so.
pub(crate) struct Grid {
    header: Vec<&'static str>,
    rows: Vec<Vec<Piece>>,
    empty: &'static str,
}

impl Grid {
    /// A table with these columns; `empty` is said if it stays without rows.
    pub(crate) fn new<const N: usize>(header: [&'static str; N], empty: &'static str) -> Self {
        Self {
            header: header.to_vec(),
            rows: Vec::new(),
            empty,
        }
    }

    /// Adds a row, one piece for each column.
    pub(crate) fn row<const N: usize>(&mut self, row: [Piece; N]) {
        debug_assert_eq!(N, self.header.len());
        self.rows.push(row.into());
    }
}

/// What there is to say of one thing: names and values, one below the other.
#[derive(Default)]
pub(crate) struct Facts(Vec<(&'static str, Piece)>);

impl Facts {
    /// Adds a fact.
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<Piece>) {
        self.0.push((name, value.into()));
    }

    /// Adds a fact, if there is one.
    pub(crate) fn add_some(&mut self, name: &'static str, value: Option<impl Into<Piece>>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }
}

/// Where and how to write.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// Whether to print the API's JSON instead of tables.
    pub(crate) json: bool,
    /// Whether to leave out remarks and progress.
    pub(crate) quiet: bool,
    color: bool,
    color_errors: bool,
    width: Option<u16>,
}

impl Output {
    /// For this process's standard output.
    pub(crate) fn new(json: bool, quiet: bool, choice: ColorChoice) -> Self {
        let wanted = |is_terminal: bool| match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => is_terminal && !set("NO_COLOR") && !dumb_terminal(),
        };
        let is_terminal = std::io::stdout().is_terminal();
        Self {
            json,
            quiet,
            color: wanted(is_terminal) && !json,
            color_errors: wanted(std::io::stderr().is_terminal()),
            width: is_terminal.then(terminal_width).flatten(),
        }
    }

    /// Whether progress may be drawn: on a terminal, for a person.
    pub(crate) fn draws_progress(&self) -> bool {
        !self.json && !self.quiet && std::io::stderr().is_terminal() && !dumb_terminal()
    }

    /// `text` in its tone, for standard error.
    pub(crate) fn paint_remark(&self, tone: Tone, text: &str) -> String {
        paint(self.color_errors, tone, text)
    }

    /// Whether standard error may be coloured.
    pub(crate) fn colors_errors(&self) -> bool {
        self.color_errors
    }

    /// Whether a person can be asked.
    pub(crate) fn can_ask(&self) -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// How many columns the terminal has, if there is one.
    pub(crate) fn width(&self) -> Option<usize> {
        self.width.map(usize::from)
    }

    /// Writes text as it is, without a line break.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush())?;
        Ok(())
    }

    /// Writes a line.
    pub(crate) fn line(&self, text: impl AsRef<str>) -> Result<(), CliError> {
        let mut text = text.as_ref().to_owned();
        text.push('\n');
        self.raw(text.as_bytes())
    }

    /// Writes the API's JSON, indented.
    pub(crate) fn json<T: Serialize>(&self, value: &T) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(value)?;
        self.line(escape_controls(&text))
    }

    /// Writes the API's JSON in one line, for streams.
    pub(crate) fn json_line<T: Serialize>(&self, value: &T) -> Result<(), CliError> {
        let text = serde_json::to_string(value)?;
        self.line(escape_controls(&text))
    }

    /// Writes JSON if it was asked for, else what `people` writes.
    pub(crate) fn show<T: Serialize>(
        &self,
        value: &T,
        people: impl FnOnce(&Self) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        if self.json {
            self.json(value)
        } else {
            people(self)
        }
    }

    /// Writes a table.
    pub(crate) fn grid(&self, grid: &Grid) -> Result<(), CliError> {
        if grid.rows.is_empty() {
            return self.line(grid.empty);
        }
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic);
        if self.color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        if let Some(width) = self.width {
            table.set_width(width);
        }
        let header = grid.header.iter();
        table.set_header(header.map(|text| Cell::new(text).add_attribute(Attribute::Bold)));
        for row in &grid.rows {
            table.add_row(row.iter().map(cell));
        }
        let last = grid.header.len() - 1;
        for (i, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, if i == last { 0 } else { 2 }));
        }
        self.line(table.trim_fmt())
    }

    /// Writes what there is to say of one thing.
    pub(crate) fn facts(&self, facts: &Facts) -> Result<(), CliError> {
        let widest = facts
            .0
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or(0);
        for (name, value) in &facts.0 {
            let name = self.paint(Tone::Faint, &format!("{name:widest$}"));
            self.line(format!("{name}  {}", self.paint(value.tone, &value.text)))?;
        }
        Ok(())
    }

    /// Writes a heading between two parts.
    pub(crate) fn heading(&self, text: &str) -> Result<(), CliError> {
        self.line("")?;
        self.line(self.paint(Tone::Strong, text))
    }

    /// `text` in its tone, for standard output.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        paint(self.color, tone, text)
    }

    /// A remark for people, to standard error; left out if it is to be quiet.
    pub(crate) fn remark(&self, text: impl AsRef<str>) {
        if !self.quiet {
            complain(text.as_ref());
        }
    }

    /// A warning, to standard error.
    pub(crate) fn warn(&self, text: impl AsRef<str>) {
        let word = paint(self.color_errors, Tone::Warn, "warning:");
        complain(&format!("{word} {}", text.as_ref()));
    }

    /// An error with what to do next, to standard error.
    pub(crate) fn error(&self, error: &CliError) {
        if matches!(error, CliError::ReaderGone) {
            return;
        }
        if self.json {
            let text = match error {
                // Every mistake at once, each with its place.
                CliError::Team(problems) => serde_json::to_string(problems),
                CliError::Config(mistakes) => serde_json::to_string(mistakes),
                error => serde_json::to_string(&error.problem()),
            };
            complain(&escape_controls(&text.unwrap_or_default()));
            return;
        }
        if let CliError::Team(problems) = error {
            // It has the form of a compiler's messages already.
            complain(problems.to_string().trim_end());
            return;
        }
        if let CliError::Config(mistakes) = error {
            complain(crate::text::clean(&mistakes.to_string()).trim_end());
            return;
        }
        let word = paint(self.color_errors, Tone::Bad, "error:");
        complain(&format!(
            "{word} {}",
            crate::text::clean(&error.to_string())
        ));
        if let Some(hint) = error.hint() {
            let word = paint(self.color_errors, Tone::Busy, "hint:");
            complain(&format!("{word} {}", crate::text::clean(&hint)));
        }
    }
}

/// Writes to standard error. If that is gone too, there is nobody to tell.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn cell(piece: &Piece) -> Cell {
    let cell = Cell::new(&piece.text);
    let cell = if piece.right {
        cell.set_alignment(comfy_table::CellAlignment::Right)
    } else {
        cell
    };
    match piece.tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::DarkGreen),
        Tone::Bad => cell.fg(Color::DarkRed),
        Tone::Warn => cell.fg(Color::DarkYellow),
        Tone::Busy => cell.fg(Color::DarkCyan),
        Tone::Faint => cell.add_attribute(Attribute::Dim),
        Tone::Strong => cell.add_attribute(Attribute::Bold),
    }
}

fn paint(color: bool, tone: Tone, text: &str) -> String {
    if !color || tone == Tone::Plain {
        return text.to_owned();
    }
    let style = match tone {
        Tone::Plain => Style::new(),
        Tone::Good => AnsiColor::Green.on_default(),
        Tone::Bad => AnsiColor::Red.on_default().bold(),
        Tone::Warn => AnsiColor::Yellow.on_default().bold(),
        Tone::Busy => AnsiColor::Cyan.on_default(),
        Tone::Faint => Style::new().dimmed(),
        Tone::Strong => Style::new().bold(),
    };
    format!("{style}{text}{style:#}")
}

/// JSON may hold the control characters from U+007F to U+009F as they are, and
/// some terminals obey them. They can only stand inside of strings.
fn escape_controls(json: &str) -> String {
    if !json.contains(|c| matches!(c, '\u{7f}'..='\u{9f}')) {
        return json.to_owned();
    }
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Whether a variable is set to something, as `NO_COLOR` (no-color.org) asks.
fn set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

fn dumb_terminal() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

fn terminal_width() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    // Narrower than this, columns are no columns any more.
    (size.ws_col >= 40).then_some(size.ws_col)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_meaning_when_controls_are_escaped() {
        let value = serde_json::json!({"text": "a\u{9b}31m\u{7f}ä\u{1b}"});
        let text = escape_controls(&value.to_string());
        assert!(text.chars().all(|c| !c.is_control()), "{text:?}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }

    #[test]
    fn a_text_without_colour_is_the_text() {
        assert_eq!(paint(false, Tone::Bad, "x"), "x");
        assert_eq!(paint(true, Tone::Plain, "x"), "x");
        assert!(paint(true, Tone::Bad, "x").starts_with('\u{1b}'));
    }
}
