//! The `tasks` and `defaults` sections: each task as core's `TaskSpec`.

use collective_core::limits::{MAX_DEPENDENCIES, MAX_LABEL_LEN};
use collective_core::task::{
    Dependency, DependencyCondition, Priority, RetryPolicy, TaskRef, TaskSpec,
};
use collective_core::text::shown;
use collective_core::{QueueName, Span, Timestamp};

use crate::agents::roles;
use crate::checks;
use crate::fan_out::Unfolded;
use crate::field::{Field, Fields};
use crate::node::Content;
use crate::problem::Sink;

/// The fields of a task.
pub(crate) const FIELDS: [&str; 15] = [
    "title",
    "prompt",
    "input",
    "queue",
    "role",
    "agent",
    "priority",
    "retry",
    "timeout",
    "deadline",
    "run_at",
    "depends_on",
    "checks",
    "labels",
    "for_each",
];
/// The fields of `defaults`.
pub(crate) const DEFAULT_FIELDS: [&str; 4] = ["queue", "priority", "retry", "timeout"];
/// The fields of `retry`.
pub(crate) const RETRY_FIELDS: [&str; 4] = ["max_attempts", "initial_delay", "factor", "max_delay"];
/// The fields of a dependency that says more than a key.
pub(crate) const DEPENDENCY_FIELDS: [&str; 2] = ["task", "when"];

/// The words of dependency conditions.
pub(crate) const CONDITIONS: [(&str, DependencyCondition); 2] = [
    ("succeeded", DependencyCondition::Succeeded),
    ("ended", DependencyCondition::Ended),
];

/// The words of priorities.
pub(crate) fn priorities() -> [(&'static str, Priority); 4] {
    Priority::ALL.map(|priority| (priority.as_str(), priority))
}

/// What tasks get that don't say otherwise.
pub(crate) struct Defaults {
    queue: Option<QueueName>,
    priority: Priority,
    retry: RetryPolicy,
    timeout: Span,
}

impl Default for Defaults {
    fn default() -> Self {
        let bare = TaskSpec::new("");
        Self {
            queue: None,
            priority: bare.priority,
            retry: bare.retry,
            timeout: bare.timeout,
        }
    }
}

/// Reads `defaults`; their bounds are checked here, so that no task is blamed for them.
pub(crate) fn defaults(field: &Field<'_>, now: Timestamp) -> Option<Defaults> {
    let fields = field.fields(&DEFAULT_FIELDS, None)?;
    let mut spec = TaskSpec::new("defaults");
    common(&fields, &mut spec, &Defaults::default());
    judge(field, &mut spec, now);
    Some(Defaults {
        queue: spec.queue,
        priority: spec.priority,
        retry: spec.retry,
        timeout: spec.timeout,
    })
}

/// A task and where its parts stand, for what is checked across tasks.
pub(crate) struct Draft<'t> {
    pub(crate) spec: TaskSpec,
    pub(crate) source: &'t Unfolded,
    /// For each dependency, the item of `depends_on` that named it.
    pub(crate) named_by: Vec<Field<'t>>,
    /// Whether the task names its queue itself, not through `defaults`.
    pub(crate) own_queue: bool,
}

/// Reads one task. Its dependencies still name families and tasks that may not be there.
pub(crate) fn read<'t>(
    source: &'t Unfolded,
    defaults: &Defaults,
    now: Timestamp,
    sink: &'t Sink,
) -> Draft<'t> {
    let field = Field::new(&source.node, source.place.clone(), sink);
    let mut draft = Draft {
        spec: TaskSpec {
            key: Some(source.key.clone()),
            ..TaskSpec::new(source.key.clone())
        },
        source,
        named_by: Vec::new(),
        own_queue: false,
    };
    let hint = "a task is a map, such as `build: {prompt: Build it}`";
    let Some(fields) = field.fields(&FIELDS, Some(hint)) else {
        return draft;
    };
    let spec = &mut draft.spec;
    work(&fields, spec, defaults);
    draft.own_queue = fields.get("queue").is_some();
    let deadline = fields.get("deadline").and_then(|field| field.span());
    spec.deadline = deadline.map(|span| now + span);
    spec.run_at = fields.get("run_at").and_then(|field| run_at(&field, now));
    if let Some(list) = fields.get("depends_on") {
        let items = list.items(Some("write `[key]`")).unwrap_or_default();
        if items.len() > MAX_DEPENDENCIES {
            let count = items.len();
            list.problem(format!(
                "{count} dependencies, the bound is {MAX_DEPENDENCIES}"
            ));
        }
        for item in items.into_iter().take(MAX_DEPENDENCIES) {
            if let Some(dependency) = dependency(&item) {
                spec.depends_on.push(dependency);
                draft.named_by.push(item);
            }
        }
    }
    // Dependencies are judged once families are unfolded.
    let depends_on = std::mem::take(&mut draft.spec.depends_on);
    judge(&field, &mut draft.spec, now);
    draft.spec.depends_on = depends_on;
    draft
}

/// What a task of the file and a schedule's task have in common.
pub(crate) fn work(fields: &Fields<'_>, spec: &mut TaskSpec, defaults: &Defaults) {
    if let Some(title) = fields.get_any("title").and_then(|field| field.text()) {
        spec.title = title.to_owned();
    }
    if let Some(prompt) = fields.get("prompt").and_then(|field| field.text()) {
        spec.prompt = prompt.to_owned();
    }
    if let Some(input) = fields.get("input") {
        spec.input = input.json();
    }
    let role = fields.get("role");
    spec.role = role.and_then(|field| field.word("a role", &roles()));
    let agent = fields.get("agent");
    spec.agent = agent.and_then(|field| field.parse("an agent's name"));
    common(fields, spec, defaults);
    if ["queue", "role", "agent"]
        .iter()
        .all(|name| fields.get(name).is_none())
    {
        spec.queue = defaults.queue.clone();
    }
    if let Some(list) = fields.get("checks") {
        spec.checks = checks::read(&list);
    }
    if let Some(labels) = fields.get("labels") {
        spec.labels = labels.text_map("labels").unwrap_or_default();
        long_labels(&labels, spec);
    }
}

