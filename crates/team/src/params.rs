//! Parameters: what a team file leaves open, and how `${name}` is filled in.
//!
//! Values are put into the tree, never into the file's text, so that no value can
//! change the structure around it. `$${` stands for `${`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use collective_core::text::shown;
use serde::Serialize;

use crate::Settings;
use crate::field::{Field, did_you_mean, listed};
use crate::node::{Content, Node, Scalar};
use crate::place::Place;
use crate::problem::{At, Sink};
use crate::yaml::MAX_TEXT;

/// Most parameters of one file: more than a person can set by hand.
pub(crate) const MAX_PARAMS: usize = 256;
/// The fields of a parameter that says more than its default.
pub(crate) const FIELDS: [&str; 3] = ["default", "description", "type"];
/// What a parameter's value may be.
pub(crate) const KINDS: [&str; 2] = ["text", "path"];
/// Names with a meaning of their own.
const RESERVED: [&str; 3] = ["team_dir", "item", "index"];

/// A parameter of a team file, for people who ask what can be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Param {
    /// Its name in `${name}` and `--set name=value`.
    pub name: String,
    /// The value in this reading.
    pub value: String,
    /// What it is for.
    pub description: String,
    /// Whether it was set, not left at its default.
    pub set: bool,
}

/// The values of all parameters, and how much text may still be made of them.
pub(crate) struct Values {
    texts: BTreeMap<String, String>,
    left: Cell<usize>,
    told: Cell<bool>,
}

/// What `${name}` may name here.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'n> {
    values: &'n Values,
    item: Option<(&'n Node, &'n str)>,
}

impl Values {
    /// The scope of everything but a fan-out.
    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope {
            values: self,
            item: None,
        }
    }

    /// What is said of the first text that is too much; of the others nothing.
    fn too_much(&self) -> Vec<Mistake> {
        let mib = MAX_TEXT / (1024 * 1024);
        let message = format!("filled in, the parameters grow to more than {mib} MiB of text");
        match self.told.replace(true) {
            true => Vec::new(),
            false => vec![(message, None)],
        }
    }

    /// Takes so many bytes from what may still be made; false if there are too few left.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.unwrap_or(0));
        left.is_some()
    }
}

impl<'n> Scope<'n> {
    /// The same, in the task of a fan-out that is for this item.
    pub(crate) fn with_item(self, item: &'n Node, index: &'n str) -> Self {
        Self {
            item: Some((item, index)),
            ..self
        }
    }

    /// What the name stands for.
    fn find(&self, name: &str) -> Result<Content, Unfilled> {
        if let Some(text) = self.values.texts.get(name) {
            return Ok(filled(text, true));
        }
        let mut steps = name.split('.');
        let mut node = match (steps.next(), self.item) {
            (Some("index"), Some((_, index))) if name == "index" => {
                return Ok(filled(index, true));
            }
            (Some("item"), Some((item, _))) => item,
            (Some("item" | "index"), None) => return Err(Unfilled::NoItem),
            _ => return Err(Unfilled::Unknown),
        };
        for step in steps {
            let Content::Map(fields) = &node.content else {
                return Err(Unfilled::NoField(step.to_owned()));
            };
            let field = fields.iter().find(|(key, _)| key.text == step);
            let field = field.ok_or_else(|| Unfilled::NoField(step.to_owned()))?;
            node = &field.1;
        }
        Ok(match &node.content {
            Content::Scalar(scalar) => filled(&scalar.text, scalar.plain),
            other => other.clone(),
        })
    }
}

fn filled(text: &str, plain: bool) -> Content {
    Content::Scalar(Scalar {
        text: text.to_owned(),
        plain,
        filled: true,
    })
}

/// Why a reference can't be filled.
enum Unfilled {
    Unknown,
    NoItem,
    NoField(String),
    NoText,
}

