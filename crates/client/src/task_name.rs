//! How a caller names a task in a path: by id or by number.

use std::fmt;
use std::str::FromStr;

use collective_core::{Code, Rejection, TaskId};

/// A task, named by id or by number. Routes take either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskName {
    /// By id.
    Id(TaskId),
    /// By number.
    Number(u64),
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskName::Id(id) => id.fmt(f),
            TaskName::Number(number) => number.fmt(f),
        }
    }
}

impl From<TaskId> for TaskName {
    fn from(id: TaskId) -> Self {
        TaskName::Id(id)
    }
}

impl From<u64> for TaskName {
    fn from(number: u64) -> Self {
        TaskName::Number(number)
    }
}

impl FromStr for TaskName {
    type Err = Rejection;

    /// Reads `12`, `#12` or a UUID.
    fn from_str(text: &str) -> Result<Self, Rejection> {
        let number = text.strip_prefix('#').unwrap_or(text);
        if let Ok(number) = number.parse() {
            return Ok(TaskName::Number(number));
        }
        text.parse().map(TaskName::Id).map_err(|_: Rejection| {
            Rejection::new(
                Code::InvalidField,
                format!("`{}` names no task", collective_core::text::shown(text)),
            )
            .hint("name a task by its number (12 or #12) or its id")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_named_by_number_or_id() {
        let id = "018f4e0e-7c1a-7000-8000-000000000001";
        assert_eq!("12".parse(), Ok(TaskName::Number(12)));
        assert_eq!("#12".parse(), Ok(TaskName::Number(12)));
        assert_eq!(id.parse(), Ok(TaskName::Id(id.parse().unwrap())));
        for bad in ["", "#", "build", "-1", "12a"] {
            assert!(bad.parse::<TaskName>().is_err(), "{bad:?}");
        }
    }
}
