//! A new file of variables: the project's template, with strong secrets in it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use crate::envfile::EnvFile;
use crate::error::StackError;
use crate::place::{Environment, Overlays, Place};
use crate::secret::{self, Secret};
use crate::stack::{ENVIRONMENT, PREFIX, PROJECT_NAME, WITH_MONITORING, WITH_PROXY};
use crate::variables::{Use, uses_in};

/// What a project is called behind its prefix.
const PROJECT: &str = "collective";

/// What the file is made for.
#[derive(Clone, Debug)]
pub struct Init {
    /// The environment.
    pub environment: Environment,
    /// What stands on top of it.
    pub overlays: Overlays,
    /// What stands before the names of containers, volumes and networks.
    pub prefix: Option<String>,
    /// Values that were given, by name.
    pub given: Vec<(String, String)>,
}

/// What was written. Names only: values are nobody's business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// The environment that it is for.
    pub environment: Environment,
    /// Variables that got a new secret.
    pub secrets: Vec<String>,
    /// Variables that hold what the template says, or what was given.
    pub settings: Vec<String>,
    /// Variables that Compose refuses to go on without, and that nobody set.
    pub missing: Vec<String>,
}

/// Writes the file at `path`, or, `dry`, only says what it would hold.
pub fn init(place: &Place, path: PathBuf, wanted: &Init, dry: bool) -> Result<Written, StackError> {
    if path.exists() {
        return Err(StackError::EnvExists { path });
    }
    let files: Vec<PathBuf> = place.files(wanted.environment, wanted.overlays);
    let uses = uses_in(&files)?;
    let template = EnvFile::read(&place.env_template())?.unwrap_or_default();
    let (file, written) = fill(template, &uses, wanted, path)?;
    if !dry {
        file.create(&written.path)?;
    }
    Ok(written)
}

/// Settings that Compose refuses to go on without and that nobody can guess, each
/// with what the template says.
pub fn questions(
    place: &Place,
    environment: Environment,
    overlays: Overlays,
) -> Result<Vec<(String, String)>, StackError> {
    let uses = uses_in(&place.files(environment, overlays))?;
    let template = EnvFile::read(&place.env_template())?.unwrap_or_default();
    let names: BTreeSet<&str> = uses
        .iter()
        .filter(|found| found.is_required && !secret::is_secret(&found.name))
        .map(|found| found.name.as_str())
        .collect();
    Ok(names
        .into_iter()
        .map(|name| {
            (
                name.to_owned(),
                template.get(name).unwrap_or_default().to_owned(),
            )
        })
        .collect())
}

/// The file and what is in it.
fn fill(
    mut file: EnvFile,
    uses: &[Use],
    wanted: &Init,
    path: PathBuf,
) -> Result<(EnvFile, Written), StackError> {
    if let Some(problem) = file.problems().first() {
        return Err(StackError::usage(
            format!("line {} of the template: {}", problem.line, problem.what),
            "mend .env.example first",
        ));
    }
    for (name, value) in about(wanted)? {
        file.set(name, &value);
    }
    let given: BTreeSet<&str> = wanted.given.iter().map(|(name, _)| name.as_str()).collect();
    for (name, value) in &wanted.given {
        file.set(name, value);
    }
    let secrets: Vec<String> = secret_names(&file, uses)
        .into_iter()
        .filter(|name| !given.contains(name.as_str()))
        .collect();
    let known: BTreeSet<String> = file.pairs().map(|(_, name, _)| name.to_owned()).collect();
    if secrets.iter().any(|name| !known.contains(name)) {
        file.remark("Not in the template; the compose files ask for them.");
    }
    for name in &secrets {
        file.set(name, Secret::generate()?.reveal());
    }
    let missing: BTreeSet<String> = uses
        .iter()
        .filter(|found| found.is_required && file.get(&found.name).is_none_or(str::is_empty))
        .map(|found| found.name.clone())
        .collect();
    let settings = file
        .pairs()
        .map(|(_, name, _)| name.to_owned())
        .filter(|name| !secrets.contains(name))
        .collect();
    let written = Written {
        path,
        environment: wanted.environment,
        secrets,
        settings,
        missing: missing.into_iter().collect(),
    };
    Ok((file, written))
}

/// What says which stack the file is of.
fn about(wanted: &Init) -> Result<Vec<(&'static str, String)>, StackError> {
    let mut about = vec![
        (ENVIRONMENT, wanted.environment.to_string()),
        (WITH_MONITORING, wanted.overlays.monitoring.to_string()),
        (WITH_PROXY, wanted.overlays.proxy.to_string()),
    ];
    if let Some(prefix) = &wanted.prefix {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        let starts_well =
            prefix.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !starts_well || !prefix.chars().all(is_plain) {
            return Err(StackError::usage(
                format!("`{prefix}` can't stand before the name of a container"),
                "take small letters, digits, `-` and `_`, as in `blue-`",
            ));
        }
        about.push((PREFIX, prefix.clone()));
        about.push((PROJECT_NAME, format!("{prefix}{PROJECT}")));
    }
    Ok(about)
}