/// Reads the `params` section and what was set, and gives the scope of the whole file.
pub(crate) fn read(
    section: Option<&Field<'_>>,
    settings: &Settings<'_>,
    sink: &Sink,
) -> (Vec<Param>, Values) {
    let mut params = Vec::new();
    let mut texts = BTreeMap::new();
    if let Some(folder) = settings.folder.to_str() {
        texts.insert("team_dir".to_owned(), folder.to_owned());
    }
    let entries = section
        .and_then(|section| section.entries("parameters"))
        .unwrap_or_default();
    if entries.len() > MAX_PARAMS
        && let Some(section) = section
    {
        section.problem(format!(
            "{} parameters, the bound is {MAX_PARAMS}",
            entries.len()
        ));
    }
    let built_in = Values {
        texts: texts.clone(),
        left: Cell::new(MAX_TEXT),
        told: Cell::default(),
    };
    for (key, field) in &entries {
        let name = key.text.as_str();
        if let Some((why, hint)) = bad_name(name) {
            let message = format!("parameter name `{}` {why}", shown(name));
            sink.report(key.at, &field.place, message, Some(hint.to_owned()));
            continue;
        }
        let (value, description) = declared(field, name, settings, built_in.scope(), key.at);
        texts.insert(name.to_owned(), value.clone());
        params.push(Param {
            name: name.to_owned(),
            value,
            description,
            set: settings.set.contains_key(name),
        });
    }
    for name in settings.set.keys() {
        if !entries.iter().any(|(key, _)| key.text == *name) {
            let names = entries.iter().map(|(key, _)| key.text.as_str());
            let hint = did_you_mean(name, names.clone()).unwrap_or_else(|| match entries.len() {
                0 => "this file has no parameters".to_owned(),
                _ => format!("its parameters are {}", listed(names)),
            });
            let message = format!("there is no parameter `{}` to set", shown(name));
            sink.report(At::FILE, &Place::root(), message, Some(hint));
        }
    }
    let values = Values { texts, ..built_in };
    (params, values)
}

/// What is wrong with a parameter's name, and what to do.
fn bad_name(name: &str) -> Option<(&'static str, &'static str)> {
    if RESERVED.contains(&name) {
        return Some(("has a meaning of its own", "choose another name"));
    }
    let mut chars = name.chars();
    let good = chars.next().is_some_and(|c| c.is_ascii_lowercase())
        && chars.all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'))
        && name.len() <= collective_core::limits::MAX_NAME_LEN;
    (!good).then_some((
        "is not one that can be set",
        "use 1 to 63 of a-z, 0-9 and `_`, starting with a letter",
    ))
}

/// A parameter's value and description; a mistake leaves the value empty.
fn declared(
    field: &Field<'_>,
    name: &str,
    settings: &Settings<'_>,
    built_in: Scope<'_>,
    key_at: At,
) -> (String, String) {
    let (default, description, path) = match &field.node.content {
        Content::Scalar(_) => (Some(field.clone()), String::new(), false),
        _ => {
            let Some(fields) = field.fields(&FIELDS, None) else {
                return Default::default();
            };
            let description = fields.get("description").and_then(|field| field.text());
            let kinds = [(KINDS[0], false), (KINDS[1], true)];
            let kind = fields.get("type");
            let path = kind.and_then(|field| field.word("a type of parameter", &kinds));
            (
                fields.get_any("default"),
                description.unwrap_or_default().to_owned(),
                path.unwrap_or_default(),
            )
        }
    };
    if let Some(given) = settings.set.get(name) {
        let value = match path {
            true => joined(&settings.current, given),
            false => given.clone(),
        };
        return (value, description);
    }
    let default = default.filter(|field| !field.node.is_nothing());
    let Some(default) = default else {
        let hint = format!("give it with `--set {name}=VALUE`, or give it a default");
        let message = "this parameter has no value".to_owned();
        field.sink.report(key_at, &field.place, message, Some(hint));
        return (String::new(), description);
    };
    let mut node = default.node.clone();
    fill(&mut node, &default.place, built_in, field.sink);
    let default = Field::new(&node, default.place, field.sink);
    let text = default.raw_text("text").unwrap_or_default();
    let value = match path {
        true => joined(&settings.folder, text),
        false => text.to_owned(),
    };
    (value, description)
}

