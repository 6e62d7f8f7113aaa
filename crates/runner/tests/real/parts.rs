//! The parts that this binary plays besides the tests.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use collective_runner::attempt::{self, Control};
use collective_runner::runs::Run;

pub(crate) const SUBCOMMAND: &str = "__part";

pub(crate) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<String> = arguments.map(|a| a.into_string().unwrap()).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        // A command with one stubborn descendant that got away from its group
        // and session, which then stays or ends itself.
        ["breeder", folder, clean, then] => {
            breed(folder, clean == "clean");
            match then {
                "stay" => stay(&Path::new(folder).join("command")),
                "end" => ExitCode::SUCCESS,
                code => ExitCode::from(code.parse::<u8>().unwrap()),
            }
        }
        // Between the two forks of a daemon.
        ["midwife", folder] => {
            rustix::process::setsid().unwrap();
            drop(this(&["daemon", folder]).spawn().unwrap());
            ExitCode::SUCCESS
        }
        ["daemon", folder] => stay(&Path::new(folder).join("daemon")),
        ["runner", root, folder, clean] => runner(root, folder, clean),
        _ => panic!("no such part: {arguments:?}"),
    }
}

fn this(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(SUBCOMMAND).args(arguments);
    command
}

/// Starts a daemon by the book: fork, new session, fork, streams closed; and
/// a plain child that ignores SIGTERM.
fn breed(folder: &str, clean: bool) {
    let mut midwife = this(&["midwife", folder]);
    midwife
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if clean {
        midwife.env_clear();
    }
    midwife.status().unwrap();
    let stubborn = Command::new("sh")
        .arg("-c")
        .arg("trap '' TERM; echo $$ > \"$0\"; while :; do sleep 1; done")
        .arg(Path::new(folder).join("stubborn"))
        .process_group(0)
        .spawn();
    drop(stubborn.unwrap());
}

fn stay(pid_file: &Path) -> ExitCode {
    let unfinished = pid_file.with_extension("new");
    std::fs::write(&unfinished, std::process::id().to_string()).unwrap();
    std::fs::rename(unfinished, pid_file).unwrap();
    loop {
        std::thread::park();
    }
}

/// A runner of one attempt, to be killed.
fn runner(root: &str, folder: &str, clean: &str) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let run = Run::begin(Path::new(root)).unwrap();
    let command = super::support::part(&["breeder", folder, clean, "stay"]);
    let mut spec = super::support::spec(command, Path::new(folder));
    spec.grace = std::time::Duration::from_millis(300);
    let report = runtime.block_on(attempt::run(&run, &spec, Control::default()));
    panic!("it was to be killed: {report:?}");
}