/// The secrets of the template, and those that the compose files can't do without.
fn secret_names(file: &EnvFile, uses: &[Use]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let of_template = file.pairs().map(|(_, name, _)| name);
    let of_files = uses
        .iter()
        .filter(|found| found.is_required)
        .map(|found| found.name.as_str());
    for name in of_template.chain(of_files) {
        if secret::is_secret(name) && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const TEMPLATE: &str = "\
# PostgreSQL
POSTGRES_USER=admin
POSTGRES_PASSWORD=postgres123

# Which Redis
REDIS_PASSWORD=redis123
";

    fn found(name: &str, is_required: bool) -> Use {
        Use {
            name: name.to_owned(),
            default: None,
            is_required,
            file: "x.yml".into(),
            line: 1,
        }
    }

    fn wanted() -> Init {
        Init {
            environment: Environment::Production,
            overlays: Overlays {
                monitoring: true,
                proxy: true,
            },
            prefix: None,
            given: Vec::new(),
        }
    }

    #[test]
    fn every_secret_is_new_and_remarks_and_settings_stay() {
        let uses = [
            found("GRAFANA_SECRET_KEY", true),
            found("PGADMIN_EMAIL", true),
            found("OTHER_PASSWORD", false),
        ];
        let template = EnvFile::parse(TEMPLATE);
        let (file, written) = fill(template, &uses, &wanted(), "/x/.env".into()).unwrap();
        assert_eq!(
            written.secrets,
            ["POSTGRES_PASSWORD", "REDIS_PASSWORD", "GRAFANA_SECRET_KEY"]
        );
        assert_eq!(
            written.settings,
            [
                "POSTGRES_USER",
                "STACK_ENV",
                "STACK_MONITORING",
                "STACK_PROXY"
            ]
        );
        assert_eq!(written.missing, ["PGADMIN_EMAIL"]);
        let none = BTreeSet::new();
        for name in &written.secrets {
            assert_eq!(
                secret::weakness(file.get(name).unwrap(), &none),
                None,
                "{name}"
            );
        }
        assert_eq!(file.get("POSTGRES_USER"), Some("admin"));
        assert_eq!(file.get("STACK_ENV"), Some("production"));
        assert!(
            file.render()
                .starts_with("# PostgreSQL\nPOSTGRES_USER=admin\n")
        );
        let json = serde_json::to_string(&written).unwrap();
        assert!(!json.contains(file.get("REDIS_PASSWORD").unwrap()));
    }

    #[test]
    fn what_is_given_is_taken_and_a_prefix_names_the_project() {
        let mut wanted = wanted();
        wanted.prefix = Some("blue-".to_owned());
        wanted.given = vec![("REDIS_PASSWORD".to_owned(), "mine".to_owned())];
        let (file, written) = fill(EnvFile::parse(TEMPLATE), &[], &wanted, PathBuf::new()).unwrap();
        assert_eq!(file.get("REDIS_PASSWORD"), Some("mine"));
        assert_eq!(file.get("STACK_PREFIX"), Some("blue-"));
        assert_eq!(file.get("COMPOSE_PROJECT_NAME"), Some("blue-collective"));
        assert_eq!(written.secrets, ["POSTGRES_PASSWORD"]);
        wanted.prefix = Some("Blue".to_owned());
        let refused = fill(EnvFile::default(), &[], &wanted, PathBuf::new()).unwrap_err();
        assert!(refused.to_string().contains("`Blue`"), "{refused}");
    }

    #[test]
    fn a_file_that_is_there_stays() {
        let temp = tempfile::tempdir().unwrap();
        let compose = temp.path().join("infrastructure/docker/compose");
        std::fs::create_dir_all(&compose).unwrap();
        std::fs::write(compose.join("docker-compose.yml"), "services: {}\n").unwrap();
        let place = Place::find(temp.path()).unwrap();
        std::fs::write(place.env_file(), "A=1\n").unwrap();
        let refused = init(&place, place.env_file(), &wanted(), false).unwrap_err();
        assert!(matches!(refused, StackError::EnvExists { .. }), "{refused}");
        assert_eq!(
            std::fs::read_to_string(Path::new(&place.env_file())).unwrap(),
            "A=1\n"
        );
    }
}
