//! The files: there, readable by the right people, in the right order.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::compose::shown;
use crate::container::Container;
use crate::envfile::MODE;
use crate::finding::{Finding, FindingCode as Code};
use crate::place::{Environment, MONITORING, PROXY, order_problem};
use crate::stack::{COMPOSE_FILE, ENVIRONMENT, Stack, WITH_MONITORING, WITH_PROXY};

/// Compose files and the file of variables.
pub(super) fn look(stack: &Stack) -> Vec<Finding> {
    let mut findings: Vec<Finding> = stack
        .project()
        .files
        .iter()
        .filter(|file| !file.is_file())
        .map(|file| {
            let mend = "take the folder `infrastructure` whole from the project";
            Finding::wrong(Code::ComposeFile, shown(file), "is not there", mend)
        })
        .collect();
    findings.extend(env_file(stack));
    findings
}

fn env_file(stack: &Stack) -> Vec<Finding> {
    let place = stack.env_shown();
    let Some(env) = &stack.env else {
        let seen = "is not there; defaults and the environment count";
        let mend = format!(
            "make it with `collective stack init --env {}`",
            stack.environment
        );
        return vec![Finding::notice(Code::EnvFile, place, seen, mend)];
    };
    let mut findings = permissions(stack);
    for problem in env.problems() {
        let code = if problem.is_twice {
            Code::VariableTwice
        } else {
            Code::EnvLine
        };
        let at = format!("{place}:{}", problem.line);
        let mend = if problem.is_twice {
            "remove one of the two lines"
        } else {
            "write it as NAME=value, without `$` and backslashes"
        };
        findings.push(Finding::wrong(code, at, problem.what, mend));
    }
    if let Some(said) = env.get(ENVIRONMENT)
        && said != stack.environment.as_str()
    {
        let at = format!("{place}:{}", env.line_of(ENVIRONMENT).unwrap_or_default());
        findings.push(made_for_another(said, stack.environment, at));
    }
    findings
}

/// A file that was made for less lacks what this environment can't do without.
fn made_for_another(said: &str, asked: Environment, at: String) -> Finding {
    let is_enough = said
        .parse::<Environment>()
        .is_ok_and(|made_for| needs(made_for) >= needs(asked));
    let make = if is_enough {
        Finding::notice
    } else {
        Finding::wrong
    };
    make(
        Code::EnvFile,
        at,
        format!("it was made for `{said}`, and `{asked}` was asked for"),
        format!("make a file for it: `collective stack init --env {asked} --env-file FILE`"),
    )
}

/// How much an environment needs set, from least to most.
const fn needs(environment: Environment) -> u8 {
    match environment {
        Environment::Test => 0,
        Environment::Dev => 1,
        Environment::Staging => 2,
        Environment::Production => 3,
    }
}

fn permissions(stack: &Stack) -> Vec<Finding> {
    let place = stack.env_shown();
    let Ok(about) = fs::metadata(&stack.env_path) else {
        return Vec::new();
    };
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        let seen = format!("mode {mode:03o}");
        return vec![Finding::fine(Code::EnvPermissions, place, seen)];
    }
    let seen = format!("mode {mode:03o}: other people of this machine can read the secrets");
    let mend = format!("chmod {MODE:o} {place}");
    let make = if stack.environment.is_serious() {
        Finding::wrong
    } else {
        Finding::notice
    };
    vec![make(Code::EnvPermissions, place, seen, mend)]
}

/// Parts that run and that nobody said: what starts something again would do it
/// without what they add to the others, and `down` removes them.
pub(super) fn unsaid(stack: &Stack, containers: &[Container]) -> Vec<Finding> {
    let is_of = |files: &[PathBuf], name: &str| files.iter().any(|file| file.ends_with(name));
    let known = stack.project().files;
    [
        (MONITORING, "--monitoring", WITH_MONITORING),
        (PROXY, "--proxy", WITH_PROXY),
    ]
    .into_iter()
    .filter(|(file, ..)| !is_of(&known, file))
    .filter(|(file, ..)| {
        let mut running = containers.iter().filter(|one| one.runs());
        running.any(|one| is_of(&one.files, file))
    })
    .map(|(file, flag, variable)| {
        let seen = format!("it was started with {file}, and this command is without");
        let mend = format!("add {flag}, or {variable}=true to {}", stack.env_shown());
        Finding::wrong(Code::PartUnsaid, "the running stack", seen, mend)
    })
    .collect()
}

/// The order of compose files where somebody else says it: Compose's variable,
/// and whoever started what runs.
pub(super) fn order(stack: &Stack, containers: &[Container]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut look_at = |place: String, files: Vec<&Path>| {
        if let Some(problem) = order_problem(files) {
            let mend = "first docker-compose.yml, then one override of an environment, \
                        override.monitoring.yml, the proxy's files last: settings of later \
                        files win";
            let found = Finding::wrong(Code::OverrideOrder, place, problem, mend);
            if !findings.contains(&found) {
                findings.push(found);
            }
        }
    };
    if let Some(list) = stack.values.get(COMPOSE_FILE) {
        look_at(
            COMPOSE_FILE.to_owned(),
            list.split(':').map(Path::new).collect(),
        );
    }
    for container in containers {
        let files = container
            .files
            .iter()
            .map(std::path::PathBuf::as_path)
            .collect();
        look_at("the running stack".to_owned(), files);
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Level;

    #[test]
    fn a_file_made_for_less_is_wrong_and_one_made_for_more_a_notice() {
        for (said, asked, expected) in [
            ("dev", Environment::Production, Level::Wrong),
            ("staging", Environment::Production, Level::Wrong),
            ("test", Environment::Dev, Level::Wrong),
            ("prod", Environment::Production, Level::Wrong),
            ("production", Environment::Dev, Level::Notice),
            ("dev", Environment::Test, Level::Notice),
        ] {
            let found = made_for_another(said, asked, ".env:1".to_owned());
            assert_eq!(found.level, expected, "{said}, {asked}: {found:?}");
        }
    }
}
