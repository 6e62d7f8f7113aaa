//! Creating, finding, waiting for and controlling tasks; their output and artifacts.

use std::time::{Duration, Instant};

use bytes::Bytes;
use collective_api::leases::{AppendLog, AskRequest};
use collective_api::tasks::{
    CreateTasks, CreatedTask, CreatedTasks, ListTasks, LogPage, ReadLog, Revived, TaskDetail,
    WaitFor,
};
use collective_api::{Page, Reason};
use collective_core::Span;
use collective_core::event::Event;
use collective_core::explain::Explanation;
use collective_core::limits::{MAX_PAGE, MAX_WAIT};
use collective_core::question::Question;
use collective_core::task::{Task, TaskSpec};

use crate::{Client, ClientError, TaskName};

impl Client {
    /// `POST /v1/tasks`, under an `Idempotency-Key` of its own.
    pub async fn create_task(&self, spec: &TaskSpec) -> Result<CreatedTask, ClientError> {
        self.post(&["v1", "tasks"])
            .json(spec)
            .once(None)
            .answer()
            .await
    }

    /// `POST /v1/tasks` under this `Idempotency-Key`: within a day, the same key gives the same task.
    pub async fn create_task_once(
        &self,
        spec: &TaskSpec,
        key: &str,
    ) -> Result<CreatedTask, ClientError> {
        self.post(&["v1", "tasks"])
            .json(spec)
            .once(Some(key))
            .answer()
            .await
    }

    /// `POST /v1/tasks/batch`: all of them or none, under an `Idempotency-Key` of its own.
    pub async fn create_tasks(&self, request: &CreateTasks) -> Result<CreatedTasks, ClientError> {
        self.post(&["v1", "tasks", "batch"])
            .json(request)
            .once(None)
            .answer()
            .await
    }

    /// `POST /v1/tasks/batch` under this `Idempotency-Key`.
    pub async fn create_tasks_once(
        &self,
        request: &CreateTasks,
        key: &str,
    ) -> Result<CreatedTasks, ClientError> {
        self.post(&["v1", "tasks", "batch"])
            .json(request)
            .once(Some(key))
            .answer()
            .await
    }

    /// `GET /v1/tasks`: one page, newest first.
    pub async fn list_tasks(&self, query: &ListTasks) -> Result<Page<Task>, ClientError> {
        self.get(&["v1", "tasks"]).query(query).answer().await
    }

    /// `GET /v1/tasks`, page after page, until there are `most` or no more; `next` says whether there are.
    pub async fn list_tasks_up_to(
        &self,
        query: &ListTasks,
        most: usize,
    ) -> Result<Page<Task>, ClientError> {
        let mut query = query.clone();
        let mut items: Vec<Task> = Vec::new();
        loop {
            let missing = most.saturating_sub(items.len());
            query.limit = Some(missing.min(MAX_PAGE));
            let mut page = self.list_tasks(&query).await?;
            items.append(&mut page.items);
            if page.next.is_none() || items.len() >= most {
                let next = page.next;
                return Ok(Page { items, next });
            }
            query.cursor = page.next;
        }
    }

    /// `GET /v1/tasks/{task}`.
    pub async fn task(&self, task: impl Into<TaskName>) -> Result<TaskDetail, ClientError> {
        let task = task.into().to_string();
        self.get(&["v1", "tasks", &task]).answer().await
    }

    /// `GET /v1/tasks/{task}/result`: waits once, at most [`MAX_WAIT`]; the task may not have ended.
    pub async fn task_result(
        &self,
        task: impl Into<TaskName>,
        wait: Span,
    ) -> Result<Task, ClientError> {
        let task = task.into().to_string();
        let wait = wait.min(MAX_WAIT);
        self.get(&["v1", "tasks", &task, "result"])
            .query(&WaitFor { wait: Some(wait) })
            .waiting(wait)
            .answer()
            .await
    }

    /// Waits until the task has ended, or until `until`; the task that comes
    /// back says which it was. Without `until` it waits as long as it takes.
    pub async fn wait_for_result(
        &self,
        task: impl Into<TaskName>,
        until: Option<Instant>,
    ) -> Result<Task, ClientError> {
        let task = task.into();
        loop {
            let wait = left(until);
            let found = self.task_result(task, wait).await?;
            if found.state.is_terminal() || wait < MAX_WAIT && left(until) == Span::ZERO {
                return Ok(found);
            }
        }
    }

