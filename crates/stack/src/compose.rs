//! Docker and Compose: which are here, and the calls that they understand.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::call::Call;
use crate::error::StackError;
use crate::runner::{Runner, is_on_path};
use crate::secret::Secret;
use crate::version::Version;

/// How long the engine may take to say what it is.
const ENGINE_LIMIT: Duration = Duration::from_secs(20);
/// How long Compose may take to read the files: version 1 starts slowly.
const CONFIG_LIMIT: Duration = Duration::from_secs(120);

/// The engine.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Engine {
    /// Its version, in its own words.
    #[serde(rename = "ServerVersion", default)]
    pub version: String,
    /// Bytes of memory that it has.
    #[serde(rename = "MemTotal", default)]
    pub memory: u64,
    /// The folder of its data.
    #[serde(rename = "DockerRootDir", default)]
    pub folder: PathBuf,
    #[serde(rename = "ServerErrors", default)]
    errors: Option<Vec<String>>,
}

impl Engine {
    /// Asks the engine what it is.
    pub fn ask(runner: &Runner) -> Result<Self, StackError> {
        let call = docker(["info", "--format", "{{json .}}"]).limit(ENGINE_LIMIT);
        let answer = runner.ask(&call)?;
        let engine: Self = serde_json::from_str(&answer).map_err(|error| StackError::Garbled {
            call: call.to_string(),
            what: error.to_string(),
        })?;
        // The command itself may go well when the engine is away.
        match engine.errors.as_deref() {
            Some([first, ..]) => Err(StackError::Failed {
                call: call.to_string(),
                ending: "the engine is away".to_owned(),
                said: first.clone(),
            }),
            _ => Ok(engine),
        }
    }
}

/// A call of Docker.
pub(crate) fn docker<'a>(args: impl IntoIterator<Item = &'a str>) -> Call {
    Call::new("docker").args(args)
}

/// A call inside of a container. What it gets by the environment is named, and
/// its value travels by the environment of the client.
pub(crate) fn exec<'a>(
    container: &str,
    secret: Option<(&str, &Secret)>,
    words: impl IntoIterator<Item = &'a str>,
) -> Call {
    let call = docker(["exec", "--interactive"]);
    let call = match secret {
        Some((name, value)) => call.args(["--env", name]).secret(name, value.clone()),
        None => call,
    };
    call.arg(container).args(words)
}

/// Which Compose is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compose {
    /// `docker compose`, the plugin.
    Plugin,
    /// `docker-compose`, a program of its own.
    Standalone,
}

impl Compose {
    /// Finds one: the plugin, else the program.
    pub fn find(runner: &Runner) -> Result<(Self, Option<String>), StackError> {
        let asked = [
            (Self::Plugin, docker(["compose", "version"])),
            (Self::Standalone, Call::new("docker-compose").arg("version")),
        ];
        for (compose, call) in asked {
            let is_there = match compose {
                Self::Plugin => is_on_path("docker"),
                Self::Standalone => is_on_path("docker-compose"),
            };
            if !is_there {
                continue;
            }
            let ran = runner.look(&call)?;
            if ran.is_good() {
                let version = Version::find(&ran.stdout).map(|version| version.to_string());
                return Ok((compose, version));
            }
        }
        Err(StackError::NoCompose)
    }

    /// The call on these files, as far as the command.
    pub(crate) fn call(self, project: &Project) -> Call {
        let call = match self {
            Self::Plugin => Call::new("docker").arg("compose"),
            Self::Standalone => Call::new("docker-compose"),
        };
        let mut call = call.args(["--project-name", &project.name]);
        if let Some(file) = &project.env_file {
            call = call.arg("--env-file").arg(shown(file));
        }
        for file in &project.files {
            call = call.arg("-f").arg(shown(file));
        }
        call
    }

    /// The call that says what the files come to.
    pub(crate) fn config(self, project: &Project) -> Call {
        self.call(project).arg("config").limit(CONFIG_LIMIT)
    }
}

/// What Compose is called on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Project {
    pub(crate) name: String,
    pub(crate) env_file: Option<PathBuf>,
    pub(crate) files: Vec<PathBuf>,
}

/// A path as short as it can be typed here.
pub(crate) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let shorter = path
        .strip_prefix(&here)
        .ok()
        .filter(|rest| !rest.as_os_str().is_empty());
    shorter.unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_names_project_variables_and_files_in_their_order() {
        let project = Project {
            name: "compose".to_owned(),
            env_file: Some("/p/.env".into()),
            files: vec!["/p/docker-compose.yml".into(), "/p/override.dev.yml".into()],
        };
        assert_eq!(
            Compose::Standalone.call(&project).to_string(),
            "docker-compose --project-name compose --env-file /p/.env \
             -f /p/docker-compose.yml -f /p/override.dev.yml"
        );
        assert!(
            Compose::Plugin
                .config(&project)
                .to_string()
                .starts_with("docker compose --project-name compose")
        );
    }

    #[test]
    fn an_engine_that_is_away_is_told() {
        let engine: Engine = serde_json::from_str(
            r#"{"ServerVersion":"20.10.24","MemTotal":5,"DockerRootDir":"/x","ServerErrors":null}"#,
        )
        .unwrap();
        assert_eq!((engine.memory, engine.folder), (5, PathBuf::from("/x")));
    }
}
