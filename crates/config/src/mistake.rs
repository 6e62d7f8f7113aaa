//! What is wrong with the settings, where, and what to do about it.
//!
//! Every mistake is collected, none ends the reading. None of them repeats a
//! secret: values of secret keys are never put into a message.

use std::fmt;

use serde::Serialize;

/// Most mistakes that are told: more have one cause.
const MAX_TOLD: usize = 50;

/// What kind of mistake it is. The text of a code never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MistakeCode {
    /// The file can't be read.
    Unreadable,
    /// The file is not TOML.
    Syntax,
    /// No key or section of this name exists.
    UnknownKey,
    /// No variable of this name exists.
    UnknownVariable,
    /// The value is of another type.
    WrongType,
    /// The value can't be read.
    BadValue,
    /// The value is outside of its bounds.
    OutOfBounds,
    /// The same is said twice, differently.
    SaidTwice,
    /// Something that is needed isn't said.
    Missing,
    /// Two settings don't go together.
    NotTogether,
}

impl MistakeCode {
    /// The stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Syntax => "syntax",
            Self::UnknownKey => "unknown_key",
            Self::UnknownVariable => "unknown_variable",
            Self::WrongType => "wrong_type",
            Self::BadValue => "bad_value",
            Self::OutOfBounds => "out_of_bounds",
            Self::SaidTwice => "said_twice",
            Self::Missing => "missing",
            Self::NotTogether => "not_together",
        }
    }
}

/// Where something was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Origin {
    /// Nowhere: the default.
    Default,
    /// In the file.
    File {
        /// The file.
        file: String,
        /// The line, from 1; 0 for the file as a whole.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
    },
    /// By a variable of the environment.
    Variable {
        /// Its name.
        name: String,
    },
    /// By a flag.
    Flag {
        /// The flag with its dashes.
        name: &'static str,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line: 0, .. } => f.write_str(file),
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Variable { name } => f.write_str(name),
            Self::Flag { name } => f.write_str(name),
        }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// What kind it is.
    pub code: MistakeCode,
    /// Where it was said.
    pub at: Origin,
    /// The key, such as `store.port`; empty if it is about none.
    pub key: String,
    /// What is wrong, as a lower-case fragment.
    pub message: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Mistake {
    pub(crate) fn new(code: MistakeCode, at: Origin, message: impl Into<String>) -> Self {
        Self {
            code,
            at,
            key: String::new(),
            message: message.into(),
            hint: None,
        }
    }

    #[must_use]
    pub(crate) fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: error[{}]: ", self.at, self.code.as_str())?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Every mistake, the file's first and in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistakes {
    mistakes: Vec<Mistake>,
}

impl Mistakes {
    pub(crate) fn new(mut mistakes: Vec<Mistake>) -> Self {
        // Those of the file by place; the sort keeps the others as they were found.
        mistakes.sort_by_key(|mistake| match mistake.at {
            Origin::File { line, column, .. } => (line, column),
            _ => (usize::MAX, 0),
        });
        Self { mistakes }
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.mistakes.iter()
    }
}

impl<'m> IntoIterator for &'m Mistakes {
    type Item = &'m Mistake;
    type IntoIter = std::slice::Iter<'m, Mistake>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::error::Error for Mistakes {}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in self.mistakes.iter().take(MAX_TOLD) {
            writeln!(f, "{mistake}")?;
        }
        match self.mistakes.len() {
            1 => writeln!(f, "1 mistake in the settings"),
            count if count > MAX_TOLD => {
                writeln!(
                    f,
                    "{count} mistakes in the settings, the first {MAX_TOLD} are shown"
                )
            }
            count => writeln!(f, "{count} mistakes in the settings"),
        }
    }
}
