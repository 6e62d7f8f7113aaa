//! `doctor`: the five troubles of the document, each found by looking.
//!
//! - a port is in use
//! - a container exits immediately, or couldn't be started at all
//! - the database can't be connected to
//! - RabbitMQ's management page isn't there
//! - memory runs out
//!
//! and, before them, a restore that is unfinished. With the database the passwords
//! of all three servers are tried.

use serde::Deserialize;

use crate::accounts::{ACCOUNTS, Server};
use crate::backup::restore;
use crate::check;
use crate::compose::{Engine, docker, exec};
use crate::container::{Container, Health};
use crate::error::StackError;
use crate::finding::{Finding, FindingCode as Code};
use crate::stack::Stack;

/// How much of its limit a container may hold before it is told.
const FULL_PERCENT: f64 = 90.0;
/// Last lines of a container that a finding repeats.
const LAST_LINES: &str = "3";
/// Exit code of a process that was killed, which is how lack of memory looks.
const KILLED: i64 = 137;
/// Where RabbitMQ's management page listens.
const MANAGEMENT_PORT: &str = "15672";

/// Looks.
pub fn look(stack: &Stack) -> Vec<Finding> {
    if let Err(error) = Engine::ask(stack.runner()) {
        let mend = error
            .hint()
            .unwrap_or_else(|| "start the Docker engine".to_owned());
        return vec![Finding::wrong(
            Code::Docker,
            "docker",
            error.to_string(),
            mend,
        )];
    }
    let containers = match stack.containers() {
        Ok(containers) => containers,
        Err(error) => return vec![failed(Code::Docker, "containers", &error)],
    };
    let mut findings: Vec<Finding> = restore::unfinished_finding(stack).into_iter().collect();
    findings.extend(ports(stack, &containers));
    findings.extend(exits(stack, &containers));
    findings.extend(database(stack, &containers));
    findings.extend(logins(stack, &containers, Server::Rabbitmq));
    findings.extend(management(stack, &containers));
    findings.extend(logins(stack, &containers, Server::Redis));
    findings.extend(memory(stack, &containers));
    findings
}

fn failed(code: Code, place: &str, error: &StackError) -> Finding {
    let mend = error
        .hint()
        .unwrap_or_else(|| "mend what it complains of".to_owned());
    Finding::wrong(code, place, error.to_string(), mend)
}

/// Ports that are taken now, and ports that kept a container from starting.
fn ports(stack: &Stack, containers: &[Container]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = containers
        .iter()
        .filter(|container| !container.runs() && is_port(container))
        .map(|container| {
            let mend = "stop what has the port, or take another one, then `collective stack up`";
            Finding::wrong(Code::PortTaken, &container.name, &container.error, mend)
        })
        .collect();
    match stack.resolved() {
        Ok(resolved) => {
            findings.extend(check::ports(stack, &resolved, containers));
            let missing: Vec<&str> = resolved
                .services
                .keys()
                .filter(|service| !containers.iter().any(|one| one.service == **service))
                .map(String::as_str)
                .collect();
            if !containers.is_empty() && !missing.is_empty() {
                findings.push(Finding::notice(
                    Code::ContainerMissing,
                    missing.join(", "),
                    "no container",
                    format!("collective stack up {}", missing.join(" ")),
                ));
            }
        }
        Err(error) => findings.push(failed(Code::ConfigInvalid, "compose files", &error)),
    }
    findings
}

fn is_port(container: &Container) -> bool {
    container.error.contains("port is already allocated")
        || container.error.contains("address already in use")
}

/// Containers that ended, that come and go, that run and aren't well.
fn exits(stack: &Stack, containers: &[Container]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = containers
        .iter()
        .filter_map(|container| {
            if container.state == "created" && is_port(container) {
                // Told with the ports.
                None
            } else if container.state == "created" && !container.error.is_empty() {
                let mend = format!(
                    "mend what the engine says, then `collective stack up {}`",
                    container.service
                );
                Some(Finding::wrong(
                    Code::ContainerExits,
                    &container.name,
                    format!("it couldn't be started: {}", container.error),
                    mend,
                ))
            } else if container.has_failed() || container.state == "restarting" {
                Some(exit(stack, container))
            } else if container.runs() && container.health == Health::Unhealthy {
                let said = container
                    .complaint
                    .as_deref()
                    .unwrap_or("its health check fails");
                let mend = format!("collective stack logs {} --tail 50", container.service);
                Some(Finding::wrong(
                    Code::ContainerUnhealthy,
                    &container.name,
                    said,
                    mend,
                ))
            } else {
                None
            }
        })
        .collect();
    if containers.is_empty() {
        let mend = "start it with `collective stack up`";
        findings.push(Finding::notice(
            Code::ContainerMissing,
            "stack",
            "it has no containers",
            mend,
        ));
    } else if findings.is_empty() {
        let seen = format!("{} containers, none has failed", containers.len());
        findings.push(Finding::fine(Code::ContainerExits, "containers", seen));
    }
    findings
}

