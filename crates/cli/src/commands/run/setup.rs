//! What comes before the first claim: the team, its agents with their keys, its tasks.

use std::collections::{BTreeMap, HashMap};

use collective_api::agents::CreateKey;
use collective_api::messages::CreateSchedule;
use collective_api::tasks::{CreateTasks, ListTasks};
use collective_client::{Client, Token};
use collective_core::limits::{MAX_BATCH, MAX_BODY_LEN};
use collective_core::task::{Task, TaskRef, TaskSpec};
use collective_core::{AgentName, KeyId, TaskId};
use collective_team::{AgentEntry, TeamFile};

use super::board::{Board, Row};
use super::{RUN_LABEL, label};
use crate::commands::task::{live, states_text};
use crate::errors::CliError;

/// How many live tasks of earlier runs are looked at.
const MAX_EARLIER: usize = 10_000;
/// What the labels of the keys of a run start with.
const KEY_LABEL: &str = "collective run ";

/// An agent's key for as long as the run lasts.
pub(super) struct AgentKey {
    pub(super) id: KeyId,
    pub(super) token: Token,
}

/// Earlier runs of the team whose tasks haven't all ended: run id and how many tasks, oldest first.
pub(super) async fn interrupted(client: &Client) -> Result<Vec<(String, usize)>, CliError> {
    let query = ListTasks {
        state: states_text(&live().collect::<Vec<_>>()),
        ..ListTasks::default()
    };
    let page = client.list_tasks_up_to(&query, MAX_EARLIER).await?;
    let mut runs: BTreeMap<String, usize> = BTreeMap::new();
    for task in &page.items {
        if let Some(run) = task.spec.labels.get(RUN_LABEL) {
            *runs.entry(run.clone()).or_default() += 1;
        }
    }
    // Ids of runs grow with time (UUIDv7).
    Ok(runs.into_iter().collect())
}

/// Every task of a run.
pub(super) async fn tasks_of(client: &Client, run: &str) -> Result<Vec<Task>, CliError> {
    let query = ListTasks {
        label: Some(label(run)),
        ..ListTasks::default()
    };
    Ok(client.list_tasks_up_to(&query, MAX_EARLIER).await?.items)
}

/// Registers the team and its agents, so that their queues are there before the first task.
pub(super) async fn register(client: &Client, file: &TeamFile) -> Result<(), CliError> {
    client.create_team(&file.team).await?;
    for agent in &file.agents {
        client.register_agent(&agent.name, &agent.spec).await?;
    }
    Ok(())
}

/// Makes a key for each agent. Keys that earlier runs left behind are revoked.
pub(super) async fn keys(
    client: &Client,
    agents: &[AgentEntry],
    run: &str,
) -> Result<HashMap<AgentName, AgentKey>, CliError> {
    for key in client.list_keys().await?.items {
        let ours = key.label.starts_with(KEY_LABEL)
            && agents
                .iter()
                .any(|agent| key.agent.as_ref() == Some(&agent.name));
        if ours && key.revoked_at.is_none() {
            client.revoke_key(key.id).await?;
        }
    }
    let mut keys = HashMap::with_capacity(agents.len());
    for agent in agents {
        let request = CreateKey {
            label: format!("{KEY_LABEL}{run}"),
            role: Some(agent.spec.role),
            agent: Some(agent.name.clone()),
            admin: false,
        };
        let made = client.create_key(&request).await?;
        let key = AgentKey {
            id: made.key.id,
            token: Token::new(made.token),
        };
        keys.insert(agent.name.clone(), key);
    }
    Ok(keys)
}

/// Creates the tasks of the file under the label of the run: all in one batch
/// if they fit, else batch after batch, each after those that it depends on.
pub(super) async fn create(client: &Client, file: &TeamFile, run: &str) -> Result<Board, CliError> {
    let mut ids: HashMap<String, TaskId> = HashMap::new();
    let mut rows = Vec::with_capacity(file.tasks.len());
    for (i, mut specs) in file
        .batches(batch_size(&file.tasks)?)
        .into_iter()
        .enumerate()
    {
        for spec in &mut specs {
            spec.labels.insert(RUN_LABEL.to_owned(), run.to_owned());
            for dependency in &mut spec.depends_on {
                if let TaskRef::Key(key) = &dependency.task
                    && let Some(id) = ids.get(key)
                {
                    dependency.task = TaskRef::Id(*id);
                }
            }
        }
        let names: Vec<String> = specs
            .iter()
            .map(|spec| spec.key.clone().unwrap_or_else(|| spec.title.clone()))
            .collect();
        let request = CreateTasks { tasks: specs };
        let created = client
            .create_tasks_once(&request, &format!("run-{run}-{i}"))
            .await?;
        for (name, task) in names.into_iter().zip(created.tasks) {
            if let Some(key) = task.key {
                ids.insert(key, task.id);
            }
            rows.push(Row::created(task.id, task.number, name, task.state));
        }
    }
    Ok(Board::new(rows))
}

/// Makes the schedules of the file that aren't there yet.
pub(super) async fn schedules(client: &Client, file: &TeamFile) -> Result<(), CliError> {
    let known = client.list_schedules().await?.items;
    for entry in &file.schedules {
        if known.iter().any(|schedule| schedule.name == entry.name) {
            continue;
        }
        let request = CreateSchedule {
            name: entry.name.clone(),
            cron: entry.cron.clone(),
            time_zone: entry.time_zone.clone(),
            overlap: entry.overlap,
            task: entry.spec.clone(),
        };
        client.create_schedule(&request).await?;
    }
    Ok(())
}

/// How many tasks go into one batch, so that its body stays well below its bound.
fn batch_size(tasks: &[TaskSpec]) -> Result<usize, CliError> {
    let size = serde_json::to_vec(tasks)?.len();
    let room = MAX_BODY_LEN / 2;
    if size <= room {
        return Ok(MAX_BATCH);
    }
    let share = tasks.len() * room / size;
    Ok(share.clamp(1, MAX_BATCH))
}