    /// `GET /v1/tasks/{task}/explain`.
    pub async fn explain_task(
        &self,
        task: impl Into<TaskName>,
    ) -> Result<Explanation, ClientError> {
        let task = task.into().to_string();
        self.get(&["v1", "tasks", &task, "explain"]).answer().await
    }

    /// `GET /v1/tasks/{task}/events`.
    pub async fn task_events(&self, task: impl Into<TaskName>) -> Result<Page<Event>, ClientError> {
        let task = task.into().to_string();
        self.get(&["v1", "tasks", &task, "events"]).answer().await
    }

    /// `GET /v1/tasks/{task}/log`.
    pub async fn task_log(
        &self,
        task: impl Into<TaskName>,
        query: &ReadLog,
    ) -> Result<LogPage, ClientError> {
        let task = task.into().to_string();
        self.get(&["v1", "tasks", &task, "log"])
            .query(query)
            .waiting(query.wait.unwrap_or_default())
            .answer()
            .await
    }

    /// `POST /v1/tasks/{task}/log`. A piece that is there already stays, so it may be sent again.
    pub async fn append_log(
        &self,
        task: impl Into<TaskName>,
        piece: &AppendLog,
    ) -> Result<(), ClientError> {
        let task = task.into().to_string();
        self.post(&["v1", "tasks", &task, "log"])
            .json(piece)
            .harmless()
            .done()
            .await
    }

    /// `GET /v1/tasks/{task}/artifacts/{name}`: its bytes.
    pub async fn artifact(
        &self,
        task: impl Into<TaskName>,
        name: &str,
    ) -> Result<Bytes, ClientError> {
        let task = task.into().to_string();
        let whole = self
            .get(&["v1", "tasks", &task, "artifacts", name])
            .whole()
            .await?;
        Ok(whole.body)
    }

    /// `POST /v1/tasks/{task}/ask`. Not sent again after an unknown fate: look
    /// at the task's questions then.
    pub async fn ask(
        &self,
        task: impl Into<TaskName>,
        request: &AskRequest,
    ) -> Result<Question, ClientError> {
        let task = task.into().to_string();
        self.post(&["v1", "tasks", &task, "ask"])
            .json(request)
            .answer()
            .await
    }

    /// `POST /v1/tasks/{task}/cancel`. Asking twice is fine.
    pub async fn cancel_task(
        &self,
        task: impl Into<TaskName>,
        reason: &str,
    ) -> Result<CreatedTask, ClientError> {
        self.control(task.into(), "cancel", reason).await
    }

    /// `POST /v1/tasks/{task}/discard`. Asking twice is fine.
    pub async fn discard_task(
        &self,
        task: impl Into<TaskName>,
        reason: &str,
    ) -> Result<CreatedTask, ClientError> {
        self.control(task.into(), "discard", reason).await
    }

    async fn control(
        &self,
        task: TaskName,
        verb: &str,
        reason: &str,
    ) -> Result<CreatedTask, ClientError> {
        self.post(&["v1", "tasks", &task.to_string(), verb])
            .json(&Reason {
                reason: reason.to_owned(),
            })
            .harmless()
            .answer()
            .await
    }

    /// `POST /v1/tasks/{task}/retry`. Not sent again after an unknown fate,
    /// since the task may have died anew in between.
    pub async fn retry_task(&self, task: impl Into<TaskName>) -> Result<Revived, ClientError> {
        let task = task.into().to_string();
        self.post(&["v1", "tasks", &task, "retry"]).answer().await
    }
}

/// How long the next long poll may wait.
pub(crate) fn left(until: Option<Instant>) -> Span {
    let Some(until) = until else {
        return MAX_WAIT;
    };
    let left = until.saturating_duration_since(Instant::now());
    let left = left.min(MAX_WAIT.as_duration());
    // A wait of less than a millisecond would be a busy loop.
    if left < Duration::from_millis(1) {
        return Span::ZERO;
    }
    Span::from_micros(u64::try_from(left.as_micros()).unwrap_or(u64::MAX))
}
