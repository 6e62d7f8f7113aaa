//! The team file: agents and tasks in YAML, read, checked, and explained where it is wrong.
//!
//! [`load`] reads a file, [`read`] its bytes; both give a [`TeamFile`] in core's words or
//! every mistake at once ([`Problems`]). The rules that core and the server apply are applied
//! here too, so that nothing is refused later. This crate must never know how an agent is
//! started or how a task is sent: it has no runner, no client, no server.
//!
//! A file's way: bytes → `yaml` (a tree with places) → `params` and `fan_out` (filled
//! in, unfolded) → `agents`, `tasks`, `schedules` (core's words) → `links` (names
//! that hold together).

mod agents;
mod checks;
mod disk;
mod fan_out;
mod field;
mod file;
mod links;
mod node;
mod params;
mod place;
mod presets;
mod problem;
mod schedules;
mod schema;
mod span_in_words;
mod tasks;
mod yaml;

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use collective_core::limits::MAX_RESULT_LEN;
use collective_core::task::TaskRef;
use collective_core::text::shown;
use collective_core::{TeamName, Timestamp};
use serde_json::Value;

pub use agents::MAX_AGENTS;
pub use fan_out::MAX_TASKS;
pub use file::{AgentEntry, Program, ScheduleEntry, TeamFile};
pub use params::Param;
pub use presets::{NoPresets, PresetBook};
pub use problem::{MAX_PROBLEMS, Problem, Problems};
pub use schema::schema;

use agents::Common;
use fan_out::Unfolded;
use field::{Field, Fields, did_you_mean, listed};
use links::Lanes;
use node::{Content, Node};
use params::{Values, fill};
use place::Place;
use presets::MAX_PRESETS;
use problem::{At, Sink};

/// Largest team file: thousands of tasks with room for prompts.
pub const MAX_FILE_LEN: usize = 4 * 1024 * 1024;
/// The fields of a team file. A name that starts with `x-` is for anchors and is not read.
pub(crate) const FIELDS: [&str; 11] = [
    "team",
    "description",
    "params",
    "repository",
    "defaults",
    "presets",
    "agents",
    "tasks",
    "schedules",
    "summary",
    "x-*",
];

/// What a reading depends on besides the file.
pub struct Settings<'s> {
    /// The values of parameters that were set.
    pub set: BTreeMap<String, String>,
    /// The folder of the team file, as an absolute path: relative paths in it start here.
    pub folder: PathBuf,
    /// The folder that the command was given in: relative paths that were set start here.
    pub current: PathBuf,
    /// The time that `deadline` and `in 5m` count from.
    pub now: Timestamp,
    /// The presets that are known.
    pub presets: &'s dyn PresetBook,
    /// Whether to look whether folders, repositories and programs are there.
    pub look_at_disk: bool,
}

