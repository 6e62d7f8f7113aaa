//! How the output of a command is read: which part is the result's text, what
//! it cost, whether it calls itself a failure. Data of a preset, not code.

use std::collections::BTreeMap;

use collective_core::task::Usage;
use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::Value;

/// What standard output holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Text: all of it is the result.
    #[default]
    Text,
    /// One JSON document, perhaps after lines that aren't part of it.
    Json,
    /// One JSON event per line; other lines are skipped.
    Jsonl,
}

/// How to read standard output.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reading {
    /// What it holds.
    pub format: Format,
    /// Where the result's text is; the first that is there.
    pub text: Vec<Selector>,
    /// Where the name of the session is, for resuming it.
    pub session: Vec<Selector>,
    /// Where an error's text is. A command that tells of one has failed,
    /// whatever its exit code.
    pub error: Vec<Selector>,
    /// The same for a command that prints text; looked for in both streams.
    pub error_pattern: Option<Pattern>,
    /// Where the usage is.
    pub usage: UsageReading,
}

/// A regular expression that is known to be one.
#[derive(Clone, Debug)]
pub struct Pattern(pub Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: serde::Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let text = String::deserialize(de)?;
        RegexBuilder::new(&text)
            .size_limit(MAX_PATTERN_SIZE)
            .build()
            .map(Self)
            // Its last line is what is wrong; the others draw a picture.
            .map_err(|error| {
                let error = error.to_string();
                let why = error.lines().next_back().unwrap_or_default();
                let why = why.strip_prefix("error: ").unwrap_or(why);
                serde::de::Error::custom(format!("not a regular expression: {why}"))
            })
    }
}

/// Most memory of a compiled pattern.
const MAX_PATTERN_SIZE: usize = 1024 * 1024;

/// Where the usage is. Each part is a sum.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UsageReading {
    /// Tokens read by the model.
    pub input_tokens: Vec<Selector>,
    /// Tokens written by the model.
    pub output_tokens: Vec<Selector>,
    /// Money in US dollars.
    pub cost_usd: Vec<Selector>,
}

/// Picks values out of JSON events.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// A JSON pointer (RFC 6901); a segment `*` stands for every key or index.
    pub at: String,
    /// Only in events that have these values at these pointers.
    #[serde(default)]
    pub when: BTreeMap<String, Value>,
    /// What of several.
    #[serde(default)]
    pub take: Take,
}

/// What to make of several values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Take {
    /// The last.
    #[default]
    Last,
    /// All: texts one after the other, numbers added up.
    All,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Read {
    /// The result's text.
    pub text: String,
    /// The result's JSON, if text output is one JSON object or array.
    pub json: Option<Value>,
    /// The session's name.
    pub session: Option<String>,
    /// The error that the output tells of.
    pub error: Option<String>,
    /// Tokens and money.
    pub usage: Usage,
}

impl Reading {
    /// Reads standard output; `tail` is the end of both streams. What can't be
    /// read as promised counts as text, so that nothing a command says is lost.
    pub fn read(&self, stdout: &str, tail: &str) -> Read {
        let error = || {
            let pattern = &self.error_pattern.as_ref()?.0;
            Some(pattern.find(tail)?.as_str().trim().to_owned())
        };
        let events = match self.format {
            Format::Text => {
                return Read {
                    text: stdout.to_owned(),
                    json: document(stdout),
                    error: error(),
                    ..Read::default()
                };
            }
            Format::Json => last_document(stdout).into_iter().collect(),
            Format::Jsonl => lines(stdout),
        };
        let text =
            |selectors: &[Selector]| selectors.iter().find_map(|selector| selector.text(&events));
        Read {
            text: text(&self.text).unwrap_or_else(|| stdout.to_owned()),
            json: None,
            session: text(&self.session),
            error: text(&self.error).or_else(error),
            usage: self.usage.read(&events),
        }
    }
}

impl UsageReading {
    fn read(&self, events: &[Value]) -> Usage {
        let sum = |selectors: &[Selector]| -> f64 {
            selectors
                .iter()
                .filter_map(|selector| selector.number(events))
                .sum()
        };
        Usage {
            input_tokens: whole(sum(&self.input_tokens)),
            output_tokens: whole(sum(&self.output_tokens)),
            cost_micro_usd: whole(sum(&self.cost_usd) * 1e6),
            seconds: 0.0,
        }
    }
}

/// A count from a number that somebody else wrote: never negative, never absurd.
fn whole(number: f64) -> u64 {
    number.round().clamp(0.0, 1e15) as u64
}

