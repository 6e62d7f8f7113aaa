//! From bytes to typed requests, with errors that name the place.
//!
//! The fast path reads once. Only a request that is refused is read again, to
//! find where it is wrong and to get back the code and hint of core's own rule.

use collective_core::task::{Lane, LeaseToken};
use collective_core::{AgentName, Code, QueueName, Rejection, Span, TeamName, Timestamp, text};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

/// Reads a JSON body.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Rejection> {
    let body = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        Rejection::new(
            Code::InvalidBody,
            format!(
                "the body is not UTF-8 at byte {} (line {line})",
                error.valid_up_to()
            ),
        )
    })?;
    // serde would take an array for an object whose fields are in order.
    if body.trim_ascii_start().starts_with('[') {
        let read = serde_json::from_str::<serde::de::IgnoredAny>(body);
        return Err(match read {
            Ok(_) => Rejection::new(Code::InvalidBody, "the body is an array, not an object"),
            Err(error) => json_rejection::<T>(body, &error),
        });
    }
    serde_json::from_str(body).map_err(|error| json_rejection::<T>(body, &error))
}

fn json_rejection<T: DeserializeOwned>(body: &str, error: &serde_json::Error) -> Rejection {
    if body.trim_ascii().is_empty() {
        return Rejection::new(Code::InvalidBody, "the body is empty")
            .hint("send a JSON object; /docs shows its fields");
    }
    let (line, column) = (error.line(), error.column());
    if error.classify() != Category::Data {
        return Rejection::new(
            Code::InvalidBody,
            format!(
                "the body is not JSON: {}, line {line}, column {column}",
                without_place(error)
            ),
        );
    }
    let read = &mut serde_json::Deserializer::from_str(body);
    match serde_path_to_error::deserialize::<_, T>(read) {
        Err(located) => {
            let value = serde_json::from_str(body).unwrap_or_default();
            let said = value_at(&value, located.path());
            rejection(&without_place(located.inner()), located.path(), said)
        }
        // The first reading failed after the value (two documents in one body).
        Ok(_) => Rejection::new(Code::InvalidBody, without_place(error)),
    }
}

/// The message of a JSON error without the place that serde_json appends.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    message
        .strip_suffix(&place)
        .map_or(message.clone(), str::to_owned)
}

fn value_at<'v>(value: &'v serde_json::Value, path: &Path) -> Option<&'v str> {
    path.iter()
        .try_fold(value, |value, segment| match segment {
            Segment::Seq { index } => value.get(index),
            Segment::Map { key } => value.get(key),
            Segment::Enum { variant } => value.get(variant),
            Segment::Unknown => None,
        })
        .and_then(serde_json::Value::as_str)
}

/// Reads a query string.
pub(super) fn query<T: DeserializeOwned>(query: &str) -> Result<T, Rejection> {
    if percent_encoding::percent_decode_str(query)
        .decode_utf8()
        .is_err()
    {
        return Err(Rejection::new(Code::InvalidField, "the query is not UTF-8"));
    }
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query)
        .map_err(|error| Rejection::new(Code::InvalidField, format!("the query: {error}")))?;
    let read = serde::de::value::MapDeserializer::new(
        pairs
            .iter()
            .map(|(name, value)| (name.as_str(), Parameter(value))),
    );
    serde_path_to_error::deserialize::<_, T>(read).map_err(|located| {
        let name = located.path().to_string();
        let said = pairs
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.as_str());
        rejection(&located.inner().to_string(), located.path(), said)
    })
}

/// The value of a query parameter: text that is read as what its field is.
#[derive(Clone, Copy)]
struct Parameter<'p>(&'p str);

impl<'de> serde::de::IntoDeserializer<'de, serde::de::value::Error> for Parameter<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($deserialize:ident $visit:ident $what:literal;)*) => {
        $(fn $deserialize<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(serde::de::Error::custom(format_args!(concat!("`{}` is not ", $what), text::shown(self.0)))),
            }
        })*
    };
}

