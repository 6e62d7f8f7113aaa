//! One stack: where it is, which form it has, what it is called.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use crate::compose::{Compose, Project, docker, shown};
use crate::config::{self, Resolved};
use crate::container::{self, Container, PROJECT_LABEL};
use crate::envfile::EnvFile;
use crate::error::StackError;
use crate::place::{Environment, Overlays, Place};
use crate::runner::Runner;
use crate::variables::{self, Use, Values};

/// The variable that names the environment, if no flag does.
pub(crate) const ENVIRONMENT: &str = "STACK_ENV";
/// The variable that says whether there is monitoring, if no flag does.
pub(crate) const WITH_MONITORING: &str = "STACK_MONITORING";
/// The variable that says whether there is a reverse proxy, if no flag does.
pub(crate) const WITH_PROXY: &str = "STACK_PROXY";
/// The variable before the names of containers, volumes and networks.
pub(crate) const PREFIX: &str = "STACK_PREFIX";
/// Compose's own variable for the project's name.
pub(crate) const PROJECT_NAME: &str = "COMPOSE_PROJECT_NAME";
/// Compose's own variable for the files that it reads.
pub(crate) const COMPOSE_FILE: &str = "COMPOSE_FILE";

/// The name of a project that nobody named: Compose takes the folder's.
const DEFAULT_PROJECT: &str = "compose";

/// What was said about which stack is meant.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The folder of the project, or one below.
    pub dir: Option<PathBuf>,
    /// The file of variables, if it isn't the project's.
    pub env_file: Option<PathBuf>,
    /// The environment.
    pub environment: Option<Environment>,
    /// Whether monitoring was asked for.
    pub monitoring: bool,
    /// Whether the reverse proxy was asked for.
    pub proxy: bool,
}

impl Choice {
    /// The project that is meant.
    pub fn place(&self) -> Result<Place, StackError> {
        Place::find(self.dir.as_deref().unwrap_or(Path::new(".")))
    }

    /// The file of variables that is meant.
    pub fn env_path(&self, place: &Place) -> Result<PathBuf, StackError> {
        match &self.env_file {
            None => Ok(place.env_file()),
            Some(path) => std::path::absolute(path)
                .map_err(|source| StackError::file("can't find", path, source)),
        }
    }
}

/// One stack.
#[derive(Debug)]
pub struct Stack {
    /// The project.
    pub place: Place,
    /// Its form.
    pub environment: Environment,
    /// Whether it is observed by the monitoring part.
    pub monitoring: bool,
    /// Whether the reverse proxy is its door.
    pub proxy: bool,
    /// Where its variables are.
    pub env_path: PathBuf,
    pub(crate) env: Option<EnvFile>,
    pub(crate) uses: Vec<Use>,
    pub(crate) values: Values,
    runner: Runner,
    compose: OnceCell<Compose>,
}

impl Stack {
    /// Finds the stack that is meant. Nothing is started for that.
    pub fn open(choice: &Choice, runner: Runner) -> Result<Self, StackError> {
        let place = choice.place()?;
        let env_path = choice.env_path(&place)?;
        let env = EnvFile::read(&env_path)?;
        if choice.env_file.is_some() && env.is_none() {
            return Err(StackError::usage(
                format!("{} is not there", env_path.display()),
                "make it with `collective stack init --env-file FILE`",
            ));
        }
        let file = env.clone().unwrap_or_default();
        let own = [
            ENVIRONMENT,
            WITH_MONITORING,
            WITH_PROXY,
            PREFIX,
            PROJECT_NAME,
            COMPOSE_FILE,
        ];
        let said = Values::new(&file, own, variable);
        let environment = match choice.environment {
            Some(environment) => environment,
            None => said_environment(&said, &env_path)?,
        };
        let overlays = Overlays {
            monitoring: choice.monitoring || said.get(WITH_MONITORING) == Some("true"),
            proxy: choice.proxy || said.get(WITH_PROXY) == Some("true"),
        };
        let present: Vec<PathBuf> = place
            .files(environment, overlays)
            .into_iter()
            .filter(|file| file.is_file())
            .collect();
        let uses = variables::uses_in(&present)?;
        let names = uses.iter().map(|found| found.name.as_str()).chain(own);
        let values = Values::new(&file, names, variable);
        Ok(Self {
            place,
            environment,
            monitoring: overlays.monitoring,
            proxy: overlays.proxy,
            env_path,
            env,
            uses,
            values,
            runner,
            compose: OnceCell::new(),
        })
    }

