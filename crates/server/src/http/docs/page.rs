//! From the OpenAPI document to what its page shows.

use askama::Template;
use collective_core::Code;
use serde_json::{Map, Value};

use crate::http::openapi::CODES;
use crate::http::problem::PROBLEM_JSON;

/// The methods of a path, in the order of the page.
const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// The page of routes and schemas.
#[derive(Template)]
#[template(path = "docs.html")]
pub(super) struct DocsPage {
    title: String,
    version: String,
    paragraphs: Vec<String>,
    groups: Vec<Group>,
    schemas: Vec<Schema>,
}

struct Group {
    name: String,
    what: String,
    operations: Vec<Operation>,
}

struct Operation {
    id: String,
    method: String,
    path: String,
    summary: String,
    description: String,
    parameters: Vec<Row>,
    body: Vec<Piece>,
    answers: Vec<Answer>,
    refusals: Vec<Refusal>,
}

struct Answer {
    status: String,
    description: String,
    body: Vec<Piece>,
}

struct Refusal {
    status: String,
    codes: Vec<&'static str>,
}

struct Schema {
    name: String,
    description: String,
    /// One for an object; one for each form of a choice.
    forms: Vec<Form>,
}

struct Form {
    description: String,
    shape: Vec<Piece>,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    /// `path`, `query`, `header`; empty for a field.
    place: String,
    required: bool,
    shape: Vec<Piece>,
    description: String,
}

/// A part of a type: words, or the name of a schema that it links to.
struct Piece {
    text: String,
    is_schema: bool,
}

impl Piece {
    fn words(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_schema: false,
        }
    }
}

impl DocsPage {
    pub(super) fn new(document: &Value) -> Self {
        let info = &document["info"];
        let groups = list(&document["tags"])
            .map(|tag| Group {
                name: text(&tag["name"]),
                what: text(&tag["description"]),
                operations: operations(document, &tag["name"]),
            })
            .collect();
        let schemas = fields(&document["components"]["schemas"])
            .map(|(name, schema)| Schema {
                name: name.clone(),
                description: text(&schema["description"]),
                forms: forms(schema),
            })
            .collect();
        Self {
            title: text(&info["title"]),
            version: text(&info["version"]),
            paragraphs: text(&info["description"])
                .split("\n\n")
                .map(str::to_owned)
                .collect(),
            groups,
            schemas,
        }
    }
}

fn operations(document: &Value, tag: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, item) in fields(&document["paths"]) {
        for method in METHODS {
            let operation = &item[method];
            if operation["tags"][0] != *tag {
                continue;
            }
            found.push(Operation {
                id: text(&operation["operationId"]),
                method: method.to_uppercase(),
                path: path.clone(),
                summary: text(&operation["summary"]),
                description: text(&operation["description"]),
                parameters: list(&operation["parameters"]).map(parameter).collect(),
                body: content(&operation["requestBody"]),
                answers: answers(&operation["responses"]),
                refusals: refusals(&operation["responses"]),
            });
        }
    }
    found
}

fn parameter(parameter: &Value) -> Row {
    Row {
        name: text(&parameter["name"]),
        place: text(&parameter["in"]),
        required: parameter["required"] == true,
        shape: shape(&parameter["schema"]),
        description: text(&parameter["description"]),
    }
}

fn answers(responses: &Value) -> Vec<Answer> {
    fields(responses)
        .filter(|(_, response)| response["content"][PROBLEM_JSON].is_null())
        .map(|(status, response)| Answer {
            status: status.clone(),
            description: text(&response["description"]),
            body: content(response),
        })
        .collect()
}

fn refusals(responses: &Value) -> Vec<Refusal> {
    fields(responses)
        .filter_map(|(status, response)| {
            let codes: Vec<&'static str> = list(&response[CODES])
                .filter_map(|code| Code::from_text(code.as_str()?).map(Code::as_str))
                .collect();
            (!codes.is_empty()).then(|| Refusal {
                status: status.clone(),
                codes,
            })
        })
        .collect()
}

/// The types of a body, one for each media type.
fn content(body: &Value) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (media, content) in fields(&body["content"]) {
        if !pieces.is_empty() {
            pieces.push(Piece::words(" or "));
        }
        pieces.extend(shape(&content["schema"]));
        if media != "application/json" {
            pieces.push(Piece::words(format!(" ({media})")));
        }
    }
    pieces
}

fn forms(schema: &Value) -> Vec<Form> {
    let choices = list(&schema["oneOf"]).collect::<Vec<_>>();
    if choices.is_empty() {
        return vec![Form {
            description: String::new(),
            shape: parts(schema),
            rows: rows(schema),
        }];
    }
    choices
        .into_iter()
        .map(|choice| Form {
            description: text(&choice["description"]),
            shape: parts(choice),
            rows: rows(choice),
        })
        .collect()
}

