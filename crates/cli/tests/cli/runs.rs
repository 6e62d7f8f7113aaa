//! `collective run`: a team from its first task to its last, and what interrupts it.

use rustix::process::Signal;

use crate::support::{Home, repository, until};

const TEAM: &str = r#"
team: demo
params:
  word: {default: hello, description: what to say}
agents:
  ada:
    slots: 2
    command: 'cat; echo " from $COLLECTIVE_TASK_NUMBER"'
  bob:
    queues: [flaky]
    command: 'test "$COLLECTIVE_ATTEMPT" -ge 2 || { echo "not yet" >&2; exit 1; }; echo better'
tasks:
  one: {prompt: "${word} one"}
  two: {prompt: "${word} two"}
  flaky: {queue: flaky, retry: {max_attempts: 2, initial_delay: 10ms}}
  sum:
    prompt: all together
    depends_on: [one, two, flaky]
"#;

/// A team whose only task goes on until the file `go` is there.
const WAITING: &str = r#"
team: demo
agents:
  ada: {command: 'echo $$ > pid; until test -e go; do sleep 0.02; done; echo went'}
tasks:
  wait: {prompt: wait}
  after: {prompt: after, depends_on: [wait]}
"#;

fn home_with(team: &str) -> Home {
    let home = Home::new();
    home.write("team.yaml", team);
    home
}

/// Whether the process that wrote its number into the file `pid` is still there.
fn command_lives(home: &Home) -> bool {
    let text = std::fs::read_to_string(home.path("pid")).unwrap();
    let pid = rustix::process::Pid::from_raw(text.trim().parse().unwrap()).unwrap();
    rustix::process::test_kill_process(pid).is_ok()
}

fn runs_now(home: &Home) -> impl FnMut() -> bool {
    let pid = home.path("pid");
    move || std::fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n'))
}

#[test]
fn mistakes_are_told_all_at_once_with_their_places() {
    let home =
        home_with("agents:\n  ada: {comand: x}\ntasks:\n  a: {depends_on: [b], timeout: 5}\n");
    insta::assert_snapshot!(home.session(&[
        &["run", "team.yaml", "--check"],
        &["run", "missing.yaml"],
        &["run", "team.yaml", "--set", "novalue"],
    ]));
    let told: serde_json::Value =
        serde_json::from_str(&home.run(&["run", "team.yaml", "--json"]).stderr).unwrap();
    assert!(told["problems"].as_array().unwrap().len() >= 3, "{told}");
}

#[test]
fn a_plan_shows_agents_and_tasks_and_starts_nothing() {
    let home = home_with(TEAM);
    insta::assert_snapshot!(home.session(&[
        &["run", "team.yaml", "--check"],
        &["run", "team.yaml", "--plan", "--set", "word=hi"],
        &["run", "team.yaml", "--plan", "--json", "--set", "word=hi"],
    ]));
    assert!(!home.path("data").exists());
}

