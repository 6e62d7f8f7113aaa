//! A value under the reader's finger: what it is asked to be, or a mistake.
//!
//! Every question returns `None` after noting what is wrong, so that the caller
//! goes on with the next field and one reading finds every mistake.

use std::collections::BTreeMap;
use std::str::FromStr;

use collective_core::Rejection;
use collective_core::text::{nearest, shown};
use serde_json::Value;

use crate::node::{Content, Key, Meaning, Node, Scalar};
use crate::place::Place;
use crate::problem::{At, Sink};

/// A value, where it stands, and where mistakes go.
#[derive(Clone)]
pub(crate) struct Field<'r> {
    pub(crate) node: &'r Node,
    pub(crate) place: Place,
    pub(crate) sink: &'r Sink,
}

/// A map whose field names are known.
#[derive(Clone)]
pub(crate) struct Fields<'r> {
    entries: &'r [(Key, Node)],
    pub(crate) whole: Field<'r>,
}

impl<'r> Field<'r> {
    pub(crate) fn new(node: &'r Node, place: Place, sink: &'r Sink) -> Self {
        Self { node, place, sink }
    }

    /// Notes a mistake here.
    pub(crate) fn problem(&self, message: impl Into<String>) {
        self.sink.report(self.node.at, &self.place, message, None);
    }

    /// Notes a mistake here, and what to do.
    pub(crate) fn problem_hint(&self, message: impl Into<String>, hint: impl Into<String>) {
        let hint = Some(hint.into());
        self.sink.report(self.node.at, &self.place, message, hint);
    }

    /// Notes a refusal by one of core's rules, at the field below this that it names.
    pub(crate) fn reject(&self, rejection: &Rejection) {
        let (at, place) = match rejection.field() {
            Some(path) => (self.node.locate(path), self.place.join(path)),
            None => (self.node.at, self.place.clone()),
        };
        self.sink.reject(at, &place, rejection);
    }

    /// Notes that this is of the wrong type.
    pub(crate) fn wrong_type(&self, expected: &str, hint: Option<&str>) {
        let message = format!("expected {expected}, found {}", self.node.kind());
        let hint = hint.map(str::to_owned);
        self.sink.report(self.node.at, &self.place, message, hint);
    }

    fn scalar(&self) -> Option<&'r Scalar> {
        match &self.node.content {
            Content::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The text, whatever it may look like: names, words of a command, values of labels.
    pub(crate) fn raw_text(&self, expected: &str) -> Option<&'r str> {
        match self.scalar() {
            Some(scalar) if scalar.meaning() != Meaning::Nothing => Some(&scalar.text),
            _ => {
                self.wrong_type(expected, None);
                None
            }
        }
    }

