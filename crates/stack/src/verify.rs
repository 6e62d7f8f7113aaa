//! `verify`: after a deploy, the proof that the stack does its work.
//!
//! Each line passes, fails, or is skipped with the reason. Nothing that only
//! looks healthy counts: passwords are used, rules are asked for, a task is done.

mod trail;

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::accounts::ACCOUNTS;
use crate::compose::exec;
use crate::container::Container;
use crate::error::StackError;
use crate::stack::Stack;

use trail::Trail;

/// How long the task may take, from being added to being done.
const TASK_LIMIT: &str = "60s";
/// The same for the call around it.
const TASK_CALL_LIMIT: Duration = Duration::from_secs(90);
/// How long Prometheus may take until it knows anything of itself: it asks every
/// 15 s, and what has changed since takes two answers.
const SCRAPED_TWICE: Duration = Duration::from_secs(45);
/// How often it is looked for.
const GLANCE: Duration = Duration::from_secs(1);
/// What the task is told, and what has to come back.
const PROMPT: &str = "the stack carries tasks";
/// What a worker runs if nobody named an agent: it answers with what it is told.
const ECHO: &str = "cat";

/// How a line of the proof came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is so.
    Passed,
    /// It is not.
    Failed,
    /// It can't be so here.
    Skipped,
}

/// One line of the proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// What was looked at.
    pub what: String,
    /// How it came out.
    pub outcome: Outcome,
    /// What was seen, or why it was skipped.
    pub seen: String,
}

fn proof(what: impl Into<String>, outcome: Outcome, seen: impl Into<String>) -> Proof {
    Proof {
        what: what.into(),
        outcome,
        seen: seen.into(),
    }
}

/// An answer, or what kept it from coming, as a line.
fn of(what: impl Into<String>, answer: Result<(Outcome, String), StackError>) -> Proof {
    match answer {
        Ok((outcome, seen)) => proof(what, outcome, seen),
        Err(error) => proof(what, Outcome::Failed, error.to_string()),
    }
}

/// Looks at everything, one line after the other; `tell` hears of each.
pub fn verify(stack: &Stack, mut tell: impl FnMut(&Proof)) -> Result<Vec<Proof>, StackError> {
    let containers = stack.containers()?;
    let mut proofs: Vec<Proof> = Vec::new();
    let mut add = |new: Vec<Proof>| {
        new.iter().for_each(&mut tell);
        proofs.extend(new);
    };
    add(vec![of("containers", all_well(stack, &containers))]);
    for account in &ACCOUNTS {
        stack.runner().go_on()?;
        add(login(stack, account, &containers).into_iter().collect());
    }
    add(vec![of("topology", topology(stack, &containers))]);
    add(vec![of("migrations", migrations(stack, &containers))]);
    add(vec![of("scrape targets", targets(stack, &containers))]);
    add(vec![of("rules", rules(stack, &containers))]);
    stack.runner().go_on()?;
    let trail = Trail::new()?;
    add(vec![of("task", task(stack, &containers, &trail))]);
    // Without a task the trail is that of a request that only looks.
    if proofs
        .last()
        .is_some_and(|proof| proof.outcome == Outcome::Skipped)
    {
        trail.leave(stack, &containers)?;
    }
    let mut add = |new: Proof| {
        tell(&new);
        proofs.push(new);
    };
    add(of("log line", trail.line(stack, &containers)));
    add(of("trace", trail.spans(stack, &containers)));
    Ok(proofs)
}

fn running<'c>(containers: &'c [Container], service: &str) -> Option<&'c str> {
    containers
        .iter()
        .find(|container| container.service == service && container.runs())
        .map(|container| container.name.as_str())
}

fn away(service: &str) -> (Outcome, String) {
    (Outcome::Failed, format!("{service} doesn't run"))
}

