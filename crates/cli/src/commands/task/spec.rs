//! The flags that describe a task, one for every field of its spec.

use std::path::PathBuf;

use clap::Args;
use collective_client::Client;
use collective_core::role::Role;
use collective_core::task::{
    Check, Dependency, DependencyCondition, Priority, RetryPolicy, TaskRef, TaskSpec,
};
use collective_core::{AgentName, Code, QueueName, Rejection, Span, Timestamp};
use serde_json::Value;

use crate::commands::{role, said, span};
use crate::context::read_input;
use crate::errors::CliError;
use crate::{names, when};

/// What a task is to be.
#[derive(Args, Clone, Debug)]
pub(crate) struct SpecArgs {
    /// What the agent is told
    #[arg(long, short, value_name = "TEXT", help_heading = "What")]
    pub(crate) prompt: Option<String>,
    /// Read the prompt from a file, `-` for standard input
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "prompt",
        help_heading = "What"
    )]
    prompt_file: Option<PathBuf>,
    /// What the agent is given, as JSON
    #[arg(long, value_name = "JSON", value_parser = json, help_heading = "What")]
    input: Option<Value>,
    /// Read the input from a JSON file, `-` for standard input
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "input",
        help_heading = "What"
    )]
    input_file: Option<PathBuf>,
    /// A handle for people and for dependencies
    #[arg(long, help_heading = "What")]
    key: Option<String>,
    /// A word to find it by; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label, help_heading = "What")]
    labels: Vec<(String, String)>,

    /// The queue that it waits in [default: default]
    #[arg(long, value_name = "QUEUE", conflicts_with_all = ["role", "agent"], help_heading = "Who")]
    queue: Option<QueueName>,
    /// Any agent of this role takes it
    #[arg(long, value_name = "ROLE", value_parser = role, conflicts_with = "agent", help_heading = "Who")]
    role: Option<Role>,
    /// This agent takes it
    #[arg(long, value_name = "AGENT", help_heading = "Who")]
    agent: Option<AgentName>,

    /// critical, high, normal or low
    #[arg(long, value_parser = priority, help_heading = "When")]
    priority: Option<Priority>,
    /// A task that must succeed first; may be repeated
    #[arg(long, value_name = "TASK", help_heading = "When")]
    after: Vec<String>,
    /// A task that must end first, however; may be repeated
    #[arg(long, value_name = "TASK", help_heading = "When")]
    after_end: Vec<String>,
    /// Not before this time: RFC 3339, or a time from now such as 2h
    #[arg(long, value_name = "TIME", value_parser = point, help_heading = "When")]
    run_at: Option<Timestamp>,
    /// Dead after this time: RFC 3339, or a time from now such as 2h
    #[arg(long, value_name = "TIME", value_parser = point, help_heading = "When")]
    deadline: Option<Timestamp>,

    /// How long one attempt may run [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = span, help_heading = "How often")]
    timeout: Option<Span>,
    /// How many attempts may count [default: 3]
    #[arg(long, value_name = "COUNT", help_heading = "How often")]
    max_attempts: Option<u32>,
    /// Bound of the delay after the first failure [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = span, help_heading = "How often")]
    retry_delay: Option<Span>,
    /// By how much this bound grows with each attempt [default: 2]
    #[arg(long, value_name = "FACTOR", help_heading = "How often")]
    retry_factor: Option<u32>,
    /// Bound that the delay never passes [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = span, help_heading = "How often")]
    retry_max_delay: Option<Span>,

    /// A command for `sh -c` that must succeed before it counts as done; may be repeated
    #[arg(long = "check", value_name = "COMMAND", help_heading = "Done is")]
    checks: Vec<String>,
    /// A file that must be there before it counts as done; may be repeated
    #[arg(long = "check-file", value_name = "PATH", help_heading = "Done is")]
    check_files: Vec<String>,
    /// A file with a JSON schema that the result's JSON must meet
    #[arg(long = "check-schema", value_name = "FILE", help_heading = "Done is")]
    check_schemas: Vec<PathBuf>,
    /// W3C trace context of whoever asks
    #[arg(long, env = "TRACEPARENT", hide_env_values = true, hide = true)]
    traceparent: Option<String>,
}

impl SpecArgs {
    /// The spec. Asks the server for the ids of the tasks that it comes after.
    pub(crate) async fn build(self, title: String, client: &Client) -> Result<TaskSpec, CliError> {
        let retry = RetryPolicy::default();
        let mut spec = TaskSpec {
            key: self.key,
            queue: self.queue,
            role: self.role,
            agent: self.agent,
            priority: self.priority.unwrap_or_default(),
            retry: RetryPolicy {
                max_attempts: self.max_attempts.unwrap_or(retry.max_attempts),
                initial_delay: self.retry_delay.unwrap_or(retry.initial_delay),
                factor: self.retry_factor.unwrap_or(retry.factor),
                max_delay: self.retry_max_delay.unwrap_or(retry.max_delay),
            },
            deadline: self.deadline,
            run_at: self.run_at,
            labels: self.labels.into_iter().collect(),
            traceparent: self.traceparent,
            ..TaskSpec::new(title)
        };
        if let Some(timeout) = self.timeout {
            spec.timeout = timeout;
        }
        spec.prompt = match (self.prompt, self.prompt_file) {
            (Some(text), _) => text,
            (None, Some(path)) => read_input(&path)?,
            (None, None) => String::new(),
        };
        spec.input = match (self.input, self.input_file) {
            (Some(value), _) => value,
            (None, Some(path)) => json_file(&path)?,
            (None, None) => Value::Null,
        };
        spec.checks = checks(self.checks, self.check_files, &self.check_schemas)?;
        for (when, named) in [
            (DependencyCondition::Succeeded, self.after),
            (DependencyCondition::Ended, self.after_end),
        ] {
            for text in named {
                let task = TaskRef::Id(names::id(client, &text).await?);
                spec.depends_on.push(Dependency { task, when });
            }
        }
        Ok(spec)
    }
}

fn checks(
    commands: Vec<String>,
    files: Vec<String>,
    schemas: &[PathBuf],
) -> Result<Vec<Check>, CliError> {
    let mut checks = Vec::new();
    for command in commands {
        // The form of a command check with its defaults is core's to know.
        let value = serde_json::json!({
            "kind": "command",
            "command": ["sh", "-c", command],
        });
        checks.push(serde_json::from_value(value)?);
    }
    checks.extend(files.into_iter().map(|path| Check::File { path }));
    for path in schemas {
        checks.push(Check::Schema {
            schema: json_file(path)?,
        });
    }
    Ok(checks)
}

/// Reads a JSON file; a mistake is told with its line.
pub(crate) fn json_file<T: serde::de::DeserializeOwned>(
    path: &std::path::Path,
) -> Result<T, CliError> {
    let text = read_input(path)?;
    serde_json::from_str(&text).map_err(|error| {
        Rejection::new(
            Code::InvalidBody,
            format!("{} can't be understood: {error}", path.display()),
        )
        .into()
    })
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

/// Reads `key=value`.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "write it as KEY=VALUE".to_owned())
}

fn priority(text: &str) -> Result<Priority, String> {
    Priority::from_text(text).ok_or_else(|| "known are critical, high, normal, low".to_owned())
}

fn point(text: &str) -> Result<Timestamp, String> {
    when::point(text).map_err(|rejection| said(&rejection))
}