    /// Text that is text: a bare `5` or `true` is more often a slip than a title.
    pub(crate) fn text(&self) -> Option<&'r str> {
        match self.scalar() {
            Some(scalar) if scalar.filled || scalar.meaning() == Meaning::Text => {
                Some(&scalar.text)
            }
            Some(scalar) if scalar.meaning() != Meaning::Nothing => {
                self.wrong_type("text", Some("put it in quotes"));
                None
            }
            _ => {
                self.wrong_type("text", None);
                None
            }
        }
    }

    /// A truth value.
    pub(crate) fn flag(&self) -> Option<bool> {
        match self.scalar().map(Scalar::typed_meaning) {
            Some(Meaning::Flag(flag)) => Some(flag),
            _ => {
                self.wrong_type("true or false", None);
                None
            }
        }
    }

    /// A whole number that fits the type; its bounds are the rule's to check.
    pub(crate) fn whole<T: TryFrom<i64>>(&self) -> Option<T> {
        match self.scalar().map(Scalar::typed_meaning) {
            Some(Meaning::Number(number)) => {
                let fits = number.as_i64().and_then(|n| T::try_from(n).ok());
                if fits.is_none() {
                    self.problem(format!("{number} is not a whole number in range"));
                }
                fits
            }
            Some(Meaning::Unbounded) => {
                self.problem("the number is not a whole number in range");
                None
            }
            _ => {
                self.wrong_type("a whole number", None);
                None
            }
        }
    }

    /// A value that core reads from text: a name, a duration, a time.
    pub(crate) fn parse<T: FromStr<Err = Rejection>>(&self, expected: &str) -> Option<T> {
        let text = self.raw_text(expected)?;
        text.parse()
            .map_err(|rejection| self.reject(&rejection))
            .ok()
    }

    /// A duration, with the slip of writing it in words put right.
    pub(crate) fn span(&self) -> Option<collective_core::Span> {
        let text = self.raw_text("a duration such as 90s or 5m")?;
        match text.parse() {
            Ok(span) => Some(span),
            Err(rejection) => {
                match crate::span_in_words::mend(text) {
                    Some(mended) => {
                        self.problem_hint(rejection.message(), format!("write `{mended}`"));
                    }
                    None => self.reject(&rejection),
                }
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&self, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.raw_text(what)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let names = words.iter().map(|(word, _)| *word);
            let hint = did_you_mean(text, names.clone())
                .unwrap_or_else(|| format!("use one of {}", listed(names)));
            self.problem_hint(format!("`{}` is not {what}", shown(text)), hint);
        }
        found.map(|(_, value)| *value)
    }

    /// The items of a list.
    pub(crate) fn items(&self, hint: Option<&str>) -> Option<Vec<Field<'r>>> {
        let Content::List(items) = &self.node.content else {
            self.wrong_type("a list", hint);
            return None;
        };
        let items = items.iter().enumerate();
        Some(
            items
                .map(|(i, node)| Field::new(node, self.place.index(i), self.sink))
                .collect(),
        )
    }

    /// The entries of a map whose names the author chooses; nothing is an empty map.
    pub(crate) fn entries(&self, of: &str) -> Option<Vec<(&'r Key, Field<'r>)>> {
        let entries = match &self.node.content {
            Content::Map(entries) => entries.as_slice(),
            Content::Scalar(_) if self.node.is_nothing() => &[],
            _ => {
                self.wrong_type(&format!("a map of {of}"), None);
                return None;
            }
        };
        let below = entries.iter().map(|(key, node)| {
            let place = self.place.field(&key.text);
            (key, Field::new(node, place, self.sink))
        });
        Some(below.collect())
    }

    /// The fields of a map that has these and no others; nothing is an empty map. A known
    /// name that ends with `*` allows every name that starts so.
    pub(crate) fn fields(&self, known: &[&str], hint: Option<&str>) -> Option<Fields<'r>> {
        let entries = match &self.node.content {
            Content::Map(entries) => entries.as_slice(),
            Content::Scalar(_) if self.node.is_nothing() => &[],
            _ => {
                self.wrong_type("a map of fields", hint);
                return None;
            }
        };
        for (key, _) in entries {
            let prefixed = |known: &&str| {
                let prefix = known.strip_suffix('*');
                prefix.is_some_and(|prefix| key.text.starts_with(prefix))
            };
            if !known.contains(&key.text.as_str()) && !known.iter().any(prefixed) {
                let hint = did_you_mean(&key.text, known.iter().copied())
                    .unwrap_or_else(|| format!("known here: {}", listed(known.iter().copied())));
                let message = format!("unknown field `{}`", shown(&key.text));
                let place = self.place.field(&key.text);
                self.sink.report(key.at, &place, message, Some(hint));
            }
        }
        Some(Fields {
            entries,
            whole: self.clone(),
        })
    }

    /// Text by name, taken as it is written: an environment, labels.
    pub(crate) fn text_map(&self, of: &str) -> Option<BTreeMap<String, String>> {
        let entries = self.entries(of)?;
        let texts = entries.into_iter().filter_map(|(key, value)| {
            let text = value.raw_text("text")?;
            Some((key.text.clone(), text.to_owned()))
        });
        Some(texts.collect())
    }

    /// A list of words, each taken as it is written.
    pub(crate) fn words(&self, hint: Option<&str>) -> Option<Vec<String>> {
        let items = self.items(hint)?;
        let count = items.len();
        let words: Vec<String> = items
            .iter()
            .filter_map(|item| item.raw_text("text").map(str::to_owned))
            .collect();
        (words.len() == count).then_some(words)
    }

    /// The value as JSON.
    pub(crate) fn json(&self) -> Value {
        self.node.json(&self.place, self.sink)
    }
}

impl<'r> Fields<'r> {
    /// The field of this name; one that is written as nothing isn't there.
    pub(crate) fn get(&self, name: &str) -> Option<Field<'r>> {
        self.get_any(name).filter(|field| !field.node.is_nothing())
    }

    /// The field of this name, written as nothing or not.
    pub(crate) fn get_any(&self, name: &str) -> Option<Field<'r>> {
        let (_, node) = self.entries.iter().find(|(key, _)| key.text == name)?;
        let place = self.whole.place.field(name);
        Some(Field::new(node, place, self.whole.sink))
    }

    /// Where the name of this field stands.
    pub(crate) fn key_at(&self, name: &str) -> At {
        let key = self.entries.iter().find(|(key, _)| key.text == name);
        key.map_or(self.whole.node.at, |(key, _)| key.at)
    }
}

/// `did you mean x?`, if something near is known.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(word, known).map(|near| format!("did you mean `{near}`?"))
}

/// `a`, `b`, `c`, cut where it gets long.
pub(crate) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    /// More than this nobody reads.
    const MOST: usize = 24;
    let names: Vec<&str> = names.collect();
    let mut text = names
        .iter()
        .take(MOST)
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > MOST {
        text.push_str(", …");
    }
    text
}
