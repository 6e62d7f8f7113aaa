//! YAML as a tree in which every value and key knows where it stands.
//!
//! Scalars stay text until a field asks for a type, so that `command: [sleep, 5]`
//! and `title: "5"` both get what they mean. Plain scalars follow the core schema
//! of YAML 1.2 (section 10.3): `yes` and `no` are text.

use serde_json::{Map, Number, Value};

use crate::place::Place;
use crate::problem::{At, Sink};

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// The name of a field.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) at: At,
    pub(crate) text: String,
}

/// A value that is neither list nor map.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Written without quotes, so that it may be a number, a truth value or nothing.
    pub(crate) plain: bool,
    /// A parameter was put in, so that it is text where text is wanted, whatever it looks like.
    pub(crate) filled: bool,
}

/// What a scalar means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meaning {
    Nothing,
    Flag(bool),
    Number(Number),
    /// A number that JSON can't hold.
    Unbounded,
    Text,
}

impl Scalar {
    /// What it means by the core schema.
    pub(crate) fn meaning(&self) -> Meaning {
        if !self.plain {
            return Meaning::Text;
        }
        match self.text.as_str() {
            // An empty parameter is an empty text, not a field that isn't there.
            "" | "~" | "null" | "Null" | "NULL" if self.filled => Meaning::Text,
            "" | "~" | "null" | "Null" | "NULL" => Meaning::Nothing,
            "true" | "True" | "TRUE" => Meaning::Flag(true),
            "false" | "False" | "FALSE" => Meaning::Flag(false),
            text => number(text),
        }
    }
}

impl Scalar {
    /// What it means where a number or a truth value is wanted: a parameter's value counts
    /// even if its reference stands in quotes, as it must inside `{}` and `[]`.
    pub(crate) fn typed_meaning(&self) -> Meaning {
        match self.filled && !self.plain {
            true => Scalar {
                plain: true,
                ..self.clone()
            }
            .meaning(),
            false => self.meaning(),
        }
    }
}

fn number(text: &str) -> Meaning {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let radix = |digits: &str, radix| {
        u64::from_str_radix(digits, radix)
            .map_or(Meaning::Unbounded, |n| Meaning::Number(Number::from(n)))
    };
    let all =
        |digits: &str, of: fn(&char) -> bool| !digits.is_empty() && digits.chars().all(|c| of(&c));
    if let Some(octal) = text.strip_prefix("0o")
        && all(octal, |c| matches!(c, '0'..='7'))
    {
        return radix(octal, 8);
    }
    if let Some(hex) = text.strip_prefix("0x")
        && all(hex, char::is_ascii_hexdigit)
    {
        return radix(hex, 16);
    }
    if all(digits, char::is_ascii_digit) {
        let text = text.strip_prefix('+').unwrap_or(text);
        return match (text.parse::<i64>(), text.parse::<u64>()) {
            (Ok(n), _) => Meaning::Number(Number::from(n)),
            (_, Ok(n)) => Meaning::Number(Number::from(n)),
            _ => Meaning::Unbounded,
        };
    }
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Meaning::Unbounded;
    }
    let float = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.contains(|c: char| c.is_ascii_digit())
        && all(digits, |c| {
            matches!(c, '0'..='9' | '.' | 'e' | 'E' | '+' | '-')
        });
    match text.parse::<f64>() {
        Ok(value) if float => Number::from_f64(value).map_or(Meaning::Unbounded, Meaning::Number),
        _ => Meaning::Text,
    }
}

