//! The `agents` section: who takes part, and what each runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use collective_core::agent::AgentSpec;
use collective_core::limits::{
    DEFAULT_LEASE, MAX_LEASE, MAX_PATH_LEN, MAX_QUEUES_PER_AGENT, MIN_LEASE,
};
use collective_core::role::Role;
use collective_core::text::shown;
use collective_core::{AgentName, QueueName, Span};
use serde_json::Value;

use crate::Settings;
use crate::field::{Field, Fields, did_you_mean, listed};
use crate::file::{AgentEntry, Program};
use crate::node::{Content, Key};
use crate::params::joined;

/// Most agents of one file: more processes than one machine starts.
pub const MAX_AGENTS: usize = 1_000;
/// Most variables of one agent.
pub(crate) const MAX_ENV: usize = 256;
/// Longest command or variable: what a kernel passes on in one argument (Linux: 128 KiB).
const MAX_WORD_LEN: usize = 128 * 1024;
/// The fields of an agent.
pub(crate) const FIELDS: [&str; 12] = [
    "description",
    "role",
    "queues",
    "slots",
    "command",
    "preset",
    "options",
    "worktree",
    "repository",
    "workdir",
    "env",
    "lease",
];
/// Variables that the runner gives to every attempt begin with this.
const RESERVED_ENV: &str = "COLLECTIVE_";

/// The words of roles.
pub(crate) fn roles() -> [(&'static str, Role); 5] {
    Role::ALL.map(|role| (role.as_str(), role))
}

/// What agents share.
pub(crate) struct Common<'c> {
    pub(crate) settings: &'c Settings<'c>,
    /// The repository of agents that name none.
    pub(crate) repository: Option<Field<'c>>,
    /// Presets that the file defines.
    pub(crate) presets: &'c BTreeMap<String, Value>,
}

/// Reads the section.
pub(crate) fn read(section: &Field<'_>, common: &Common<'_>) -> Vec<AgentEntry> {
    let entries = section.entries("agents").unwrap_or_default();
    if entries.is_empty() && !matches!(section.node.content, Content::List(_)) {
        section.problem_hint("no agent is declared", "declare at least one agent");
    }
    if entries.len() > MAX_AGENTS {
        section.problem(format!(
            "{} agents, the bound is {MAX_AGENTS}",
            entries.len()
        ));
        return Vec::new();
    }
    entries
        .iter()
        .filter_map(|(key, field)| agent(key, field, common))
        .collect()
}

/// One agent. Mistakes in its fields leave their defaults, so that what depends on the
/// agent is still checked.
fn agent(key: &Key, field: &Field<'_>, common: &Common<'_>) -> Option<AgentEntry> {
    let name = AgentName::new(&key.text)
        .map_err(|rejection| field.sink.reject(key.at, &field.place, &rejection))
        .ok();
    let hint = "an agent is a map, such as `ada: {command: ./work.sh}`";
    let fields = field.fields(&FIELDS, Some(hint))?;
    let spec = spec(&fields);
    let worktree = fields.get("worktree").and_then(|field| field.flag());
    let worktree = worktree.unwrap_or_default();
    let folder = |field: &Field<'_>| path(field, common.settings);
    let own = fields.get("repository");
    let repository = own.as_ref().or(common.repository.as_ref()).and_then(folder);
    let own_workdir = fields.get("workdir");
    let workdir = own_workdir.as_ref().and_then(folder);
    if worktree && repository.is_none() && own.is_none() && common.repository.is_none() {
        let at = fields.key_at("worktree");
        let place = field.place.field("worktree");
        let hint = "add `repository: PATH` to the agent or to the file".to_owned();
        let message = "a worktree needs a repository";
        field.sink.report(at, &place, message, Some(hint));
    }
    if worktree && let Some(workdir) = &own_workdir {
        workdir.problem_hint(
            "an agent has a worktree or a workdir, not both",
            "take `workdir` out: each attempt starts in its worktree",
        );
    }
    let program = program(key, &fields, common);
    let env = fields
        .get("env")
        .map(|field| env(&field))
        .unwrap_or_default();
    let lease = fields.get("lease").and_then(|field| lease(&field));
    if common.settings.look_at_disk {
        let start = own_workdir.as_ref().zip(workdir.as_deref());
        if let Some((field, path)) = start {
            crate::disk::folder(field, path);
        }
        if let Some((field, path)) = own.as_ref().zip(repository.as_deref()) {
            crate::disk::repository(field, path);
        }
        if let (Some(Program::Argv(argv)), Some(field)) = (&program, fields.get("command")) {
            let start = workdir.as_deref().or(repository.as_deref());
            let start = start.unwrap_or(&common.settings.folder);
            let path = env.get("PATH").map(String::as_str);
            crate::disk::program(&field, &argv[0], (!worktree).then_some(start), path);
        }
    }
    // A mistake was noted for each stand-in, so none leaves this crate.
    Some(AgentEntry {
        name: name.or_else(|| AgentName::new("unnamed").ok())?,
        spec,
        program: program.unwrap_or_else(|| Program::Argv(Vec::new())),
        worktree,
        workdir: workdir
            .or_else(|| repository.clone())
            .unwrap_or_else(|| common.settings.folder.clone()),
        repository,
        env,
        lease: lease.unwrap_or(DEFAULT_LEASE),
    })
}

