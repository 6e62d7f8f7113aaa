//! The building blocks of the schema: what a value may be, and how that is said in words.

use collective_core::limits::{MAX_NAME_LEN, MAX_PATH_LEN};
use serde_json::{Map, Value, json};

use crate::fan_out::MAX_KEY_LEN;

/// A text with a reference to a parameter may become anything.
const REFERENCE: &str = r"\$\{";
/// What core's names look like; their length is apart.
pub(super) const NAME: &str = "^[a-z0-9][a-z0-9._-]*$";
/// What keys look like.
pub(super) const KEY: &str = "^[A-Za-z0-9][A-Za-z0-9._-]*$";
/// What core's durations look like.
const SPAN: &str = "^([0-9]+(d|h|m|s|ms|us))+$";

/// The fields of a map, by name.
pub(super) type Properties = Map<String, Value>;

/// A map with these fields and no others.
pub(super) fn record(title: &str, fields: Properties, required: &[&str], more: Value) -> Value {
    let mut schema = json!({
        "title": title,
        "type": "object",
        "properties": Value::Object(fields),
        "required": required,
        "additionalProperties": false,
    });
    if let (Value::Object(schema), Value::Object(more)) = (&mut schema, more) {
        schema.extend(more);
    }
    schema
}

/// The same, or nothing at all.
pub(super) fn optional(mut schema: Value) -> Value {
    schema["type"] = json!(["object", "null"]);
    schema
}

/// Not more than one of queue, role and agent.
pub(super) fn one_address() -> Value {
    let both = |a, b| json!({"required": [a, b]});
    json!({"not": {"anyOf": [both("queue", "role"), both("queue", "agent"), both("role", "agent")]}})
}

/// A part of the schema that has a name.
pub(super) fn reference(name: &str) -> Value {
    json!({"title": name, "$ref": format!("#/$defs/{name}")})
}

/// A text with a reference in it.
pub(super) fn filled_in() -> Value {
    json!({"type": "string", "pattern": REFERENCE})
}

/// A text, with a bound if it has one.
pub(super) fn text(title: &str, max: Option<usize>) -> Value {
    match max {
        None => json!({"title": title, "type": "string"}),
        // Bounds are bytes; a character has one at least, so the schema refuses no good text.
        Some(max) => json!({
            "title": format!("{title}, at most {max} bytes"), "type": "string", "maxLength": max,
        }),
    }
}

/// A path, relative or absolute.
pub(super) fn path() -> Value {
    json!({
        "title": "path", "type": "string", "minLength": 1, "maxLength": MAX_PATH_LEN,
    })
}

fn pattern(title: &str, pattern: &str, max: usize) -> Value {
    json!({
        "title": title,
        "anyOf": [
            {"type": ["string", "number", "boolean"], "pattern": pattern, "maxLength": max},
            filled_in(),
        ],
    })
}

/// A name by core's rule.
pub(super) fn name(title: &str) -> Value {
    pattern(title, NAME, MAX_NAME_LEN)
}

/// A key of a task.
pub(super) fn key(title: &str) -> Value {
    pattern(title, KEY, MAX_KEY_LEN)
}

/// A duration; `bounds` are words, since a schema has none for durations.
pub(super) fn span(bounds: &str) -> Value {
    let title = match bounds {
        "" => "duration".to_owned(),
        bounds => format!("duration, {bounds}"),
    };
    json!({
        "title": title,
        "anyOf": [{"type": "string", "pattern": SPAN}, filled_in()],
    })
}

/// A whole number.
pub(super) fn whole(min: i64, max: i64) -> Value {
    let title = match min == i64::from(i32::MIN) {
        true => "whole number".to_owned(),
        false => format!("whole number, {min} to {max}"),
    };
    json!({
        "title": title,
        "anyOf": [{"type": "integer", "minimum": min, "maximum": max}, filled_in()],
    })
}

/// A truth value.
pub(super) fn flag() -> Value {
    json!({"title": "true or false", "anyOf": [{"type": "boolean"}, filled_in()]})
}

/// One of a few words.
pub(super) fn one_of(words: &[&str]) -> Value {
    let title: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    json!({"title": title.join(", "), "anyOf": [{"enum": words}, filled_in()]})
}

/// A command: a text, or a list of words.
pub(super) fn command() -> Value {
    json!({
        "title": "text or list of words",
        "anyOf": [
            {"type": "string", "pattern": r"\S"},
            {"type": "array", "minItems": 1, "items": {"type": ["string", "number", "boolean"]}},
        ],
    })
}

/// A list of at most `max`.
pub(super) fn list(of: &str, items: Value, max: usize) -> Value {
    let mut schema = json!({
        "title": format!("list, at most {max}: {of}"),
        "type": "array",
        "maxItems": max,
    });
    schema["items"] = items;
    schema
}

/// A map of at most `max` with names that the author chooses.
pub(super) fn map(of: &str, names: &str, longest: usize, max: usize, values: Value) -> Value {
    let mut schema = json!({
        "title": format!("map, at most {max}: {of}"),
        "type": ["object", "null"],
        "propertyNames": {"pattern": names, "maxLength": longest, "minLength": 1},
        "maxProperties": max,
    });
    schema["additionalProperties"] = values;
    schema
}

/// The same, but not empty.
pub(super) fn at_least_one(mut map: Value) -> Value {
    map["type"] = json!("object");
    map["minProperties"] = json!(1);
    map
}

/// Fields by name.
pub(super) fn properties<const N: usize>(fields: [(&str, Value); N]) -> Properties {
    fields
        .into_iter()
        .map(|(name, field)| (name.to_owned(), field))
        .collect()
}

/// Adds what a field is for, and what it is when nothing is said.
pub(super) fn about(mut field: Value, description: &str, default: &str) -> Value {
    field["description"] = json!(description);
    if !default.is_empty() {
        field["x-default"] = json!(default);
    }
    field
}
