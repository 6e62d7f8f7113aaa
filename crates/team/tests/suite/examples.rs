//! The examples are team files, for the reader and for the schema, and say what they claim.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use collective_team::{TeamFile, load};

use crate::reading::{Book, now, yaml_to_json};

/// The folder of the examples.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().join("team.yaml"))
        .filter(|path| path.exists())
        .collect();
    files.sort();
    files
}

/// What an example leaves open without a default.
fn set(path: &Path) -> BTreeMap<String, String> {
    let open = path.ends_with("agent-clis/team.yaml");
    let goal = ("goal".to_owned(), "Mend the tests".to_owned());
    open.then_some(goal).into_iter().collect()
}

fn example(name: &str) -> TeamFile {
    let path = folder().join(name).join("team.yaml");
    load(&path, set(&path), now(), &Book).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn every_example_is_read_and_valid_by_the_schema() {
    let schema = jsonschema::draft202012::new(&collective_team::schema()).unwrap();
    let files = files();
    assert!(files.len() >= 3, "{files:?}");
    for path in files {
        let loaded = load(&path, set(&path), now(), &Book);
        loaded.unwrap_or_else(|problems| panic!("{problems}"));
        let json = yaml_to_json(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let errors: Vec<String> = schema.iter_errors(&json).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", path.display());
    }
}

#[test]
fn the_audit_has_what_the_readme_promises() {
    let team = example("repo-audit");
    assert!(team.agents.len() >= 4 && team.tasks.len() >= 8);
    let queues: BTreeSet<_> = team
        .agents
        .iter()
        .flat_map(|agent| &agent.spec.queues)
        .collect();
    assert!(queues.len() >= 4, "{queues:?}");
    assert!(team.agents.iter().any(|agent| agent.worktree));
    assert_eq!(team.summary.as_deref(), Some("report"));
    let task = |key: &str| {
        let of_key = |task: &&collective_core::task::TaskSpec| task.key.as_deref() == Some(key);
        team.tasks.iter().find(of_key).unwrap()
    };
    assert_eq!(task("report").depends_on.len(), team.tasks.len() - 1);
    assert_eq!(task("page").checks.len(), 2);
    assert_eq!(task("remote").lane().to_string(), "agent/courier");
    // By default it audits the repository that it lies in.
    let root = std::fs::canonicalize(folder().join("..")).unwrap();
    for agent in &team.agents {
        let repository = agent.repository.as_deref().unwrap();
        assert_eq!(
            std::fs::canonicalize(repository).unwrap(),
            root,
            "{}",
            agent.name
        );
    }
}