    /// Reads the file of variables anew.
    pub(crate) fn read_again(&mut self, choice: &Choice) -> Result<(), StackError> {
        let silent = Runner::new(true, Box::new(|_| {}));
        let fresh = Self::open(choice, silent)?;
        self.env = fresh.env;
        self.values = fresh.values;
        Ok(())
    }

    /// Who starts this stack's calls.
    pub fn runner(&self) -> &Runner {
        &self.runner
    }

    /// The Compose that is here. Where nothing is going to be started, the
    /// newer one stands for one that is missing.
    pub fn compose(&self) -> Result<Compose, StackError> {
        if let Some(compose) = self.compose.get() {
            return Ok(*compose);
        }
        let compose = match Compose::find(&self.runner) {
            Ok((compose, _)) => compose,
            Err(StackError::NoCompose) if self.runner.is_dry() => Compose::Plugin,
            Err(error) => return Err(error),
        };
        Ok(*self.compose.get_or_init(|| compose))
    }

    /// What Compose is called on.
    pub(crate) fn project(&self) -> Project {
        Project {
            name: self.project_name(),
            env_file: self.env.as_ref().map(|_| self.env_path.clone()),
            files: self.place.files(self.environment, self.overlays()),
        }
    }

    fn overlays(&self) -> Overlays {
        Overlays {
            monitoring: self.monitoring,
            proxy: self.proxy,
        }
    }

    /// The project's name as Compose knows it.
    pub fn project_name(&self) -> String {
        let said = self.values.get(PROJECT_NAME);
        said.unwrap_or(DEFAULT_PROJECT).to_owned()
    }

    /// What a variable comes to: what was said, else the files' default.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        let default = || {
            let mut uses = self.uses.iter().filter(|found| found.name == name);
            uses.find_map(|found| found.default.clone())
        };
        self.values
            .get(name)
            .map(str::to_owned)
            .or_else(default)
            .filter(|value| !value.is_empty())
    }

    /// What the compose files come to.
    pub(crate) fn resolved(&self) -> Result<Resolved, StackError> {
        let call = self.compose()?.config(&self.project());
        let answer = self.runner.ask(&call)?;
        config::read(&answer).map_err(|what| StackError::Garbled {
            call: call.to_string(),
            what,
        })
    }

    /// The containers of the stack, stopped ones too, by service and name.
    pub fn containers(&self) -> Result<Vec<Container>, StackError> {
        let filter = format!("label={PROJECT_LABEL}={}", self.project_name());
        let list = docker(["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]);
        let ids = self.runner.ask(&list)?;
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let inspect = docker(["inspect", "--type", "container"]).args(ids);
        // One that went away in between makes the exit code bad; the others are told.
        let ran = self.runner.look(&inspect)?;
        container::read(&ran.stdout).map_err(|error| StackError::Garbled {
            call: "docker inspect".to_owned(),
            what: if ran.stdout.is_empty() {
                ran.said()
            } else {
                error.to_string()
            },
        })
    }

    /// The file of variables, as short as it can be typed here.
    pub(crate) fn env_shown(&self) -> String {
        shown(&self.env_path)
    }
}

fn said_environment(said: &Values, env_path: &Path) -> Result<Environment, StackError> {
    let Some(name) = said.get(ENVIRONMENT) else {
        return Err(StackError::usage(
            "no environment is named",
            format!(
                "add --env dev, test, staging or production, or set {ENVIRONMENT} in {}",
                shown(env_path)
            ),
        ));
    };
    name.parse().map_err(|why: String| {
        StackError::usage(
            format!("{ENVIRONMENT} is `{name}`: {why}"),
            "mend it, or add --env",
        )
    })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
