//! The files: there, readable by the right people, in the right order.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::compose::shown;
use crate::container::Container;
use crate::envfile::MODE;
use crate::finding::{Finding, FindingCode as Code};
use crate::place::order_problem;
use crate::stack::{COMPOSE_FILE, ENVIRONMENT, Stack};

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
        let seen = format!(
            "it was made for `{said}`, and `{}` was asked for",
            stack.environment
        );
        let mend = format!(
            "make a file for it: `collective stack init --env {} --env-file FILE`",
            stack.environment
        );
        findings.push(Finding::notice(Code::EnvFile, at, seen, mend));
    }
    findings
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

/// The order of compose files where somebody else says it: Compose's variable,
/// and whoever started what runs.
pub(super) fn order(stack: &Stack, containers: &[Container]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut look_at = |place: String, files: Vec<&Path>| {
        if let Some(problem) = order_problem(files) {
            let mend = "first docker-compose.yml, then one override of an environment, \
                        override.monitoring.yml last: settings of later files win";
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
