//! What can be asked of the server: whether it answers, is ready, and what its team waits for.

use collective_api::operations::Status;
use collective_client::Client;
use collective_core::Code;
use collective_core::task::TaskState;

use super::{Finding, fine, notice, wrong};
use crate::connect::ServerArgs;
use crate::errors::CliError;
use crate::text;

/// Looks. Without a server there is nothing to see.
pub(super) async fn look(server: &ServerArgs) -> Vec<Finding> {
    let client = match server.client() {
        Ok(client) => client,
        // The folder's findings say so already.
        Err(CliError::NoServer { .. } | CliError::ServerGone { .. }) => return Vec::new(),
        Err(error) => {
            let mend = error.hint().unwrap_or_default();
            return vec![wrong("server", error.to_string(), mend)];
        }
    };
    let mut findings = Vec::new();
    if let Err(error) = client.health().await {
        let mend = CliError::from(error);
        findings.push(wrong(
            "server",
            mend.to_string(),
            mend.hint().unwrap_or_default(),
        ));
        return findings;
    }
    findings.push(fine("server", format!("answers at {}", client.url())));
    let (ready, serves) = readiness(&client).await;
    findings.extend(ready);
    if !serves {
        // What its team waits for is in the store that is away.
        return findings;
    }
    match client.status().await {
        Ok(status) => findings.extend(team(&status)),
        Err(error) if error.is(Code::Unauthenticated) || error.is(Code::Forbidden) => {
            findings.push(wrong(
                "key",
                error.to_string(),
                error
                    .hint()
                    .unwrap_or("name a valid key's file with --token-file"),
            ));
        }
        Err(error) => findings.push(wrong(
            "server",
            error.to_string(),
            error.hint().unwrap_or("look at the server's log"),
        )),
    }
    findings
}

/// What the server says of its parts, and whether it can be asked for more.
async fn readiness(client: &Client) -> (Vec<Finding>, bool) {
    const WHAT: &str = "ready";
    let ready = match client.readiness().await {
        Ok(ready) => ready.readiness,
        Err(error) => {
            let finding = wrong(WHAT, error.to_string(), "look at the server's log");
            return (vec![finding], true);
        }
    };
    let mut findings: Vec<Finding> = ready
        .parts
        .iter()
        .filter(|part| !part.ok)
        .map(|part| {
            let reason = part.reason.as_deref().unwrap_or("no reason is given");
            wrong(WHAT, format!("{}: {reason}", part.part), mend(&part.part))
        })
        .collect();
    if ready.draining {
        findings.push(notice(WHAT, "the server is stopping", "collective up"));
    } else if ready.ready && findings.is_empty() {
        let parts: Vec<&str> = ready.parts.iter().map(|part| part.part.as_str()).collect();
        findings.push(fine(WHAT, format!("all parts serve: {}", parts.join(", "))));
    }
    (findings, ready.ready || ready.draining)
}

/// Where to look for what a part lacks; the reason itself says mostly what.
fn mend(part: &str) -> &'static str {
    match part {
        "bus" => "nothing is lost meanwhile; see that RabbitMQ runs: docs/degradation.md",
        "cache" => "nothing is lost meanwhile; see that Redis runs: docs/degradation.md",
        "clock" => "set this machine and the database by the same time source",
        _ => "look at the server's log",
    }
}

fn team(status: &Status) -> Vec<Finding> {
    let mut findings = vec![version(&status.version)];
    let dead = status.tasks.get(&TaskState::Dead).copied().unwrap_or(0);
    findings.push(match dead {
        0 => fine("dead letters", "none"),
        dead => notice(
            "dead letters",
            text::count(dead, "dead task"),
            "collective dead list; then `dead retry` or `dead discard`",
        ),
    });
    for queue in &status.queues {
        let waiting: u64 = queue.queued.iter().sum();
        let name = &queue.name;
        if waiting > 0 && queue.paused {
            findings.push(notice(
                "queue",
                format!(
                    "{} in {name}, which is paused",
                    text::count(waiting, "waiting task")
                ),
                format!("collective queue resume {name}"),
            ));
        } else if waiting > 0 && queue.agents.is_empty() {
            findings.push(wrong(
                "queue",
                format!(
                    "{} in {name}, which no present agent serves",
                    text::count(waiting, "waiting task")
                ),
                format!("collective agent run --queue {name} -- COMMAND"),
            ));
        }
    }
    let draining: Vec<&str> = status
        .agents
        .iter()
        .filter(|view| view.present && view.agent.draining)
        .map(|view| view.agent.name.as_str())
        .collect();
    if !draining.is_empty() {
        findings.push(notice(
            "agents",
            format!("draining: {}", draining.join(", ")),
            "collective agent drain --off NAME",
        ));
    }
    if status.open_questions > 0 {
        findings.push(notice(
            "questions",
            text::count(status.open_questions, "open question"),
            "collective task questions; then `task answer`",
        ));
    }
    findings
}

fn version(server: &str) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    if server == own {
        return fine("versions", "client and server are the same");
    }
    notice(
        "versions",
        format!("the server is {server}, this is {own}"),
        "restart the server with this binary, or use the server's",
    )
}
