//! The agents of `examples/amqp-agents`: their packages installed once, their
//! programs started and killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use collective_testkit::process::{self, Process};
use collective_testkit::servers::find;
use rustix::process::Signal;

use crate::world::Team;

/// Where packages stay from run to run, unless this variable names another folder.
const CACHE_VARIABLE: &str = "COLLECTIVE_TEST_CACHE";

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/amqp-agents")
}

fn cache() -> PathBuf {
    std::env::var_os(CACHE_VARIABLE)
        .map(PathBuf::from)
        .unwrap_or_else(|| std::env::temp_dir().join("collective-amqp-agents"))
}

/// A program of `examples/amqp-agents`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Python,
    Node,
}

impl Program {
    /// What starts it, with its packages installed; nothing if this machine lacks its language.
    pub(crate) fn installed(self) -> Option<Installed> {
        let needed: &[&str] = match self {
            Self::Python => &["python3"],
            Self::Node => &["node", "npm"],
        };
        for program in needed {
            if find(program, []).is_none() {
                eprintln!("skipped: the agent in {self:?} needs {program}, which is not installed");
                return None;
            }
        }
        Some(match self {
            Self::Python => python(),
            Self::Node => node(),
        })
    }
}

/// How an agent's program is started.
pub(crate) struct Installed {
    program: PathBuf,
    script: PathBuf,
    name: &'static str,
}

impl Installed {
    /// Starts it as this agent of the team, serving these queues.
    pub(crate) async fn start(
        &self,
        team: &Team<'_>,
        agent: &str,
        queues: &str,
        command: &str,
    ) -> Process {
        let mut program = Command::new(&self.program);
        program
            .arg(&self.script)
            .env("AMQP_URL", team.world.agents_url())
            .env("COLLECTIVE_KEY", team.key(agent).await)
            .env("AGENT_NAME", agent)
            .env("AGENT_QUEUES", queues)
            .env("AGENT_COMMAND", command)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1");
        let logs = team
            .world
            .scratch
            .path()
            .join(format!("{}-{agent}", team.name));
        fs::create_dir_all(&logs).expect("a folder for its log");
        Process::start(self.name, program, &logs, Signal::TERM).expect("it starts")
    }
}

/// A virtual environment with the pinned packages.
fn python() -> Installed {
    let source = examples().join("python");
    let folder = cache().join("python");
    let pins = fs::read(source.join("requirements.txt")).expect("the pins");
    let (stamp, program) = (folder.join("requirements.txt"), folder.join("bin/python"));
    if !fs::read(&stamp).is_ok_and(|installed| installed == pins) || !program.is_file() {
        let mut create = Command::new("python3");
        create.args(["-m", "venv", "--clear"]).arg(&folder);
        process::run(create).expect("a virtual environment");
        let mut install = Command::new(&program);
        install
            .args(["-m", "pip", "install", "--quiet"])
            .args(["--disable-pip-version-check", "-r"])
            .arg(source.join("requirements.txt"));
        process::run(install).expect("pika is installed");
        fs::write(&stamp, pins).expect("what is installed is noted");
    }
    Installed {
        program,
        script: source.join("agent.py"),
        name: "python-agent",
    }
}

/// The locked packages beside a copy of the program, since Node looks for them there.
fn node() -> Installed {
    let source = examples().join("node");
    let folder = cache().join("node");
    fs::create_dir_all(&folder).expect("a folder for packages");
    let lock = "package-lock.json";
    let locked = fs::read(source.join(lock)).expect("the lock file");
    let same = fs::read(folder.join(lock)).is_ok_and(|installed| installed == locked);
    for file in [".npmrc", "agent.mjs", lock, "package.json"] {
        fs::copy(source.join(file), folder.join(file)).expect("a copy");
    }
    if !same || !folder.join("node_modules").is_dir() {
        let mut install = Command::new("npm");
        install
            .current_dir(&folder)
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        process::run(install).expect("amqplib is installed");
    }
    Installed {
        program: PathBuf::from("node"),
        script: folder.join("agent.mjs"),
        name: "node-agent",
    }
}