impl<'de> serde::Deserializer<'de> for Parameter<'de> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: serde::de::Visitor<'de>>(
        self,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_option<V: serde::de::Visitor<'de>>(
        self,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    parsed! {
        deserialize_bool visit_bool "true or false";
        deserialize_u32 visit_u32 "a whole number";
        deserialize_u64 visit_u64 "a whole number";
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The rejection for what serde said of the value at `path`.
fn rejection(message: &str, path: &Path, said: Option<&str>) -> Rejection {
    if let Some(own) = said.and_then(|said| rule_of_core(said, message)) {
        return own.at(path.to_string());
    }
    let named = |prefix: &str| {
        message
            .strip_prefix(prefix)
            .and_then(|rest| rest.split('`').next())
    };
    if let Some(field) = named("missing field `") {
        return Rejection::new(Code::InvalidField, "is missing").at(below(path, field));
    }
    if let Some(field) = named("duplicate field `") {
        return Rejection::new(Code::InvalidField, "is there twice").at(below(path, field));
    }
    if let Some(field) = named("unknown field `") {
        let rejection = Rejection::new(
            Code::InvalidField,
            format!("there is no field `{}`", text::shown(field)),
        )
        .at(below(path, &text::shown(field)));
        return advised(rejection, field, message, "the fields are");
    }
    if let Some(word) = named("unknown variant `") {
        let rejection = Rejection::new(
            Code::InvalidField,
            format!(
                "`{}` is none of the words that it may be",
                text::shown(word)
            ),
        );
        return advised(
            rejection.at(path.to_string()),
            word,
            message,
            "the words are",
        );
    }
    let message = in_words_of_json(message);
    if path.iter().next().is_none() {
        return Rejection::new(
            Code::InvalidBody,
            format!("the body has another form: {message}"),
        );
    }
    Rejection::new(Code::InvalidField, message).at(path.to_string())
}

/// Adds the word that was meant, or all that there are. serde lists them in
/// backticks, after the wrong one.
fn advised(rejection: Rejection, word: &str, message: &str, all: &str) -> Rejection {
    let known: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
    match text::nearest(word, known.iter().copied()) {
        Some(near) => rejection.hint(format!("did you mean `{near}`?")),
        None if known.is_empty() => rejection,
        None => rejection.hint(format!("{all} {}", known.join(", "))),
    }
}

/// The refusal that core itself gave while the value was read. serde carries
/// its message only; asking the same rules again gives code and hint back.
fn rule_of_core(said: &str, message: &str) -> Option<Rejection> {
    let refusals = [
        said.parse::<Span>().err(),
        said.parse::<Timestamp>().err(),
        said.parse::<QueueName>().err(),
        said.parse::<AgentName>().err(),
        said.parse::<TeamName>().err(),
        said.parse::<Lane>().err(),
        said.parse::<LeaseToken>().err(),
    ];
    refusals
        .into_iter()
        .flatten()
        .find(|refusal| refusal.message() == message)
}

/// The path of `field` in the object at `path`, whether or not the path names it already.
fn below(path: &Path, field: &str) -> String {
    let last = path.iter().next_back();
    if matches!(last, Some(Segment::Map { key }) if key == field) {
        return path.to_string();
    }
    match path.iter().next() {
        None => field.to_owned(),
        Some(_) => format!("{path}.{field}"),
    }
}

/// serde speaks of our types by their names; who sends JSON knows objects, arrays and numbers.
fn in_words_of_json(message: &str) -> String {
    let Some((what, expected)) = message.split_once(", expected ") else {
        return message.to_owned();
    };
    let expected = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" => "an array",
        _ if expected.starts_with("struct ") || expected == "a map" => "an object",
        other => other,
    };
    format!("{what}, expected {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use collective_api::tasks::{CreateTasks, ListTasks, ReadLog};

    fn refused(body: &str) -> (Code, String, String) {
        let rejection = json::<CreateTasks>(body.as_bytes()).expect_err("it is wrong");
        (
            rejection.code(),
            rejection.field().unwrap_or_default().to_owned(),
            rejection.message().to_owned(),
        )
    }

    #[test]
    fn a_wrong_body_is_refused_with_its_place() {
        for (body, code, field, message) in [
            ("", Code::InvalidBody, "", "the body is empty"),
            (
                "{\n \"tasks\": [}",
                Code::InvalidBody,
                "",
                "the body is not JSON: expected value, line 2, column 12",
            ),
            (
                r#"{"tasks":[]} {}"#,
                Code::InvalidBody,
                "",
                "the body is not JSON: trailing characters, line 1, column 14",
            ),
            (
                r#"{"tasks":[{"title":"a"},{"titel":"b"}]}"#,
                Code::InvalidField,
                "tasks[1].titel",
                "there is no field `titel`",
            ),
            (
                r#"{"tasks":[{}]}"#,
                Code::InvalidField,
                "tasks[0].title",
                "is missing",
            ),
            (
                r#"{"tasks":[{"title":"a","title":"b"}]}"#,
                Code::InvalidField,
                "tasks[0].title",
                "is there twice",
            ),
            (
                r#"{"tasks":[{"title":7}]}"#,
                Code::InvalidField,
                "tasks[0].title",
                "invalid type: integer `7`, expected a string",
            ),
            (
                r#"{"tasks":["a"]}"#,
                Code::InvalidField,
                "tasks[0]",
                r#"invalid type: string "a", expected an object"#,
            ),
            (
                "[]",
                Code::InvalidBody,
                "",
                "the body is an array, not an object",
            ),
            (
                "7",
                Code::InvalidBody,
                "",
                "the body has another form: invalid type: integer `7`, expected an object",
            ),
        ] {
            assert_eq!(
                refused(body),
                (code, field.to_owned(), message.to_owned()),
                "{body}"
            );
        }
    }

    #[test]
    fn what_a_rule_of_core_refuses_keeps_its_code_and_hint() {
        for (field, value, code) in [
            ("timeout", "5", Code::InvalidDuration),
            ("deadline", "tomorrow", Code::InvalidTime),
            ("queue", "Rust!", Code::InvalidName),
            ("agent", "", Code::InvalidName),
        ] {
            let body = format!(r#"{{"tasks":[{{"title":"a","{field}":"{value}"}}]}}"#);
            let rejection = json::<CreateTasks>(body.as_bytes()).expect_err("it is wrong");
            assert_eq!(rejection.code(), code, "{rejection}");
            assert_eq!(rejection.field(), Some(&*format!("tasks[0].{field}")));
            assert!(rejection.hint_text().is_some(), "{rejection}");
        }
    }

    #[test]
    fn a_slip_of_the_finger_is_named() {
        let rejection =
            json::<CreateTasks>(br#"{"tasks":[{"titel":"a"}]}"#).expect_err("it is wrong");
        assert_eq!(rejection.hint_text(), Some("did you mean `title`?"));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_with_their_place() {
        let rejection = json::<CreateTasks>(b"{\n\"tasks\": \"\xff\"}").expect_err("it is wrong");
        assert_eq!(
            (rejection.code(), rejection.message()),
            (
                Code::InvalidBody,
                "the body is not UTF-8 at byte 12 (line 2)"
            )
        );
    }

    #[test]
    fn a_query_is_read_as_what_its_fields_are() {
        let read: ReadLog = query("attempt=2&wait=5s&after=7").expect("it is right");
        assert_eq!(
            (read.attempt, read.after, read.wait),
            (Some(2), Some(7), Some(Span::from_secs(5)))
        );
        let list: ListTasks = query("state=dead&label=a%3Db&limit=5").expect("it is right");
        assert_eq!((list.label.as_deref(), list.limit), (Some("a=b"), Some(5)));
    }

    #[test]
    fn a_wrong_query_is_refused_with_its_parameter() {
        for (sent, code, field) in [
            ("wait=5", Code::InvalidDuration, "wait"),
            ("attempt=first", Code::InvalidField, "attempt"),
            ("atempt=1", Code::InvalidField, "atempt"),
            ("attempt=1&attempt=2", Code::InvalidField, "attempt"),
            ("wait=%ff", Code::InvalidField, ""),
        ] {
            let rejection = query::<ReadLog>(sent).expect_err("it is wrong");
            assert_eq!(
                (rejection.code(), rejection.field().unwrap_or_default()),
                (code, field),
                "{rejection}"
            );
        }
    }
}
