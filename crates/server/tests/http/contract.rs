//! Holds answers against the OpenAPI document.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};

/// A method and a path of the document, `{task}` and the like included.
pub(crate) type Route = (String, String);

/// The document, with what was called and the schemas that were compiled.
#[derive(Default)]
pub(crate) struct Contract {
    called: Mutex<BTreeSet<Route>>,
    compiled: Mutex<HashMap<String, std::sync::Arc<jsonschema::Validator>>>,
}

pub(crate) fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        serde_json::to_value(collective_server::document()).expect("the document is JSON")
    })
}

/// Every route of the document.
pub(crate) fn all_routes() -> BTreeSet<Route> {
    let paths = document()["paths"].as_object().expect("paths");
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().expect("an item").keys();
            methods.map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect()
}

/// The documented path that a sent path matches; literal segments go before variables.
fn template(sent: &str) -> Option<String> {
    let sent: Vec<&str> = sent.split('?').next()?.split('/').collect();
    let paths = document()["paths"].as_object()?;
    paths
        .keys()
        .filter(|path| {
            let segments: Vec<&str> = path.split('/').collect();
            segments.len() == sent.len()
                && segments
                    .iter()
                    .zip(&sent)
                    .all(|(segment, sent)| segment.starts_with('{') || segment == sent)
        })
        .min_by_key(|path| path.matches('{').count())
        .cloned()
}

impl Contract {
    /// Panics if the document doesn't know of an answer like this one.
    pub(crate) fn check(&self, method: &str, sent: &str, status: u16, media: &str, body: &Value) {
        let Some(path) = template(sent) else {
            assert_eq!(status, 404, "{method} {sent} isn't documented");
            return;
        };
        let operation = &document()["paths"][&path][method.to_lowercase()];
        if operation.is_null() {
            assert_eq!(status, 405, "{method} {path} isn't documented");
            return;
        }
        let answer = &operation["responses"][status.to_string()];
        let place = format!("{method} {path} {status}");
        assert!(!answer.is_null(), "{place} isn't documented: {body}");
        if let Some(code) = body["code"].as_str().filter(|_| status >= 400) {
            let codes = answer["x-codes"].as_array().expect("a refusal has codes");
            assert!(
                codes.iter().any(|known| known == code),
                "{place} isn't documented with `{code}`: {body}"
            );
        }
        if status < 400 {
            let mut called = self.called.lock().expect("nobody panicked with it");
            called.insert((method.to_owned(), path.clone()));
        }
        let Some(content) = answer["content"].as_object() else {
            assert!(body.is_null(), "{place} has a body: {body}");
            return;
        };
        let essence = media.split(';').next().unwrap_or_default();
        let documented = content
            .get(essence)
            .unwrap_or_else(|| panic!("{place} isn't documented as {media}"));
        if essence.ends_with("json") {
            let validator = self.validator(&place, &documented["schema"]);
            let errors: Vec<String> = validator
                .iter_errors(body)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{place}: {errors:#?}\n{body:#}");
        }
    }

    /// Routes that were answered with success.
    pub(crate) fn called(&self) -> BTreeSet<Route> {
        self.called.lock().expect("nobody panicked with it").clone()
    }

    fn validator(&self, place: &str, schema: &Value) -> std::sync::Arc<jsonschema::Validator> {
        let mut compiled = self.compiled.lock().expect("nobody panicked with it");
        let validator = compiled.entry(place.to_owned()).or_insert_with(|| {
            let mut whole = schema.clone();
            whole["components"] = document()["components"].clone();
            whole["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
            jsonschema::validator_for(&whole)
                .unwrap_or_else(|error| panic!("{place}: {error}"))
                .into()
        });
        std::sync::Arc::clone(validator)
    }
}
