//! Checks as they are written in a team file, turned into core's.
//!
//! A text is a command for `sh -c`; a map has `command`, `file` or `schema`.

use collective_core::task::Check;
use collective_core::text::shown;

use crate::agents::unplaced;
use crate::field::Field;
use crate::file::Program;

/// The fields of a check.
pub(crate) const FIELDS: [&str; 5] = ["command", "exit_code", "timeout", "file", "schema"];
/// How a command that is a text is run, here and for agents.
pub(crate) const SHELL: [&str; 2] = ["sh", "-c"];

/// Reads a list of checks.
pub(crate) fn read(field: &Field<'_>) -> Vec<Check> {
    let items = field
        .items(Some("write `[\"command\"]`"))
        .unwrap_or_default();
    items.iter().filter_map(check).collect()
}

fn check(field: &Field<'_>) -> Option<Check> {
    let check = match &field.node.content {
        crate::node::Content::Map(_) => from_map(field)?,
        _ => Check::Command {
            command: argv(field)?,
            exit_code: 0,
            timeout: default_timeout(),
        },
    };
    if let Err(rejection) = check.validate() {
        match check {
            // Core's word for it is `path`; in a team file the check is named by it.
            Check::File { .. } => field.reject(&unplaced(&rejection).at("file")),
            _ => field.reject(&rejection),
        }
        return None;
    }
    Some(check)
}

fn from_map(field: &Field<'_>) -> Option<Check> {
    let fields = field.fields(&FIELDS, None)?;
    let parts = (
        fields.get("command"),
        fields.get("file"),
        fields.get("schema"),
    );
    let check = match parts {
        (Some(command), None, None) => {
            let exit_code = fields.get("exit_code").map(|field| field.whole());
            let timeout = fields.get("timeout").map(|field| field.span());
            return Some(Check::Command {
                command: argv(&command)?,
                exit_code: exit_code.unwrap_or(Some(0))?,
                timeout: timeout.unwrap_or(Some(default_timeout()))?,
            });
        }
        (None, Some(file), None) => Check::File {
            path: file.raw_text("a path")?.to_owned(),
        },
        (None, None, Some(schema)) => Check::Schema {
            schema: json_schema(&schema)?,
        },
        _ => {
            field.problem_hint(
                "a check is a command, a file or a schema",
                "give exactly one of `command`, `file`, `schema`",
            );
            return None;
        }
    };
    for name in ["exit_code", "timeout"] {
        if let Some(field) = fields.get(name) {
            field.problem("is only there for a check with a `command`");
        }
    }
    Some(check)
}

fn argv(field: &Field<'_>) -> Option<Vec<String>> {
    match crate::agents::command(field)? {
        Program::Shell(text) => Some(
            SHELL
                .iter()
                .map(|word| (*word).to_owned())
                .chain([text])
                .collect(),
        ),
        Program::Argv(argv) => Some(argv),
        Program::Preset { .. } => None,
    }
}

/// Core's default, which a check that isn't read from JSON doesn't get by itself.
pub(crate) fn default_timeout() -> collective_core::Span {
    collective_core::Span::from_secs(300)
}

/// A JSON schema (draft 2020-12) that is one, so that the server doesn't refuse it later.
fn json_schema(field: &Field<'_>) -> Option<serde_json::Value> {
    let schema = field.json();
    if let Err(error) = jsonschema::draft202012::new(&schema) {
        let path = error.instance_path().to_string();
        let message = match path.as_str() {
            "" => format!("not a JSON schema: {}", shown(&error.to_string())),
            path => format!(
                "not a JSON schema: at {path}: {}",
                shown(&error.to_string())
            ),
        };
        field.problem(message);
        return None;
    }
    Some(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_timeout_is_cores() {
        let check = serde_json::json!({"kind": "command", "command": ["true"]});
        let Check::Command { timeout, .. } = serde_json::from_value(check).unwrap() else {
            panic!("a command check was read as something else");
        };
        assert_eq!(timeout, default_timeout());
    }
}
