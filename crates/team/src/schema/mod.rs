//! The team file as a JSON schema (draft 2020-12), for editors and for the reference.
//!
//! It sees what one field can show: names, types, bounds. What needs the whole file
//! (names that must be declared, cycles) only the reader sees. Each property's `title`
//! says its type in words and its `description` what it is for; the tables of the
//! reference are made from them.

mod kinds;

use collective_core::limits::{
    DEFAULT_LEASE, DEFAULT_TIMEOUT, MAX_ATTEMPTS, MAX_CHECKS, MAX_DELAY, MAX_DEPENDENCIES,
    MAX_LABEL_LEN, MAX_LABELS, MAX_LEASE, MAX_NAME_LEN, MAX_PATH_LEN, MAX_PROMPT_LEN,
    MAX_QUEUES_PER_AGENT, MAX_SLOTS, MAX_TIMEOUT, MAX_TITLE_LEN, MIN_LEASE,
};
use collective_core::schedule::MAX_SCHEDULES;
use collective_core::task::RetryPolicy;
use serde_json::{Value, json};

use crate::agents::{MAX_AGENTS, MAX_ENV, roles};
use crate::checks::default_timeout;
use crate::fan_out::{MAX_KEY_LEN, MAX_TASKS};
use crate::params::{KINDS, MAX_PARAMS};
use crate::presets::MAX_PRESETS;
use crate::schedules::{DEFAULT_ZONE, OVERLAPS};
use crate::tasks::{CONDITIONS, priorities};

use kinds::{
    KEY, NAME, Properties, about, at_least_one, command, filled_in, flag, key, list, map, name,
    one_address, one_of, optional, path, properties, record, reference, span, text, whole,
};

/// The schema of a team file.
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Collective team file",
        "description": "Agents and tasks of one team.",
        "type": "object",
        "properties": file(),
        "patternProperties": {"^x-": true},
        "additionalProperties": false,
        "required": ["agents"],
        "anyOf": [{"required": ["tasks"]}, {"required": ["schedules"]}],
        "$defs": {
            "param": record("parameter", param(), &[], json!({})),
            "defaults": record("task defaults", defaults(), &[], json!({})),
            "retry": record("retry policy", retry(), &[], json!({})),
            "agent": record("agent", agent(), &[], json!({
                "oneOf": [{"required": ["command"]}, {"required": ["preset"]}],
            })),
            "task": optional(record("task", task(), &[], one_address())),
            "dependency": record("dependency", dependency(), &["task"], json!({})),
            "check": record("check", check(), &[], json!({
                "oneOf": [
                    {"required": ["command"]}, {"required": ["file"]}, {"required": ["schema"]},
                ],
            })),
            "schedule": record("schedule", schedule(), &["cron"], one_address()),
        },
    })
}

fn file() -> Properties {
    properties([
        (
            "team",
            about(
                name("team name"),
                "The namespace that everything belongs to.",
                "`default`",
            ),
        ),
        (
            "description",
            about(text("text", None), "What the team is for.", ""),
        ),
        (
            "params",
            about(
                map(
                    "parameter",
                    "^[a-z][a-z0-9_]*$",
                    MAX_NAME_LEN,
                    MAX_PARAMS,
                    json!({
                        "anyOf": [{"type": ["string", "number", "boolean", "null"]}, reference("param")],
                    }),
                ),
                "What is left open, by name: a default, or a map with a default and a description. \
             `--set name=value` sets it.",
                "",
            ),
        ),
        (
            "repository",
            about(
                path(),
                "The git repository of every agent that names none.",
                "",
            ),
        ),
        (
            "defaults",
            about(
                reference("defaults"),
                "What tasks get that don't say otherwise.",
                "",
            ),
        ),
        (
            "presets",
            about(
                map(
                    "preset",
                    KEY,
                    MAX_KEY_LEN,
                    MAX_PRESETS,
                    json!({"type": "object"}),
                ),
                "Presets of this file, as data, beside the built-in ones.",
                "",
            ),
        ),
        (
            "agents",
            about(
                at_least_one(map(
                    "agent",
                    NAME,
                    MAX_NAME_LEN,
                    MAX_AGENTS,
                    reference("agent"),
                )),
                "Who takes part, by name.",
                "required",
            ),
        ),
        (
            "tasks",
            about(
                map("task", KEY, MAX_KEY_LEN, MAX_TASKS, reference("task")),
                "What is to be done, by key. A key is unique in the file and names the task in \
             `depends_on`.",
                "",
            ),
        ),
        (
            "schedules",
            about(
                map(
                    "schedule",
                    KEY,
                    MAX_KEY_LEN,
                    MAX_SCHEDULES,
                    reference("schedule"),
                ),
                "What is to be done again and again, by name.",
                "",
            ),
        ),
        (
            "summary",
            about(
                key("task key"),
                "The task whose result is the result of the whole run.",
                "the task that no other depends on, if there is just one",
            ),
        ),
    ])
}