/// What an object takes over from others, or what a schema is that is no object.
fn parts(schema: &Value) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for part in list(&schema["allOf"]).filter(|part| part["$ref"].is_string()) {
        pieces.push(Piece::words(if pieces.is_empty() {
            "everything of "
        } else {
            ", of "
        }));
        pieces.extend(shape(part));
    }
    if pieces.is_empty() && rows(schema).is_empty() {
        pieces = shape(schema);
    }
    pieces
}

/// The fields of an object, those of its unnamed parts included.
fn rows(schema: &Value) -> Vec<Row> {
    let required: Vec<&str> = list(&schema["required"])
        .filter_map(Value::as_str)
        .collect();
    let own = fields(&schema["properties"]).map(|(name, field)| Row {
        name: name.clone(),
        place: String::new(),
        required: required.contains(&name.as_str()),
        shape: shape(field),
        description: description(field),
    });
    let nested = list(&schema["allOf"]).flat_map(rows);
    own.chain(nested).collect()
}

/// A type in a few words, with links to the schemas that it names.
fn shape(schema: &Value) -> Vec<Piece> {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return vec![Piece {
            text: name.to_owned(),
            is_schema: true,
        }];
    }
    for choice in ["oneOf", "anyOf"] {
        if schema[choice].is_array() {
            return joined(list(&schema[choice]).map(shape), " or ");
        }
    }
    if schema["allOf"].is_array() {
        return joined(list(&schema["allOf"]).map(shape), " with ");
    }
    if schema["enum"].is_array() {
        let words = list(&schema["enum"]).map(|word| vec![Piece::words(word.to_string())]);
        return joined(words, " or ");
    }
    match &schema["type"] {
        Value::String(kind) => of_kind(schema, kind),
        Value::Array(kinds) => joined(
            kinds
                .iter()
                .filter_map(Value::as_str)
                .map(|kind| of_kind(schema, kind)),
            " or ",
        ),
        _ => vec![Piece::words("any JSON")],
    }
}

/// What a field is. One that may be absent has it beside its reference.
fn description(field: &Value) -> String {
    let beside = list(&field["oneOf"]).map(|choice| &choice["description"]);
    std::iter::once(&field["description"])
        .chain(beside)
        .find_map(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn of_kind(schema: &Value, kind: &str) -> Vec<Piece> {
    match kind {
        "array" => {
            let mut pieces = vec![Piece::words("list of ")];
            pieces.extend(shape(&schema["items"]));
            pieces
        }
        "object" if schema["additionalProperties"].is_object() => {
            let mut pieces = vec![Piece::words("map of ")];
            pieces.extend(shape(&schema["additionalProperties"]));
            pieces
        }
        "integer" => vec![Piece::words("whole number")],
        other => vec![Piece::words(other)],
    }
}

fn joined(parts: impl Iterator<Item = Vec<Piece>>, with: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for part in parts {
        if !pieces.is_empty() {
            pieces.push(Piece::words(with));
        }
        pieces.extend(part);
    }
    pieces
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(schema: &Value) -> String {
        shape(schema)
            .into_iter()
            .map(|piece| piece.text)
            .collect::<Vec<_>>()
            .concat()
    }

    #[test]
    fn a_type_is_shown_in_a_few_words() {
        for (schema, words) in [
            (json!({"type": "string"}), "string"),
            (json!({"type": ["integer", "null"]}), "whole number or null"),
            (json!({"$ref": "#/components/schemas/Task"}), "Task"),
            (
                json!({"type": "array", "items": {"$ref": "#/components/schemas/Task"}}),
                "list of Task",
            ),
            (
                json!({"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Lease"}]}),
                "null or Lease",
            ),
            (
                json!({"type": "string", "enum": ["a", "b"]}),
                r#""a" or "b""#,
            ),
            (
                json!({"type": "object", "additionalProperties": {"type": "string"}}),
                "map of string",
            ),
            (json!({}), "any JSON"),
        ] {
            assert_eq!(shown(&schema), words, "{schema}");
        }
    }

    #[test]
    fn the_page_shows_every_route_and_schema_and_escapes_what_it_shows() {
        let document =
            serde_json::to_value(crate::http::openapi::document()).expect("the document is JSON");
        let page = DocsPage::new(&document).render().expect("the page is made");
        for (path, _) in fields(&document["paths"]) {
            assert!(page.contains(&format!(">{path}<")), "{path}");
        }
        for (name, _) in fields(&document["components"]["schemas"]) {
            assert!(page.contains(&format!("id=\"schema-{name}\"")), "{name}");
        }
        assert!(!page.contains("<script"), "the page runs nothing");

        let mut hostile = json!({"info": {"title": "<script>alert(1)</script>"}});
        hostile["tags"] = json!([]);
        let page = DocsPage::new(&hostile).render().expect("the page is made");
        assert!(!page.contains("<script"), "{page}");
    }
}