fn all_well(stack: &Stack, containers: &[Container]) -> Result<(Outcome, String), StackError> {
    let services = stack.resolved()?.services;
    let missing: Vec<&str> = services
        .keys()
        .filter(|service| !containers.iter().any(|one| one.service == **service))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        return Ok((
            Outcome::Failed,
            format!("no container of {}", missing.join(", ")),
        ));
    }
    let bad: Vec<String> = containers
        .iter()
        .filter(|container| !container.is_good())
        .map(|container| format!("{} is {}", container.name, container.state_in_words()))
        .collect();
    Ok(if bad.is_empty() {
        (Outcome::Passed, format!("{} are well", containers.len()))
    } else {
        (Outcome::Failed, bad.join(", "))
    })
}

/// A login with the password at hand, if the account has one.
fn login(
    stack: &Stack,
    account: &crate::accounts::Account,
    containers: &[Container],
) -> Option<Proof> {
    let service = account.server.service();
    // Not every form of the stack has the pages and the monitoring.
    if !account.server.is_core() && !containers.iter().any(|one| one.service == service) {
        return None;
    }
    let what = format!("login {service} {}", stack.user(account));
    let Some(password) = stack.password(account) else {
        let why = format!(
            "{} isn't set: nobody can log in with it",
            account.password_from
        );
        return Some(proof(what, Outcome::Skipped, why));
    };
    let Some(container) = running(containers, service) else {
        let (outcome, seen) = away(service);
        return Some(proof(what, outcome, seen));
    };
    let answer = stack.log_in(account, &password, container);
    Some(of(
        what,
        answer.map(|answer| match answer {
            Ok(()) => (Outcome::Passed, format!("with {}", account.password_from)),
            Err(why) => (Outcome::Failed, format!("{}: {why}", account.password_from)),
        }),
    ))
}

/// The definitions, as far as they are compared.
#[derive(Deserialize)]
struct Definitions {
    exchanges: Vec<Named>,
    queues: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// Every exchange and queue of the definitions is in the broker.
fn topology(stack: &Stack, containers: &[Container]) -> Result<(Outcome, String), StackError> {
    let Some(container) = running(containers, "rabbitmq") else {
        return Ok(away("rabbitmq"));
    };
    let path = stack
        .place
        .docker_folder()
        .join("rabbitmq/definitions.template.json");
    let text = fs::read_to_string(&path)
        .map_err(|source| StackError::file("can't read", &path, source))?;
    let wanted: Definitions = serde_json::from_str(&text).map_err(|error| {
        StackError::usage(
            format!("{}: {error}", path.display()),
            "take the file from the project",
        )
    })?;
    let names = |kind: &str| {
        let call = exec(
            container,
            None,
            ["rabbitmqctl", "--quiet", "--no-table-headers"],
        );
        stack.runner().ask(&call.args([kind, "name"]))
    };
    let there = names("list_exchanges")? + &names("list_queues")?;
    let there: BTreeSet<&str> = there.lines().map(str::trim).collect();
    let all: Vec<&str> = wanted
        .exchanges
        .iter()
        .chain(&wanted.queues)
        .map(|named| named.name.as_str())
        .collect();
    let missing: Vec<&str> = all
        .iter()
        .copied()
        .filter(|name| !there.contains(name))
        .collect();
    Ok(if missing.is_empty() {
        let (exchanges, queues) = (wanted.exchanges.len(), wanted.queues.len());
        (
            Outcome::Passed,
            format!("{exchanges} exchanges and {queues} queues are there"),
        )
    } else {
        (Outcome::Failed, format!("missing: {}", missing.join(", ")))
    })
}

/// The schema in the database is the newest of the migrations.
fn migrations(stack: &Stack, containers: &[Container]) -> Result<(Outcome, String), StackError> {
    let Some(container) = running(containers, "postgres") else {
        return Ok(away("postgres"));
    };
    let folder = stack.place.docker_folder().join("postgres/migrations");
    let wanted = newest_migration(&folder)?;
    let sql = "SELECT coalesce(max(version), 0) FROM schema_version;";
    let answer = stack.runner().ask(&stack.psql(container, sql))?;
    let there: u32 = answer.trim().parse().unwrap_or(0);
    let seen = format!("the schema is version {there}, the newest is {wanted}");
    // A newer server may have moved it on already.
    let outcome = if there >= wanted && there > 0 {
        Outcome::Passed
    } else {
        Outcome::Failed
    };
    Ok((outcome, seen))
}

/// The number that the newest file begins with, as in `001_initial_schema.sql`.
fn newest_migration(folder: &std::path::Path) -> Result<u32, StackError> {
    let entries =
        fs::read_dir(folder).map_err(|source| StackError::file("can't read", folder, source))?;
    Ok(entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".sql")?.split('_').next()?.parse().ok()
        })
        .max()
        .unwrap_or(0))
}

