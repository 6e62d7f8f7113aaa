//! The file of variables, `.env`: read, changed line by line, written at once
//! and for its owner only.
//!
//! Compose 1 and 2 read quotes, `$` and remarks differently. What both read
//! alike is accepted; the rest is told by line, never guessed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::error::StackError;

/// Largest file that is read: a stack has about 60 variables.
const MAX_LEN: u64 = 256 * 1024;
/// Its mode: secrets are for the owner alone.
pub(crate) const MODE: u32 = 0o600;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// A remark, or nothing.
    Other(String),
    /// A variable.
    Pair { name: String, value: String },
    /// What can't be read, and why.
    Broken { text: String, why: &'static str },
}

/// A file of variables. A later line beats an earlier one, as in Compose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvFile {
    lines: Vec<Line>,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LineProblem {
    /// The line, from 1.
    pub(crate) line: usize,
    /// Whether two lines set the same variable.
    pub(crate) is_twice: bool,
    /// What is wrong; never the value.
    pub(crate) what: String,
}

impl EnvFile {
    /// Reads a text. Lines that can't be read are kept as they are.
    pub fn parse(text: &str) -> Self {
        Self {
            lines: text.lines().map(line).collect(),
        }
    }

    /// Reads a file, if it is there.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, StackError> {
        let unreadable = |source| StackError::file("can't read", path, source);
        match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
            Ok(about) if about.len() > MAX_LEN => {
                return Err(StackError::usage(
                    format!("{} has {} bytes", path.display(), about.len()),
                    format!("a file of variables has at most {MAX_LEN}"),
                ));
            }
            Ok(_) => {}
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        Ok(Some(Self::parse(&text)))
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs()
            .rev()
            .find(|(_, key, _)| *key == name)
            .map(|(_, _, value)| value)
    }

    /// The line of a variable, from 1.
    pub(crate) fn line_of(&self, name: &str) -> Option<usize> {
        self.pairs()
            .rev()
            .find(|(_, key, _)| *key == name)
            .map(|(line, _, _)| line)
    }

    /// Line, name and value of each variable.
    pub(crate) fn pairs(&self) -> impl DoubleEndedIterator<Item = (usize, &str, &str)> {
        self.lines
            .iter()
            .enumerate()
            .filter_map(|(i, line)| match line {
                Line::Pair { name, value } => Some((i + 1, name.as_str(), value.as_str())),
                _ => None,
            })
    }

    /// Sets a variable where it stands, or at the end.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let is_it = |line: &Line| matches!(line, Line::Pair { name: key, .. } if key == name);
        let pair = Line::Pair {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        match self.lines.iter().rposition(is_it) {
            Some(at) => self.lines[at] = pair,
            None => self.lines.push(pair),
        }
    }

    /// Adds a remark at the end.
    pub(crate) fn remark(&mut self, text: &str) {
        self.lines.push(Line::Other(String::new()));
        self.lines.push(Line::Other(format!("# {text}")));
    }

    /// What is wrong, line by line.
    pub(crate) fn problems(&self) -> Vec<LineProblem> {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut problems = Vec::new();
        for (i, line) in self.lines.iter().enumerate() {
            let (is_twice, what) = match line {
                Line::Other(_) => continue,
                Line::Broken { why, .. } => (false, (*why).to_owned()),
                Line::Pair { name, value } => {
                    if let Some(first) = seen.insert(name, i + 1) {
                        (true, format!("{name} is set in line {first} already"))
                    } else if value.contains('$') {
                        let what =
                            format!("{name} holds a `$`, which Compose 1 and 2 read differently");
                        (false, what)
                    } else {
                        continue;
                    }
                }
            };
            problems.push(LineProblem {
                line: i + 1,
                is_twice,
                what,
            });
        }
        problems
    }

    /// The text of the file.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            match line {
                Line::Other(raw) | Line::Broken { text: raw, .. } => text.push_str(raw),
                Line::Pair { name, value } => {
                    text.push_str(name);
                    text.push('=');
                    text.push_str(&written(value));
                }
            }
            text.push('\n');
        }
        text
    }

    /// Writes a new file; one that is there is left alone.
    pub(crate) fn create(&self, path: &Path) -> Result<(), StackError> {
        match self.stage(path)?.persist_noclobber(path) {
            Ok(file) => sync(&file, path),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {
                Err(StackError::EnvExists {
                    path: path.to_owned(),
                })
            }
            Err(error) => Err(StackError::file("can't write", path, error.error)),
        }
    }

    /// Writes the file in the place of the one that is there, at once.
    pub(crate) fn replace(&self, path: &Path) -> Result<(), StackError> {
        let file = self
            .stage(path)?
            .persist(path)
            .map_err(|error| StackError::file("can't write", path, error.error))?;
        sync(&file, path)
    }

    /// The whole text, beside the file's place and for its owner only.
    fn stage(&self, path: &Path) -> Result<NamedTempFile, StackError> {
        let unwritable = |source| StackError::file("can't write", path, source);
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let mut file = tempfile::Builder::new()
            .prefix(".env-")
            .permissions(fs::Permissions::from_mode(MODE))
            .tempfile_in(folder.unwrap_or(Path::new(".")))
            .map_err(unwritable)?;
        file.write_all(self.render().as_bytes())
            .map_err(unwritable)?;
        file.as_file().sync_all().map_err(unwritable)?;
        Ok(file)
    }
}

