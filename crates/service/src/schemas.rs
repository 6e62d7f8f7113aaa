//! JSON schemas of checks: whether they are schemas, and whether a result meets them.

use collective_core::task::{Check, Evidence, TaskSpec};
use collective_core::{Code, Rejection};
use serde_json::Value;

/// Most violations that are told to the next attempt.
const MAX_SHOWN: usize = 10;

/// Refuses a check whose schema is not one.
pub(crate) fn validate(spec: &TaskSpec) -> Result<(), Rejection> {
    for (i, check) in spec.checks.iter().enumerate() {
        if let Check::Schema { schema } = check {
            jsonschema::validator_for(schema).map_err(|error| {
                Rejection::new(Code::InvalidSchema, format!("not a JSON schema: {error}"))
                    .at(format!("checks[{i}].schema"))
            })?;
        }
    }
    Ok(())
}

/// The evidence for every schema check; whatever an agent sent for them doesn't count.
pub(crate) fn complete_evidence(
    spec: &TaskSpec,
    json: Option<&Value>,
    mut evidence: Vec<Evidence>,
) -> Vec<Evidence> {
    for (i, check) in spec.checks.iter().enumerate() {
        if let Check::Schema { schema } = check {
            let place = u32::try_from(i).unwrap_or(u32::MAX);
            evidence.retain(|piece| piece.check != place);
            evidence.push(judge(place, schema, json));
        }
    }
    evidence
}

fn judge(check: u32, schema: &Value, json: Option<&Value>) -> Evidence {
    let output = match (json, jsonschema::validator_for(schema)) {
        (None, _) => "the result has no JSON".to_owned(),
        (Some(_), Err(error)) => format!("the check's schema can't be read: {error}"),
        (Some(json), Ok(validator)) => validator
            .iter_errors(json)
            .take(MAX_SHOWN)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect::<Vec<_>>()
            .join("\n"),
    };
    Evidence {
        check,
        passed: output.is_empty(),
        exit_code: None,
        log_sha256: None,
        commit: None,
        seconds: 0.0,
        output: collective_core::text::head(&output, collective_core::limits::MAX_FEEDBACK_LEN)
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec() -> TaskSpec {
        let schema = json!({"type": "object", "required": ["count"], "properties": {"count": {"type": "integer"}}});
        TaskSpec {
            checks: vec![Check::Schema { schema }],
            ..TaskSpec::new("count")
        }
    }

    #[test]
    fn the_server_judges_schemas_whatever_the_agent_claims() {
        let claimed = judge(0, &json!({}), Some(&json!(1)));
        assert!(claimed.passed);
        for (json, passed) in [
            (Some(json!({"count": 1})), true),
            (Some(json!({"count": "x"})), false),
            (None, false),
        ] {
            let evidence = complete_evidence(&spec(), json.as_ref(), vec![claimed.clone()]);
            assert_eq!(evidence.len(), 1);
            assert_eq!(evidence[0].passed, passed, "{json:?}");
        }
    }

    #[test]
    fn what_is_no_schema_is_refused_with_its_place() {
        let bad = TaskSpec {
            checks: vec![Check::Schema {
                schema: json!({"type": "number of apples"}),
            }],
            ..TaskSpec::new("x")
        };
        let rejection = validate(&bad).unwrap_err();
        assert_eq!(
            (rejection.code(), rejection.field()),
            (Code::InvalidSchema, Some("checks[0].schema"))
        );
    }
}