/// Asks Prometheus by its own tool, which every image of it has.
fn prometheus(stack: &Stack, container: &str, query: &str) -> Result<String, StackError> {
    let call = exec(
        container,
        None,
        [
            "promtool",
            "query",
            "instant",
            "http://127.0.0.1:9090",
            query,
        ],
    );
    stack.runner().ask(&call)
}

fn targets(stack: &Stack, containers: &[Container]) -> Result<(Outcome, String), StackError> {
    let Some(container) = running(containers, "prometheus") else {
        return Ok((
            Outcome::Skipped,
            "this environment has no prometheus".to_owned(),
        ));
    };
    let present: BTreeSet<&str> = containers.iter().map(|one| one.service.as_str()).collect();
    let down = prometheus(stack, container, "sort_desc(up) == 0")?;
    let up = prometheus(stack, container, "count(up == 1)")?;
    // Targets of services that this form of the stack doesn't have can't be up.
    let (bad, absent): (Vec<String>, Vec<String>) = down
        .lines()
        .filter_map(target_of)
        .partition(|target| is_ours(target, &present));
    let up = sample_of(&up).unwrap_or(0.0);
    let absent = if absent.is_empty() {
        String::new()
    } else {
        format!("; not in this environment: {}", absent.join(", "))
    };
    Ok(if !bad.is_empty() {
        (Outcome::Failed, format!("down: {}{absent}", bad.join(", ")))
    } else if up < 1.0 {
        (Outcome::Failed, "nothing is up".to_owned())
    } else {
        (Outcome::Passed, format!("{up} are up{absent}"))
    })
}

/// Whether the host of a target is a service of this form of the stack; one
/// that is no service's name is somebody's wish, and counts.
fn is_ours(target: &str, present: &BTreeSet<&str>) -> bool {
    let host = target
        .split_once(' ')
        .map_or(target, |(_, instance)| instance);
    let host = host.split_once("://").map_or(host, |(_, rest)| rest);
    let host = host.split([':', '/']).next().unwrap_or(host);
    present.contains(host) || host.contains('.') || host == "localhost"
}

/// `job instance` of a line such as `up{instance="redis:9121", job="redis"} => 0 @[1]`.
fn target_of(line: &str) -> Option<String> {
    let label = |name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\""))?;
        rest.split_once('"').map(|(value, _)| value)
    };
    Some(format!("{} {}", label("job")?, label("instance")?))
}

/// The number of a line such as `{} => 1.0169 @[1764000000]`: what Prometheus
/// works out of counters needn't be whole.
fn sample_of(answer: &str) -> Option<f64> {
    let (_, rest) = answer.lines().next()?.split_once("=> ")?;
    rest.split_whitespace().next()?.parse().ok()
}

fn rules(stack: &Stack, containers: &[Container]) -> Result<(Outcome, String), StackError> {
    let Some(container) = running(containers, "prometheus") else {
        return Ok((
            Outcome::Skipped,
            "this environment has no prometheus".to_owned(),
        ));
    };
    let ask = |query: &str| prometheus(stack, container, query);
    let until = Instant::now() + SCRAPED_TWICE;
    loop {
        let loaded = ask("sum(prometheus_rule_group_rules)")?;
        let groups = ask("count(prometheus_rule_group_rules)")?;
        let failing = ask("sum(increase(prometheus_rule_evaluation_failures_total[5m]))")?;
        // One that has just started has measured nothing yet.
        let is_new = loaded.trim().is_empty() || failing.trim().is_empty();
        if !is_new || Instant::now() >= until {
            return Ok(judge_rules(&loaded, &groups, &failing));
        }
        stack.runner().go_on()?;
        std::thread::sleep(GLANCE);
    }
}

