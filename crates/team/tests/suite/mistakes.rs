//! Every mistake that the reference lists, made for real: where it is found, what is said.
//!
//! The table in `docs/team-file.md` is made of these rows; `UPDATE_DOCS=1 cargo test -p
//! collective-team` writes it anew.

use crate::docs;
use crate::reading::{read, read_bytes, read_with, yaml_to_json};
use collective_team::{MAX_FILE_LEN, Problem, Problems};

/// Stands before the place where a mistake is told; without one, it is about the whole file.
const HERE: char = '¦';
/// One agent that serves the queue `default`.
const AGENTS: &str = "agents: {ada: {command: work}}\n";

/// One mistake.
struct Row {
    mistake: &'static str,
    file: String,
    /// Line and column; 0 and 0 for the file as a whole.
    at: (usize, usize),
    /// Whether the schema sees it too, so that an editor shows it.
    editor: bool,
}

/// A mistake that the schema sees too.
fn shown(mistake: &'static str, file: &str) -> Row {
    let line = file.lines().position(|line| line.contains(HERE));
    let at = line.map_or((0, 0), |line| {
        let text = file.lines().nth(line).unwrap();
        (line + 1, text.chars().position(|c| c == HERE).unwrap() + 1)
    });
    Row {
        mistake,
        file: file.replace(HERE, ""),
        at,
        editor: true,
    }
}

/// A mistake that only the reader sees.
fn read_only(row: Row) -> Row {
    Row {
        editor: false,
        ..row
    }
}

/// A mistake in the fields of an agent.
fn agent(mistake: &'static str, fields: &str) -> Row {
    shown(
        mistake,
        &format!("tasks: {{build: {{}}}}\nagents: {{ada: {{{fields}}}}}\n"),
    )
}

/// A mistake in the fields of a task.
fn task(mistake: &'static str, fields: &str) -> Row {
    below(mistake, &format!("tasks: {{build: {{{fields}}}}}"))
}

/// A mistake in the sections below the agents.
fn below(mistake: &'static str, sections: &str) -> Row {
    shown(mistake, &format!("{AGENTS}{sections}\n"))
}

fn rows() -> Vec<Row> {
    let long = |n: usize| "x".repeat(n);
    let many = |n: usize, item: &str| vec![item; n].join(", ");
    let mut rows = file_rows();
    rows.extend(agent_rows());
    rows.extend([
        below("a bad key", "tasks: {¦a b: {}}"),
        below("a text as task", "tasks: {build: ¦make}"),
        task("a misspelt field", "¦promt: x"),
        task("a number as title", "title: ¦5"),
        read_only(task("an empty title", "title: ¦\"\"")),
        task("a long title", &format!("title: ¦{}", long(201))),
        task(
            "a large prompt",
            &format!("prompt: ¦{}", long(256 * 1024 + 1)),
        ),
        read_only(task(
            "a large input",
            &format!("input: ¦{}", long(256 * 1024)),
        )),
        read_only(task(
            "a number too large for JSON",
            "input: {n: ¦99999999999999999999}",
        )),
        read_only(task("an unknown queue", "queue: ¦defualt")),
        read_only(task("a queue that no agent serves", "queue: ¦gpu")),
        read_only(task("an unknown agent", "agent: ¦bob")),
        read_only(task("a role that no agent has", "role: ¦leader")),
        read_only(task("a role that takes no tasks", "role: ¦monitor")),
        task("two addresses", "queue: ¦default, agent: ada"),
        task("an unknown priority", "priority: ¦urgent"),
        task("a duration in words", "timeout: ¦5 minutes"),
        task("a duration without unit", "timeout: ¦300"),
        read_only(task("a timeout of nothing", "timeout: ¦0s")),
        read_only(task("a long timeout", "timeout: ¦8d")),
        task("a number as retry policy", "retry: ¦3"),
        task("no attempts", "retry: {max_attempts: ¦0}"),
        task("a large factor", "retry: {factor: ¦11}"),
        read_only(task("a bad time", "run_at: ¦tomorrow")),
        read_only(task("a time in words", "run_at: ¦in 5 minutes")),
        read_only(task(
            "a start after the deadline",
            "run_at: ¦in 2h, deadline: 1h",
        )),
        read_only(task("a far deadline", "deadline: ¦2000d")),
        read_only(task("an unknown dependency", "depends_on: [¦tset]")),
        task("a text as dependencies", "depends_on: ¦test"),
        read_only(task("a dependency on itself", "depends_on: ¦[build]")),
        read_only(below(
            "a cycle",
            "tasks: {a: {depends_on: ¦[b]}, b: {depends_on: [c]}, c: {depends_on: [a]}}",
        )),
        read_only(below(
            "the same dependency twice",
            "tasks: {a: {}, b: {depends_on: [a, ¦a]}}",
        )),
        read_only(below(
            "too many dependencies",
            &format!(
                "tasks: {{a: {{for_each: [{}]}}, b: {{depends_on: [¦a]}}}}",
                many(257, "x")
            ),
        )),
        below(
            "an unknown condition",
            "tasks: {a: {}, b: {depends_on: [{task: a, when: ¦done}]}}",
        ),
        task("a check of nothing", "checks: [¦{timeout: 5s}]"),
        task("a check of two things", "checks: [¦{file: a, command: b}]"),
        read_only(task(
            "a file outside of the repository",
            "checks: [{file: ¦../secret}]",
        )),
        read_only(task(
            "a schema that is none",
            "checks: [{schema: ¦{type: strin}}]",
        )),
        task("too many checks", &format!("checks: ¦[{}]", many(33, "a"))),
        task("a long label", &format!("labels: {{¦a: {}}}", long(129))),
        task("an empty fan-out", "for_each: ¦[]"),
        task("a fan-out of a text", "for_each: ¦a b c"),
        read_only(below(
            "two tasks with one key",
            "tasks: {lint: {for_each: [a, b]}, ¦lint-a: {}}",
        )),
        below(
            "too many tasks",
            &format!("tasks: {{a: {{for_each: ¦[{}]}}}}", many(10_001, "x")),
        ),
        below(
            "a bad default",
            "defaults: {timeout: ¦5}\ntasks: {build: {}}",
        ),
        read_only(below(
            "a bad cron expression",
            "schedules: {a: {cron: ¦every day}}",
        )),
        read_only(below(
            "a cron expression that never comes due",
            "schedules: {a: {cron: ¦0 0 30 2 *}}",
        )),
        below("no cron expression", "schedules: {a: ¦{}}"),
        read_only(below(
            "an unknown time zone",
            "schedules: {a: {cron: 0 3 * * *, time_zone: ¦Mars/Base}}",
        )),
        below(
            "dependencies of a schedule",
            "schedules: {a: {cron: 0 3 * * *, ¦depends_on: [b]}}",
        ),
    ]);
    rows
}

