//! The machine: memory, disk, the kernel's limits, ports.

use crate::compose::Engine;
use crate::config::Resolved;
use crate::finding::{Finding, FindingCode as Code};
use crate::listener;
use crate::machine::{self, MIN_MAP_COUNT, size};
use crate::place::Environment;
use crate::stack::Stack;

/// Memory, disk, limits. A stack that `runs` has taken its part already.
pub(super) fn look(stack: &Stack, engine: Option<&Engine>, runs: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(engine) = engine {
        findings.push(memory(stack, engine, runs));
        findings.extend(disk(stack, engine, runs));
    }
    findings.extend(open_files(stack));
    if stack.monitoring {
        findings.extend(machine::map_count().map(map_count));
    }
    findings
}

fn memory(stack: &Stack, engine: &Engine, runs: bool) -> Finding {
    let needed = machine::needs(stack.environment, stack.monitoring).memory;
    let free = machine::available_memory().filter(|_| !runs);
    judge_memory(stack.environment, needed, engine.memory, free)
}

/// What the engine has, and what is free of it: `None` if that can't be seen, or
/// the stack has taken its part already. Developers can close what else they run;
/// production that is started without its memory is ended by the kernel later.
fn judge_memory(environment: Environment, needed: u64, has: u64, free: Option<u64>) -> Finding {
    const MEND: &str = "give the engine more memory, end what else takes it, take a smaller \
                        environment, or lower the limits in the override";
    let told = |what: String| format!("{what}, {environment} needs {}", size(needed));
    let engine = told(format!("the engine has {}", size(has)));
    match free {
        _ if has < needed => Finding::wrong(Code::Memory, "memory", engine, MEND),
        Some(free) if free < needed => {
            let make = if environment.is_serious() {
                Finding::wrong
            } else {
                Finding::notice
            };
            let seen = told(format!("{} are free", size(free)));
            make(Code::Memory, "memory", seen, MEND)
        }
        _ => Finding::fine(Code::Memory, "memory", engine),
    }
}

fn disk(stack: &Stack, engine: &Engine, runs: bool) -> Option<Finding> {
    // Where the engine is another machine, its disk can't be seen from here.
    let free = machine::free_disk(&engine.folder)?;
    let needed = machine::needs(stack.environment, stack.monitoring).disk;
    let place = engine.folder.display().to_string();
    let seen = format!("{} are free", size(free));
    if free >= needed {
        return Some(Finding::fine(Code::Disk, place, seen));
    }
    let seen = format!("{seen}, {} needs {}", stack.environment, size(needed));
    let mend = "make room: `docker system df` shows what takes it";
    let make = if runs {
        Finding::notice
    } else {
        Finding::wrong
    };
    Some(make(Code::Disk, place, seen, mend.to_owned()))
}

/// The variable of how many files a service may open.
const OPEN_FILES: &str = "NOFILE_LIMIT";

fn open_files(stack: &Stack) -> Option<Finding> {
    let wanted: u64 = stack.value(OPEN_FILES)?.parse().ok()?;
    let limit = machine::engine_open_files()?;
    if limit >= wanted {
        return Some(Finding::fine(
            Code::OpenFiles,
            OPEN_FILES,
            wanted.to_string(),
        ));
    }
    Some(Finding::wrong(
        Code::OpenFiles,
        OPEN_FILES,
        format!("services want {wanted}, and the engine itself may open {limit}"),
        format!(
            "set {OPEN_FILES}={limit} in {}, or raise the engine's own limit",
            stack.env_shown()
        ),
    ))
}

fn map_count(count: u64) -> Finding {
    let place = "vm.max_map_count";
    if count >= MIN_MAP_COUNT {
        return Finding::fine(Code::MapCount, place, count.to_string());
    }
    let mend = format!(
        "sysctl -w vm.max_map_count={MIN_MAP_COUNT}, and the same in /etc/sysctl.d/ so that it stays"
    );
    Finding::wrong(
        Code::MapCount,
        place,
        format!("{count}: Elasticsearch doesn't start below {MIN_MAP_COUNT}"),
        mend,
    )
}

/// The ports that the stack wants; `own` services run and hold theirs.
pub(super) fn ports(stack: &Stack, resolved: &Resolved, own: &[&str]) -> Vec<Finding> {
    let wanted = resolved.published();
    let mut findings = Vec::new();
    for port in &wanted {
        if own.contains(&port.service.as_str()) || !listener::is_taken(port.ip, port.port) {
            continue;
        }
        let holder = match listener::holder(port.port) {
            Some(holder) if !holder.starts_with("docker-proxy") => holder,
            of_engine => container_on(stack, port.port)
                .map(|name| format!("the container {name}"))
                .or(of_engine)
                .unwrap_or_else(|| "something that this user can't see".to_owned()),
        };
        let place = listener::shown(port.ip, port.port);
        let seen = format!("{} wants it, and {holder} has it", port.service);
        let mend = format!(
            "stop that, or take another port: {}",
            variable_for(stack, port.port).map_or_else(
                || "in the override".to_owned(),
                |name| format!("{name}=… in {}", stack.env_shown())
            )
        );
        findings.push(Finding::wrong(Code::PortTaken, place, seen, mend));
    }
    if findings.is_empty() {
        let place = format!("{} ports", wanted.len());
        findings.push(Finding::fine(Code::PortTaken, place, "free or ours"));
    }
    findings
}

/// The container that publishes the port.
fn container_on(stack: &Stack, port: u16) -> Option<String> {
    let filter = format!("publish={port}");
    let call = crate::compose::docker(["ps", "--filter", &filter, "--format", "{{.Names}}"]);
    let answer = stack.runner().ask(&call).ok()?;
    answer.lines().next().map(str::to_owned)
}

/// The variable that the port comes from.
fn variable_for(stack: &Stack, port: u16) -> Option<&str> {
    let text = port.to_string();
    stack
        .uses
        .iter()
        .filter(|found| found.name.ends_with("_PORT"))
        .find(|found| {
            let value = stack.values.get(&found.name).or(found.default.as_deref());
            value == Some(text.as_str())
        })
        .map(|found| found.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Level;

    #[test]
    fn free_memory_that_is_too_little_is_wrong_where_it_is_serious() {
        const GIB: u64 = 1 << 30;
        for (environment, has, free, expected) in [
            (Environment::Production, 64, Some(11), Level::Wrong),
            (Environment::Staging, 64, Some(11), Level::Wrong),
            (Environment::Dev, 64, Some(11), Level::Notice),
            (Environment::Dev, 11, Some(64), Level::Wrong),
            (Environment::Production, 64, Some(12), Level::Fine),
            // It runs, or the engine is another machine.
            (Environment::Production, 64, None, Level::Fine),
        ] {
            let found = judge_memory(
                environment,
                12 * GIB,
                has * GIB,
                free.map(|free| free * GIB),
            );
            assert_eq!(found.level, expected, "{environment}: {found:?}");
            assert!(found.seen.ends_with("needs 12 GiB"), "{found:?}");
        }
    }
}