/// Reads a team file and looks at what it names on the disk.
pub fn load(
    path: &Path,
    set: BTreeMap<String, String>,
    now: Timestamp,
    presets: &dyn PresetBook,
) -> Result<TeamFile, Problems> {
    let whole_file = |message: String, hint: Option<&str>| {
        let sink = Sink::new();
        let hint = hint.map(str::to_owned);
        sink.report(At::FILE, &Place::root(), message, hint);
        sink.into_problems(shown_path(path), "")
    };
    let unreadable = |error: std::io::Error| whole_file(format!("can't be read: {error}"), None);
    if path.is_dir() {
        let hint = "name the file itself, such as team.yaml";
        return Err(whole_file("is a folder".to_owned(), Some(hint)));
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // One byte more than the bound shows that there is more.
    let bound = MAX_FILE_LEN as u64 + 1;
    file.take(bound)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let absolute = std::path::absolute(path).map_err(unreadable)?;
    let current = std::env::current_dir().map_err(unreadable)?;
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    let settings = Settings {
        set,
        folder: PathBuf::from(params::joined(folder, ".")),
        current,
        now,
        presets,
        look_at_disk: true,
    };
    read(&bytes, path, &settings)
}

/// Reads the bytes of a team file; `path` is only what mistakes are told under.
pub fn read(bytes: &[u8], path: &Path, settings: &Settings<'_>) -> Result<TeamFile, Problems> {
    let sink = Sink::new();
    let text = text(bytes, &sink);
    let file = match text {
        Some(text) => yaml::parse(text, &sink).and_then(|root| team(root, settings, &sink)),
        None => None,
    };
    match file {
        Some(file) if sink.is_empty() => Ok(file),
        _ => Err(sink.into_problems(shown_path(path), &String::from_utf8_lossy(bytes))),
    }
}

fn shown_path(path: &Path) -> String {
    shown(&path.display().to_string())
}

/// The text of a file that is not too large and is UTF-8.
fn text<'b>(bytes: &'b [u8], sink: &Sink) -> Option<&'b str> {
    let root = Place::root();
    if bytes.len() > MAX_FILE_LEN {
        let message = format!("is larger than {} MiB", MAX_FILE_LEN / (1024 * 1024));
        let hint = "put long prompts into files of the repository and name them".to_owned();
        sink.report(At::FILE, &root, message, Some(hint));
        return None;
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let last = before.rsplit('\n').next().unwrap_or_default();
            let at = At {
                line: before.matches('\n').count() + 1,
                column: last.chars().count() + 1,
                width: 1,
            };
            let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
            let message = format!("the byte 0x{byte:02x} is not UTF-8");
            let hint = "save the file as UTF-8".to_owned();
            sink.report(at, &root, message, Some(hint));
            None
        }
    }
}

fn team(mut root: Node, settings: &Settings<'_>, sink: &Sink) -> Option<TeamFile> {
    let (params, values) = {
        let top = Field::new(&root, Place::root(), sink);
        let fields = top.fields(&FIELDS, Some("start with `agents:` and `tasks:`"))?;
        params::read(fields.get("params").as_ref(), settings, sink)
    };
    fill_sections(&mut root, &values, sink);
    let top = Field::new(&root, Place::root(), sink);
    let fields = top.fields(&FIELDS, None)?;
    let presets = presets(&fields, settings);
    let common = Common {
        settings,
        repository: fields.get("repository"),
        presets: &presets,
    };
    look_at_repository(&common);
    let agents = match fields.get_any("agents") {
        Some(section) => agents::read(&section, &common),
        None => {
            let hint = "add `agents:` with at least one agent";
            top.problem_hint("no agent is declared", hint);
            Vec::new()
        }
    };
    let defaults = fields.get("defaults");
    let defaults = defaults.and_then(|field| tasks::defaults(&field, settings.now));
    let defaults = defaults.unwrap_or_default();
    let lanes = Lanes::of(&agents);

    let section = fields.get("tasks");
    let unfolded = match &section {
        Some(section) => fan_out::unfold(section, &values),
        None => Vec::new(),
    };
    let mut drafts: Vec<_> = unfolded
        .iter()
        .map(|task| tasks::read(task, &defaults, settings.now, sink))
        .collect();
    for draft in &drafts {
        let task = draft.source;
        let field = Field::new(&task.node, task.place.clone(), sink);
        lanes.check(&draft.spec, &field, draft.own_queue);
    }
    links::connect(&mut drafts, sink);

    let recurring = fields.get("schedules");
    let recurring = recurring.map(|field| schedules::read(&field, &defaults, settings.now));
    let recurring = recurring.unwrap_or_default();
    for draft in &recurring {
        lanes.check(&draft.entry.spec, &draft.field, draft.own_queue);
    }
    if unfolded.is_empty() && recurring.is_empty() && sink.is_empty() {
        top.problem_hint(
            "there is nothing to do",
            "add `tasks:` with at least one task",
        );
    }
    let summary = match fields.get("summary") {
        Some(field) => summary(&field, &unfolded),
        None => only_end(&drafts),
    };
    let name = fields
        .get("team")
        .and_then(|field| field.parse("a team's name"));
    let description = fields
        .get("description")
        .and_then(|field| description(&field));
    Some(TeamFile {
        team: name.unwrap_or_else(TeamName::default_team),
        description: description.unwrap_or_default(),
        params,
        agents,
        tasks: drafts.into_iter().map(|draft| draft.spec).collect(),
        schedules: recurring.into_iter().map(|draft| draft.entry).collect(),
        summary,
        presets,
    })
}