impl Node {
    /// What kind of thing it is, for `expected x, found y`.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.content {
            Content::List(_) => "a list",
            Content::Map(_) => "a map of fields",
            Content::Scalar(scalar) => match scalar.meaning() {
                Meaning::Nothing => "nothing",
                Meaning::Flag(_) => "a truth value",
                Meaning::Number(_) | Meaning::Unbounded => "a number",
                Meaning::Text => "text",
            },
        }
    }

    /// Whether it is written as nothing (`key:`, `~`, `null`).
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(&self.content, Content::Scalar(scalar) if scalar.meaning() == Meaning::Nothing)
    }

    /// How many nodes and how many bytes of text it holds, itself included.
    pub(crate) fn size(&self) -> (usize, usize) {
        let mut total = (1, 0);
        let mut add = |(nodes, bytes)| total = (total.0 + nodes, total.1 + bytes);
        match &self.content {
            Content::Scalar(scalar) => add((0, scalar.text.len())),
            Content::List(items) => items.iter().for_each(|item| add(item.size())),
            Content::Map(fields) => fields.iter().for_each(|(key, value)| {
                add((0, key.text.len()));
                add(value.size());
            }),
        }
        total
    }

    /// The value as JSON; what JSON can't hold is noted as a mistake.
    pub(crate) fn json(&self, place: &Place, sink: &Sink) -> Value {
        match &self.content {
            Content::Scalar(scalar) => match scalar.meaning() {
                Meaning::Nothing => Value::Null,
                Meaning::Flag(flag) => Value::Bool(flag),
                Meaning::Number(number) => Value::Number(number),
                Meaning::Text => Value::String(scalar.text.clone()),
                Meaning::Unbounded => {
                    let shown = collective_core::text::shown(&scalar.text);
                    sink.report(
                        self.at,
                        place,
                        format!("the number {shown} doesn't fit into JSON"),
                        Some("put it in quotes to give it as text".to_owned()),
                    );
                    Value::Null
                }
            },
            Content::List(items) => items
                .iter()
                .enumerate()
                .map(|(i, item)| item.json(&place.index(i), sink))
                .collect(),
            Content::Map(fields) => fields
                .iter()
                .map(|(key, value)| {
                    let place = place.field(&key.text);
                    (key.text.clone(), value.json(&place, sink))
                })
                .collect::<Map<String, Value>>()
                .into(),
        }
    }

    /// Where the value below this is that a path such as `retry.max_attempts` or `[2].file`
    /// names, or the nearest one above it that is there.
    pub(crate) fn locate(&self, path: &str) -> At {
        let mut node = self;
        let steps = path
            .split(['.', '['])
            .map(|step| step.trim_end_matches(']'));
        for step in steps.filter(|step| !step.is_empty()) {
            let next = match &node.content {
                Content::Map(fields) => fields
                    .iter()
                    .find(|(key, _)| key.text == step)
                    .map(|(_, value)| value),
                Content::List(items) => step.parse().ok().and_then(|i: usize| items.get(i)),
                Content::Scalar(_) => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(text: &str) -> Meaning {
        Scalar {
            text: text.to_owned(),
            plain: true,
            filled: false,
        }
        .meaning()
    }

    #[test]
    fn plain_scalars_follow_the_core_schema_of_yaml_1_2() {
        let whole = |n: i64| Meaning::Number(Number::from(n));
        let float = |n: f64| Meaning::Number(Number::from_f64(n).unwrap());
        for (text, expected) in [
            ("", Meaning::Nothing),
            ("~", Meaning::Nothing),
            ("true", Meaning::Flag(true)),
            ("yes", Meaning::Text),
            ("on", Meaning::Text),
            ("7", whole(7)),
            ("+7", whole(7)),
            ("-7", whole(-7)),
            ("007", whole(7)),
            ("0o17", whole(15)),
            ("0x1F", whole(31)),
            ("0o9", Meaning::Text),
            (
                "18446744073709551615",
                Meaning::Number(Number::from(u64::MAX)),
            ),
            ("18446744073709551616", Meaning::Unbounded),
            ("1.5", float(1.5)),
            (".5", float(0.5)),
            ("1e3", float(1000.0)),
            ("1e999", Meaning::Unbounded),
            (".inf", Meaning::Unbounded),
            ("inf", Meaning::Text),
            ("nan", Meaning::Text),
            ("1.2.3", Meaning::Text),
            ("5m", Meaning::Text),
            ("-", Meaning::Text),
            (".", Meaning::Text),
        ] {
            assert_eq!(meaning(text), expected, "{text:?}");
        }
    }
}
