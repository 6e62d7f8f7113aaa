//! `rotate`: new passwords in the running servers and in the file of variables.
//!
//! A server checks a password when a client connects, so connections that are
//! open stay open. The new password is on the disk before a server hears of it:
//! whoever is killed in between finds it in the file beside and goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::accounts::{ACCOUNTS, Account, Server};
use crate::compose::docker;
use crate::container::Container;
use crate::envfile::EnvFile;
use crate::error::StackError;
use crate::lifecycle::wait_for;
use crate::secret::Secret;
use crate::stack::{Choice, Stack};
use crate::variables::Origin;

/// What the name of the file with passwords on their way ends with.
const PENDING: &str = ".rotating";

/// How long services may take to be well again with their new password.
const CLIENTS_LIMIT: Duration = Duration::from_secs(180);
/// How long a container may take to stop: the files give it 60 s at most.
const STOP_LIMIT: Duration = Duration::from_secs(90);

/// One password that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rotated {
    /// The service.
    pub service: &'static str,
    /// The user.
    pub user: String,
    /// The variable that holds the password.
    pub variable: &'static str,
}

/// What is to be changed.
#[derive(Clone, Debug, Default)]
pub struct RotatePlan {
    /// The variables; every password of the file of variables, if there are none.
    pub variables: Vec<String>,
}

/// What a plan comes to here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// What would be changed.
    pub changed: Vec<Rotated>,
    /// What stays as it is, since its service doesn't run.
    pub left: Vec<Rotated>,
}

/// The accounts that a plan means.
pub fn plan(stack: &Stack, plan: &RotatePlan) -> Result<Planned, StackError> {
    let containers = stack.containers()?;
    let (accounts, left) = chosen(stack, plan, &containers)?;
    let all = |accounts: &[Account]| accounts.iter().map(|one| rotated(stack, one)).collect();
    Ok(Planned {
        changed: all(&accounts),
        left: all(&left),
    })
}

fn rotated(stack: &Stack, account: &Account) -> Rotated {
    Rotated {
        service: account.server.service(),
        user: stack.user(account),
        variable: account.password_from,
    }
}

/// Changes the passwords, one after the other. `tell` hears of each.
pub fn rotate(
    stack: &mut Stack,
    choice: &Choice,
    wanted: &RotatePlan,
    mut tell: impl FnMut(&Rotated),
) -> Result<Vec<Rotated>, StackError> {
    let containers = stack.containers()?;
    let (accounts, _) = chosen(stack, wanted, &containers)?;
    let pending = pending_path(&stack.env_path);
    let mut on_the_way = EnvFile::read(&pending)?.unwrap_or_default();
    let unsettled = settle(stack, choice, &containers, &on_the_way)?;
    // Nothing is changed where a password at hand is wrong already. What only the
    // environment says is right once its container is made anew.
    for account in &accounts {
        let (password, container) = at_hand(stack, account, &containers)?;
        if !account.server.is_told() {
            knows(stack, account, &password, container)?;
        }
    }
    let mut done = Vec::new();
    let mut forget = Vec::new();
    for account in &accounts {
        let (old, container) = at_hand(stack, account, &containers)?;
        let new = Secret::generate()?;
        on_the_way.set(account.password_from, new.reveal());
        on_the_way.replace(&pending)?;
        if !account.server.is_told() {
            let change = stack.change_password(account, &new, container)?;
            stack.runner().ask(&change)?;
            knows(stack, account, &new, container)?;
        }
        adopt(stack, choice, account.password_from, &new)?;
        if account.server == Server::Redis {
            forget.push((*account, old, container.to_owned()));
        }
        let one = rotated(stack, account);
        tell(&one);
        done.push(one);
    }
    renew_clients(stack, &accounts, &containers)?;
    let containers = stack.containers()?;
    for account in &accounts {
        if account.server.is_told() {
            let (new, container) = at_hand(stack, account, &containers)?;
            knows(stack, account, &new, container)?;
        }
    }
    for (account, old, container) in forget {
        stack
            .runner()
            .ask(&stack.forget_password(&account, &old, &container))?;
        if stack.log_in(&account, &old, &container)?.is_ok() {
            return Err(StackError::wrong_state(
                format!(
                    "Redis goes on taking the old password of {}",
                    stack.user(&account)
                ),
                "the new one works too; run rotate again",
            ));
        }
    }
    let mut rest = EnvFile::default();
    for name in unsettled {
        rest.set(name, on_the_way.get(name).unwrap_or_default());
    }
    if rest != EnvFile::default() {
        rest.replace(&pending)?;
    } else if pending.exists() {
        fs::remove_file(&pending)
            .map_err(|source| StackError::file("can't remove", &pending, source))?;
    }
    Ok(done)
}

