//! `docs/asyncapi.yaml` stands: its references lead somewhere, its kinds are
//! all there, and its schemas are those of the code.
//!
//! `COLLECTIVE_BLESS=1 cargo test -p collective-server --test asyncapi` writes the schemas anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use collective_api::Problem;
use collective_api::leases::{Claim, Completion, FailedAttempt, HeartbeatAnswer, Settled};
use collective_core::event::Event;
use collective_core::ports::Offer;
use collective_server::amqp::{Heartbeat, Registered, Registration, Released, Started};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

/// Where the generated part begins.
const MARK: &str = "  # schemas: written by the test above\n";
const KINDS: [&str; 6] = [
    "registered",
    "started",
    "heartbeat",
    "completed",
    "failed",
    "released",
];

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/asyncapi.yaml")
}

fn document() -> Value {
    let text = std::fs::read_to_string(path()).expect("the document is there");
    serde_saphyr::from_str(&text).expect("it is YAML")
}

type Schemas = BTreeMap<String, RefOr<Schema>>;

/// A type's schema and those of all that it is made of.
fn collect<T: ToSchema>(all: &mut Schemas) {
    let mut found = Vec::new();
    T::schemas(&mut found);
    all.extend(found);
    all.insert(T::name().into_owned(), T::schema());
}

fn schemas() -> Value {
    let mut all = Schemas::new();
    collect::<Offer>(&mut all);
    collect::<Event>(&mut all);
    collect::<Registered>(&mut all);
    collect::<Registration>(&mut all);
    collect::<Started>(&mut all);
    collect::<Claim>(&mut all);
    collect::<Heartbeat>(&mut all);
    collect::<HeartbeatAnswer>(&mut all);
    collect::<Completion>(&mut all);
    collect::<FailedAttempt>(&mut all);
    collect::<Released>(&mut all);
    collect::<Settled>(&mut all);
    collect::<Problem>(&mut all);
    let mut all = serde_json::to_value(all).expect("schemas are JSON");
    let mut parts = Vec::new();
    parts_of_wholes(&all, &mut parts);
    for part in parts {
        // On its own it refuses fields that it doesn't know; within a whole it
        // must not, since the other parts have theirs.
        if let Some(schema) = all.get_mut(&part).and_then(Value::as_object_mut) {
            schema.remove("additionalProperties");
        }
    }
    all
}

/// The schemas that others are put together of, by `allOf`.
fn parts_of_wholes(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let parts = fields.get("allOf").and_then(Value::as_array);
            let named = parts.into_iter().flatten().filter_map(|part| {
                let name = part["$ref"].as_str()?;
                Some(name.rsplit('/').next()?.to_owned())
            });
            found.extend(named);
            fields
                .values()
                .for_each(|value| parts_of_wholes(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| parts_of_wholes(item, found)),
        _ => {}
    }
}

#[test]
fn the_schemas_are_those_of_the_code() {
    let schemas = schemas();
    if std::env::var_os("COLLECTIVE_BLESS").is_some() {
        let text = std::fs::read_to_string(path()).expect("the document is there");
        let (before, _) = text.split_once(MARK).expect("the mark is there");
        let written = serde_saphyr::to_string(&schemas).expect("schemas are YAML");
        let indented: String = written
            .lines()
            .map(|line| format!("    {line}\n"))
            .collect();
        std::fs::write(path(), format!("{before}{MARK}  schemas:\n{indented}"))
            .expect("the document can be written");
    }
    let stands = &document()["components"]["schemas"];
    assert!(
        *stands == schemas,
        "docs/asyncapi.yaml differs from the code; bless it as this file's head says"
    );
}

/// Calls `look` with every reference within the value.
fn references(value: &Value, look: &mut impl FnMut(&str)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(to) if name == "$ref" => look(to),
                    _ => references(value, look),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, look)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut count = 0;
    references(&document, &mut |to| {
        count += 1;
        let path = to.strip_prefix('#').unwrap_or("/outside");
        assert!(document.pointer(path).is_some(), "`{to}` leads nowhere");
    });
    assert!(count > 100, "{count}");
}

#[test]
fn every_kind_of_report_is_received_and_answered() {
    let document = document();
    assert_eq!(document["asyncapi"], "3.0.0");
    for kind in KINDS {
        let operation = &document["operations"][kind];
        assert_eq!(operation["action"], "receive", "{kind}");
        let answers = operation["reply"]["messages"][0]["$ref"].as_str();
        let expected = format!("#/channels/answers/messages/{kind}_answer");
        assert_eq!(answers, Some(&*expected), "{kind}");
        for channel in [
            format!("/channels/results/messages/{kind}"),
            format!("/channels/answers/messages/{kind}_answer"),
        ] {
            assert!(document.pointer(&channel).is_some(), "{channel}");
        }
        let routed = &document["channels"]["results"]["parameters"]["kind"]["enum"];
        assert!(
            routed
                .as_array()
                .is_some_and(|all| all.contains(&Value::from(kind)))
        );
    }
}

#[test]
fn every_payload_is_a_schema() {
    let document = document();
    let messages = document["components"]["messages"].as_object();
    for (name, message) in messages.expect("messages") {
        let mut schema = message["payload"].clone();
        if let Value::Object(fields) = &mut schema {
            fields.insert("components".to_owned(), document["components"].clone());
        }
        if let Err(error) = jsonschema::validator_for(&schema) {
            panic!("the payload of {name} is no schema: {error}");
        }
    }
}
