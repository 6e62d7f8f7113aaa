//! What is seen on the disk before anything is started.

use std::collections::BTreeMap;
use std::path::Path;

use collective_team::{Problems, TeamFile, load};

use crate::reading::{Book, now};

fn load_from(folder: &Path, file: &str) -> Result<TeamFile, Problems> {
    let path = folder.join("team.yaml");
    std::fs::write(&path, file).unwrap();
    load(&path, BTreeMap::new(), now(), &Book)
}

fn messages(problems: &Problems) -> Vec<String> {
    problems
        .iter()
        .map(|problem| format!("{}: {}", problem.field, problem.message))
        .collect()
}

#[test]
fn folders_repositories_and_programs_that_are_not_there_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::create_dir_all(at.join("plain")).unwrap();
    std::fs::write(at.join("file"), "").unwrap();
    let problems = load_from(
        at,
        "\
agents:
  a: {command: [no-such-program-here]}
  b: {command: [./bin/nothing.sh]}
  c: {command: [sh], workdir: missing}
  d: {command: [sh], workdir: file}
  e: {command: [sh], repository: plain}
  f: {command: [sh], repository: gone}
  g: {command: [sh], env: {PATH: /nowhere}}
tasks: {t: {}}
",
    )
    .unwrap_err();
    let shown = |name: &str| at.join(name).display().to_string();
    assert_eq!(
        messages(&problems),
        [
            "agents.a.command: there is no program `no-such-program-here`".to_owned(),
            "agents.b.command: there is no program `./bin/nothing.sh`".to_owned(),
            format!("agents.c.workdir: `{}` doesn't exist", shown("missing")),
            format!("agents.d.workdir: `{}` is not a folder", shown("file")),
            format!(
                "agents.e.repository: `{}` is not a git repository",
                shown("plain")
            ),
            format!("agents.f.repository: `{}` doesn't exist", shown("gone")),
            "agents.g.command: there is no program `sh`".to_owned(),
        ]
    );
}

#[test]
fn what_is_there_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::create_dir_all(at.join("code/.git")).unwrap();
    std::fs::create_dir_all(at.join("code/deep")).unwrap();
    std::fs::create_dir_all(at.join("bare/objects")).unwrap();
    std::fs::write(at.join("bare/HEAD"), "ref: refs/heads/main\n").unwrap();
    load_from(
        at,
        "\
repository: code
agents:
  a: {command: [sh, -c, 'true']}
  b: {command: [/bin/sh], repository: code/deep}
  c: {command: x, repository: bare}
  d: {command: [./not-there-yet.sh], worktree: true}
tasks: {t: {}}
",
    )
    .unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn the_files_own_repository_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = "repository: gone\nagents: {a: {command: x}, b: {command: x}}\ntasks: {t: {}}\n";
    let problems = load_from(folder.path(), file).unwrap_err();
    assert_eq!(problems.count(), 1);
    assert_eq!(problems.iter().next().unwrap().field, "repository");
}

#[test]
fn a_file_that_cannot_be_read_is_told_like_any_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let gone = load(
        &folder.path().join("gone.yaml"),
        BTreeMap::new(),
        now(),
        &Book,
    );
    let text = gone.unwrap_err().to_string();
    assert!(text.contains("gone.yaml: error: can't be read: "), "{text}");
    let text = load(folder.path(), BTreeMap::new(), now(), &Book)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("error: is a folder\n  hint: name the file itself"),
        "{text}"
    );
}