fn param() -> Properties {
    properties([
        (
            "default",
            about(
                json!({"title": "text", "type": ["string", "number", "boolean", "null"]}),
                "The value when none is set. Without one, `--set` must give it.",
                "",
            ),
        ),
        (
            "description",
            about(text("text", None), "What it is for.", ""),
        ),
        (
            "type",
            about(
                one_of(&KINDS),
                "`path` makes the value an absolute path: a default is seen from the team file's \
             folder, a value that is set from the current folder.",
                "`text`",
            ),
        ),
    ])
}

fn agent() -> Properties {
    let command = command();
    properties([
        (
            "description",
            about(
                text("text", Some(MAX_TITLE_LEN)),
                "One line for people.",
                "",
            ),
        ),
        (
            "role",
            about(
                one_of(&roles().map(|(word, _)| word)),
                "What it is in the team.",
                "`worker`",
            ),
        ),
        (
            "queues",
            about(
                list("queue name", name("queue name"), MAX_QUEUES_PER_AGENT),
                "The queues that it takes tasks from.",
                "`[default]`",
            ),
        ),
        (
            "slots",
            about(
                whole(1, MAX_SLOTS.into()),
                "How many tasks it works on at once.",
                "1",
            ),
        ),
        (
            "command",
            about(
                command,
                "What it runs for each task: a text for `sh -c`, or a list of words that no shell \
             sees. The prompt arrives on standard input.",
                "required, unless `preset`",
            ),
        ),
        (
            "preset",
            about(
                text("preset name", None),
                "A known agent CLI, instead of a command.",
                "",
            ),
        ),
        (
            "options",
            about(
                json!({"title": "map", "type": "object"}),
                "Options of the preset, such as `model`.",
                "",
            ),
        ),
        (
            "worktree",
            about(
                flag(),
                "Whether each attempt works in its own worktree and branch of the repository.",
                "`false`",
            ),
        ),
        (
            "repository",
            about(
                path(),
                "The git repository that it works on.",
                "the file's `repository`",
            ),
        ),
        (
            "workdir",
            about(
                path(),
                "The folder that its command starts in, unless it has a worktree.",
                "the repository, else the team file's folder",
            ),
        ),
        (
            "env",
            about(
                map(
                    "variable",
                    "^(?!COLLECTIVE_)[A-Za-z_][A-Za-z0-9_]*$",
                    MAX_PATH_LEN,
                    MAX_ENV,
                    json!({
                        "type": ["string", "number", "boolean"],
                    }),
                ),
                "What is added to its command's environment.",
                "",
            ),
        ),
        (
            "lease",
            about(
                span(&format!("{MIN_LEASE} to {MAX_LEASE}")),
                "How long a task stays its own without a sign of life.",
                &format!("`{DEFAULT_LEASE}`"),
            ),
        ),
    ])
}

