//! The file: TOML to what was said, each with its place.

use std::ops::Range;
use std::path::Path;

use collective_core::text::shown;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::given::Given;
use crate::key::{self, KEYS};
use crate::mistake::{Mistake, MistakeCode, Origin};
use crate::near::did_you_mean;
use crate::value;

/// Largest file: every key with a comment is a hundredth of this.
const MAX_FILE_LEN: usize = 1024 * 1024;

/// Reads the bytes of a file; `path` is only what mistakes are told under.
pub(crate) fn read(path: &Path, bytes: &[u8], mistakes: &mut Vec<Mistake>) -> Vec<Given> {
    let name = shown(&path.display().to_string());
    let whole = Origin::File {
        file: name.clone(),
        line: 0,
        column: 0,
    };
    if bytes.len() > MAX_FILE_LEN {
        let message = format!("is larger than {} KiB", MAX_FILE_LEN / 1024);
        mistakes.push(Mistake::new(MistakeCode::Unreadable, whole, message));
        return Vec::new();
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        mistakes.push(Mistake::new(MistakeCode::Unreadable, whole, "is not UTF-8"));
        return Vec::new();
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut reading = Reading {
        name,
        text,
        mistakes,
        given: Vec::new(),
    };
    for error in &errors {
        let at = reading.at(error.span().unwrap_or(0..0));
        let message = format!("is not TOML: {}", error.message());
        let mistake = Mistake::new(MistakeCode::Syntax, at, message);
        reading.mistakes.push(mistake);
    }
    // What the parser made of a broken file would be told as mistakes that aren't there.
    if errors.is_empty() {
        for (section, content) in root.get_ref() {
            reading.section(section, content);
        }
    }
    reading.given
}

struct Reading<'r> {
    name: String,
    text: &'r str,
    mistakes: &'r mut Vec<Mistake>,
    given: Vec<Given>,
}

impl Reading<'_> {
    fn section(
        &mut self,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        content: &Spanned<DeValue<'_>>,
    ) {
        let section = name.get_ref().as_ref();
        let mut sections: Vec<&str> = KEYS.iter().filter_map(|key| section_of(key.name)).collect();
        sections.dedup();
        if !sections.contains(&section) {
            let at = self.at(name.span());
            let message = format!("there is no section `{}`", shown(section));
            let hint = did_you_mean(section, sections.iter().copied()).or_else(|| {
                let listed: Vec<String> = sections.iter().map(|one| format!("[{one}]")).collect();
                Some(format!("the sections are {}", listed.join(", ")))
            });
            self.note(MistakeCode::UnknownKey, at, section, message, hint);
            return;
        }
        let DeValue::Table(table) = content.get_ref() else {
            let at = self.at(name.span());
            let message = "must be a section".to_owned();
            let hint = Some(format!("write [{section}] and its keys below it"));
            self.note(MistakeCode::WrongType, at, section, message, hint);
            return;
        };
        for (name, value) in table {
            self.entry(section, name, value);
        }
    }

    fn entry(
        &mut self,
        section: &str,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        content: &Spanned<DeValue<'_>>,
    ) {
        let full = format!("{section}.{}", name.get_ref());
        let Some(key) = key::find(&full) else {
            let at = self.at(name.span());
            let known = KEYS
                .iter()
                .filter(|key| section_of(key.name) == Some(section));
            let known: Vec<&str> = known.filter_map(|key| name_of(key.name)).collect();
            let hint = did_you_mean(name.get_ref(), known.iter().copied())
                .or_else(|| Some(format!("the keys of [{section}] are {}", known.join(", "))));
            let message = "there is no such key".to_owned();
            self.note(MistakeCode::UnknownKey, at, &shown(&full), message, hint);
            return;
        };
        let at = self.at(content.span());
        match value::from_toml(key.kind, content.get_ref()) {
            Ok(value) => self.given.push(Given { key, value, at }),
            Err((code, message)) => {
                let hint = Some(format!("it is {}", key.kind.describe()));
                self.note(code, at, key.name, message, hint);
            }
        }
    }

    fn note(
        &mut self,
        code: MistakeCode,
        at: Origin,
        key: &str,
        message: String,
        hint: Option<String>,
    ) {
        self.mistakes
            .push(Mistake::new(code, at, message).key(key).hint(hint));
    }

    /// Line and column of a stretch of the text; both count from 1.
    fn at(&self, span: Range<usize>) -> Origin {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let last = before.rsplit('\n').next().unwrap_or_default();
        Origin::File {
            file: self.name.clone(),
            line: before.matches('\n').count() + 1,
            column: last.chars().count() + 1,
        }
    }
}

fn section_of(name: &'static str) -> Option<&'static str> {
    name.split_once('.').map(|(section, _)| section)
}

fn name_of(name: &'static str) -> Option<&'static str> {
    name.split_once('.').map(|(_, name)| name)
}