impl Selector {
    fn values<'a>(&self, events: &'a [Value]) -> Vec<&'a Value> {
        let mut found: Vec<&Value> = events
            .iter()
            .filter(|event| self.holds(event))
            .flat_map(|event| pick(event, &self.at))
            .collect();
        if self.take == Take::Last && found.len() > 1 {
            // Of one event with a wildcard, all are its last.
            let last = events.iter().rev().find_map(|event| {
                let picked = if self.holds(event) {
                    pick(event, &self.at)
                } else {
                    Vec::new()
                };
                (!picked.is_empty()).then_some(picked)
            });
            found = last.unwrap_or_default();
        }
        found
    }

    fn holds(&self, event: &Value) -> bool {
        self.when
            .iter()
            .all(|(at, wanted)| pick(event, at).contains(&wanted))
    }

    fn text(&self, events: &[Value]) -> Option<String> {
        let texts: Vec<String> = self
            .values(events)
            .into_iter()
            .filter_map(|value| match value {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            })
            .collect();
        (!texts.is_empty()).then(|| texts.concat())
    }

    fn number(&self, events: &[Value]) -> Option<f64> {
        let numbers: Vec<f64> = self
            .values(events)
            .into_iter()
            .filter_map(Value::as_f64)
            .collect();
        (!numbers.is_empty()).then(|| numbers.iter().sum())
    }
}

/// Follows a JSON pointer with wildcards.
fn pick<'a>(value: &'a Value, pointer: &str) -> Vec<&'a Value> {
    let mut found = vec![value];
    for segment in pointer.split('/').skip(1) {
        let key = segment.replace("~1", "/").replace("~0", "~");
        found = found
            .into_iter()
            .flat_map(|value| match value {
                Value::Object(map) if key == "*" => map.values().collect(),
                Value::Array(list) if key == "*" => list.iter().collect(),
                Value::Object(map) => map.get(&key).into_iter().collect(),
                Value::Array(list) => key
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| list.get(index))
                    .into_iter()
                    .collect(),
                _ => Vec::new(),
            })
            .collect();
    }
    found
}

/// Text that is one JSON object or array and nothing else.
pub(crate) fn document(text: &str) -> Option<Value> {
    let text = text.trim();
    if !text.starts_with(['{', '[']) {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// The JSON document at the end of a text: some tools print warnings before it.
fn last_document(text: &str) -> Option<Value> {
    document(text).or_else(|| {
        text.match_indices('\n')
            .filter(|(at, _)| text[at + 1..].starts_with(['{', '[']))
            .find_map(|(at, _)| document(&text[at + 1..]))
    })
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().filter_map(document).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(pointer: &str) -> Selector {
        Selector {
            at: pointer.to_owned(),
            when: BTreeMap::new(),
            take: Take::Last,
        }
    }

    #[test]
    fn a_pointer_with_a_wildcard_finds_every_branch() {
        let value = json!({"models": {"a": {"n": 1}, "b": {"n": 2}}, "list": [{"x/y": 3}]});
        assert_eq!(pick(&value, "/models/*/n"), [&json!(1), &json!(2)]);
        assert_eq!(pick(&value, "/list/0/x~1y"), [&json!(3)]);
        assert_eq!(pick(&value, ""), [&value]);
        assert!(pick(&value, "/none/0").is_empty());
    }

    #[test]
    fn a_document_after_warnings_is_found() {
        let reading = Reading {
            format: Format::Json,
            text: vec![at("/result")],
            ..Reading::default()
        };
        assert_eq!(
            reading
                .read("warning: {x\n{\"result\": \"done\"}\n", "")
                .text,
            "done"
        );
    }

    #[test]
    fn output_that_is_not_as_promised_stays_text() {
        for format in [Format::Json, Format::Jsonl] {
            let reading = Reading {
                format,
                text: vec![at("/result")],
                ..Reading::default()
            };
            assert_eq!(reading.read("panic: no\n", "").text, "panic: no\n");
        }
    }

    #[test]
    fn text_that_is_a_json_object_is_also_read_as_one() {
        let reading = Reading::default();
        assert_eq!(reading.read("{\"a\": 1}\n", "").json, Some(json!({"a": 1})));
        assert_eq!(reading.read("3\n", "").json, None);
        assert_eq!(reading.read("{\"a\": 1}\nmore\n", "").json, None);
    }

    #[test]
    fn events_are_chosen_by_condition_and_summed_or_the_last_is_taken() {
        let output = "{\"t\":\"m\",\"x\":\"a\",\"n\":1}\nnoise\n{\"t\":\"m\",\"x\":\"b\",\"n\":2}\n{\"t\":\"o\",\"x\":\"c\",\"n\":4}\n";
        let m = |take| Selector {
            at: "/x".to_owned(),
            when: BTreeMap::from([("/t".to_owned(), json!("m"))]),
            take,
        };
        let read = |take| {
            Reading {
                format: Format::Jsonl,
                text: vec![m(take)],
                usage: UsageReading {
                    input_tokens: vec![Selector {
                        at: "/n".to_owned(),
                        when: BTreeMap::new(),
                        take,
                    }],
                    ..UsageReading::default()
                },
                ..Reading::default()
            }
            .read(output, "")
        };
        let last = read(Take::Last);
        assert_eq!((last.text.as_str(), last.usage.input_tokens), ("b", 4));
        let all = read(Take::All);
        assert_eq!((all.text.as_str(), all.usage.input_tokens), ("ab", 7));
    }
}
