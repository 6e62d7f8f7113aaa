//! Containers as the engine describes them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The label that Compose puts on what belongs to a project.
pub(crate) const PROJECT_LABEL: &str = "com.docker.compose.project";
const SERVICE_LABEL: &str = "com.docker.compose.service";
const FILES_LABEL: &str = "com.docker.compose.project.config_files";
const ONE_OFF_LABEL: &str = "com.docker.compose.oneoff";

/// What a container's health check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It has no health check.
    None,
    /// It has not said yet.
    Starting,
    /// It is well.
    Healthy,
    /// It isn't.
    Unhealthy,
}

/// One container of the stack.
#[derive(Clone, Debug, Serialize)]
pub struct Container {
    /// The service that it is of.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Its state, in the engine's word: `running`, `exited`, `restarting`, ...
    pub state: String,
    /// Its health.
    pub health: Health,
    /// Its exit code, if it isn't running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// Whether the kernel ended it for lack of memory.
    pub out_of_memory: bool,
    /// How often the engine started it again.
    pub restarts: u64,
    /// Its image.
    pub image: String,
    /// What the last health check said, unless it is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complaint: Option<String>,
    /// Why the engine couldn't start it, in its words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// Since when it is as it is, in the engine's words.
    pub since: String,
    /// The compose files that it was made from, in their order.
    #[serde(skip)]
    pub(crate) files: Vec<PathBuf>,
}

impl Container {
    /// Whether it does what it is for: it runs and is well, or it had one thing
    /// to do and did it.
    pub fn is_good(&self) -> bool {
        match self.state.as_str() {
            "running" => matches!(self.health, Health::None | Health::Healthy),
            "exited" => self.exit_code == Some(0),
            _ => false,
        }
    }

    /// Its state and health in a word or two.
    pub fn state_in_words(&self) -> String {
        match (self.exit_code, self.health) {
            _ if self.out_of_memory => format!("{}, out of memory", self.state),
            (Some(code), _) => format!("{} ({code})", self.state),
            (None, Health::None) => self.state.clone(),
            (None, Health::Starting) => "starting".to_owned(),
            (None, Health::Healthy) => "healthy".to_owned(),
            (None, Health::Unhealthy) => "unhealthy".to_owned(),
        }
    }

    /// Whether it runs.
    pub(crate) fn runs(&self) -> bool {
        self.state == "running"
    }

    /// Whether waiting longer doesn't help.
    pub(crate) fn has_failed(&self) -> bool {
        match self.state.as_str() {
            "exited" | "dead" => self.exit_code != Some(0),
            "created" => !self.error.is_empty(),
            _ => false,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    name: String,
    state: State,
    config: Config,
    #[serde(default)]
    restart_count: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: String,
    exit_code: i64,
    #[serde(default, rename = "OOMKilled")]
    out_of_memory: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    started_at: String,
    #[serde(default)]
    finished_at: String,
    health: Option<InspectedHealth>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedHealth {
    status: String,
    log: Option<Vec<Probe>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Probe {
    output: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    image: String,
    labels: Option<BTreeMap<String, String>>,
}

/// Reads the answer of `docker inspect`, by service and name.
pub(crate) fn read(json: &str) -> Result<Vec<Container>, serde_json::Error> {
    let inspected: Vec<Inspected> = serde_json::from_str(json)?;
    let mut containers: Vec<Container> = inspected
        .into_iter()
        // What `compose run` made is nobody's service.
        .filter(|container| label(container, ONE_OFF_LABEL) != "True")
        .map(container)
        .collect();
    containers.sort_by(|a, b| (&a.service, &a.name).cmp(&(&b.service, &b.name)));
    Ok(containers)
}

fn label<'c>(container: &'c Inspected, name: &str) -> &'c str {
    let labels = container.config.labels.as_ref();
    labels
        .and_then(|labels| labels.get(name))
        .map_or("", String::as_str)
}

fn container(inspected: Inspected) -> Container {
    let files = label(&inspected, FILES_LABEL)
        .split(',')
        .filter(|file| !file.is_empty())
        .map(PathBuf::from)
        .collect();
    let service = label(&inspected, SERVICE_LABEL).to_owned();
    let state = inspected.state;
    let runs = state.status == "running";
    let (health, said) = match &state.health {
        None => (Health::None, None),
        Some(health) => (health_of(&health.status), last_words(health)),
    };
    Container {
        service,
        name: inspected.name.trim_start_matches('/').to_owned(),
        exit_code: (!runs).then_some(state.exit_code),
        out_of_memory: state.out_of_memory,
        error: state.error,
        restarts: inspected.restart_count,
        image: inspected.config.image,
        complaint: said.filter(|_| runs && health != Health::Healthy),
        since: if runs {
            state.started_at
        } else {
            state.finished_at
        },
        state: state.status,
        health,
        files,
    }
}

fn health_of(status: &str) -> Health {
    match status {
        "healthy" => Health::Healthy,
        "unhealthy" => Health::Unhealthy,
        "starting" => Health::Starting,
        _ => Health::None,
    }
}

fn last_words(health: &InspectedHealth) -> Option<String> {
    let said = health.log.as_ref()?.last()?.output.trim();
    (!said.is_empty()).then(|| said.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"[
      {"Name": "/agent_postgres", "RestartCount": 2,
       "State": {"Status": "running", "ExitCode": 0, "OOMKilled": false, "StartedAt": "then",
                 "Health": {"Status": "unhealthy", "Log": [{"ExitCode": 1, "Output": "no response\n"}]}},
       "Config": {"Image": "postgres:15-alpine", "Labels": {
          "com.docker.compose.service": "postgres",
          "com.docker.compose.project.config_files": "/a/docker-compose.yml,/a/override.dev.yml"}}},
      {"Name": "/agent_init",
       "State": {"Status": "exited", "ExitCode": 0, "FinishedAt": "later"},
       "Config": {"Image": "x", "Labels": {"com.docker.compose.service": "init"}}},
      {"Name": "/one_off",
       "State": {"Status": "exited", "ExitCode": 1},
       "Config": {"Image": "x", "Labels": {"com.docker.compose.service": "init", "com.docker.compose.oneoff": "True"}}}
    ]"#;

    #[test]
    fn containers_are_read_with_health_and_reason() {
        let containers = read(TWO).unwrap();
        let [init, postgres] = &containers[..] else {
            panic!("{containers:?}")
        };
        assert!(init.is_good() && !init.has_failed());
        assert!(!postgres.is_good());
        assert_eq!(postgres.health, Health::Unhealthy);
        assert_eq!(postgres.complaint.as_deref(), Some("no response"));
        assert_eq!((postgres.restarts, postgres.exit_code), (2, None));
        assert_eq!(postgres.files.len(), 2);
    }
}
