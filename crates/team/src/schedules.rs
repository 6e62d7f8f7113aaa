//! The `schedules` section: tasks that come again and again.

use collective_core::schedule::{MAX_NAME_LEN, MAX_SCHEDULES, Overlap, next_time};
use collective_core::task::TaskSpec;
use collective_core::text::shown;
use collective_core::{Code, Timestamp};

use crate::fan_out::is_key;
use crate::field::Field;
use crate::file::ScheduleEntry;
use crate::tasks::{self, Defaults};

/// The fields of a schedule: its own, and those of its task.
pub(crate) const FIELDS: [&str; 14] = [
    "cron",
    "time_zone",
    "overlap",
    "title",
    "prompt",
    "input",
    "queue",
    "role",
    "agent",
    "priority",
    "retry",
    "timeout",
    "checks",
    "labels",
];
/// The time zone of a schedule that names none.
pub(crate) const DEFAULT_ZONE: &str = "UTC";
/// The words of what happens when the last task still runs.
pub(crate) const OVERLAPS: [(&str, Overlap); 2] =
    [("skip", Overlap::Skip), ("allow", Overlap::Allow)];

/// A schedule and where it stands, for what is checked across the file.
pub(crate) struct Draft<'t> {
    pub(crate) entry: ScheduleEntry,
    pub(crate) field: Field<'t>,
    pub(crate) own_queue: bool,
}

/// Reads the section.
pub(crate) fn read<'t>(section: &Field<'t>, defaults: &Defaults, now: Timestamp) -> Vec<Draft<'t>> {
    let entries = section.entries("schedules").unwrap_or_default();
    if entries.len() > MAX_SCHEDULES {
        let count = entries.len();
        section.problem(format!("{count} schedules, the bound is {MAX_SCHEDULES}"));
        return Vec::new();
    }
    let mut drafts = Vec::with_capacity(entries.len());
    for (key, field) in entries {
        if !is_key(&key.text) || key.text.len() > MAX_NAME_LEN {
            let message = format!("`{}` is not a schedule's name", shown(&key.text));
            let hint = "use a-z, A-Z, 0-9, `.`, `_`, `-`, starting with a letter or digit";
            let hint = Some(hint.to_owned());
            field.sink.report(key.at, &field.place, message, hint);
        }
        drafts.extend(schedule(&key.text, &field, defaults, now));
    }
    drafts
}

fn schedule<'t>(
    name: &str,
    field: &Field<'t>,
    defaults: &Defaults,
    now: Timestamp,
) -> Option<Draft<'t>> {
    let hint = "a schedule is a map, such as `nightly: {cron: \"0 3 * * *\"}`";
    let fields = field.fields(&FIELDS, Some(hint))?;
    let mut spec = TaskSpec::new(name);
    tasks::work(&fields, &mut spec, defaults);
    tasks::judge(field, &mut spec, now);
    let zone = fields.get("time_zone");
    let zone = zone.and_then(|field| field.text()).unwrap_or(DEFAULT_ZONE);
    let cron = match fields.get("cron") {
        Some(cron) => cron.text().unwrap_or_default(),
        None => {
            let message = "a schedule needs a cron expression";
            field.problem_hint(message, "add `cron: \"0 3 * * *\"`");
            ""
        }
    };
    if !cron.is_empty()
        && let Err(rejection) = next_time(cron, zone, now)
    {
        debug_assert_eq!(rejection.code(), Code::InvalidCron);
        field.reject(&rejection);
    }
    let overlap = fields.get("overlap");
    let overlap = overlap.and_then(|field| field.word("an overlap", &OVERLAPS));
    Some(Draft {
        entry: ScheduleEntry {
            name: name.to_owned(),
            cron: cron.to_owned(),
            time_zone: zone.to_owned(),
            overlap: overlap.unwrap_or_default(),
            spec,
        },
        field: field.clone(),
        own_queue: fields.get("queue").is_some(),
    })
}