fn exit(stack: &Stack, container: &Container) -> Finding {
    let code = container.exit_code.unwrap_or_default();
    let logs = docker(["logs", "--tail", LAST_LINES, &container.name]);
    let said = stack
        .runner()
        .look(&logs)
        .map(|ran| ran.said())
        .unwrap_or_default();
    let why = if container.out_of_memory {
        "out of memory".to_owned()
    } else {
        reason(code).map_or_else(
            || format!("exit code {code}"),
            |reason| format!("exit code {code}: {reason}"),
        )
    };
    let restarts = match container.restarts {
        0 => String::new(),
        count => format!(", started again {count} times"),
    };
    let mend = format!(
        "mend what it says, then `collective stack up {}`",
        container.service
    );
    let seen = format!("{}, {why}{restarts}; it says: {said}", container.state);
    Finding::wrong(Code::ContainerExits, &container.name, seen, mend)
}

/// What an exit code says by itself.
const fn reason(code: i64) -> Option<&'static str> {
    match code {
        126 => Some("its program can't be run: look at the mode of mounted scripts"),
        127 => Some("its program isn't in the image"),
        KILLED => Some("it was killed, by the kernel for lack of memory or by hand"),
        143 => Some("it was asked to stop"),
        _ => None,
    }
}

/// PostgreSQL takes connections, and the passwords at hand are the ones it knows.
fn database(stack: &Stack, containers: &[Container]) -> Vec<Finding> {
    let Some(container) = running(containers, Server::Postgres.service()) else {
        return Vec::new();
    };
    let ready = exec(container, None, ["pg_isready", "-h", "127.0.0.1"]);
    match stack.runner().look(&ready) {
        Ok(ran) if ran.is_good() => {}
        Ok(ran) => {
            let mend = "wait while it starts or recovers; collective stack logs postgres --tail 50";
            return vec![Finding::wrong(
                Code::DatabaseAway,
                container,
                ran.said(),
                mend,
            )];
        }
        Err(error) => return vec![failed(Code::DatabaseAway, container, &error)],
    }
    let findings = closed_doors(stack, container, Server::Postgres);
    if findings.is_empty() {
        let seen = "it takes connections, and the passwords are right";
        return vec![Finding::fine(Code::DatabaseAway, container, seen)];
    }
    findings
}

/// The passwords at hand are the ones that the server knows.
fn logins(stack: &Stack, containers: &[Container], server: Server) -> Vec<Finding> {
    let Some(container) = running(containers, server.service()) else {
        return Vec::new();
    };
    let findings = closed_doors(stack, container, server);
    if findings.is_empty() {
        let seen = "the passwords are right";
        return vec![Finding::fine(Code::Login, container, seen)];
    }
    findings
}

/// The accounts of a server whose password at hand doesn't open it.
fn closed_doors(stack: &Stack, container: &str, server: Server) -> Vec<Finding> {
    let mut findings = Vec::new();
    for account in ACCOUNTS.iter().filter(|account| account.server == server) {
        let Some(password) = stack.password(account) else {
            continue;
        };
        let user = stack.user(account);
        match stack.log_in(account, &password, container) {
            Ok(Ok(())) => {}
            Ok(Err(why)) => findings.push(Finding::wrong(
                Code::Login,
                format!("{user} ({})", account.password_from),
                why,
                mend_login(stack, container, server, &user),
            )),
            Err(error) => findings.push(failed(Code::Login, &user, &error)),
        }
    }
    findings
}

/// How server and file come to the same password. RabbitMQ and Redis take a changed
/// environment when they start; PostgreSQL's first start decides for its volume.
fn mend_login(stack: &Stack, container: &str, server: Server, user: &str) -> String {
    let file = stack.env_shown();
    match server {
        Server::Postgres => format!(
            "a volume keeps the passwords of its first start: put that one into {file}, or give \
             the role this one: docker exec -it {container} psql -U {} -d {} -c \
             '\\password {user}'",
            stack.user(&ACCOUNTS[0]),
            stack.database(),
        ),
        _ => format!(
            "put the password that it knows into {file}, or give it the one of the file by a \
             restart: collective stack up {}",
            server.service()
        ),
    }
}