/// Core names the field `labels`; a file can name the very label.
fn long_labels(field: &Field<'_>, spec: &mut TaskSpec) {
    for (key, value) in field.entries("labels").unwrap_or_default() {
        let text = match &value.node.content {
            Content::Scalar(scalar) => scalar.text.len(),
            _ => 0,
        };
        let key_ok = (1..=MAX_LABEL_LEN).contains(&key.text.len());
        if !key_ok || text > MAX_LABEL_LEN {
            let message =
                format!("a label's name has 1 to {MAX_LABEL_LEN} bytes, its value at most as many");
            field.sink.report(key.at, &value.place, message, None);
            spec.labels.remove(&key.text);
        }
    }
}

/// What `defaults` and tasks have in common.
fn common(fields: &Fields<'_>, spec: &mut TaskSpec, defaults: &Defaults) {
    let queue = fields.get("queue");
    spec.queue = queue.and_then(|field| field.parse("a queue's name"));
    let priority = fields.get("priority");
    let priority = priority.and_then(|field| field.word("a priority", &priorities()));
    spec.priority = priority.unwrap_or(defaults.priority);
    let timeout = fields.get("timeout").and_then(|field| field.span());
    spec.timeout = timeout.unwrap_or(defaults.timeout);
    spec.retry = defaults.retry;
    let hint = Some("write `{max_attempts: 3}`");
    let retry = fields.get("retry");
    if let Some(retry) = retry.and_then(|field| field.fields(&RETRY_FIELDS, hint)) {
        let policy = &mut spec.retry;
        let whole = |name: &str| retry.get(name).and_then(|field| field.whole());
        let span = |name: &str| retry.get(name).and_then(|field| field.span());
        policy.max_attempts = whole("max_attempts").unwrap_or(policy.max_attempts);
        policy.factor = whole("factor").unwrap_or(policy.factor);
        policy.initial_delay = span("initial_delay").unwrap_or(policy.initial_delay);
        policy.max_delay = span("max_delay").unwrap_or(policy.max_delay);
    }
}

/// `2026-11-24T18:00:00Z`, or `in 5m`.
fn run_at(field: &Field<'_>, now: Timestamp) -> Option<Timestamp> {
    let text = field.raw_text("a time, or `in 5m`")?;
    if let Some(span) = text.strip_prefix("in ") {
        return match span.trim().parse::<Span>() {
            Ok(span) => Some(now + span),
            Err(rejection) => {
                match crate::span_in_words::mend(span) {
                    Some(mended) => {
                        field.problem_hint(rejection.message(), format!("write `in {mended}`"));
                    }
                    None => field.reject(&rejection),
                }
                None
            }
        };
    }
    match text.parse() {
        Ok(at) => Some(at),
        Err(rejection) => {
            let hint = "write 2026-11-24T18:00:00Z (RFC 3339), or `in 5m`";
            field.problem_hint(collective_core::Rejection::message(&rejection), hint);
            None
        }
    }
}

fn dependency(field: &Field<'_>) -> Option<Dependency> {
    let (task, when) = match &field.node.content {
        Content::Map(_) => {
            let fields = field.fields(&DEPENDENCY_FIELDS, None)?;
            let Some(task) = fields.get("task") else {
                field.problem_hint("no task is named", "write `{task: key, when: ended}`");
                return None;
            };
            let when = fields.get("when");
            let when = when.and_then(|field| field.word("a condition", &CONDITIONS));
            (task.raw_text("a task's key")?, when.unwrap_or_default())
        }
        _ => (
            field.raw_text("a task's key")?,
            DependencyCondition::default(),
        ),
    };
    Some(Dependency {
        task: TaskRef::Key(task.to_owned()),
        when,
    })
}

/// Notes every bound that the task breaks. Core stops at the first, so the field that was
/// refused is put back to its default and the rest is judged again.
pub(crate) fn judge(field: &Field<'_>, spec: &mut TaskSpec, now: Timestamp) {
    let default = TaskSpec::new("default");
    // Each round puts one field back, so there are no more rounds than fields.
    for _ in 0..2 * FIELDS.len() {
        let Err(rejection) = spec.validate(now) else {
            return;
        };
        field.reject(&rejection);
        let path = rejection.field().unwrap_or_default();
        let name = path.split(['.', '[']).next().unwrap_or_default();
        match name {
            "title" => spec.title.clone_from(&default.title),
            "prompt" => spec.prompt.clear(),
            "key" => spec.key = None,
            "input" => spec.input = serde_json::Value::Null,
            "queue" => (spec.role, spec.agent) = (None, None),
            "retry" => put_back(&mut spec.retry, path),
            "timeout" => spec.timeout = default.timeout,
            "deadline" => spec.deadline = None,
            "run_at" => spec.run_at = None,
            "depends_on" => spec.depends_on.clear(),
            "checks" => spec.checks.clear(),
            "labels" => spec.labels.clear(),
            _ => return,
        }
    }
    debug_assert!(false, "task `{}` can't be put right", shown(&spec.title));
}

fn put_back(policy: &mut RetryPolicy, path: &str) {
    let default = RetryPolicy::default();
    match path {
        "retry.max_attempts" => policy.max_attempts = default.max_attempts,
        "retry.factor" => policy.factor = default.factor,
        _ => *policy = default,
    }
}