fn file_rows() -> Vec<Row> {
    vec![
        shown("an empty file", ""),
        shown("only comments", "# to be done\n"),
        read_only(shown("broken YAML", "agents: ¦[\n")),
        read_only(shown("a tab as indentation", "agents:\n\t¦ada: {}\n")),
        read_only(shown("two documents", "agents: {}\n¦---\ntasks: {}\n")),
        shown("a list instead of fields", "¦- agents\n"),
        read_only(below("the same field twice", "tasks: {a: {}, ¦a: {}}")),
        read_only(below("an alias without its anchor", "tasks: {a: ¦*b}")),
        read_only(below("a tag", "tasks: {a: {input: ¦!env HOME}}")),
        below("an unknown field", "¦taks: {}\ntasks: {a: {}}"),
        shown("no agents", "¦tasks: {build: {}}\n"),
        shown("an empty list of agents", "agents¦:\ntasks: {build: {}}\n"),
        shown("nothing to do", &format!("¦{AGENTS}")),
        below("a bad team name", "team: ¦My Team\ntasks: {build: {}}"),
        read_only(below(
            "an unknown summary",
            "summary: ¦biuld\ntasks: {build: {}}",
        )),
        read_only(below(
            "a fan-out as summary",
            "summary: ¦lint\ntasks: {lint: {for_each: [a, b]}}",
        )),
        read_only(task("an unknown parameter", "prompt: ¦\"${hom}\"")),
        read_only(task(
            "`${item}` outside of a fan-out",
            "prompt: ¦\"${item}\"",
        )),
        read_only(task(
            "an unknown field of an item",
            "for_each: [{x: 1}], prompt: ¦\"${item.y}\"",
        )),
        read_only(task(
            "a map inside a text",
            "for_each: [{x: 1}], prompt: ¦\"is ${item}\"",
        )),
        read_only(task("`${` without `}`", "prompt: ¦\"${home\"")),
        read_only(below(
            "a parameter without a value",
            "params: {¦home: {description: where}}\ntasks: {build: {}}",
        )),
        below(
            "a bad parameter name",
            "params: {¦Home: x}\ntasks: {build: {}}",
        ),
        read_only(below(
            "a parameter with a reserved name",
            "params: {¦item: x}\ntasks: {build: {}}",
        )),
        read_only(below(
            "a broken preset",
            "presets: {mine: ¦{args: [x]}}\ntasks: {build: {}}",
        )),
    ]
}

