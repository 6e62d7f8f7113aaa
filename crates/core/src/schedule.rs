//! Schedules: a task that is created again and again by a cron expression.

use croner::parser::{CronParser, Seconds};
use serde::{Deserialize, Serialize};

use crate::rejection::{Code, Rejection};
use crate::task::TaskSpec;
use crate::{ScheduleId, TaskId, Timestamp};

/// Most schedules of one team.
pub const MAX_SCHEDULES: usize = 1_000;
/// Longest name of a schedule, in bytes.
pub const MAX_NAME_LEN: usize = 128;

/// What happens when the last task of a schedule hasn't ended by the next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// This time is left out.
    #[default]
    Skip,
    /// A task is created all the same.
    Allow,
}

/// A recurring task. Times that pass while the server is down are made up by one task, not by many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Schedule {
    /// Its id.
    pub id: ScheduleId,
    /// Its name, unique in the team.
    pub name: String,
    /// Five fields (minute hour day month weekday), or six with seconds first; in the time zone.
    pub cron: String,
    /// An IANA time zone, such as `Europe/Berlin`.
    pub time_zone: String,
    /// The task that it creates.
    pub spec: TaskSpec,
    /// What happens when the last one still runs.
    pub overlap: Overlap,
    /// While paused, nothing is created.
    pub paused: bool,
    /// The next time.
    pub next_at: Timestamp,
    /// The last task that it created.
    pub last_task: Option<TaskId>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// The first time after `after` that the expression names, in the zone.
pub fn next_time(cron: &str, time_zone: &str, after: Timestamp) -> Result<Timestamp, Rejection> {
    let pattern = CronParser::builder().seconds(Seconds::Optional).build().parse(cron).map_err(|error| {
        Rejection::new(Code::InvalidCron, format!("`{}` is not a cron expression: {error}", crate::text::shown(cron)))
            .hint("write five fields: minute hour day-of-month month weekday, for example `0 9 * * mon-fri`")
            .at("cron")
    })?;
    let zone = jiff::tz::TimeZone::get(time_zone).map_err(|_| {
        Rejection::new(
            Code::InvalidCron,
            format!("`{}` is not a time zone", crate::text::shown(time_zone)),
        )
        .hint("use an IANA name such as UTC or Europe/Berlin")
        .at("time_zone")
    })?;
    let after = jiff::Timestamp::from_microsecond(after.micros())
        .map_err(|error| Rejection::new(Code::InvalidTime, error.to_string()))?;
    let after = after.to_zoned(zone);
    let next = pattern.find_next_occurrence(&after, false).map_err(|_| {
        Rejection::new(
            Code::InvalidCron,
            format!("`{}` never comes due", crate::text::shown(cron)),
        )
        .at("cron")
    })?;
    Ok(Timestamp::from_micros(next.timestamp().as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_time_follows_the_zone_and_its_summer_time() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (cron, zone, after, next) in [
            (
                "0 9 * * *",
                "UTC",
                "2026-11-24T08:00:00Z",
                "2026-11-24T09:00:00Z",
            ),
            (
                "0 9 * * *",
                "UTC",
                "2026-11-24T09:00:00Z",
                "2026-11-25T09:00:00Z",
            ),
            (
                "0 9 * * *",
                "Europe/Berlin",
                "2026-10-24T08:00:00Z",
                "2026-10-25T08:00:00Z",
            ),
            (
                "*/15 * * * * *",
                "UTC",
                "2026-11-24T09:00:01Z",
                "2026-11-24T09:00:15Z",
            ),
        ] {
            assert_eq!(
                next_time(cron, zone, at(after)).unwrap(),
                at(next),
                "{cron} {zone}"
            );
        }
    }

    #[test]
    fn what_is_no_cron_expression_is_refused() {
        let now = Timestamp::from_micros(0);
        for (cron, zone) in [
            ("every day", "UTC"),
            ("61 * * * *", "UTC"),
            ("* * * * *", "Mars/Base"),
            ("0 0 30 2 *", "UTC"),
        ] {
            assert_eq!(
                next_time(cron, zone, now).unwrap_err().code(),
                Code::InvalidCron,
                "{cron} {zone}"
            );
        }
    }
}
