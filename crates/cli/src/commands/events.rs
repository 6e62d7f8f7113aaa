//! `collective events`: read or follow the team's log.

use std::collections::HashMap;

use clap::Args;
use collective_api::operations::ReadEvents;
use collective_client::Client;
use collective_core::event::{Event, Fact};
use collective_core::limits::MAX_PAGE;
use collective_core::{Code, TaskId};
use futures_util::StreamExt;
use serde_json::Value;

use super::task::state_tone;
use crate::context::Context;
use crate::errors::CliError;
use crate::output::{Output, Tone};
use crate::{names, when};

const EXAMPLES: &str = "\
Examples:
  collective events                                the newest 50
  collective events --follow --type 'task.*'
  collective events --after 0 --json > log.jsonl   everything, one event per line
  collective events --task 12";

/// Most tasks whose titles are remembered while following.
const MAX_REMEMBERED: usize = 10_000;
/// Most characters of one field that are shown.
const MAX_FIELD: usize = 60;

/// Which events.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EventsArgs {
    /// Go on with what comes
    #[arg(long, short)]
    follow: bool,
    /// What follows after this number; 0 is everything
    #[arg(long, value_name = "NUMBER", conflicts_with = "last")]
    after: Option<u64>,
    /// The newest so many [default: 50; none with --follow]
    #[arg(long, value_name = "COUNT")]
    last: Option<u64>,
    /// Only of this type, such as task.dead; `task.*` is all of a kind; may be repeated
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
    /// Only about this task: number, id or key
    #[arg(long)]
    task: Option<String>,
}

impl EventsArgs {
    fn wants(&self, event: &Event, task: Option<TaskId>) -> bool {
        let kind = event.fact.kind();
        let of_type = self.types.is_empty()
            || self
                .types
                .iter()
                .any(|wanted| match wanted.strip_suffix('*') {
                    Some(start) => kind.starts_with(start),
                    None => kind == wanted,
                });
        of_type && (task.is_none() || event.fact.task() == task)
    }
}

/// Shows them.
pub(crate) async fn run(args: &EventsArgs, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let task = match &args.task {
        Some(text) => Some(names::id(&client, text).await?),
        None => None,
    };
    let newest = client.status().await?.last_event;
    let after = match (args.after, args.last, task) {
        (Some(after), _, _) => after,
        (None, Some(last), _) => newest.saturating_sub(last),
        (None, None, Some(_)) => 0,
        (None, None, None) if args.follow => newest,
        (None, None, None) => newest.saturating_sub(50),
    };
    let mut shown = Shown {
        client: &client,
        out: &context.out,
        titles: HashMap::new(),
    };
    if !args.follow {
        return past(args, task, after, newest, &mut shown).await;
    }
    let mut feed = client.events(Some(after));
    while let Some(item) = feed.next().await {
        match item {
            Ok(event) if args.wants(&event, task) => shown.show(&event).await?,
            Ok(_) => {}
            // One that this version can't read doesn't end the feed; a refusal does, and is its last item.
            Err(error) if error.code().is_none() && !error.is_passing() => {
                context.out.warn(error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn past(
    args: &EventsArgs,
    task: Option<TaskId>,
    after: u64,
    newest: u64,
    shown: &mut Shown<'_>,
) -> Result<(), CliError> {
    let mut query = ReadEvents {
        after: Some(after),
        task: task.map(|id| id.to_string()),
        limit: Some(MAX_PAGE),
    };
    loop {
        let page = shown.client.list_events(&query).await?;
        let Some(last) = page.items.last().map(|event| event.seq) else {
            return Ok(());
        };
        for event in page.items.iter().filter(|event| event.seq <= newest) {
            if args.wants(event, task) {
                shown.show(event).await?;
            }
        }
        // What was committed after the command started is for the next one.
        if last >= newest || page.items.len() < MAX_PAGE {
            return Ok(());
        }
        query.after = Some(last);
    }
}

/// What is shown, with the titles of the tasks that came by.
struct Shown<'c> {
    client: &'c Client,
    out: &'c Output,
    titles: HashMap<TaskId, String>,
}

impl Shown<'_> {
    async fn show(&mut self, event: &Event) -> Result<(), CliError> {
        if self.out.json {
            return self.out.json_line(event);
        }
        if let Fact::TaskCreated { task, title, .. } = &event.fact {
            // A task's number is that of its first event.
            self.remember(*task, named(event.seq, title));
        }
        if let Some(task) = event.fact.task()
            && !self.titles.contains_key(&task)
        {
            let name = match self.client.task(task).await {
                Ok(detail) => named(detail.task.number, &detail.task.spec.title),
                Err(error) if error.is(Code::NotFound) => task.to_string(),
                Err(error) => return Err(error.into()),
            };
            self.remember(task, name);
        }
        let title = event.fact.task().and_then(|task| self.titles.get(&task));
        let line = named_line(self.out, event, title.map(String::as_str));
        self.out.line(line)
    }

    fn remember(&mut self, task: TaskId, name: String) {
        if self.titles.len() >= MAX_REMEMBERED {
            self.titles.clear();
        }
        self.titles.insert(task, name);
    }
}

fn named(number: u64, title: &str) -> String {
    format!("#{number} {}", crate::text::short(title, 50))
}

/// An event in one line, for a place where the task is known.
pub(crate) fn line(out: &Output, event: &Event) -> String {
    named_line(out, event, None)
}

fn named_line(out: &Output, event: &Event, title: Option<&str>) -> String {
    let mut text = format!(
        "{} {} {}",
        out.paint(Tone::Faint, &format!("{:>6}", event.seq)),
        out.paint(Tone::Faint, &when::clock(event.at)),
        out.paint(tone(&event.fact), event.fact.kind()),
    );
    if let Some(title) = title {
        text.push(' ');
        text.push_str(title);
    }
    let details = details(event);
    if !details.is_empty() {
        text.push(' ');
        text.push_str(&out.paint(Tone::Faint, &details));
    }
    text
}

/// The fields of a fact, each fact's own way. Types are added with time, so that it goes by the fields, not by the type.
fn details(event: &Event) -> String {
    let Ok(Value::Object(fields)) = serde_json::to_value(&event.fact) else {
        return String::new();
    };
    let said_already = |name: &str| matches!(name, "type" | "task" | "title");
    let mut parts: Vec<String> = fields
        .iter()
        .filter(|(name, value)| !said_already(name) && !value.is_null())
        .map(|(name, value)| format!("{name}={}", shown(value)))
        .collect();
    parts.push(format!(
        "by={}",
        crate::text::short(&event.actor, MAX_FIELD)
    ));
    parts.join(" ")
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) if text.contains(' ') => format!("{text:?}"),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    crate::text::short(&text, MAX_FIELD)
}

fn tone(fact: &Fact) -> Tone {
    use collective_core::task::TaskState;
    match fact {
        Fact::TaskSucceeded { .. } => state_tone(TaskState::Succeeded),
        Fact::TaskDead { .. } => state_tone(TaskState::Dead),
        Fact::TaskClaimed { .. } => state_tone(TaskState::Running),
        Fact::TaskAttemptFailed { .. }
        | Fact::TaskRetrying { .. }
        | Fact::TaskQuotaWait { .. }
        | Fact::TaskAsked { .. }
        | Fact::AccessDenied { .. } => Tone::Warn,
        _ => Tone::Plain,
    }
}