fn sync(file: &fs::File, path: &Path) -> Result<(), StackError> {
    file.sync_all()
        .map_err(|source| StackError::file("can't write", path, source))
}

fn line(text: &str) -> Line {
    let broken = |why| Line::Broken {
        text: text.to_owned(),
        why,
    };
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.starts_with('#') {
        return Line::Other(text.to_owned());
    }
    let pair = trimmed.strip_prefix("export ").unwrap_or(trimmed);
    let Some((name, value)) = pair.split_once('=') else {
        return broken("it has no `=`");
    };
    if !is_name(name) {
        return broken("what stands before `=` is not the name of a variable");
    }
    match plain_value(value.trim()) {
        Ok(value) => Line::Pair {
            name: name.to_owned(),
            value,
        },
        Err(why) => broken(why),
    }
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The value without its quotes and without a remark behind it.
fn plain_value(text: &str) -> Result<String, &'static str> {
    for quote in ['"', '\''] {
        if let Some(rest) = text.strip_prefix(quote) {
            let Some((value, behind)) = rest.split_once(quote) else {
                return Err("a quote is opened and not closed");
            };
            let behind = behind.trim_start();
            if !behind.is_empty() && !behind.starts_with('#') {
                return Err("something follows the closing quote");
            }
            if value.contains('\\') {
                return Err("a backslash between quotes is read differently by Compose 1 and 2");
            }
            return Ok(value.to_owned());
        }
    }
    let value = match text.find(" #") {
        Some(at) => text[..at].trim_end(),
        None => text,
    };
    Ok(value.to_owned())
}

/// A value as both Composes read it.
fn written(value: &str) -> String {
    let needs_quotes =
        value.contains(" #") || value.starts_with(['"', '\'', '#']) || value.trim() != value;
    if needs_quotes && !value.contains('\'') {
        format!("'{value}'")
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_both_composes_read_them() {
        let file = EnvFile::parse(
            "# a remark\n\nA=1\nexport B='two words'\nC=\"x\" # why\nD=p#q\nE=r # s\nF=\nA=2\n",
        );
        for (name, value) in [
            ("A", Some("2")),
            ("B", Some("two words")),
            ("C", Some("x")),
            ("D", Some("p#q")),
            ("E", Some("r")),
            ("F", Some("")),
            ("G", None),
        ] {
            assert_eq!(file.get(name), value, "{name}");
        }
        assert_eq!(file.line_of("C"), Some(5));
    }

    #[test]
    fn each_bad_line_is_told_with_its_number_and_without_its_value() {
        let file = EnvFile::parse(
            "A=1\nhunter2\n2B=hunter2\nC='hunter2\nA=3\nD=hun$ter2\nE=\"hunter2\"x\n",
        );
        let told: Vec<String> = file
            .problems()
            .iter()
            .map(|problem| format!("{} {} {}", problem.line, problem.is_twice, problem.what))
            .collect();
        assert_eq!(
            told,
            [
                "2 false it has no `=`",
                "3 false what stands before `=` is not the name of a variable",
                "4 false a quote is opened and not closed",
                "5 true A is set in line 1 already",
                "6 false D holds a `$`, which Compose 1 and 2 read differently",
                "7 false something follows the closing quote",
            ]
        );
    }

    #[test]
    fn setting_keeps_remarks_and_order() {
        let mut file = EnvFile::parse("# one\nA=1\n# two\nB=2\n");
        file.set("A", "9");
        file.set("C", "3 # no remark");
        assert_eq!(file.render(), "# one\nA=9\n# two\nB=2\nC='3 # no remark'\n");
        assert_eq!(
            EnvFile::parse(&file.render()).get("C"),
            Some("3 # no remark")
        );
    }

    #[test]
    fn a_file_is_written_for_its_owner_and_never_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        let file = EnvFile::parse("A=1\n");
        file.create(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        let other = EnvFile::parse("A=2\n");
        let refused = other.create(&path).unwrap_err();
        assert!(matches!(refused, StackError::EnvExists { .. }), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "A=1\n");
        let names = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 1, "something else is left behind");
    }
}
