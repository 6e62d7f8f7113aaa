//! `docs/asyncapi.yaml`: what it says of each message, and whether a message is like that.

use std::path::Path;

use jsonschema::Validator;
use serde_json::{Value, json};

/// The document.
pub(crate) struct Contract(Value);

impl Contract {
    pub(crate) fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/asyncapi.yaml");
        let text = std::fs::read_to_string(path).expect("docs/asyncapi.yaml is there");
        Self(serde_saphyr::from_str(&text).expect("it is YAML"))
    }

    /// What a reference within the document leads to.
    fn at(&self, reference: &str) -> &Value {
        let path = reference
            .strip_prefix('#')
            .unwrap_or_else(|| panic!("`{reference}` leads out of the document"));
        self.0
            .pointer(path)
            .unwrap_or_else(|| panic!("`{reference}` leads nowhere"))
    }

    /// The schema of a message's payload.
    fn schema(&self, message: &str) -> Validator {
        let payload = &self.at(&format!("#/components/messages/{message}"))["payload"];
        // References in the payload are to the document's own schemas.
        let mut schema = payload.clone();
        schema["components"] = json!({"schemas": self.0["components"]["schemas"]});
        jsonschema::validator_for(&schema)
            .unwrap_or_else(|error| panic!("the payload of {message} is no schema: {error}"))
    }

    #[track_caller]
    fn holds(&self, message: &str, body: &Value) {
        let validator = self.schema(message);
        let errors: Vec<String> = validator
            .iter_errors(body)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(
            errors.is_empty(),
            "{message} is not as documented: {errors:#?}\n{body}"
        );
    }

    /// A report is as documented.
    #[track_caller]
    pub(crate) fn sent(&self, kind: &str, body: &Value) {
        self.holds(kind, body);
    }

    /// An answer is as documented.
    #[track_caller]
    pub(crate) fn answered(&self, kind: &str, body: &Value) {
        self.holds(&format!("{kind}_answer"), body);
    }

    /// An offer is as documented.
    #[track_caller]
    pub(crate) fn offered(&self, body: &Value) {
        self.holds("offer", body);
    }
}