#[test]
fn a_run_ends_when_its_tasks_have_ended_and_shows_what_they_gave() {
    let home = home_with(TEAM);
    let ran = home.run(&["run", "team.yaml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    insta::assert_snapshot!(home.tidy(&ran.stdout));
    for said in [
        "one: ada starts attempt 1",
        "flaky: attempt 1 failed",
        "sum: succeeded after",
    ] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
    // The server of the run went with it, and so did its agents' keys.
    assert!(!home.path("data/server.json").exists());
    let quiet = home.run(&["run", "team.yaml", "--quiet", "--json"]);
    assert_eq!(quiet.stderr, "");
    let report = quiet.json();
    assert_eq!(report["succeeded"], true, "{report}");
    assert_eq!(report["tasks"].as_array().unwrap().len(), 4);
    let (_server, keys) = {
        let server = home.start(&["up", "--listen", "127.0.0.1:0", "--log", "warn"]);
        until("the server answers", || {
            home.run(&["status"]).code == Some(0)
        });
        (
            server,
            home.run(&["key", "list", "--json", "--team", "demo"])
                .json(),
        )
    };
    let keys = keys["items"].as_array().unwrap();
    assert!(
        !keys.is_empty() && keys.iter().all(|key| key["revoked_at"].is_string()),
        "{keys:?}"
    );
}

#[test]
fn a_run_with_a_dead_task_says_so_and_exits_with_1() {
    let home = home_with(
        "agents:\n  ada: {command: 'exit 1'}\ntasks:\n  bad: {retry: {max_attempts: 1}}\n  after: {depends_on: [bad]}\n  rescue: {depends_on: [{task: bad, when: ended}], retry: {max_attempts: 1}}\n",
    );
    let ran = home.run(&["run", "team.yaml"]);
    insta::assert_snapshot!(home.tidy(&format!("{}--- exit {:?}\n", ran.stdout, ran.code)));
    assert!(
        ran.stderr.contains("3 of 3 tasks didn't succeed"),
        "{}",
        ran.stderr
    );
}

#[test]
fn with_fail_fast_the_others_are_called_off() {
    let home = home_with(
        "agents:\n  ada: {slots: 2, command: [sh, -c, 'read -r what; $what']}\ntasks:\n  bad: {prompt: 'false', retry: {max_attempts: 1}}\n  long: {prompt: 'sleep 600'}\n",
    );
    let ran = home.run(&["run", "team.yaml", "--fail-fast", "--json"]);
    assert_eq!(ran.code, Some(1), "{}", ran.text());
    let report = ran.json();
    let states: Vec<&str> = report["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["dead", "cancelled"], "{}", ran.stderr);
}

#[test]
fn an_interrupted_run_calls_its_tasks_off_and_leaves_no_process() {
    let home = home_with(WAITING);
    let mut run = home.start(&["run", "team.yaml"]);
    until("the command runs", runs_now(&home));
    run.signal(Signal::INT);
    assert_eq!(run.ended(), Some(130), "{}", home.log());
    assert!(
        home.log().contains("calling the tasks off"),
        "{}",
        home.log()
    );
    assert!(!command_lives(&home));
    // The server of the run ended in order too.
    assert!(!home.path("data/server.json").exists());
    home.write("go", "");
    // Nothing is left to be resumed.
    let ran = home.run(&["run", "team.yaml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.text());
}

#[test]
fn a_run_that_is_told_to_stop_is_resumed_where_it_was() {
    let home = home_with(WAITING);
    let mut run = home.start(&["run", "team.yaml"]);
    until("the command runs", runs_now(&home));
    run.signal(Signal::TERM);
    assert_eq!(run.ended(), Some(143), "{}", home.log());
    assert!(!command_lives(&home));
    let refused = home.run(&["run", "team.yaml"]);
    assert_eq!(refused.code, Some(4), "{}", refused.text());
    assert!(refused.stderr.contains("--resume"), "{}", refused.stderr);
    home.write("go", "");
    let resumed = home.run(&["run", "team.yaml", "--resume"]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.text());
    assert!(resumed.stdout.contains("after"), "{}", resumed.stdout);
}

#[test]
fn a_run_that_is_killed_is_resumed_or_started_anew() {
    let home = home_with(WAITING);
    let mut run = home.start(&["run", "team.yaml"]);
    until("the command runs", runs_now(&home));
    run.signal(Signal::KILL);
    assert_eq!(run.ended(), None);
    until("the guard ends the command", || !command_lives(&home));
    assert_eq!(home.run(&["run", "team.yaml"]).code, Some(4));
    home.write("go", "");
    let fresh = home.run(&["run", "team.yaml", "--fresh", "--json"]);
    assert_eq!(fresh.code, Some(0), "{}", fresh.text());
    assert_eq!(fresh.json()["tasks"].as_array().unwrap().len(), 2);
    assert_eq!(
        std::fs::read_dir(home.path("data/worktrees"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_run_uses_the_server_that_runs_on_the_folder() {
    let (home, _server) = Home::with_server();
    home.write("team.yaml", TEAM);
    let ran = home.run(&["run", "team.yaml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    assert!(ran.stderr.contains("using the server at"), "{}", ran.stderr);
    let listed = home
        .run(&["task", "list", "--team", "demo", "--json"])
        .json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 4);
}

#[test]
fn branches_and_patches_are_listed() {
    let home = Home::new();
    repository(&home.path("repo"));
    home.write(
        "team.yaml",
        "agents:\n  ada: {worktree: true, repository: repo, command: 'echo x > new; echo made'}\ntasks:\n  make: {checks: [{file: new}]}\n",
    );
    let ran = home.run(&["run", "team.yaml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    assert!(
        ran.stdout.contains("branch: branch collective/"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("changes.patch"), "{}", ran.stdout);
}

#[test]
fn a_run_that_is_interrupted_twice_ends_at_once_and_its_commands_with_it() {
    let home = home_with(
        "agents:\n  ada: {command: \"trap '' TERM; echo $$ > pid; while :; do sleep 0.05; done\"}\ntasks:\n  stubborn: {}\n",
    );
    let mut run = home.start(&["run", "team.yaml"]);
    until("the command runs", runs_now(&home));
    run.signal(Signal::INT);
    until("it calls off", || {
        home.log().contains("calling the tasks off")
    });
    run.signal(Signal::INT);
    assert_eq!(run.ended(), Some(130), "{}", home.log());
    assert!(home.log().contains("ended at once"), "{}", home.log());
    until("the guard ends the command", || !command_lives(&home));
}

#[test]
fn scripted_agents_rehearse_a_team_and_a_plan_shows_what_a_preset_runs() {
    let home = home_with(
        "agents:\n  flaky: {preset: scripted, options: {personality: flaky}}\n  eve: {preset: claude, options: {model: opus}, queues: [other]}\ntasks:\n  act: {retry: {initial_delay: 10ms}}\n",
    );
    let plan = home.run(&["run", "team.yaml", "--plan", "--json"]).json();
    let command = plan["agents"][1]["command"].to_string();
    assert!(
        command.contains("claude") && command.contains("opus"),
        "{command}"
    );
    let ran = home.run(&["run", "team.yaml", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    assert_eq!(ran.json()["tasks"][0]["attempts_used"], 2, "{}", ran.text());
}