fn defaults() -> Properties {
    let retry = RetryPolicy::default();
    properties([
        (
            "queue",
            about(
                name("queue name"),
                "The queue that a task waits in if it names no queue, role or agent.",
                "`default`",
            ),
        ),
        (
            "priority",
            about(
                one_of(&priorities().map(|(word, _)| word)),
                "How urgent it is.",
                "`normal`",
            ),
        ),
        (
            "retry",
            about(
                reference("retry"),
                "How often and how fast it is tried again, field by field.",
                &format!("{} attempts", retry.max_attempts),
            ),
        ),
        (
            "timeout",
            about(
                span(&format!("at most {MAX_TIMEOUT}")),
                "How long one attempt may run.",
                &format!("`{DEFAULT_TIMEOUT}`"),
            ),
        ),
    ])
}

fn retry() -> Properties {
    let retry = RetryPolicy::default();
    let delay = || span(&format!("at most {MAX_DELAY}"));
    properties([
        (
            "max_attempts",
            about(
                whole(1, MAX_ATTEMPTS.into()),
                "How many attempts may count, the first included.",
                &retry.max_attempts.to_string(),
            ),
        ),
        (
            "initial_delay",
            about(
                delay(),
                "Bound of the first delay; the delay itself is random below it.",
                &format!("`{}`", retry.initial_delay),
            ),
        ),
        (
            "factor",
            about(
                whole(1, 10),
                "By how much the bound grows with each attempt.",
                &retry.factor.to_string(),
            ),
        ),
        (
            "max_delay",
            about(
                delay(),
                "What the bound never passes.",
                &format!("`{}`", retry.max_delay),
            ),
        ),
    ])
}

/// What tasks and schedules have in common.
fn work() -> Properties {
    let mut fields = properties([
        (
            "title",
            about(
                text("text", Some(MAX_TITLE_LEN)),
                "One line for people.",
                "the key or name",
            ),
        ),
        (
            "prompt",
            about(
                text("text", Some(MAX_PROMPT_LEN)),
                "What the agent is told.",
                "",
            ),
        ),
        (
            "input",
            about(
                json!({"title": "any value"}),
                "What the agent is given, as JSON.",
                "",
            ),
        ),
        (
            "queue",
            about(
                name("queue name"),
                "The queue that it waits in. A declared agent must serve it.",
                "`default`, or that of `defaults`",
            ),
        ),
        (
            "role",
            about(
                one_of(&roles().map(|(word, _)| word)),
                "The role that it is for, instead of a queue.",
                "",
            ),
        ),
        (
            "agent",
            about(
                name("agent name"),
                "The one agent that it is for, instead of a queue.",
                "",
            ),
        ),
        (
            "checks",
            about(
                list(
                    "check",
                    json!({"anyOf": [command(), reference("check")]}),
                    MAX_CHECKS,
                ),
                "What must hold before it counts as done. A text or a list of words is a command \
             that must end with exit code 0.",
                "",
            ),
        ),
        (
            "labels",
            about(
                map(
                    "label",
                    "",
                    MAX_LABEL_LEN,
                    MAX_LABELS,
                    json!({
                        "type": ["string", "number", "boolean"], "maxLength": MAX_LABEL_LEN,
                    }),
                ),
                "Words to find it by.",
                "",
            ),
        ),
    ]);
    for (name, mut field) in defaults() {
        if name != "queue" {
            field["description"] = field["description"].clone();
            field["x-default"] = json!("that of `defaults`");
            fields.insert(name, field);
        }
    }
    fields
}

