//! Finds tasks by what people call them: a number, an id, or a key.

use collective_api::tasks::ListTasks;
use collective_client::{Client, TaskName};
use collective_core::task::Task;
use collective_core::{Code, Rejection, TaskId};

use crate::errors::CliError;

/// How many tasks are looked through for a key, newest first: several runs of a large team.
const MAX_LOOKED_THROUGH: usize = 2_000;

/// The task that `text` names: `12`, `#12`, an id, or the key of exactly one task.
pub(crate) async fn task(client: &Client, text: &str) -> Result<TaskName, CliError> {
    if let Ok(name) = text.parse() {
        return Ok(name);
    }
    let found = by_key(client, text).await?;
    match found.as_slice() {
        [task] => Ok(task.id.into()),
        [] => Err(
            Rejection::not_found("task with the number, id or key", text)
                .hint("`collective task list` shows what there is")
                .into(),
        ),
        several => {
            let numbers: Vec<String> = several
                .iter()
                .map(|task| format!("#{} ({})", task.number, task.state))
                .collect();
            Err(Rejection::new(
                Code::InvalidField,
                format!(
                    "the key `{}` is that of {} tasks: {}",
                    collective_core::text::shown(text),
                    several.len(),
                    numbers.join(", ")
                ),
            )
            .hint("name the task by its number")
            .into())
        }
    }
}

/// The ids of tasks, for dependencies, which take nothing else.
pub(crate) async fn id(client: &Client, text: &str) -> Result<TaskId, CliError> {
    match task(client, text).await? {
        TaskName::Id(id) => Ok(id),
        number @ TaskName::Number(_) => Ok(client.task(number).await?.task.id),
    }
}

async fn by_key(client: &Client, key: &str) -> Result<Vec<Task>, CliError> {
    let page = client
        .list_tasks_up_to(&ListTasks::default(), MAX_LOOKED_THROUGH)
        .await?;
    Ok(page
        .items
        .into_iter()
        .filter(|task| task.spec.key.as_deref() == Some(key))
        .collect())
}
