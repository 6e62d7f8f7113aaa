//! Agents on the command line: they take tasks, show their output, ask, and drain.

use crate::support::{Home, repository, until};

/// Starts agent ada and waits until it is present.
fn agent(home: &Home, arguments: &[&str]) -> crate::support::Running {
    named(home, "ada", arguments)
}

fn named(home: &Home, name: &str, arguments: &[&str]) -> crate::support::Running {
    let mut all = vec!["agent", "run", "--name", name];
    all.extend(arguments);
    let running = home.start(&all);
    until("the agent is present", || {
        let ran = home.run(&["agent", "show", name, "--json"]);
        ran.code == Some(0) && ran.json()["present"] == true
    });
    running
}

#[test]
fn an_agent_takes_tasks_and_its_output_and_result_are_kept() {
    let (home, _server) = Home::with_server();
    let script = "echo working >&2; printf 'result of %s' \"$COLLECTIVE_TASK_NUMBER\"";
    let mut ada = agent(&home, &["--slots", "2", "--", "sh", "-c", script]);
    let ran = home.run(&["task", "add", "one", "--wait"]);
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    assert!(ran.stdout.starts_with("result of "), "{}", ran.text());
    let number = home.run(&["task", "list", "--json"]).json()["items"][0]["number"].to_string();
    let logs = home.run(&["task", "logs", &number]);
    assert!(logs.stdout.contains("working"), "{}", logs.text());
    let followed = home.run(&["task", "logs", &number, "--follow", "--json"]);
    assert!(followed.stdout.contains("working"), "{}", followed.text());
    insta::assert_snapshot!(home.session(&[&["agent", "list"], &["agent", "show", "ada"]]));
    ada.signal(rustix::process::Signal::TERM);
    assert_eq!(ada.ended(), Some(0));
    // Its key was made for it, and goes with it.
    let keys = home.run(&["key", "list", "--json"]).json();
    assert!(keys["items"][0]["revoked_at"].is_string(), "{keys}");
}

#[test]
fn an_agent_that_is_told_to_stop_finishes_what_it_holds() {
    let (home, _server) = Home::with_server();
    let script = "until test -e go; do sleep 0.02; done; echo finished";
    let mut ada = agent(&home, &["--", "sh", "-c", script]);
    let add = |title| home.run(&["task", "add", title, "--json"]).json()["number"].to_string();
    let (held, left) = (add("held"), add("left"));
    let state = |number: &str| {
        let task = home.run(&["task", "show", number, "--json"]).json();
        task["state"].as_str().unwrap_or_default().to_owned()
    };
    until("it works", || state(&held) == "running");
    ada.signal(rustix::process::Signal::INT);
    until("it drains", || home.log().contains("draining"));
    home.write("go", "");
    assert_eq!(ada.ended(), Some(0));
    assert_eq!(
        (state(&held), state(&left)),
        ("succeeded".to_owned(), "queued".to_owned())
    );
}

#[test]
fn an_agent_that_is_told_twice_gives_back_what_it_holds() {
    let (home, _server) = Home::with_server();
    let mut ada = agent(&home, &["--", "sleep", "600"]);
    let number = home.run(&["task", "add", "long", "--json"]).json()["number"].to_string();
    let task = || home.run(&["task", "show", &number, "--json"]).json();
    until("it works", || task()["state"] == "running");
    ada.signal(rustix::process::Signal::INT);
    until("it drains", || home.log().contains("draining"));
    ada.signal(rustix::process::Signal::INT);
    assert_eq!(ada.ended(), Some(0));
    let task = task();
    assert_eq!(
        (&task["state"], &task["attempts_used"]),
        (&"queued".into(), &0.into()),
        "{task}"
    );
}

#[test]
fn a_command_asks_and_a_person_answers() {
    let (home, _server) = Home::with_server();
    let script = format!(
        "answer=$({} task ask 'Which one?' --option left --option right); echo \"took $answer\"",
        env!("CARGO_BIN_EXE_collective")
    );
    let _ada = agent(&home, &["--", "sh", "-c", &script]);
    home.run(&["task", "add", "choose"]);
    let questions = || home.run(&["task", "questions", "--json"]).json();
    until("it asks", || {
        questions()["items"][0]["text"] == "Which one?"
    });
    let number = home.run(&["task", "list", "--json"]).json()["items"][0]["number"].to_string();
    insta::assert_snapshot!(home.session(&[
        &["task", "questions"],
        &["task", "answer", &number, "--choose", "3"],
        &["task", "answer", &number, "--choose", "2"],
        &["task", "wait", &number],
        &["task", "answer", &number, "again"],
    ]));
}