fn spec(fields: &Fields<'_>) -> AgentSpec {
    let default = AgentSpec::default();
    let role = fields.get("role");
    let role = role.and_then(|field| field.word("a role", &roles()));
    let slots = fields.get("slots").and_then(|field| {
        let slots = field.whole()?;
        let spec = AgentSpec {
            slots,
            ..AgentSpec::default()
        };
        let judged = spec.validate().map_err(|r| field.reject(&unplaced(&r)));
        judged.is_ok().then_some(slots)
    });
    let description = fields.get("description").and_then(|field| {
        let spec = AgentSpec {
            description: field.text()?.to_owned(),
            ..AgentSpec::default()
        };
        let judged = spec.validate().map_err(|r| field.reject(&unplaced(&r)));
        judged.is_ok().then_some(spec.description)
    });
    AgentSpec {
        role: role.unwrap_or(default.role),
        queues: fields
            .get_any("queues")
            .and_then(|field| queues(&field))
            .unwrap_or(default.queues),
        slots: slots.unwrap_or(default.slots),
        description: description.unwrap_or_default(),
        transport: default.transport,
    }
}

/// The same refusal, about the very field that was asked.
pub(crate) fn unplaced(rejection: &collective_core::Rejection) -> collective_core::Rejection {
    let bare = collective_core::Rejection::new(rejection.code(), rejection.message());
    match rejection.hint_text() {
        Some(hint) => bare.hint(hint),
        None => bare,
    }
}

fn queues(field: &Field<'_>) -> Option<Vec<QueueName>> {
    let items = field.items(Some("write `[default]`"))?;
    if items.len() > MAX_QUEUES_PER_AGENT {
        let count = items.len();
        field.problem(format!(
            "{count} queues, the bound is {MAX_QUEUES_PER_AGENT}"
        ));
    }
    let mut queues: Vec<QueueName> = Vec::with_capacity(items.len());
    for item in items {
        match item.parse::<QueueName>("a queue's name") {
            Some(name) if queues.contains(&name) => {
                item.problem(format!("queue `{name}` is named twice"));
            }
            Some(name) => queues.push(name),
            None => {}
        }
    }
    Some(queues)
}

fn lease(field: &Field<'_>) -> Option<Span> {
    let span = field.span()?;
    if span < MIN_LEASE || span > MAX_LEASE {
        field.problem(format!("must be {MIN_LEASE} to {MAX_LEASE}, not {span}"));
        return None;
    }
    Some(span)
}

fn program(key: &Key, fields: &Fields<'_>, common: &Common<'_>) -> Option<Program> {
    let options = fields.get("options");
    match (fields.get("command"), fields.get("preset")) {
        (Some(_), Some(preset)) => {
            preset.problem_hint(
                "an agent has a command or a preset, not both",
                "take one of them out",
            );
            None
        }
        (None, None) => {
            let message = "neither a command nor a preset says what this agent runs";
            let hint = "add `command: ...` or `preset: NAME`".to_owned();
            let whole = &fields.whole;
            whole.sink.report(key.at, &whole.place, message, Some(hint));
            None
        }
        (Some(command), None) => {
            if let Some(options) = options {
                options.problem("options are for a preset; a command has none");
            }
            self::command(&command)
        }
        (None, Some(preset)) => self::preset(&preset, options.as_ref(), common),
    }
}