fn runs(account: &Account, containers: &[Container]) -> bool {
    let service = account.server.service();
    containers
        .iter()
        .any(|container| container.service == service && container.runs())
}

/// The accounts of the plan, and those whose service doesn't run: pages and the
/// monitoring needn't. A password that the file doesn't hold can't be changed in it.
fn chosen(
    stack: &Stack,
    wanted: &RotatePlan,
    containers: &[Container],
) -> Result<(Vec<Account>, Vec<Account>), StackError> {
    let is_in_file = |account: &Account| {
        let value = stack.values.get(account.password_from);
        value.is_some()
            && matches!(
                stack.values.origin(account.password_from),
                Some(Origin::File(_))
            )
    };
    if wanted.variables.is_empty() {
        let all: Vec<Account> = ACCOUNTS.into_iter().filter(is_in_file).collect();
        if all.is_empty() {
            return Err(StackError::usage(
                format!("{} holds no password of a server", stack.env_shown()),
                "make the file with `collective stack init`",
            ));
        }
        return Ok(all
            .into_iter()
            .partition(|account| account.server.is_core() || runs(account, containers)));
    }
    let named: Result<Vec<Account>, StackError> = wanted
        .variables
        .iter()
        .map(|name| {
            let known = || ACCOUNTS.iter().map(|account| account.password_from);
            let account = ACCOUNTS
                .into_iter()
                .find(|account| account.password_from == name);
            let account = account.ok_or_else(|| {
                let known: Vec<&str> = known().collect();
                StackError::usage(
                    format!("{name} is no password that can be changed"),
                    format!("known are {}", known.join(", ")),
                )
            })?;
            if is_in_file(&account) {
                return Ok(account);
            }
            Err(StackError::usage(
                format!("{name} isn't set in {}", stack.env_shown()),
                "set it there first, to what the server knows now",
            ))
        })
        .collect();
    Ok((named?, Vec::new()))
}

fn at_hand<'c>(
    stack: &Stack,
    account: &Account,
    containers: &'c [Container],
) -> Result<(Secret, &'c str), StackError> {
    let service = account.server.service();
    let container = containers
        .iter()
        .find(|container| container.service == service && container.runs())
        .ok_or_else(|| {
            StackError::wrong_state(
                format!("{service} doesn't run"),
                "start the stack: passwords are changed in the running servers",
            )
        })?;
    let password = stack.password(account).ok_or_else(|| {
        StackError::usage(
            format!("{} isn't set", account.password_from),
            "set it to what the server knows now",
        )
    })?;
    Ok((password, &container.name))
}

fn knows(
    stack: &Stack,
    account: &Account,
    password: &Secret,
    container: &str,
) -> Result<(), StackError> {
    stack.log_in(account, password, container)?.map_err(|why| {
        StackError::wrong_state(
            format!(
                "{} doesn't open the door of {}: {why}",
                account.password_from,
                stack.user(account)
            ),
            "put the one that it knows into the file of variables, or name only others; collective \
             stack verify tries every one; no other password was changed",
        )
    })
}

/// What an interrupted change left: each password is the new one or the old one,
/// which the server says. The answer is what can't be asked, since it doesn't run.
fn settle(
    stack: &mut Stack,
    choice: &Choice,
    containers: &[Container],
    on_the_way: &EnvFile,
) -> Result<Vec<&'static str>, StackError> {
    let mut unsettled = Vec::new();
    for account in &ACCOUNTS {
        // What only the environment says is what the file of variables says.
        if account.server.is_told() {
            continue;
        }
        let Some(new) = on_the_way.get(account.password_from).map(Secret::new) else {
            continue;
        };
        if !account.server.is_core() && !runs(account, containers) {
            unsettled.push(account.password_from);
            continue;
        }
        let (old, container) = at_hand(stack, account, containers)?;
        if old != new && stack.log_in(account, &new, container)?.is_ok() {
            adopt(stack, choice, account.password_from, &new)?;
        }
    }
    Ok(unsettled)
}

