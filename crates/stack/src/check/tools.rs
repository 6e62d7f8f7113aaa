//! Docker and Compose: there, new enough, and content with the files.

use crate::compose::{Compose, Engine};
use crate::config::Resolved;
use crate::error::StackError;
use crate::finding::{Finding, FindingCode as Code, Level};
use crate::stack::Stack;
use crate::version::{OLDEST_COMPOSE, OLDEST_DOCKER, Version};

/// The engine, if it answers, and what there is to say of both tools.
pub(super) fn look(stack: &Stack) -> (Option<Engine>, Vec<Finding>) {
    let mut findings = Vec::new();
    let engine = match Engine::ask(stack.runner()) {
        Ok(engine) => {
            findings.push(engine_version(&engine.version));
            Some(engine)
        }
        Err(error) => {
            findings.push(failed(Code::Docker, "docker", &error));
            None
        }
    };
    findings.push(match Compose::find(stack.runner()) {
        Ok((compose, version)) => compose_version(compose, version.as_deref()),
        Err(error) => failed(Code::Compose, "docker compose", &error),
    });
    (engine, findings)
}

fn failed(code: Code, place: &str, error: &StackError) -> Finding {
    let mend = error
        .hint()
        .unwrap_or_else(|| "mend what it complains of".to_owned());
    Finding::wrong(code, place, error.to_string(), mend)
}

fn engine_version(said: &str) -> Finding {
    match Version::find(said) {
        Some(version) if version < OLDEST_DOCKER => Finding::wrong(
            Code::Docker,
            "docker",
            format!("the engine is {version}"),
            format!(
                "install Docker {}.{} or newer",
                OLDEST_DOCKER.major, OLDEST_DOCKER.minor
            ),
        ),
        _ => Finding::fine(Code::Docker, "docker", format!("the engine is {said}")),
    }
}

fn compose_version(compose: Compose, said: Option<&str>) -> Finding {
    let place = match compose {
        Compose::Plugin => "docker compose",
        Compose::Standalone => "docker-compose",
    };
    let seen = format!("version {}", said.unwrap_or("unknown"));
    match said.and_then(Version::find) {
        Some(version) if version < OLDEST_COMPOSE => {
            let mend = format!(
                "install {}.{} or newer, or the Compose plugin",
                OLDEST_COMPOSE.major, OLDEST_COMPOSE.minor
            );
            Finding::wrong(Code::Compose, place, seen, mend)
        }
        _ => Finding::fine(Code::Compose, place, seen),
    }
}

/// What the files come to, if Compose takes them. With variables or files
/// missing it would only say the same again.
pub(super) fn resolve(stack: &Stack, before: &[Finding]) -> (Option<Resolved>, Vec<Finding>) {
    let hides = [Code::VariableMissing, Code::ComposeFile, Code::Compose];
    let is_told = before
        .iter()
        .any(|finding| finding.level == Level::Wrong && hides.contains(&finding.code));
    if is_told {
        return (None, Vec::new());
    }
    let place = format!("{} files", stack.project().files.len());
    match stack.resolved() {
        Ok(resolved) => {
            let seen = format!("{} services", resolved.services.len());
            (
                Some(resolved),
                vec![Finding::fine(Code::ConfigInvalid, place, seen)],
            )
        }
        Err(error) => {
            let mend = error
                .hint()
                .unwrap_or_else(|| "mend the file that it names".to_owned());
            (
                None,
                vec![Finding::wrong(
                    Code::ConfigInvalid,
                    place,
                    error.to_string(),
                    mend,
                )],
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_tools_are_told() {
        assert_eq!(engine_version("19.03.15").level, Level::Wrong);
        assert_eq!(engine_version("20.10.24+dfsg1").level, Level::Fine);
        let old = compose_version(Compose::Standalone, Some("1.25.0"));
        assert_eq!(
            (old.level, old.place.as_str()),
            (Level::Wrong, "docker-compose")
        );
        assert_eq!(
            compose_version(Compose::Plugin, Some("2.26.1")).level,
            Level::Fine
        );
    }
}
