//! Where the compose files are, and which of them an environment takes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::StackError;

/// The folder of the compose files, from the root of the project.
const COMPOSE: &str = "infrastructure/docker/compose";
/// The file that every environment begins with.
pub(crate) const BASE: &str = "docker-compose.yml";
/// The file that comes after the environment's where there is monitoring.
pub(crate) const MONITORING: &str = "override.monitoring.yml";
/// The folder of the reverse proxy's files, from the folder of all that Docker runs.
const PROXY_FOLDER: &str = "proxy";
/// The file that comes after those where there is a reverse proxy.
pub(crate) const PROXY: &str = "override.proxy.yml";
/// The file that comes last where there are both.
pub(crate) const PROXY_MONITORING: &str = "override.proxy.monitoring.yml";

/// What stands on top of an environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlays {
    /// Whether it is observed by the monitoring part.
    pub monitoring: bool,
    /// Whether the reverse proxy is its door.
    pub proxy: bool,
}

/// Which form of the stack it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// A developer's machine.
    Dev,
    /// A run of tests: nothing is kept.
    Test,
    /// Production's shape, smaller.
    Staging,
    /// The real one.
    Production,
}

impl Environment {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Dev, Self::Test, Self::Staging, Self::Production];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Test => "test",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }

    /// Whether known and weak passwords do harm.
    pub const fn is_serious(self) -> bool {
        matches!(self, Self::Staging | Self::Production)
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Environment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names = || Self::ALL.into_iter().map(Self::as_str);
        Self::ALL
            .into_iter()
            .find(|environment| environment.as_str() == text)
            .ok_or_else(|| match collective_core::text::nearest(text, names()) {
                Some(near) => format!("no such environment; did you mean `{near}`?"),
                None => format!(
                    "no such environment; known are {}",
                    names().collect::<Vec<_>>().join(", ")
                ),
            })
    }
}

/// A project with the compose files in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    root: PathBuf,
}

impl Place {
    /// The project at `from`, or the nearest above.
    pub fn find(from: &Path) -> Result<Self, StackError> {
        let from = std::path::absolute(from)
            .map_err(|source| StackError::file("can't find", from, source))?;
        from.ancestors()
            .find(|folder| folder.join(COMPOSE).join(BASE).is_file())
            .map(|root| Self {
                root: root.to_owned(),
            })
            .ok_or(StackError::NoProject { from })
    }

    /// The root of the project.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file of variables where the document puts it.
    pub fn env_file(&self) -> PathBuf {
        self.root.join(".env")
    }

    /// What a file of variables begins as.
    pub(crate) fn env_template(&self) -> PathBuf {
        self.root.join(".env.example")
    }

    /// The folder of everything that Docker runs.
    pub(crate) fn docker_folder(&self) -> PathBuf {
        self.root.join("infrastructure/docker")
    }

    /// The folder of the compose files.
    pub(crate) fn compose_folder(&self) -> PathBuf {
        self.root.join(COMPOSE)
    }

    /// The compose files, in the order that Compose has to read them in.
    pub(crate) fn files(&self, environment: Environment, with: Overlays) -> Vec<PathBuf> {
        let folder = self.compose_folder();
        let proxy = self.docker_folder().join(PROXY_FOLDER);
        let mut files = vec![
            folder.join(BASE),
            folder.join(format!("override.{environment}.yml")),
        ];
        if with.monitoring {
            files.push(folder.join(MONITORING));
        }
        if with.proxy {
            files.push(proxy.join(PROXY));
        }
        if with.proxy && with.monitoring {
            files.push(proxy.join(PROXY_MONITORING));
        }
        files
    }
}

/// What is wrong with an order of compose files, if something is.
pub(crate) fn order_problem<'f>(files: impl IntoIterator<Item = &'f Path>) -> Option<String> {
    let names: Vec<String> = files
        .into_iter()
        .filter_map(Path::file_name)
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let base = names.iter().position(|name| name == BASE)?;
    if base != 0 {
        return Some(format!("{BASE} comes after {}", names[0]));
    }
    let environments: Vec<&String> = names
        .iter()
        .filter(|name| {
            Environment::ALL
                .iter()
                .any(|environment| **name == format!("override.{environment}.yml"))
        })
        .collect();
    if let [first, second, ..] = environments[..] {
        return Some(format!("{first} and {second} are two environments"));
    }
    // Behind each of these comes only one that is named after it.
    let last = [MONITORING, PROXY, PROXY_MONITORING];
    let rank = |name: &String| last.iter().position(|known| name == known);
    names.windows(2).find_map(|pair| {
        let first = rank(&pair[0])?;
        (rank(&pair[1]).is_none_or(|second| second < first))
            .then(|| format!("{} comes before {}", pair[0], pair[1]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_found_from_any_folder_below() {
        let temp = tempfile::tempdir().unwrap();
        let compose = temp.path().join(COMPOSE);
        std::fs::create_dir_all(&compose).unwrap();
        std::fs::write(compose.join(BASE), "services: {}\n").unwrap();
        for from in [temp.path(), &temp.path().join("infrastructure"), &compose] {
            assert_eq!(Place::find(from).unwrap().root(), temp.path());
        }
        let elsewhere = tempfile::tempdir().unwrap();
        let refused = Place::find(elsewhere.path()).unwrap_err();
        assert!(matches!(refused, StackError::NoProject { .. }));
    }

    #[test]
    fn environments_are_read_and_mistakes_told() {
        assert_eq!("staging".parse(), Ok(Environment::Staging));
        let refused = "prodution".parse::<Environment>().unwrap_err();
        assert!(refused.contains("`production`"), "{refused}");
    }

    #[test]
    fn a_wrong_order_of_files_is_told() {
        for (files, expected) in [
            (
                &[
                    "docker-compose.yml",
                    "override.dev.yml",
                    "override.monitoring.yml",
                ][..],
                None,
            ),
            (&["docker-compose.yml", "mine.yml"], None),
            (&["mine.yml"], None),
            (
                &["override.dev.yml", "docker-compose.yml"],
                Some("docker-compose.yml comes after override.dev.yml"),
            ),
            (
                &[
                    "docker-compose.yml",
                    "override.monitoring.yml",
                    "override.production.yml",
                ],
                Some("override.monitoring.yml comes before override.production.yml"),
            ),
            (
                &[
                    "docker-compose.yml",
                    "override.production.yml",
                    "override.monitoring.yml",
                    "override.proxy.yml",
                    "override.proxy.monitoring.yml",
                ],
                None,
            ),
            (
                &[
                    "docker-compose.yml",
                    "override.proxy.yml",
                    "override.production.yml",
                ],
                Some("override.proxy.yml comes before override.production.yml"),
            ),
            (
                &[
                    "docker-compose.yml",
                    "override.production.yml",
                    "override.proxy.yml",
                    "override.monitoring.yml",
                ],
                Some("override.proxy.yml comes before override.monitoring.yml"),
            ),
            (
                &[
                    "docker-compose.yml",
                    "override.dev.yml",
                    "override.production.yml",
                ],
                Some("override.dev.yml and override.production.yml are two environments"),
            ),
        ] {
            let problem = order_problem(files.iter().map(Path::new));
            assert_eq!(problem.as_deref(), expected, "{files:?}");
        }
    }
}