/// RabbitMQ's management plugin is on, and its page listens.
fn management(stack: &Stack, containers: &[Container]) -> Vec<Finding> {
    const PLUGIN: &str = "rabbitmq_management";
    let Some(container) = running(containers, Server::Rabbitmq.service()) else {
        return Vec::new();
    };
    let look = |words: &[&str]| {
        stack
            .runner()
            .look(&exec(container, None, words.iter().copied()))
    };
    let is_on = look(&["rabbitmq-plugins", "--quiet", "is_enabled", PLUGIN]);
    let listens = look(&[
        "rabbitmq-diagnostics",
        "--quiet",
        "check_port_listener",
        MANAGEMENT_PORT,
    ]);
    let finding = match (is_on, listens) {
        (Err(error), _) | (_, Err(error)) => failed(Code::ManagementUi, container, &error),
        (Ok(on), _) if !on.is_good() => Finding::wrong(
            Code::ManagementUi,
            container,
            format!("the plugin {PLUGIN} is off"),
            format!(
                "docker exec {container} rabbitmq-plugins enable {PLUGIN}; add it to enabled_plugins so that it stays"
            ),
        ),
        (_, Ok(listens)) if !listens.is_good() => Finding::wrong(
            Code::ManagementUi,
            container,
            format!("nothing listens on port {MANAGEMENT_PORT} inside of the container"),
            format!("collective stack logs rabbitmq --tail 50; then docker restart {container}"),
        ),
        _ => match published(stack, container) {
            Some(at) => Finding::fine(
                Code::ManagementUi,
                container,
                format!("it listens; from here at http://{at}"),
            ),
            None => Finding::notice(
                Code::ManagementUi,
                container,
                "it listens inside, and the port isn't published",
                "in production that is meant: reach it by the proxy, or by a tunnel to the container",
            ),
        },
    };
    vec![finding]
}

/// Where the management page is on this machine.
fn published(stack: &Stack, container: &str) -> Option<String> {
    let ran = stack
        .runner()
        .look(&docker(["port", container, MANAGEMENT_PORT]))
        .ok()?;
    let at = ran.stdout.lines().next()?.trim();
    (ran.is_good() && !at.is_empty()).then(|| at.to_owned())
}

/// Containers that the kernel ended, and those that are close to their limit.
fn memory(stack: &Stack, containers: &[Container]) -> Vec<Finding> {
    const MEND: &str =
        "raise its limit in the override, give the engine more memory, or give it less to do";
    let mut findings: Vec<Finding> = containers
        .iter()
        .filter(|container| container.out_of_memory)
        .map(|container| {
            let seen = "the kernel ended it for lack of memory";
            Finding::wrong(Code::OutOfMemory, &container.name, seen, MEND)
        })
        .collect();
    let names: Vec<&str> = containers
        .iter()
        .filter(|container| container.runs())
        .map(|container| container.name.as_str())
        .collect();
    if names.is_empty() {
        return findings;
    }
    let call = docker(["stats", "--no-stream", "--format", "{{json .}}"]).args(names);
    match stack.runner().ask(&call) {
        Ok(answer) => findings.extend(
            answer
                .lines()
                .filter_map(close_to_limit)
                .map(|(name, seen)| Finding::notice(Code::OutOfMemory, name, seen, MEND)),
        ),
        Err(error) => findings.push(failed(Code::OutOfMemory, "docker stats", &error)),
    }
    if findings.is_empty() {
        let seen =
            format!("no container was ended for it, none is over {FULL_PERCENT} % of its limit");
        findings.push(Finding::fine(Code::OutOfMemory, "memory", seen));
    }
    findings
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stats {
    name: String,
    mem_perc: String,
    mem_usage: String,
}

/// The container and what it holds, if that is close to its limit.
fn close_to_limit(line: &str) -> Option<(String, String)> {
    let stats: Stats = serde_json::from_str(line).ok()?;
    let percent: f64 = stats.mem_perc.trim_end_matches('%').parse().ok()?;
    (percent >= FULL_PERCENT).then(|| {
        let seen = format!("it holds {} ({})", stats.mem_usage, stats.mem_perc);
        (stats.name, seen)
    })
}

fn running<'c>(containers: &'c [Container], service: &str) -> Option<&'c str> {
    containers
        .iter()
        .find(|container| container.service == service && container.runs())
        .map(|container| container.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_close_to_its_limit_is_told() {
        let line = r#"{"Name":"agent_redis","MemPerc":"95.20%","MemUsage":"95MiB / 100MiB"}"#;
        let (name, seen) = close_to_limit(line).unwrap();
        assert_eq!(name, "agent_redis");
        assert!(seen.contains("95MiB / 100MiB"), "{seen}");
        let line = r#"{"Name":"agent_redis","MemPerc":"12.00%","MemUsage":"12MiB / 100MiB"}"#;
        assert_eq!(close_to_limit(line), None);
    }
}
