//! Fan-out: a task with `for_each` becomes one task per item.

use std::collections::HashSet;

use collective_core::text::shown;

use crate::field::Field;
use crate::node::{Content, Key, Node};
use crate::params::{Scope, Values, fill};
use crate::place::Place;
use crate::problem::At;
use crate::yaml::MAX_TEXT;

/// Most tasks of one file, fan-outs unfolded: ten batches of the API.
pub const MAX_TASKS: usize = 10_000;
/// Longest key: a file name with room for an ending.
pub(crate) const MAX_KEY_LEN: usize = 120;

/// A task of the file or of a fan-out, its references filled in.
pub(crate) struct Unfolded {
    /// Its key.
    pub(crate) key: String,
    /// The key in the file, which stands for the whole fan-out.
    pub(crate) family: String,
    pub(crate) key_at: At,
    pub(crate) place: Place,
    pub(crate) node: Node,
}

/// The section's tasks with every fan-out unfolded and every reference filled in.
pub(crate) fn unfold(section: &Field<'_>, values: &Values) -> Vec<Unfolded> {
    let mut tasks = Vec::new();
    let mut keys = HashSet::new();
    for (key, field) in section.entries("tasks").unwrap_or_default() {
        if !is_key(&key.text) {
            let message = format!("`{}` is not a task's key", shown(&key.text));
            let hint = format!(
                "use 1 to {MAX_KEY_LEN} of a-z, A-Z, 0-9, `.`, `_`, `-`, starting with a letter or digit"
            );
            let place = &field.place;
            field.sink.report(key.at, place, message, Some(hint));
        }
        for task in family(key, &field, values) {
            if tasks.len() == MAX_TASKS {
                section.problem(format!("more than {MAX_TASKS} tasks"));
                return tasks;
            }
            if keys.insert(task.key.clone()) {
                tasks.push(task);
            } else {
                let message = format!("two tasks get the key `{}`", shown(&task.key));
                let hint = Some("give one of them another key".to_owned());
                field.sink.report(task.key_at, &task.place, message, hint);
            }
        }
    }
    tasks
}

/// Keys are file names for what a task's dependents are given.
pub(crate) fn is_key(text: &str) -> bool {
    let mut chars = text.chars();
    text.len() <= MAX_KEY_LEN
        && chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// The task, or the tasks of its fan-out.
fn family(key: &Key, field: &Field<'_>, values: &Values) -> Vec<Unfolded> {
    let unfolded = |own_key: String, mut node: Node, scope: Scope<'_>| {
        fill(&mut node, &field.place, scope, field.sink);
        Unfolded {
            key: own_key,
            family: key.text.clone(),
            key_at: key.at,
            place: field.place.clone(),
            node,
        }
    };
    let scope = values.scope();
    let (list, body) = split(field.node);
    let Some(mut list) = list else {
        return vec![unfolded(key.text.clone(), body, scope)];
    };
    let place = field.place.field("for_each");
    fill(&mut list, &place, scope, field.sink);
    let list = Field::new(&list, place, field.sink);
    let Some(items) = list.items(Some("write `[a, b, c]`")) else {
        return Vec::new();
    };
    if items.is_empty() {
        list.problem("the list is empty, so there would be no task");
    }
    if items.len() > MAX_TASKS {
        list.problem(format!(
            "{} items, more than {MAX_TASKS} tasks",
            items.len()
        ));
        return Vec::new();
    }
    let endings = endings(&items, MAX_KEY_LEN.saturating_sub(key.text.len() + 1));
    let size = body.size().1;
    let mut tasks = Vec::with_capacity(items.len());
    for (i, (item, ending)) in items.iter().zip(endings).enumerate() {
        if !values.take(size) {
            let mib = MAX_TEXT / (1024 * 1024);
            list.problem(format!(
                "unfolded, the tasks grow to more than {mib} MiB of text"
            ));
            break;
        }
        let index = (i + 1).to_string();
        let scope = scope.with_item(item.node, &index);
        tasks.push(unfolded(
            format!("{}-{ending}", key.text),
            body.clone(),
            scope,
        ));
    }
    tasks
}

/// The list of a fan-out, and the task without it.
fn split(task: &Node) -> (Option<Node>, Node) {
    let mut body = task.clone();
    let Content::Map(fields) = &mut body.content else {
        return (None, body);
    };
    let place = fields.iter().position(|(key, _)| key.text == "for_each");
    let list = place.map(|i| fields.remove(i).1);
    (list, body)
}

/// What tells the keys of a fan-out apart: its items where they are short and different,
/// else their numbers.
fn endings(items: &[Field<'_>], room: usize) -> Vec<String> {
    let slug = |item: &Field<'_>| match &item.node.content {
        Content::Scalar(scalar) => {
            let kept = scalar.text.chars().map(|c| match c {
                c if c.is_ascii_alphanumeric() => c,
                '.' | '_' => c,
                _ => '-',
            });
            let text: String = kept.collect();
            let text = text.trim_matches(['-', '.', '_']);
            (!text.is_empty() && text.len() <= room).then(|| text.to_owned())
        }
        _ => None,
    };
    let slugs: Option<Vec<String>> = items.iter().map(slug).collect();
    let different = |slugs: &Vec<String>| slugs.iter().collect::<HashSet<_>>().len() == slugs.len();
    slugs
        .filter(different)
        .unwrap_or_else(|| (1..=items.len()).map(|n| n.to_string()).collect())
}