fn agent_rows() -> Vec<Row> {
    vec![
        shown(
            "a bad agent name",
            "agents: {¦\"Ada L\": {command: work}}\ntasks: {build: {}}\n",
        ),
        shown(
            "neither command nor preset",
            "agents: {¦ada: {slots: 1}}\ntasks: {build: {}}\n",
        ),
        agent("command and preset", "command: work, preset: ¦claude"),
        agent("an empty command", "command: ¦\"\""),
        agent("an empty list as command", "command: ¦[]"),
        agent("a map as command", "command: ¦{sh: work}"),
        read_only(agent("a NUL character in a command", r#"command: ¦"a\0b""#)),
        read_only(agent("an unknown preset", "preset: ¦cluade")),
        read_only(agent(
            "an unknown option of a preset",
            "preset: claude, options: {modle: ¦x}",
        )),
        read_only(agent(
            "options without a preset",
            "command: work, options: ¦{a: 1}",
        )),
        agent("an unknown role", "command: work, role: ¦wroker"),
        agent("no slots", "command: work, slots: ¦0"),
        agent("a word as number", "command: work, slots: ¦two"),
        agent("a broken number", "command: work, slots: ¦1.5"),
        agent(
            "a bad queue name",
            "command: work, queues: [default, ¦Rust]",
        ),
        read_only(agent(
            "a queue twice",
            "command: work, queues: [default, ¦default]",
        )),
        agent("a text as list", "command: work, queues: ¦default"),
        agent("`yes` as truth value", "command: work, worktree: ¦yes"),
        read_only(agent(
            "a worktree without a repository",
            "command: work, ¦worktree: true",
        )),
        read_only(agent("a short lease", "command: work, lease: ¦1s")),
        agent(
            "a variable of the runner's",
            "command: work, env: {¦COLLECTIVE_TASK: x}",
        ),
        agent("a bad variable name", "command: work, env: {¦a-b: x}"),
    ]
}

fn only(problems: &Problems) -> &Problem {
    assert_eq!(
        problems.count(),
        1,
        "more than the one mistake:\n{problems}"
    );
    problems.iter().next().unwrap()
}

fn said(problem: &Problem) -> String {
    let field = match problem.field.as_str() {
        "" => String::new(),
        field => format!("{field}: "),
    };
    let hint = problem.hint.iter().map(|hint| format!("; hint: {hint}"));
    format!("{field}{}{}", problem.message, hint.collect::<String>())
}

#[test]
fn every_mistake_is_found_at_its_place_and_alone() {
    for row in rows() {
        let problems = match read(&row.file) {
            Ok(_) => panic!("{}: nothing was found in\n{}", row.mistake, row.file),
            Err(problems) => problems,
        };
        let problem = only(&problems);
        assert_eq!(
            (problem.line, problem.column),
            row.at,
            "{}:\n{problems}",
            row.mistake
        );
    }
}

#[test]
fn the_schema_sees_what_one_field_shows() {
    let schema = jsonschema::draft202012::new(&collective_team::schema()).unwrap();
    for row in rows() {
        let Some(json) = yaml_to_json(&row.file) else {
            assert!(!row.editor, "{} isn't YAML", row.mistake);
            continue;
        };
        assert_eq!(!schema.is_valid(&json), row.editor, "{}", row.mistake);
    }
}

#[test]
fn the_table_in_the_docs_is_what_is_said() {
    let mut table = String::from("| mistake | what is said | in the editor |\n|---|---|---|\n");
    for row in rows() {
        let problems = read(&row.file).unwrap_err();
        let said = said(only(&problems)).replace('|', "\\|");
        let editor = if row.editor { "yes" } else { "" };
        table.push_str(&format!("| {} | {said} | {editor} |\n", row.mistake));
    }
    docs::assert_section("mistakes", &table);
}

#[test]
fn three_mistakes_are_told_in_one_go_with_line_column_and_hint() {
    let file = "\
team: demo
agents:
  ada:
    command: ./work.sh
    slots: 0
tasks:
  test:
    depends_on: [biuld]
  build:
    retry:
      max_atempts: 2
";
    let problems = read(file).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "\
team.yaml:5:12: error: agents.ada.slots: slots must be 1 to 1024, not 0
  5 |     slots: 0
    |            ^
team.yaml:8:18: error: tasks.test.depends_on[0]: no task has the key `biuld`
  8 |     depends_on: [biuld]
    |                  ^^^^^
  hint: did you mean `build`?
team.yaml:11:7: error: tasks.build.retry.max_atempts: unknown field `max_atempts`
  11 |       max_atempts: 2
     |       ^^^^^^^^^^^
  hint: did you mean `max_attempts`?
3 mistakes in team.yaml
"
    );
}

#[test]
fn several_mistakes_of_one_task_are_all_told() {
    let file = format!(
        "{AGENTS}tasks: {{a: {{title: \"\", timeout: 0s, retry: {{max_attempts: 0, factor: 0}}, deadline: 0s}}}}\n"
    );
    let problems = read(&file).unwrap_err();
    let fields: Vec<&str> = problems
        .iter()
        .map(|problem| problem.field.as_str())
        .collect();
    assert_eq!(
        fields,
        [
            "tasks.a.title",
            "tasks.a.timeout",
            "tasks.a.retry.max_attempts",
            "tasks.a.retry.factor",
            "tasks.a.deadline",
        ]
    );
}

#[test]
fn a_mistake_in_a_fan_out_is_told_once() {
    let file = format!("{AGENTS}tasks: {{a: {{for_each: [x, y, z], timeout: soon}}}}\n");
    only(&read(&file).unwrap_err());
}

#[test]
fn bytes_that_are_not_utf_8_are_told_at_their_place() {
    let problems = read_bytes(b"agents: \xc3\xa4\nx: \xff").unwrap_err();
    let problem = only(&problems);
    assert_eq!((problem.line, problem.column), (2, 4));
    assert_eq!(problem.message, "the byte 0xff is not UTF-8");
}

#[test]
fn a_file_past_its_bound_is_refused_unread() {
    let problems = read_bytes(&vec![b'#'; MAX_FILE_LEN + 1]).unwrap_err();
    assert_eq!(only(&problems).message, "is larger than 4 MiB");
}

#[test]
fn aliases_and_parameters_cannot_make_a_large_file_of_a_small_one() {
    let mut laughs = String::from("x-0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for i in 1..9 {
        let items = vec![format!("*a{}", i - 1); 10].join(", ");
        laughs.push_str(&format!("x-{i}: &a{i} [{items}]\n"));
    }
    let problems = read(&laughs).unwrap_err();
    let message = &only(&problems).message;
    assert!(message.starts_with("the aliases grow"), "{message}");

    let deep = "[".repeat(100_000);
    assert_eq!(read(&deep).unwrap_err().count(), 1);

    let big = "x".repeat(1024 * 1024);
    let uses = vec!["\"${p}\""; 100].join(", ");
    let file = format!("params: {{p: {big}}}\n{AGENTS}tasks: {{a: {{input: [{uses}]}}}}\n");
    let problems = read(&file).unwrap_err();
    let messages: Vec<&str> = problems
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    let told = messages
        .iter()
        .filter(|message| message.contains("grow to more than 64 MiB"));
    assert_eq!(told.count(), 1, "{messages:?}");
}

#[test]
fn a_wide_line_is_shown_around_the_mistake_and_control_characters_are_not() {
    let file = format!(
        "{AGENTS}tasks: {{a: {{prompt: \"{}\t\", titel: x}}}}\n",
        "é".repeat(300)
    );
    let text = read(&file).unwrap_err().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines.iter().all(|line| line.chars().count() < 120),
        "{text}"
    );
    assert!(!text.contains('\t'), "{text}");
    let caret = lines[2].chars().position(|c| c == '^').unwrap();
    assert_eq!(
        lines[1].chars().skip(caret).take(5).collect::<String>(),
        "titel"
    );
}

#[test]
fn a_hundred_mistakes_are_enough() {
    let tasks: Vec<String> = (0..5_000)
        .map(|i| format!("  t{i}: {{promt: x}}\n"))
        .collect();
    let problems = read(&format!("{AGENTS}tasks:\n{}", tasks.concat())).unwrap_err();
    assert_eq!((problems.iter().count(), problems.count()), (100, 5_000));
    let text = problems.to_string();
    assert!(text.ends_with("5000 mistakes in team.yaml, the first 100 are shown\n"));
}

#[test]
fn a_parameter_that_is_not_there_cannot_be_set() {
    let file = format!("params: {{home: x}}\n{AGENTS}tasks: {{a: {{}}}}\n");
    let problems = read_with(&file, &[("hmoe", "y")]).unwrap_err();
    let problem = only(&problems);
    assert_eq!((problem.line, problem.column), (0, 0));
    assert_eq!(
        said(problem),
        "there is no parameter `hmoe` to set; hint: did you mean `home`?"
    );
}