/// Writes a password into the file of variables, and reads it anew.
fn adopt(stack: &mut Stack, choice: &Choice, name: &str, new: &Secret) -> Result<(), StackError> {
    let mut file = EnvFile::read(&stack.env_path)?.unwrap_or_default();
    file.set(name, new.reveal());
    file.replace(&stack.env_path)?;
    stack.read_again(choice)
}

/// Services that were told a password when they started get the new one; who
/// keeps the account itself has it already.
fn renew_clients(
    stack: &Stack,
    accounts: &[Account],
    containers: &[Container],
) -> Result<(), StackError> {
    let resolved = stack.resolved()?;
    let mut told: Vec<&str> = Vec::new();
    for account in accounts {
        let Some(password) = stack.password(account) else {
            continue;
        };
        told.extend(
            resolved
                .told(password.reveal())
                .into_iter()
                .filter(|service| !is_server(service) && !account.server.is_kept_by(service)),
        );
    }
    told.sort_unstable();
    told.dedup();
    let mut single = Vec::new();
    let mut replicas = Vec::new();
    for service in told {
        let mut running: Vec<&Container> = containers
            .iter()
            .filter(|one| one.service == service && one.runs())
            .collect();
        // One that isn't well first: the others do its work meanwhile.
        running.sort_by_key(|one| one.is_good());
        match running.len() {
            0 => {}
            1 => single.push(service),
            _ => replicas.push((service, running)),
        }
    }
    if !single.is_empty() {
        let call = stack.compose()?.call(&stack.project());
        let call = call.args(["up", "--detach", "--no-deps"]);
        stack.runner().act(&call.args(single.iter().copied()))?;
        are_well(stack, &single)?;
    }
    for (service, running) in replicas {
        renew_replicas(stack, service, &running)?;
    }
    Ok(())
}

/// The servers whose passwords these are; Compose makes them anew at the next `up`.
fn is_server(service: &str) -> bool {
    [Server::Postgres, Server::Rabbitmq, Server::Redis]
        .iter()
        .any(|server| server.service() == service)
}

/// One replica after the other, so that others answer meanwhile. Compose would
/// make all anew at once: the container is taken away, and Compose makes the one
/// that is missing.
fn renew_replicas(stack: &Stack, service: &str, running: &[&Container]) -> Result<(), StackError> {
    let scale = format!("{service}={}", running.len());
    for replica in running {
        let name = replica.name.as_str();
        let stop = docker(["stop", name]).limit(STOP_LIMIT);
        stack.runner().change(&stop)?;
        stack.runner().change(&docker(["rm", "--volumes", name]))?;
        let call = stack.compose()?.call(&stack.project());
        let call = call.args(["up", "--detach", "--no-deps", "--no-recreate"]);
        let call = call.args(["--scale", &scale, service]);
        stack.runner().act(&call)?;
        are_well(stack, &[service])?;
    }
    Ok(())
}

/// Waits until the services are well, whatever others are.
fn are_well(stack: &Stack, services: &[&str]) -> Result<(), StackError> {
    let is_meant = |one: &Container| services.contains(&one.service.as_str());
    let after = wait_for(stack, CLIENTS_LIMIT, is_meant, |_| {})?;
    match after.iter().find(|one| !one.is_good()) {
        None => Ok(()),
        Some(bad) => Err(StackError::wrong_state(
            format!("{} isn't well with its new password", bad.name),
            format!(
                "collective stack logs {}; the passwords are changed",
                bad.service
            ),
        )),
    }
}

fn pending_path(env_path: &Path) -> PathBuf {
    let mut name = env_path.file_name().unwrap_or_default().to_owned();
    name.push(PENDING);
    env_path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_on_their_way_lie_beside_the_file() {
        assert_eq!(
            pending_path(Path::new("/p/.env")),
            Path::new("/p/.env.rotating")
        );
    }
}
