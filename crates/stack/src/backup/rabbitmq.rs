//! RabbitMQ: definitions, and the messages that wait in queues.
//!
//! Messages can't be read without changing them: each look counts as a delivery,
//! and too many end in the dead letters. So the broker's application is stopped
//! for the seconds that its folder is copied, and only if a message waits. The
//! whole sequence is one call inside of the container, so that the broker comes
//! back even if whoever asked for the backup is killed.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::manifest::{Entry, Rabbitmq};
use super::vault::{Key, Sealing};
use crate::compose::{docker, exec};
use crate::container::Container;
use crate::error::StackError;
use crate::stack::Stack;

/// How long the copy may take.
const STREAM_LIMIT: Duration = Duration::from_secs(1_800);
/// What begins the counts of a virtual host among the complaints.
const COUNTS: &str = "counts:";

/// The definitions, as JSON and as Erlang's terms.
const JSON: &str = "rabbitmq/definitions.json";
const ERLANG: &str = "rabbitmq/definitions.erl";

/// Nobody connects any more, the counts are final, the folder lies still.
const COPY: &str = r#"set -eu
home=/var/lib/rabbitmq
resume() { rabbitmqctl --quiet start_app >&2; rabbitmqctl --quiet resume_listeners >&2; }
trap resume EXIT
trap 'exit 1' HUP INT TERM PIPE
rabbitmqctl --quiet suspend_listeners >&2
rabbitmqctl --quiet close_all_connections 'a backup is taken' >&2
rabbitmqctl --quiet --no-table-headers list_vhosts name | while read -r vhost; do
    printf 'counts:%s\t' "$vhost" >&2
    rabbitmqctl --quiet --formatter json list_queues -p "$vhost" name messages | tr -d '\n' >&2
    echo >&2
done
rabbitmqctl --quiet stop_app >&2
tar -C "$home" -czf - --exclude=./.erlang.cookie --exclude=./collective .
"#;

#[derive(Deserialize)]
struct Queue {
    name: String,
    messages: u64,
}

/// Takes it.
pub(super) fn take(
    stack: &Stack,
    container: &Container,
    folder: &Path,
    key: Option<&Key>,
) -> Result<Rabbitmq, StackError> {
    let name = container.name.as_str();
    let definitions = definitions(stack, name, folder, key)?;
    let (data, queues) = if waiting(stack, name)? == 0 {
        (None, BTreeMap::new())
    } else {
        let (data, queues) = copy(stack, name, folder, key)?;
        (Some(data), queues)
    };
    Ok(Rabbitmq {
        image: container.image.clone(),
        hostname: hostname(stack, name)?,
        definitions,
        data,
        queues,
    })
}

fn hostname(stack: &Stack, container: &str) -> Result<String, StackError> {
    let call = docker(["inspect", "--format", "{{.Config.Hostname}}", container]);
    Ok(stack.runner().ask(&call)?.trim().to_owned())
}

/// As JSON, which people can read. Versions that can't write a parameter of
/// their own as JSON give Erlang's form, which the same version reads.
fn definitions(
    stack: &Stack,
    container: &str,
    folder: &Path,
    key: Option<&Key>,
) -> Result<Entry, StackError> {
    let export = |format: &str| {
        let words = [
            "rabbitmqctl",
            "--quiet",
            "export_definitions",
            "-",
            "--format",
            format,
        ];
        let mut bytes = Vec::new();
        let call = exec(container, None, words);
        stack.runner().pour(&call, &mut bytes).map(|_| bytes)
    };
    let (name, bytes) = match export("json") {
        Ok(bytes) => (JSON, bytes),
        Err(StackError::Failed { .. }) => (ERLANG, export("erlang")?),
        Err(error) => return Err(error),
    };
    let mut file = Sealing::begin(folder, name, key)?;
    file.write_all(&bytes)
        .map_err(|source| StackError::file("can't write", folder.join(name), source))?;
    file.finish()
}

/// The form of definitions, by their file.
pub(super) fn format_of(definitions: &Entry) -> &'static str {
    if definitions.path.starts_with(ERLANG) {
        "erlang"
    } else {
        "json"
    }
}

/// How many messages wait, in all queues of all virtual hosts.
fn waiting(stack: &Stack, container: &str) -> Result<u64, StackError> {
    let quiet = || exec(container, None, ["rabbitmqctl", "--quiet"]);
    let vhosts =
        stack
            .runner()
            .ask(&quiet().args(["--no-table-headers", "list_vhosts", "name"]))?;
    let mut waiting = 0;
    for vhost in vhosts
        .lines()
        .map(str::trim)
        .filter(|vhost| !vhost.is_empty())
    {
        let call = quiet().args([
            "--formatter",
            "json",
            "list_queues",
            "-p",
            vhost,
            "name",
            "messages",
        ]);
        let answer = stack.runner().ask(&call)?;
        let queues: Vec<Queue> =
            serde_json::from_str(&answer).map_err(|error| StackError::Garbled {
                call: call.to_string(),
                what: error.to_string(),
            })?;
        waiting += queues.iter().map(|queue| queue.messages).sum::<u64>();
    }
    Ok(waiting)
}

fn copy(
    stack: &Stack,
    container: &str,
    folder: &Path,
    key: Option<&Key>,
) -> Result<(Entry, BTreeMap<String, u64>), StackError> {
    let call = exec(container, None, ["sh", "-c", COPY]).limit(STREAM_LIMIT);
    let mut file = Sealing::begin(folder, "rabbitmq/data.tar.gz", key)?;
    let said = stack.runner().pour(&call, &mut file)?;
    Ok((file.finish()?, counts(&said)))
}

/// The queues with messages, by `VHOST QUEUE`.
pub(super) fn counts(said: &str) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for line in said.lines() {
        let Some((vhost, json)) = line
            .strip_prefix(COUNTS)
            .and_then(|line| line.split_once('\t'))
        else {
            continue;
        };
        let queues: Vec<Queue> = serde_json::from_str(json).unwrap_or_default();
        all.extend(
            queues
                .into_iter()
                .filter(|queue| queue.messages > 0)
                .map(|queue| (format!("{vhost} {}", queue.name), queue.messages)),
        );
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_are_found_among_what_the_broker_says() {
        let said = "warning: x\ncounts:/\t[{\"name\":\"a\",\"messages\":3},{\"name\":\"b\",\"messages\":0}]\n\
                    counts:team\t[{\"name\":\"a\",\"messages\":1}]\nStopping\n";
        let expected = BTreeMap::from([("/ a".to_owned(), 3), ("team a".to_owned(), 1)]);
        assert_eq!(counts(said), expected);
    }
}