/// A command: a text for `sh -c`, or a list of words.
pub(crate) fn command(field: &Field<'_>) -> Option<Program> {
    let Content::List(_) = &field.node.content else {
        let text = field.raw_text("a command: text for `sh -c`, or a list of words")?;
        if text.trim().is_empty() {
            field.problem("the command is empty");
            return None;
        }
        return passable(field, text).then(|| Program::Shell(text.to_owned()));
    };
    let items = field.items(None)?;
    let argv = field.words(None)?;
    if argv.first().is_none_or(String::is_empty) {
        field.problem("the command is empty");
        return None;
    }
    let passable = items
        .iter()
        .zip(&argv)
        .all(|(item, word)| passable(item, word));
    passable.then_some(Program::Argv(argv))
}

/// Whether a kernel passes this text on to a program.
fn passable(field: &Field<'_>, text: &str) -> bool {
    if text.contains('\0') {
        field.problem("a NUL character can't be passed to a program");
    } else if text.len() > MAX_WORD_LEN {
        let size = text.len();
        field.problem(format!("has a size of {size}, the bound is {MAX_WORD_LEN}"));
    } else {
        return true;
    }
    false
}

fn preset(field: &Field<'_>, options: Option<&Field<'_>>, common: &Common<'_>) -> Option<Program> {
    let name = field.raw_text("a preset's name")?;
    let book = common.settings.presets;
    let mut known = book.names();
    known.extend(common.presets.keys().cloned());
    let own = common.presets.get(name);
    if !known.iter().any(|known| known == name) {
        let names = || known.iter().map(String::as_str);
        let hint = did_you_mean(name, names()).unwrap_or_else(|| match known.is_empty() {
            true => "define it under `presets`, or give a `command`".to_owned(),
            false => format!("known are {}", listed(names())),
        });
        field.problem_hint(format!("no preset is named `{}`", shown(name)), hint);
        return None;
    }
    let mut values = BTreeMap::new();
    if let Some(options) = options {
        for (key, option) in options.entries("options")? {
            values.insert(key.text.clone(), option.json());
        }
    }
    let judged = book.check_options(name, own, &values);
    judged
        .map_err(|rejection| options.unwrap_or(field).reject(&rejection))
        .ok()?;
    Some(Program::Preset {
        name: name.to_owned(),
        options: values,
    })
}

fn env(field: &Field<'_>) -> BTreeMap<String, String> {
    let entries = field.entries("variables").unwrap_or_default();
    if entries.len() > MAX_ENV {
        field.problem(format!(
            "{} variables, the bound is {MAX_ENV}",
            entries.len()
        ));
    }
    let mut env = BTreeMap::new();
    for (key, value) in entries {
        let name = key.text.as_str();
        let mut chars = name.chars();
        let good = chars
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !good {
            let message = format!("`{}` is not the name of a variable", shown(name));
            let hint = "use letters, digits and `_`, not starting with a digit".to_owned();
            field.sink.report(key.at, &value.place, message, Some(hint));
        } else if name.starts_with(RESERVED_ENV) {
            let message = format!(
                "`{name}`: variables that start with {RESERVED_ENV} are given by the runner"
            );
            field.sink.report(key.at, &value.place, message, None);
        } else if let Some(text) = value.raw_text("text")
            && passable(&value, text)
        {
            env.insert(name.to_owned(), text.to_owned());
        }
    }
    env
}

/// A path, as seen from the folder of the team file.
pub(crate) fn path(field: &Field<'_>, settings: &Settings<'_>) -> Option<PathBuf> {
    let text = field.raw_text("a path")?;
    if text.is_empty() || text.len() > MAX_PATH_LEN {
        field.problem(format!("must have 1 to {MAX_PATH_LEN} bytes"));
        return None;
    }
    passable(field, text).then(|| PathBuf::from(joined(&settings.folder, text)))
}
