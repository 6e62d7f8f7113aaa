//! What a good file becomes.

use std::path::Path;

use collective_core::limits::{DEFAULT_LEASE, DEFAULT_TIMEOUT, MAX_BATCH};
use collective_core::role::Role;
use collective_core::schedule::Overlap;
use collective_core::task::{Check, DependencyCondition, Lane, Priority, TaskRef, TaskSpec};
use collective_core::{Span, Timestamp};
use collective_team::{AgentEntry, Program, TeamFile};
use serde_json::{Value, json};

use crate::reading::{now, read, read_with};

fn good(file: &str) -> TeamFile {
    read(file).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The only task of a file whose agent serves `default` and `rust`.
fn task(fields: &str) -> TaskSpec {
    let file = format!(
        "agents: {{ada: {{command: work, queues: [default, rust]}}}}\ntasks:\n  build: {{{fields}}}\n"
    );
    good(&file).tasks.remove(0)
}

/// The only agent of a file with one task for whoever takes it.
fn agent(fields: &str) -> AgentEntry {
    let file = format!("agents: {{ada: {{{fields}}}}}\ntasks: {{build: {{}}}}\n");
    good(&file).agents.remove(0)
}

fn argv(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_task_that_says_nothing_gets_cores_defaults_and_its_key_as_title() {
    let expected = TaskSpec {
        key: Some("build".to_owned()),
        ..TaskSpec::new("build")
    };
    assert_eq!(task(""), expected);
    assert_eq!(
        good("agents: {a: {command: x}}\ntasks:\n  build:\n").tasks,
        [expected]
    );
}

#[test]
fn every_field_of_a_task_arrives() {
    let spec = task(
        "title: Build it, prompt: Please., input: {n: [1, 2.5, ~, yes, true]}, queue: rust, \
         priority: high, retry: {max_attempts: 5, initial_delay: 10ms, factor: 3, max_delay: 1m}, \
         timeout: 20m, deadline: 2h, run_at: in 5m, labels: {area: core, n: 5}",
    );
    assert_eq!(spec.title, "Build it");
    assert_eq!(spec.prompt, "Please.");
    assert_eq!(spec.input, json!({"n": [1, 2.5, null, "yes", true]}));
    assert_eq!(spec.lane().to_string(), "queue/rust");
    assert_eq!(spec.priority, Priority::High);
    assert_eq!((spec.retry.max_attempts, spec.retry.factor), (5, 3));
    assert_eq!(spec.retry.initial_delay, Span::from_millis(10));
    assert_eq!(spec.retry.max_delay, Span::from_secs(60));
    assert_eq!(spec.timeout, Span::from_secs(1_200));
    assert_eq!(spec.deadline, Some(now() + Span::from_secs(7_200)));
    assert_eq!(spec.run_at, Some(now() + Span::from_secs(300)));
    assert_eq!(spec.labels["n"], "5");
}

#[test]
fn a_time_may_be_written_out() {
    let at: Timestamp = "2026-11-24T18:00:00Z".parse().unwrap();
    assert_eq!(task("run_at: 2026-11-24T18:00:00Z").run_at, Some(at));
}

#[test]
fn tasks_go_to_a_queue_a_role_or_an_agent() {
    for (fields, lane) in [
        ("", "queue/default"),
        ("queue: rust", "queue/rust"),
        ("role: worker", "role/worker"),
        ("agent: ada", "agent/ada"),
    ] {
        assert_eq!(task(fields).lane().to_string(), lane);
    }
}

#[test]
fn checks_may_be_written_short() {
    let spec = task(
        "checks: [make test, [test, -s, out], {command: grep x y, exit_code: 1, timeout: 5s}, \
         {file: out/a.txt}, {schema: {type: object}}]",
    );
    let command = |words: &[&str], exit_code, secs| Check::Command {
        command: argv(words),
        exit_code,
        timeout: Span::from_secs(secs),
    };
    assert_eq!(
        spec.checks,
        [
            command(&["sh", "-c", "make test"], 0, 300),
            command(&["test", "-s", "out"], 0, 300),
            command(&["sh", "-c", "grep x y"], 1, 5),
            Check::File {
                path: "out/a.txt".to_owned()
            },
            Check::Schema {
                schema: json!({"type": "object"})
            },
        ]
    );
}

#[test]
fn an_agent_that_says_nothing_more_than_its_command_gets_cores_defaults() {
    let ada = agent("command: ./work.sh");
    assert_eq!(ada.spec.role, Role::Worker);
    assert_eq!((ada.spec.slots, ada.lease), (1, DEFAULT_LEASE));
    assert_eq!(ada.spec.queues[0].as_str(), "default");
    assert_eq!(ada.program, Program::Shell("./work.sh".to_owned()));
    assert_eq!(ada.workdir, Path::new("/home/ada/team"));
    assert!(!ada.worktree && ada.repository.is_none() && ada.env.is_empty());
}

#[test]
fn every_field_of_an_agent_arrives() {
    let ada = agent(
        "description: works, role: collaborator, queues: [default, rust], slots: 3, \
         preset: claude, options: {model: opus}, worktree: true, repository: ../code, \
         env: {N: 5, X: a b}, lease: 1m",
    );
    assert_eq!(ada.spec.description, "works");
    assert_eq!((ada.spec.role, ada.spec.slots), (Role::Collaborator, 3));
    let options = [("model".to_owned(), Value::from("opus"))].into();
    assert_eq!(
        ada.program,
        Program::Preset {
            name: "claude".to_owned(),
            options
        }
    );
    assert!(ada.worktree);
    assert_eq!(ada.repository.as_deref(), Some(Path::new("/home/ada/code")));
    assert_eq!(ada.workdir, Path::new("/home/ada/code"));
    assert_eq!((ada.env["N"].as_str(), ada.env["X"].as_str()), ("5", "a b"));
    assert_eq!(ada.lease, Span::from_secs(60));
}

#[test]
fn the_words_of_a_command_are_taken_as_they_are_written() {
    let ada = agent("command: [sleep, 0x10, true, \"a b\"]");
    assert_eq!(
        ada.program,
        Program::Argv(argv(&["sleep", "0x10", "true", "a b"]))
    );
}

#[test]
fn the_files_repository_is_that_of_agents_that_name_none() {
    let file = good(
        "repository: code\nagents: {a: {command: x}, b: {command: x, repository: /srv/b, workdir: w}}\n\
         tasks: {t: {}}\n",
    );
    let [a, b] = &file.agents[..] else {
        panic!("two agents")
    };
    assert_eq!(
        a.repository.as_deref(),
        Some(Path::new("/home/ada/team/code"))
    );
    assert_eq!(b.repository.as_deref(), Some(Path::new("/srv/b")));
    assert_eq!(b.workdir, Path::new("/home/ada/team/w"));
}

#[test]
fn defaults_are_taken_over_field_by_field() {
    let file = good(
        "defaults: {queue: rust, priority: low, timeout: 5m, retry: {max_attempts: 7, factor: 5}}\n\
         agents: {ada: {command: x, queues: [rust]}}\n\
         tasks: {a: {}, b: {retry: {factor: 1}, agent: ada, timeout: 1m}}\n\
         schedules: {s: {cron: 0 3 * * *}}\n",
    );
    let [a, b] = &file.tasks[..] else {
        panic!("two tasks")
    };
    assert_eq!(a.lane().to_string(), "queue/rust");
    assert_eq!(
        (a.priority, a.timeout),
        (Priority::Low, Span::from_secs(300))
    );
    assert_eq!((a.retry.max_attempts, a.retry.factor), (7, 5));
    assert!(matches!(b.lane(), Lane::Agent(_)));
    assert_eq!((b.retry.max_attempts, b.retry.factor), (7, 1));
    assert_eq!(b.timeout, Span::from_secs(60));
    let nightly = &file.schedules[0];
    assert_eq!(nightly.spec.lane().to_string(), "queue/rust");
    assert_eq!(nightly.spec.retry.max_attempts, 7);
}

#[test]
fn a_schedule_arrives_with_its_task() {
    let file = good(
        "agents: {ada: {command: x}}\nschedules:\n  nightly: {cron: 0 3 * * *, time_zone: Europe/Berlin, \
         overlap: allow, prompt: clean}\n  hourly: {cron: 0 * * * *}\n",
    );
    let [nightly, hourly] = &file.schedules[..] else {
        panic!("two schedules")
    };
    assert_eq!(
        (nightly.cron.as_str(), nightly.time_zone.as_str()),
        ("0 3 * * *", "Europe/Berlin")
    );
    assert_eq!(
        (nightly.overlap, nightly.spec.prompt.as_str()),
        (Overlap::Allow, "clean")
    );
    assert_eq!(
        (nightly.spec.title.as_str(), nightly.spec.key.as_deref()),
        ("nightly", None)
    );
    assert_eq!(
        (hourly.time_zone.as_str(), hourly.overlap),
        ("UTC", Overlap::Skip)
    );
}

#[test]
fn parameters_fill_texts_numbers_and_paths() {
    let file = "\
params:
  slots: 3
  who: {default: world, description: whom to greet}
  where: {default: ../code, type: path}
agents:
  ada: {command: 'echo ${who} $HOME $${HOME}', slots: \"${slots}\", workdir: \"${where}\"}
  bob:
    command: [sh, '${team_dir}/bin/x.sh', '${slots}']
    slots: ${slots}
tasks:
  a: {title: \"${slots}\", prompt: \"hi ${who}\", input: {quoted: \"${slots}\"}}
";
    let team = good(file);
    let [ada, bob] = &team.agents[..] else {
        panic!("two agents")
    };
    assert_eq!(
        ada.program,
        Program::Shell("echo world $HOME ${HOME}".to_owned())
    );
    assert_eq!((ada.spec.slots, bob.spec.slots), (3, 3));
    assert_eq!(ada.workdir, Path::new("/home/ada/code"));
    assert_eq!(
        bob.program,
        Program::Argv(argv(&["sh", "/home/ada/team/bin/x.sh", "3"]))
    );
    assert_eq!(team.tasks[0].title, "3");
    assert_eq!(team.tasks[0].input, json!({"quoted": "3"}));

    let team = read_with(file, &[("who", "a: {b"), ("where", "here")]).unwrap();
    assert_eq!(team.tasks[0].prompt, "hi a: {b");
    assert_eq!(team.agents[0].workdir, Path::new("/home/ada/work/here"));
    let who = team
        .params
        .iter()
        .find(|param| param.name == "who")
        .unwrap();
    assert_eq!((who.value.as_str(), who.set), ("a: {b", true));
    assert_eq!(who.description, "whom to greet");
}

#[test]
fn an_empty_parameter_is_an_empty_text() {
    let file = "params: {x: a}\nagents: {ada: {command: x}}\ntasks: {a: {prompt: \"${x}\"}}\n";
    assert_eq!(read_with(file, &[("x", "")]).unwrap().tasks[0].prompt, "");
}

#[test]
fn presets_of_the_file_are_known_and_taken_as_they_are() {
    let team = good(
        "\
presets: {mine: {extends: claude, args: [x, \"${prompt}\"]}}
agents: {ada: {preset: mine, options: {model: opus}}}
tasks: {a: {}}
",
    );
    let mine = json!({"extends": "claude", "args": ["x", "${prompt}"]});
    assert_eq!(team.presets["mine"], mine);
}

#[test]
fn a_fan_out_is_unfolded_and_its_key_stands_for_all_of_it() {
    let team = good(
        "\
x-short: &short {timeout: 1m}
agents: {ada: {command: x}}
tasks:
  lint:
    <<: *short
    for_each: [src, a b, 7]
    title: lint ${item} (${index})
    labels: {part: \"${item}\"}
  pair:
    for_each: [{name: a, v: 1}, {name: b, v: [2]}]
    title: pair ${item.name}
    input: ${item}
    depends_on: [lint-7]
  alike: {for_each: [x, x]}
  report:
    depends_on: [lint, {task: pair, when: ended}, alike-1]
",
    );
    let keys: Vec<&str> = team
        .tasks
        .iter()
        .filter_map(|task| task.key.as_deref())
        .collect();
    assert_eq!(
        keys,
        [
            "lint-src", "lint-a-b", "lint-7", "pair-1", "pair-2", "alike-1", "alike-2", "report"
        ]
    );
    assert_eq!(team.tasks[1].title, "lint a b (2)");
    assert_eq!(team.tasks[1].timeout, Span::from_secs(60));
    assert_eq!(team.tasks[2].labels["part"], "7");
    assert_eq!(team.tasks[4].title, "pair b");
    assert_eq!(team.tasks[4].input, json!({"name": "b", "v": [2]}));
    let report: Vec<(String, DependencyCondition)> = team.tasks[7]
        .depends_on
        .iter()
        .map(|dependency| (dependency.task.to_string(), dependency.when))
        .collect();
    let (succeeded, ended) = (DependencyCondition::Succeeded, DependencyCondition::Ended);
    let expected = [
        ("lint-src", succeeded),
        ("lint-a-b", succeeded),
        ("lint-7", succeeded),
        ("pair-1", ended),
        ("pair-2", ended),
        ("alike-1", succeeded),
    ];
    assert_eq!(report, expected.map(|(key, when)| (key.to_owned(), when)));
}

#[test]
fn a_merge_gives_way_to_what_is_written() {
    let team = good(
        "\
x-a: &a {prompt: of a, timeout: 1m}
x-b: &b {prompt: of b, priority: low}
agents: {ada: {command: x}}
tasks:
  t: {<<: [*a, *b], timeout: 2m}
",
    );
    let task = &team.tasks[0];
    assert_eq!(
        (task.prompt.as_str(), task.priority),
        ("of a", Priority::Low)
    );
    assert_eq!(task.timeout, Span::from_secs(120));
}

#[test]
fn the_summary_is_the_one_end_unless_it_is_named() {
    let file = |more: &str| {
        let text = format!(
            "agents: {{ada: {{command: x}}}}\ntasks: {{a: {{}}, b: {{depends_on: [a]}}{more}\n"
        );
        good(&text).summary
    };
    assert_eq!(file("}").as_deref(), Some("b"));
    assert_eq!(file(", c: {}}"), None);
    assert_eq!(file(", c: {}}\nsummary: c").as_deref(), Some("c"));
}

#[test]
fn batches_come_in_an_order_that_can_be_created() {
    let mut text = String::from("agents: {ada: {command: x}}\ntasks:\n");
    // Written back to front, so that the order of the file would not do.
    for i in 0..2_500 {
        text.push_str(&format!("  t{i}: {{depends_on: [t{}]}}\n", i + 1));
    }
    text.push_str("  t2500: {}\n");
    let team = good(&text);
    let batches = team.batches(MAX_BATCH);
    assert_eq!(
        batches.iter().map(Vec::len).collect::<Vec<_>>(),
        [1_000, 1_000, 501]
    );
    let mut seen = std::collections::HashSet::new();
    for task in batches.iter().flatten() {
        for dependency in &task.depends_on {
            assert!(seen.contains(&dependency.task), "{:?} too early", task.key);
        }
        seen.insert(TaskRef::Key(task.key.clone().unwrap()));
    }
    assert_eq!(
        good("agents: {a: {command: x}}\ntasks: {b: {}}\n")
            .batches(MAX_BATCH)
            .len(),
        1
    );
    assert_eq!(DEFAULT_TIMEOUT, batches[0][0].timeout);
}