/// The path as seen from the folder, without `.` and `..`.
pub(crate) fn joined(folder: &Path, path: &str) -> String {
    let mut out = PathBuf::new();
    for component in folder.join(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out.to_string_lossy().into_owned()
}

/// Fills every reference in the texts of this value; names of fields stay as they are.
pub(crate) fn fill(node: &mut Node, place: &Place, scope: Scope<'_>, sink: &Sink) {
    match &mut node.content {
        Content::List(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                fill(item, &place.index(i), scope, sink);
            }
        }
        Content::Map(fields) => {
            for (key, value) in fields {
                fill(value, &place.field(&key.text), scope, sink);
            }
        }
        Content::Scalar(scalar) if scalar.text.contains("${") => {
            match filled_scalar(scalar, scope) {
                Ok(content) => node.content = content,
                Err(mistakes) => {
                    for (message, hint) in mistakes {
                        sink.report(node.at, place, message, hint);
                    }
                }
            }
        }
        Content::Scalar(_) => {}
    }
}

/// What is wrong, and what to do.
type Mistake = (String, Option<String>);

fn filled_scalar(scalar: &Scalar, scope: Scope<'_>) -> Result<Content, Vec<Mistake>> {
    // A reference alone may stand for any value, such as a map that `input` takes whole.
    let alone = scalar.text.strip_prefix("${");
    let name = alone.and_then(|rest| rest.strip_suffix('}'));
    let content = match name.filter(|name| !name.contains(['$', '{', '}'])) {
        Some(name) => {
            let found = scope.find(name);
            let mut content = found.map_err(|why| vec![explain(&why, name, scope)])?;
            if let Content::Scalar(found) = &mut content {
                found.plain &= scalar.plain;
            }
            content
        }
        None => Content::Scalar(Scalar {
            text: filled_text(&scalar.text, scope)?,
            plain: scalar.plain,
            filled: true,
        }),
    };
    let node = Node {
        at: At::FILE,
        content,
    };
    match scope.values.take(node.size().1) {
        true => Ok(node.content),
        false => Err(scope.values.too_much()),
    }
}

/// The text with each reference in it replaced.
fn filled_text(text: &str, scope: Scope<'_>) -> Result<String, Vec<Mistake>> {
    let mut out = String::with_capacity(text.len());
    let mut mistakes = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = (&rest[..start], &rest[start + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            mistakes.push((
                "`${` has no `}` after it".to_owned(),
                Some("write `$${` if it is not a parameter".to_owned()),
            ));
            break;
        };
        match scope.find(name) {
            Ok(Content::Scalar(found)) if out.len() + found.text.len() > MAX_TEXT => {
                return Err(scope.values.too_much());
            }
            Ok(Content::Scalar(found)) => out.push_str(&found.text),
            Ok(_) => mistakes.push(explain(&Unfilled::NoText, name, scope)),
            Err(why) => mistakes.push(explain(&why, name, scope)),
        }
        rest = after;
    }
    out.push_str(rest);
    match mistakes.is_empty() {
        true => Ok(out),
        false => Err(mistakes),
    }
}

fn explain(why: &Unfilled, name: &str, scope: Scope<'_>) -> Mistake {
    let name = shown(name);
    match why {
        Unfilled::Unknown => {
            let mut known: Vec<&str> = scope.values.texts.keys().map(String::as_str).collect();
            if scope.item.is_some() {
                known.push("item");
            }
            let hint = did_you_mean(&name, known).unwrap_or_else(|| {
                format!(
                    "declare it under `params`, or write `$${{{name}}}` to leave it to the shell"
                )
            });
            (format!("unknown parameter `${{{name}}}`"), Some(hint))
        }
        Unfilled::NoItem => (
            format!("`${{{name}}}` is only there in a task with `for_each`"),
            None,
        ),
        Unfilled::NoText => (
            format!("`${{{name}}}` is a list or a map, and stands inside a text"),
            Some("name a field of it, such as `${item.name}`".to_owned()),
        ),
        Unfilled::NoField(step) => (
            format!("`${{{name}}}`: the item has no field `{}`", shown(step)),
            None,
        ),
    }
}
