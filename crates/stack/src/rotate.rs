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

/// The accounts that a plan means, with the password that each has now.
pub fn plan(stack: &Stack, plan: &RotatePlan) -> Result<Vec<Rotated>, StackError> {
    let accounts = chosen(stack, plan)?;
    Ok(accounts
        .iter()
        .map(|account| rotated(stack, account))
        .collect())
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
    let accounts = chosen(stack, wanted)?;
    let containers = stack.containers()?;
    let pending = pending_path(&stack.env_path);
    let mut on_the_way = EnvFile::read(&pending)?.unwrap_or_default();
    settle(stack, choice, &containers, &on_the_way)?;
    // Nothing is changed where a password at hand is wrong already.
    for account in &accounts {
        let (password, container) = at_hand(stack, account, &containers)?;
        knows(stack, account, &password, container)?;
    }
    let mut done = Vec::new();
    let mut forget = Vec::new();
    for account in &accounts {
        let (old, container) = at_hand(stack, account, &containers)?;
        let new = Secret::generate()?;
        on_the_way.set(account.password_from, new.reveal());
        on_the_way.replace(&pending)?;
        stack
            .runner()
            .ask(&stack.change_password(account, &new, container))?;
        knows(stack, account, &new, container)?;
        adopt(stack, choice, account.password_from, &new)?;
        if account.server == Server::Redis {
            forget.push((*account, old, container.to_owned()));
        }
        let one = rotated(stack, account);
        tell(&one);
        done.push(one);
    }
    renew_clients(stack, &accounts, &containers)?;
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
    if pending.exists() {
        fs::remove_file(&pending)
            .map_err(|source| StackError::file("can't remove", &pending, source))?;
    }
    Ok(done)
}

/// The accounts of the plan. A password that the file doesn't hold can't be
/// changed in it.
fn chosen(stack: &Stack, wanted: &RotatePlan) -> Result<Vec<Account>, StackError> {
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
        return Ok(all);
    }
    wanted
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
        .collect()
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
            "collective stack doctor says how to mend that; no other password was changed",
        )
    })
}

/// What an interrupted change left: each password is the new one or the old one,
/// which the server says.
fn settle(
    stack: &mut Stack,
    choice: &Choice,
    containers: &[Container],
    on_the_way: &EnvFile,
) -> Result<(), StackError> {
    for account in &ACCOUNTS {
        let Some(new) = on_the_way.get(account.password_from).map(Secret::new) else {
            continue;
        };
        let (old, container) = at_hand(stack, account, containers)?;
        if old != new && stack.log_in(account, &new, container)?.is_ok() {
            adopt(stack, choice, account.password_from, &new)?;
        }
    }
    Ok(())
}

/// Writes a password into the file of variables, and reads it anew.
fn adopt(stack: &mut Stack, choice: &Choice, name: &str, new: &Secret) -> Result<(), StackError> {
    let mut file = EnvFile::read(&stack.env_path)?.unwrap_or_default();
    file.set(name, new.reveal());
    file.replace(&stack.env_path)?;
    stack.read_again(choice)
}

/// Services that were told a password when they started get the new one; the
/// three servers themselves have it already.
fn renew_clients(
    stack: &Stack,
    accounts: &[Account],
    containers: &[Container],
) -> Result<(), StackError> {
    let resolved = stack.resolved()?;
    let servers = [Server::Postgres, Server::Rabbitmq, Server::Redis].map(Server::service);
    let mut clients: Vec<&str> = accounts
        .iter()
        .filter_map(|account| stack.password(account))
        .flat_map(|password| resolved.told(password.reveal()))
        .filter(|service| !servers.contains(service))
        .filter(|service| {
            containers
                .iter()
                .any(|one| one.service == *service && one.runs())
        })
        .collect();
    clients.sort_unstable();
    clients.dedup();
    if clients.is_empty() {
        return Ok(());
    }
    let call = stack.compose()?.call(&stack.project());
    let call = call.args(["up", "--detach", "--no-deps"]);
    stack.runner().act(&call.args(clients.iter().copied()))?;
    let is_client = |one: &Container| clients.contains(&one.service.as_str());
    let after = wait_for(stack, CLIENTS_LIMIT, is_client, |_| {})?;
    let mut bad = after.iter().filter(|one| !one.is_good());
    match bad.next() {
        None => Ok(()),
        Some(one) => Err(StackError::wrong_state(
            format!("{} isn't well with its new password", one.name),
            format!(
                "collective stack logs {}; the passwords are changed",
                one.service
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
