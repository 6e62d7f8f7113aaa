//! The steps of `cargo xtask test`, as data.
//!
//! Cheap steps come first, so that a slip of format is told in a second. A step
//! whose tool is missing stays in the plan and says how to get the tool.

use std::fmt;
use std::process::Command;

use crate::cargo;

/// One step: a title for people and what to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) title: &'static str,
    pub(super) action: Action,
}

/// What a step does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    /// Runs a command that must succeed.
    Run(Invocation),
    /// Runs tests and counts them by their report.
    Test(Invocation, Report),
    /// Sees that the servers which tests start are here.
    Servers,
    /// Checks against a database that must be fetched first.
    Audit {
        fetch: Invocation,
        check: Invocation,
    },
    /// Can't run here; says why and how to change that.
    Missing { why: &'static str },
}

/// Where the number of passed and failed tests is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Report {
    /// The JUnit file that nextest leaves.
    Junit,
    /// The `test result:` lines of the built-in runner.
    Lines,
}

/// One cargo command with the variables it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invocation {
    variables: &'static [(&'static str, &'static str)],
    arguments: &'static [&'static str],
}

impl Invocation {
    const fn cargo(arguments: &'static [&'static str]) -> Self {
        Self {
            variables: &[],
            arguments,
        }
    }

    pub(super) fn command(self) -> Command {
        let mut command = cargo::command();
        command
            .args(self.arguments)
            .envs(self.variables.iter().copied());
        command
    }
}

/// As it would be typed into a shell.
impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.variables {
            write!(f, "{name}='{value}' ")?;
        }
        write!(f, "cargo {}", self.arguments.join(" "))
    }
}

/// The tools that a machine may lack.
#[derive(Clone, Copy)]
pub(super) struct Tools {
    nextest: bool,
    deny: bool,
}

impl Tools {
    pub(super) fn find() -> Self {
        Self {
            nextest: cargo::has("nextest"),
            deny: cargo::has("deny"),
        }
    }
}

const FORMAT: Step = Step {
    title: "format",
    action: Action::Run(Invocation::cargo(&["fmt", "--all", "--check"])),
};

const LINTS: Step = Step {
    title: "lints",
    action: Action::Run(Invocation::cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ])),
};

const TESTS: Step = Step {
    title: "tests",
    action: Action::Test(
        Invocation::cargo(&["nextest", "run", "--workspace", "--locked"]),
        Report::Junit,
    ),
};

/// Without nextest; doc tests are not part of it, so that both ways have the
/// same steps.
const TESTS_BUILT_IN: Step = Step {
    title: "tests",
    action: Action::Test(
        Invocation::cargo(&[
            "test",
            "--workspace",
            "--locked",
            "--no-fail-fast",
            "--lib",
            "--bins",
            "--tests",
        ]),
        Report::Lines,
    ),
};

/// The same where no real server can be started.
const TESTS_ALONE: Step = Step {
    title: "tests",
    action: Action::Test(
        Invocation::cargo(&[
            "nextest",
            "run",
            "--workspace",
            "--locked",
            "-E",
            "not binary(/^on_/)",
        ]),
        Report::Junit,
    ),
};

/// The same without nextest: every name that doesn't begin with `on_`.
const TESTS_BUILT_IN_ALONE: Step = Step {
    title: "tests",
    action: Action::Test(
        Invocation::cargo(&[
            "test",
            "--workspace",
            "--locked",
            "--no-fail-fast",
            "--lib",
            "--bins",
            "--test",
            "[!o]*",
            "--test",
            "o[!n]*",
            "--test",
            "on[!_]*",
        ]),
        Report::Lines,
    ),
};

pub(super) const SERVERS: Step = Step {
    title: "servers for tests",
    action: Action::Servers,
};

const DOC_TESTS: Step = Step {
    title: "doc tests",
    action: Action::Test(
        Invocation::cargo(&["test", "--workspace", "--locked", "--no-fail-fast", "--doc"]),
        Report::Lines,
    ),
};

const DOCUMENTATION: Step = Step {
    title: "documentation",
    action: Action::Run(Invocation {
        variables: &[("RUSTDOCFLAGS", "-D warnings")],
        arguments: &["doc", "--workspace", "--locked", "--no-deps"],
    }),
};

const POLICY: &str = "dependency policy";
const ADVISORIES: &str = "advisories";
const NO_DENY: Action = Action::Missing {
    why: "cargo-deny is not installed; get it with: cargo install --locked cargo-deny",
};

/// Without warnings: that a crate is there in two versions is told by
/// `cargo deny check bans` to whoever wants to mend it.
const CHECK_POLICY: Action = Action::Run(Invocation::cargo(&[
    "deny",
    "--log-level",
    "error",
    "check",
    "--hide-inclusion-graph",
    "bans",
    "licenses",
    "sources",
]));

const CHECK_ADVISORIES: Action = Action::Audit {
    fetch: Invocation::cargo(&["deny", "fetch", "db"]),
    check: Invocation::cargo(&["deny", "--offline", "check", "advisories"]),
};

/// The steps for a machine with these tools.
pub(super) fn steps(quick: bool, tools: Tools) -> Vec<Step> {
    let tests = if tools.nextest { TESTS } else { TESTS_BUILT_IN };
    if quick {
        return vec![SERVERS, tests, DOC_TESTS];
    }
    let or_missing = |action| if tools.deny { action } else { NO_DENY };
    vec![
        FORMAT,
        Step {
            title: POLICY,
            action: or_missing(CHECK_POLICY),
        },
        Step {
            title: ADVISORIES,
            action: or_missing(CHECK_ADVISORIES),
        },
        LINTS,
        SERVERS,
        tests,
        DOC_TESTS,
        DOCUMENTATION,
    ]
}

/// The test step for a machine that lacks a server.
pub(super) fn without_servers(step: Step) -> Step {
    match step.action {
        Action::Test(_, Report::Junit) if step.title == TESTS.title => TESTS_ALONE,
        Action::Test(_, Report::Lines) if step.title == TESTS.title => TESTS_BUILT_IN_ALONE,
        _ => step,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL_TOOLS: Tools = Tools {
        nextest: true,
        deny: true,
    };
    const NO_TOOLS: Tools = Tools {
        nextest: false,
        deny: false,
    };

    fn titles(steps: &[Step]) -> Vec<&str> {
        steps.iter().map(|step| step.title).collect()
    }

    #[test]
    fn a_machine_without_tools_has_the_same_steps() {
        assert_eq!(
            titles(&steps(false, ALL_TOOLS)),
            titles(&steps(false, NO_TOOLS))
        );
    }

    #[test]
    fn a_missing_tool_is_named_and_not_run() {
        let missing: Vec<_> = steps(false, NO_TOOLS)
            .iter()
            .filter_map(|step| match step.action {
                Action::Missing { why } => Some(why),
                _ => None,
            })
            .collect();
        assert_eq!(missing.len(), 2);
        assert!(
            missing
                .iter()
                .all(|why| why.contains("cargo install --locked cargo-deny"))
        );
    }

    #[test]
    fn quick_is_the_tests_alone() {
        assert_eq!(
            titles(&steps(true, ALL_TOOLS)),
            ["servers for tests", "tests", "doc tests"]
        );
    }

    #[test]
    fn a_command_is_shown_as_it_is_typed() {
        let Action::Run(documentation) = DOCUMENTATION.action else {
            panic!("documentation runs one command");
        };
        assert_eq!(
            documentation.to_string(),
            "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --locked --no-deps"
        );
    }
}
