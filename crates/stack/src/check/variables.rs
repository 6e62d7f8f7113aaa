//! The variables: set where they must be, strong where they are secret.

use std::collections::{BTreeMap, BTreeSet};

use crate::compose::shown;
use crate::envfile::EnvFile;
use crate::finding::{Finding, FindingCode as Code};
use crate::secret::{is_secret, weakness};
use crate::stack::Stack;
use crate::variables::{Origin, Use};

/// Looks at each variable that the compose files name, once.
pub(super) fn look(stack: &Stack) -> Vec<Finding> {
    let known = known_secrets(stack);
    let mut names: BTreeMap<&str, Vec<&Use>> = BTreeMap::new();
    for found in &stack.uses {
        names.entry(&found.name).or_default().push(found);
    }
    let mut findings: Vec<Finding> = names
        .iter()
        .filter_map(|(name, uses)| one(stack, name, uses, &known))
        .collect();
    if findings.is_empty() && !names.is_empty() {
        let seen = format!("{} variables, none missing, no secret weak", names.len());
        findings.push(Finding::fine(
            Code::VariableMissing,
            stack.env_shown(),
            seen,
        ));
    }
    findings
}

fn one(stack: &Stack, name: &str, uses: &[&Use], known: &BTreeSet<String>) -> Option<Finding> {
    match stack.values.get(name) {
        None => missing(stack, name, uses),
        Some(value) if is_secret(name) => {
            let why = weakness(value, known)?;
            Some(weak(stack, name, place_of(stack, name), &why))
        }
        Some(_) => None,
    }
}

fn missing(stack: &Stack, name: &str, uses: &[&Use]) -> Option<Finding> {
    let first = uses
        .iter()
        .find(|found| found.is_required)
        .or(uses.first())?;
    let place = format!("{}:{}", shown(&first.file), first.line);
    if first.is_required {
        let mend = if is_secret(name) {
            format!(
                "add {name}=… to {}; `openssl rand -hex 24` makes a secret",
                stack.env_shown()
            )
        } else {
            format!("add {name}=… to {}", stack.env_shown())
        };
        return Some(Finding::wrong(
            Code::VariableMissing,
            place,
            format!("{name} isn't set"),
            mend,
        ));
    }
    let default = uses.iter().find_map(|found| found.default.as_deref());
    match default {
        // What nobody set comes from the file that everybody can read.
        Some(default) if is_secret(name) && !default.is_empty() => Some(weak(
            stack,
            name,
            place,
            "it is the default that everybody knows",
        )),
        Some(_) => None,
        None => {
            let seen = format!("{name} isn't set and counts as empty");
            let mend = format!("add {name}=… to {}", stack.env_shown());
            Some(Finding::notice(Code::VariableMissing, place, seen, mend))
        }
    }
}

fn weak(stack: &Stack, name: &str, place: String, why: &str) -> Finding {
    let make = if stack.environment.is_serious() {
        Finding::wrong
    } else {
        Finding::notice
    };
    let mend = "before the first start: put the output of `openssl rand -hex 24` in its place; \
                later the running servers have to be told too";
    make(
        Code::VariableWeak,
        place,
        format!("{name} is weak: {why}"),
        mend,
    )
}

fn place_of(stack: &Stack, name: &str) -> String {
    match stack.values.origin(name) {
        Some(Origin::File(line)) => format!("{}:{line}", stack.env_shown()),
        Some(Origin::Environment) => format!("{name} in the environment"),
        None => name.to_owned(),
    }
}

/// Secrets that everybody knows: the template's, and the defaults of the files.
fn known_secrets(stack: &Stack) -> BTreeSet<String> {
    let template = EnvFile::read(&stack.place.env_template())
        .ok()
        .flatten()
        .unwrap_or_default();
    let of_template = template
        .pairs()
        .filter(|(_, name, _)| is_secret(name))
        .map(|(_, _, value)| value.to_owned());
    let of_files = stack
        .uses
        .iter()
        .filter(|found| is_secret(&found.name))
        .filter_map(|found| found.default.clone());
    of_template
        .chain(of_files)
        .filter(|value| !value.is_empty())
        .collect()
}