fn task() -> Properties {
    let mut fields = work();
    fields.extend(properties([
        ("deadline", about(
            span(""),
            "How long after the start of the run it is dead, whatever it was doing.",
            "",
        )),
        ("run_at", about(
            text("time, or `in` and a duration", None),
            "Not before this time: `2026-11-24T18:00:00Z` (RFC 3339), or `in 5m`.",
            "",
        )),
        ("depends_on", about(
            list("task key or dependency", json!({
                "anyOf": [key("task key"), reference("dependency")],
            }), MAX_DEPENDENCIES),
            "Tasks that must end first. The key of a fan-out stands for all of its tasks.",
            "",
        )),
        ("for_each", about(
            json!({
                "title": "list",
                "anyOf": [{"type": "array", "minItems": 1, "maxItems": MAX_TASKS}, filled_in()],
            }),
            "Makes one task of each item; `${item}` and `${index}` stand for it and its number. \
             The keys are `key-item` where the items are short and different, else `key-1`, \
             `key-2`.",
            "",
        )),
    ]));
    fields
}

fn dependency() -> Properties {
    properties([
        ("task", about(key("task key"), "Which.", "required")),
        (
            "when",
            about(
                one_of(&CONDITIONS.map(|(word, _)| word)),
                "How it must end. After `succeeded`, any other end makes this task dead; `ended` is \
             for tasks that make do with what there is.",
                "`succeeded`",
            ),
        ),
    ])
}

fn check() -> Properties {
    properties([
        (
            "command",
            about(
                command(),
                "A command that must end with the exit code: a text for `sh -c`, or a list of words.",
                "",
            ),
        ),
        (
            "exit_code",
            about(
                whole(i32::MIN.into(), i32::MAX.into()),
                "The exit code that passes.",
                "0",
            ),
        ),
        (
            "timeout",
            about(
                span(&format!("at most {MAX_TIMEOUT}")),
                "How long the command may run.",
                &format!("`{}`", default_timeout()),
            ),
        ),
        (
            "file",
            about(
                text("relative path", Some(MAX_PATH_LEN)),
                "A file that must exist, as seen from the working folder.",
                "",
            ),
        ),
        (
            "schema",
            about(
                json!({"title": "JSON schema", "type": ["object", "boolean"]}),
                "A JSON schema (draft 2020-12) that the result's JSON must meet.",
                "",
            ),
        ),
    ])
}

fn schedule() -> Properties {
    let mut fields = properties([
        (
            "cron",
            about(
                text("cron expression", None),
                "When: minute, hour, day of month, month, weekday; six fields have seconds first.",
                "required",
            ),
        ),
        (
            "time_zone",
            about(
                text("IANA time zone", None),
                "In which zone.",
                &format!("`{DEFAULT_ZONE}`"),
            ),
        ),
        (
            "overlap",
            about(
                one_of(&OVERLAPS.map(|(word, _)| word)),
                "What happens when the last task hasn't ended by the next time.",
                "`skip`",
            ),
        ),
    ]);
    fields.extend(work());
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_knows_the_fields_that_the_reader_knows() {
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        let known = |names: &[&str]| {
            let names = names.iter().filter(|name| !name.ends_with('*'));
            sorted(names.map(|name| (*name).to_owned()).collect())
        };
        for (part, fields, read) in [
            ("file", file(), known(&crate::FIELDS)),
            ("param", param(), known(&crate::params::FIELDS)),
            ("agent", agent(), known(&crate::agents::FIELDS)),
            ("defaults", defaults(), known(&crate::tasks::DEFAULT_FIELDS)),
            ("retry", retry(), known(&crate::tasks::RETRY_FIELDS)),
            ("task", task(), known(&crate::tasks::FIELDS)),
            (
                "dependency",
                dependency(),
                known(&crate::tasks::DEPENDENCY_FIELDS),
            ),
            ("check", check(), known(&crate::checks::FIELDS)),
            ("schedule", schedule(), known(&crate::schedules::FIELDS)),
        ] {
            assert_eq!(sorted(fields.keys().cloned().collect()), read, "{part}");
        }
    }

    #[test]
    fn the_schema_is_a_schema() {
        jsonschema::draft202012::new(&schema()).unwrap();
        jsonschema::draft202012::meta::validate(&schema()).unwrap();
    }
}
