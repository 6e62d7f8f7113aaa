//! The reference is made from the code: the tables of fields from the schema, the bounds
//! from the constants. And the example in it is a team file.

use collective_core::limits;
use serde_json::Value;

use crate::{docs, reading};

fn table(fields: &Value) -> String {
    let mut rows: Vec<(&String, &Value)> = fields.as_object().unwrap().iter().collect();
    rows.sort_by_key(|(name, _)| *name);
    let mut table =
        String::from("| field | value | when nothing is said | what it is |\n|---|---|---|---|\n");
    for (name, field) in rows {
        let text = |part: &str| field[part].as_str().unwrap_or_default();
        let (title, default, what) = (text("title"), text("x-default"), text("description"));
        assert!(
            !title.is_empty() && !what.is_empty(),
            "{name} says too little"
        );
        table.push_str(&format!("| `{name}` | {title} | {default} | {what} |\n"));
    }
    table
}

#[test]
fn the_tables_of_fields_are_those_of_the_schema() {
    let schema = collective_team::schema();
    docs::assert_section("file", &table(&schema["properties"]));
    for part in [
        "param",
        "agent",
        "task",
        "retry",
        "dependency",
        "check",
        "defaults",
        "schedule",
    ] {
        docs::assert_section(part, &table(&schema["$defs"][part]["properties"]));
    }
}

#[test]
fn the_bounds_are_those_of_the_code() {
    let mut table = String::from("| what | at most |\n|---|---|\n");
    let mib = collective_team::MAX_FILE_LEN / (1024 * 1024);
    for (what, bound) in [
        ("the file", format!("{mib} MiB")),
        ("agents", collective_team::MAX_AGENTS.to_string()),
        (
            "tasks, with fan-outs unfolded",
            collective_team::MAX_TASKS.to_string(),
        ),
        (
            "dependencies of a task, with fan-outs unfolded",
            limits::MAX_DEPENDENCIES.to_string(),
        ),
        ("checks of a task", limits::MAX_CHECKS.to_string()),
        ("a prompt", format!("{} KiB", limits::MAX_PROMPT_LEN / 1024)),
        (
            "an input, as JSON",
            format!("{} KiB", limits::MAX_INPUT_LEN / 1024),
        ),
        (
            "a schema of a check, as JSON",
            format!("{} KiB", limits::MAX_SCHEMA_LEN / 1024),
        ),
        (
            "how far a start or deadline lies ahead",
            limits::MAX_AHEAD.to_string(),
        ),
        (
            "mistakes that are told",
            collective_team::MAX_PROBLEMS.to_string(),
        ),
    ] {
        table.push_str(&format!("| {what} | {bound} |\n"));
    }
    docs::assert_section("bounds", &table);
}

#[test]
fn the_example_of_the_reference_is_a_team_file() {
    let page = include_str!("../../../../docs/team-file.md");
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let file = reading::read(example).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(file.agents.len(), 2);
    assert_eq!(file.summary.as_deref(), Some("review"));
    let schema = jsonschema::draft202012::new(&collective_team::schema()).unwrap();
    assert!(schema.is_valid(&reading::yaml_to_json(example).unwrap()));
}

#[test]
fn the_schema_for_editors_is_that_of_the_code() {
    let text = serde_json::to_string_pretty(&collective_team::schema()).unwrap();
    docs::assert_page("team.schema.json", &format!("{text}\n"));
}