#[test]
fn work_in_a_worktree_comes_back_as_a_branch_and_a_patch() {
    let (home, _server) = Home::with_server();
    repository(&home.path("repo"));
    let script = "echo more >> README; echo changed";
    let _ada = agent(
        &home,
        &[
            "--worktree",
            "--repository",
            "repo",
            "--",
            "sh",
            "-c",
            script,
        ],
    );
    let ran = home.run(&[
        "task",
        "add",
        "change it",
        "--check",
        "grep -q more README",
        "--wait",
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    let task = home.run(&["task", "list", "--json"]).json()["items"][0].clone();
    let number = task["number"].to_string();
    let artifacts = &task["result"]["artifacts"];
    assert_eq!(artifacts[0]["kind"], "branch", "{artifacts}");
    let patch = artifacts[1]["name"].as_str().unwrap();
    let ran = home.run(&["task", "artifact", &number, patch]);
    assert!(ran.stdout.contains("+more"), "{}", ran.text());
    home.run(&["task", "artifact", &number, patch, "--output", "kept.patch"]);
    assert_eq!(
        std::fs::read_to_string(home.path("kept.patch")).unwrap(),
        ran.stdout
    );
    assert_eq!(
        std::fs::read_to_string(home.path("repo/README")).unwrap(),
        "a repository\n"
    );
}

#[test]
fn agents_get_messages_and_reserve_paths() {
    let (home, _server) = Home::with_server();
    let _ada = agent(&home, &["--role", "leader", "--", "true"]);
    let _bob = named(&home, "bob", &["--", "true"]);
    insta::assert_snapshot!(home.session(&[
        &["message", "send", "team", "the interface changed"],
        &[
            "message",
            "send",
            "role:worker",
            "for workers",
            "--from",
            "ada"
        ],
        &["message", "send", "agent:bob", ""],
        &["message", "inbox", "bob"],
        &["message", "inbox", "ada"],
        &[
            "reserve",
            "src/api",
            "docs/**",
            "--agent",
            "ada",
            "--for",
            "30m",
            "--reason",
            "new routes"
        ],
        &["reserve", "src", "--agent", "bob"],
        &["reserve", "list"],
    ]));
    let inbox = home.run(&["message", "inbox", "bob", "--json"]).json();
    let message = inbox["messages"][0]["id"].as_str().unwrap().to_owned();
    let reservation = home.run(&["reserve", "list", "--json"]).json();
    let reservation = reservation["items"][0]["id"].as_str().unwrap().to_owned();
    insta::assert_snapshot!(
        "agents_get_messages_and_reserve_paths_later",
        home.session(&[
            &["message", "ack", &message, "--agent", "bob"],
            &["message", "show", &message],
            &["message", "inbox", "bob"],
            &["reserve", "release", &reservation],
            &["reserve", "src", "--agent", "bob"],
            &["agent", "drain", "bob"],
            &["agent", "list"],
            &["agent", "remove", "bob", "--dry-run"],
        ])
        .replace(&message, "[ID]")
        .replace(&reservation, "[ID]")
    );
}

#[test]
fn dead_letters_are_shown_retried_and_put_away() {
    let (home, _server) = Home::with_server();
    let _ada = agent(&home, &["--", "sh", "-c", "echo broken; test -e mended"]);
    home.run(&["task", "add", "one", "--max-attempts", "1", "--wait"]);
    home.run(&["task", "add", "two", "--max-attempts", "1", "--wait"]);
    let numbers: Vec<String> = home.run(&["dead", "list", "--json"]).json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["number"].to_string())
        .collect();
    let [two, one] = numbers.as_slice() else {
        panic!("not two dead letters: {numbers:?}");
    };
    insta::assert_snapshot!(home.session(&[
        &["dead", "list"],
        &["dead", "show", one],
        &["doctor"]
    ]));
    home.write("mended", "");
    assert_eq!(home.run(&["dead", "retry", one]).code, Some(0));
    assert_eq!(home.run(&["task", "wait", one]).stdout, "broken\n");
    assert_eq!(
        home.run(&["dead", "discard", two, "--reason", "by hand"])
            .code,
        Some(0)
    );
    assert_eq!(home.run(&["dead", "list"]).stdout, "no dead letters\n");
}

#[test]
fn presets_are_listed_and_ones_own_are_among_them() {
    let home = Home::new();
    std::fs::create_dir_all(home.path("config/collective/presets")).unwrap();
    home.write(
        "config/collective/presets/mine.yaml",
        "about: my own\nextends: shell\n",
    );
    insta::assert_snapshot!(home.session(&[&["agent", "presets"]]));
    home.write("config/collective/presets/mine.yaml", "abuot: my own\n");
    insta::assert_snapshot!(
        "presets_with_a_mistake",
        home.session(&[&["agent", "presets"], &["doctor"]])
    );
}

#[test]
fn an_agent_works_under_a_key_of_its_own_and_under_no_others() {
    let (home, _server) = Home::with_server();
    let mut ada = agent(&home, &["--", "true"]);
    ada.signal(rustix::process::Signal::TERM);
    assert_eq!(ada.ended(), Some(0));
    let made = home.run(&[
        "key", "create", "--label", "ada", "--agent", "ada", "--output", "ada.key",
    ]);
    assert_eq!(made.code, Some(0), "{}", made.text());
    let refused = home.run(&[
        "agent",
        "run",
        "--name",
        "bob",
        "--token-file",
        "ada.key",
        "--",
        "true",
    ]);
    assert_eq!(refused.code, Some(5), "{}", refused.text());
    let _ada = home.start(&[
        "agent",
        "run",
        "--name",
        "ada",
        "--token-file",
        "ada.key",
        "--",
        "echo",
        "mine",
    ]);
    let ran = home.run(&["task", "add", "one", "--wait"]);
    assert_eq!(ran.stdout, "mine\n", "{}", ran.text());
}