/// What Prometheus says of its rules: how many are loaded, in how many groups, how
/// many evaluations failed.
fn judge_rules(loaded: &str, groups: &str, failing: &str) -> (Outcome, String) {
    let loaded = sample_of(loaded).unwrap_or(0.0);
    let Some(failed) = sample_of(failing).filter(|count| count.is_finite()) else {
        let said = failing.trim();
        let said = if said.is_empty() { "nothing" } else { said };
        let seen = format!("how many rules fail can't be read: prometheus says {said}");
        return (Outcome::Failed, seen);
    };
    match () {
        () if loaded < 1.0 => (Outcome::Failed, "no rules are loaded".to_owned()),
        () if failed > 0.0 => (
            Outcome::Failed,
            format!("{loaded} rules are loaded, and some fail"),
        ),
        () => {
            let groups = sample_of(groups).unwrap_or(0.0);
            (
                Outcome::Passed,
                format!("{loaded} rules in {groups} groups"),
            )
        }
    }
}

/// One real task: added at the server, kept, offered, taken by a worker, done.
fn task(
    stack: &Stack,
    containers: &[Container],
    trail: &Trail,
) -> Result<(Outcome, String), StackError> {
    let Some(server) = running(containers, "server") else {
        return Ok(away("server"));
    };
    let command = stack
        .value("WORKER_COMMAND")
        .unwrap_or_else(|| ECHO.to_owned());
    if command != ECHO {
        let why =
            format!("workers run `{command}`, whose answer can't be known; add a task yourself");
        return Ok((Outcome::Skipped, why));
    }
    if running(containers, "worker").is_none() {
        return Ok(away("worker"));
    }
    let queue = stack
        .value("WORKER_QUEUE")
        .unwrap_or_else(|| "default".to_owned());
    let call = trail
        .call(server, ["--json", "task", "add", "stack verify"])
        .args([
            "--queue", &queue, "--prompt", PROMPT, "--wait", "--for", TASK_LIMIT,
        ])
        .limit(TASK_CALL_LIMIT);
    let ran = stack.runner().look(&call)?;
    Ok(match () {
        () if !ran.is_good() => (Outcome::Failed, ran.said()),
        () if !ran.stdout.contains(PROMPT) => {
            (Outcome::Failed, "another result came back".to_owned())
        }
        () => (
            Outcome::Passed,
            format!("a worker of the queue {queue} did it"),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_promtool_says_is_read() {
        let line = r#"up{instance="redis-exporter:9121", job="redis"} => 0 @[1764000000.1]"#;
        assert_eq!(target_of(line).unwrap(), "redis redis-exporter:9121");
        assert_eq!(sample_of("{} => 12 @[1764000000]\n"), Some(12.0));
        assert_eq!(sample_of(""), None);
    }

    #[test]
    fn a_rule_that_fails_is_told_whatever_number_it_comes_to() {
        let line = |value: &str| format!("{{}} => {value} @[1764000000.1]\n");
        let judge = |failing: &str| judge_rules(&line("65"), &line("11"), failing);
        assert_eq!(
            judge(&line("0")),
            (Outcome::Passed, "65 rules in 11 groups".to_owned())
        );
        // What `increase` makes of one failure, what can't be read, and nothing.
        for failing in [&line("1.0169491525423728"), &line("NaN"), "no vector", ""] {
            assert_eq!(judge(failing).0, Outcome::Failed, "{failing}");
        }
        assert_eq!(judge_rules("", "", &line("0")).0, Outcome::Failed);
    }

    #[test]
    fn targets_of_services_that_are_not_here_are_told_apart() {
        let present = BTreeSet::from(["redis-exporter"]);
        assert!(is_ours("redis redis-exporter:9121", &present));
        assert!(is_ours("blackbox https://team.example/x", &present));
        assert!(!is_ours("node node-exporter:9100", &present));
    }

    #[test]
    fn the_newest_migration_counts() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["001_initial_schema.sql", "012_more.sql", "notes.md"] {
            fs::write(temp.path().join(name), "").unwrap();
        }
        assert_eq!(newest_migration(temp.path()).unwrap(), 12);
    }
}
