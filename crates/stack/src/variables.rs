//! The variables that the compose files ask for, and what they come to.
//!
//! The names are read from the files themselves, so that no list here can go
//! out of date. As in Compose, the environment beats the file of variables.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::envfile::EnvFile;
use crate::error::StackError;

/// One place where a compose file names a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) name: String,
    /// What is taken if it isn't set.
    pub(crate) default: Option<String>,
    /// Whether Compose refuses to go on without it.
    pub(crate) is_required: bool,
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
}

/// Reads the uses of all files, in their order.
pub(crate) fn uses_in(files: &[PathBuf]) -> Result<Vec<Use>, StackError> {
    let mut uses = Vec::new();
    for file in files {
        let text = fs::read_to_string(file)
            .map_err(|source| StackError::file("can't read", file, source))?;
        uses.extend(scan(&text, file));
    }
    Ok(uses)
}

/// The uses in one text.
fn scan(text: &str, file: &Path) -> Vec<Use> {
    let mut uses = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if line.trim_start().starts_with('#') {
            continue;
        }
        let mut rest = line;
        while let Some(at) = rest.find('$') {
            rest = &rest[at + 1..];
            // `$$` is a dollar sign.
            if let Some(behind) = rest.strip_prefix('$') {
                rest = behind;
                continue;
            }
            let Some(inside) = rest.strip_prefix('{').and_then(|open| open.split_once('}')) else {
                continue;
            };
            rest = inside.1;
            if let Some((name, default, is_required)) = reference(inside.0) {
                uses.push(Use {
                    name,
                    default,
                    is_required,
                    file: file.to_owned(),
                    line: i + 1,
                });
            }
        }
    }
    uses
}

/// Name, default and necessity of what stands between the braces.
fn reference(inside: &str) -> Option<(String, Option<String>, bool)> {
    let end = inside
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(inside.len());
    let (name, behind) = inside.split_at(end);
    if name.is_empty() {
        return None;
    }
    let name = name.to_owned();
    let behind = behind.strip_prefix(':').unwrap_or(behind);
    Some(match behind.chars().next() {
        Some('-') => (name, Some(behind[1..].to_owned()), false),
        Some('?') => (name, None, true),
        _ => (name, None, false),
    })
}

/// Where a value was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The environment of this process.
    Environment,
    /// A line of the file of variables.
    File(usize),
}

/// What the variables come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    values: BTreeMap<String, (String, Origin)>,
}

impl Values {
    /// The file's, beaten by the environment's for the names that are asked for.
    pub(crate) fn new<'n>(
        file: &EnvFile,
        names: impl IntoIterator<Item = &'n str>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let mut values: BTreeMap<String, (String, Origin)> = file
            .pairs()
            .map(|(line, name, value)| (name.to_owned(), (value.to_owned(), Origin::File(line))))
            .collect();
        for name in names {
            if let Some(value) = environment(name) {
                values.insert(name.to_owned(), (value, Origin::Environment));
            }
        }
        Self { values }
    }

    /// A value; one that is empty says nothing.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values
            .get(name)
            .map(|(value, _)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Where it was said.
    pub(crate) fn origin(&self, name: &str) -> Option<&Origin> {
        self.values.get(name).map(|(_, origin)| origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_use_is_read() {
        let text = "\
# ${NOT_THIS:?x}
a: ${A:?set A}
b: \"${B:-five}:${C-}\"
c: $$HOME ${D}
d: ${E?}${F:?say: how}
";
        let told: Vec<String> = scan(text, Path::new("x.yml"))
            .into_iter()
            .map(|seen| {
                format!(
                    "{} {} {:?} {}",
                    seen.line, seen.name, seen.default, seen.is_required
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "2 A None true",
                "3 B Some(\"five\") false",
                "3 C Some(\"\") false",
                "4 D None false",
                "5 E None true",
                "5 F None true",
            ]
        );
    }

    #[test]
    fn the_environment_beats_the_file() {
        let file = EnvFile::parse("A=file\nB=file\nC=\n");
        let values = Values::new(&file, ["A", "D"], |name| {
            ["A", "D"].contains(&name).then(|| "environment".to_owned())
        });
        assert_eq!(values.get("A"), Some("environment"));
        assert_eq!(values.get("B"), Some("file"));
        assert_eq!(values.get("C"), None);
        assert_eq!(values.get("D"), Some("environment"));
        assert_eq!(values.origin("B"), Some(&Origin::File(2)));
    }
}
