//! `check`: everything that can be known before the stack is started.
//!
//! It only looks. Each finding stands for itself, so that one that can't be
//! made doesn't hide the others.

mod certificates;
mod files;
mod host;
mod secrets;
mod tools;
mod variables;
mod volumes;

use crate::backup::restore;
use crate::config::Resolved;
use crate::container::Container;
use crate::finding::Finding;
use crate::stack::Stack;

/// Looks.
pub fn look(stack: &Stack) -> Vec<Finding> {
    let mut findings = files::look(stack);
    findings.extend(secrets::look(stack));
    findings.extend(restore::unfinished_finding(stack));
    findings.extend(variables::look(stack));
    findings.extend(certificates::look(stack));
    let (engine, of_tools) = tools::look(stack);
    findings.extend(of_tools);
    let containers = match engine {
        Some(_) => stack.containers().unwrap_or_default(),
        None => Vec::new(),
    };
    findings.extend(files::order(stack, &containers));
    findings.extend(files::unsaid(stack, &containers));
    let runs = containers.iter().any(Container::runs);
    findings.extend(host::look(stack, engine.as_ref(), runs));
    let (resolved, of_config) = tools::resolve(stack, &findings);
    findings.extend(of_config);
    if let Some(resolved) = resolved {
        findings.extend(ports(stack, &resolved, &containers));
        if engine.is_some() {
            findings.extend(volumes::look(stack, &resolved));
        }
    }
    findings
}

/// The ports that the stack wants; those of its own containers are theirs.
pub(crate) fn ports(stack: &Stack, resolved: &Resolved, containers: &[Container]) -> Vec<Finding> {
    host::ports(stack, resolved, &own_services(containers))
}

/// The services of this stack that run: their ports are theirs.
fn own_services(containers: &[Container]) -> Vec<&str> {
    containers
        .iter()
        .filter(|container| container.runs())
        .map(|container| container.service.as_str())
        .collect()
}