/// Fills in every section but `params`, which gives the values; `tasks`, which fan-outs fill
/// in task by task; `presets`, which have references of their own; and what is there for
/// anchors only.
fn fill_sections(root: &mut Node, values: &Values, sink: &Sink) {
    let Content::Map(sections) = &mut root.content else {
        return;
    };
    for (key, section) in sections {
        let name = key.text.as_str();
        if !matches!(name, "params" | "tasks" | "presets") && !name.starts_with("x-") {
            fill(section, &Place::root().field(name), values.scope(), sink);
        }
    }
}

/// The presets that the file defines for itself.
fn presets(fields: &Fields<'_>, settings: &Settings<'_>) -> BTreeMap<String, Value> {
    let section = fields.get("presets");
    let entries = section
        .as_ref()
        .and_then(|section| section.entries("presets"));
    let entries = entries.unwrap_or_default();
    if let Some(section) = section
        && entries.len() > MAX_PRESETS
    {
        let count = entries.len();
        section.problem(format!("{count} presets, the bound is {MAX_PRESETS}"));
    }
    let mut presets = BTreeMap::new();
    for (key, field) in entries {
        if !fan_out::is_key(&key.text) {
            let message = format!("`{}` is not a preset's name", shown(&key.text));
            field.sink.report(key.at, &field.place, message, None);
            continue;
        }
        let definition = field.json();
        let judged = settings.presets.check_definition(&key.text, &definition);
        if let Err(rejection) = judged {
            field.reject(&rejection);
        }
        presets.insert(key.text.clone(), definition);
    }
    presets
}

/// The file's own repository is looked at once, not for each agent.
fn look_at_repository(common: &Common<'_>) {
    if let Some(field) = &common.repository
        && common.settings.look_at_disk
        && let Some(path) = agents::path(field, common.settings)
    {
        disk::repository(field, &path);
    }
}

/// The key of the task that sums up the run.
fn summary(field: &Field<'_>, tasks: &[Unfolded]) -> Option<String> {
    let key = field.raw_text("a task's key")?;
    if tasks.iter().any(|task| task.key == key) {
        return Some(key.to_owned());
    }
    let names = || tasks.iter().map(|task| task.key.as_str());
    let hint = match tasks.iter().any(|task| task.family == key) {
        true => "a fan-out has many results: name a task that depends on it".to_owned(),
        false => {
            did_you_mean(key, names()).unwrap_or_else(|| format!("tasks are {}", listed(names())))
        }
    };
    field.problem_hint(format!("no task has the key `{}`", shown(key)), hint);
    None
}

/// The key of the one task that no other depends on, if it is one.
fn only_end(drafts: &[tasks::Draft<'_>]) -> Option<String> {
    let dependencies = drafts.iter().flat_map(|draft| &draft.spec.depends_on);
    let named: HashSet<&TaskRef> = dependencies.map(|dependency| &dependency.task).collect();
    let key = |draft: &tasks::Draft<'_>| draft.source.key.clone();
    let mut ends = drafts
        .iter()
        .map(key)
        .filter(|key| !named.contains(&TaskRef::Key(key.clone())));
    ends.next().filter(|_| ends.next().is_none())
}

fn description(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    if text.len() > MAX_RESULT_LEN {
        let size = text.len();
        field.problem(format!(
            "has a size of {size}, the bound is {MAX_RESULT_LEN}"
        ));
    }
    Some(text.to_owned())
}
