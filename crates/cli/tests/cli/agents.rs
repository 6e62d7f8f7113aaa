//! Agents on the command line: they take tasks, show their output, ask, and drain.

use crate::support::{Home, repository, until};

/// Starts an agent and waits until it is present.
fn agent(home: &Home, arguments: &[&str]) -> crate::support::Running {
    let mut all = vec!["agent", "run", "--name", "ada"];
    all.extend(arguments);
    let running = home.start(&all);
    until("the agent is present", || {
        let ran = home.run(&["agent", "show", "ada", "--json"]);
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
