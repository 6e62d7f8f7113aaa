//! The agents of the audit, run by hand on repositories that ought to break them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::examples;

/// Every agent that only looks, and what it may be asked.
const LOOKS: [(&str, &[&str]); 3] = [
    ("surveyor.sh", &["languages", "largest", "layout"]),
    ("historian.sh", &["hot", "people"]),
    (
        "inspector.sh",
        &["markers", "secrets", "scripts", "links", "papers"],
    ),
];

fn bin(script: &str) -> PathBuf {
    examples::folder().join("repo-audit/bin").join(script)
}

fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Ada | x", "-c", "user.email=ada@localhost"])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs an agent as the runner does: the prompt on standard input, the rest in variables.
fn run(script: &str, prompt: &str, folder: &Path, env: &[(&str, &str)]) -> Output {
    let prompt_file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(prompt_file.path(), prompt).unwrap();
    let mut command = Command::new("sh");
    command
        .arg(bin(script))
        .current_dir(folder)
        .stdin(std::fs::File::open(prompt_file.path()).unwrap())
        .env("GIT_AUTHOR_NAME", "ada")
        .env("GIT_AUTHOR_EMAIL", "ada@localhost")
        .env("GIT_COMMITTER_NAME", "ada")
        .env("GIT_COMMITTER_EMAIL", "ada@localhost");
    for name in [
        "RESULT",
        "FEEDBACK",
        "ATTEMPT",
        "BRANCH",
        "DEPENDENCIES_DIR",
        "ARTIFACTS",
    ] {
        command.env_remove(format!("COLLECTIVE_{name}"));
    }
    command.envs(env.iter().copied()).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn look(script: &str, need: &str, folder: &Path) -> String {
    said(&run(script, &format!("{need}: please"), folder, &[]))
}

fn empty() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "--quiet"]);
    folder
}

/// A repository with names and contents that break careless scripts.
fn odd() -> TempDir {
    let folder = empty();
    let at = folder.path();
    let write = |name: &str, content: &[u8]| {
        let path = at.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    write("new\nline.py", b"one\n  two\t\n");
    write("-n", b"dash \n");
    write("bad.sh", b"#!/bin/sh\nif\n");
    write("tab\tname", b"#!/bin/sh\ntrue\n");
    write(
        "d é/x/page.md",
        b"[a](../../bad.sh) [b](no%20pe.md \"t\") [`c`](<../../a b.txt>) [d](#x) [e](http://x) \
          [f](../../../up)\n```\n[g](nope)\n```\n`[h](nope)` [i](/a%20b.txt) [j](.)  \n",
    );
    write("bin.dat", b"\0\x01\x02");
    write("latin", b"\x81\x82\xff\n");
    write("empty", b"");
    // Put together here, so that an audit of this repository doesn't find them.
    let (todo, key) = (["TO", "DO"].concat(), ["PRIVATE", " KEY"].concat());
    write("a b.txt", format!("x {todo} y  \n").as_bytes());
    write("keys", format!("-----BEGIN RSA {key}-----\n").as_bytes());
    std::os::unix::fs::symlink("/etc/hostname", at.join("link")).unwrap();
    git(at, &["add", "--all"]);
    git(at, &["commit", "--quiet", "--message", "odd"]);
    folder
}

#[test]
fn every_script_is_readable_by_a_plain_shell() {
    let scripts = std::fs::read_dir(bin("")).unwrap();
    for script in scripts.map(|entry| entry.unwrap().path()) {
        let output = Command::new("sh").arg("-n").arg(&script).output().unwrap();
        assert!(output.status.success(), "{}: {output:?}", script.display());
    }
}

#[test]
fn odd_names_and_contents_are_told_truly() {
    let folder = odd();
    for (script, need, expected) in [
        (
            "surveyor.sh",
            "languages",
            "15 lines of text in 8 files, most of them Markdown.",
        ),
        ("surveyor.sh", "largest", "- `new?line.py`, 11 B\n"),
        (
            "surveyor.sh",
            "layout",
            "the deepest lies 3 levels down: `d é/x/page.md`.",
        ),
        ("historian.sh", "hot", "- `a b.txt`: 1\n"),
        ("historian.sh", "people", "1 commit by 1 person from "),
        ("historian.sh", "people", "- Ada   x: 1"),
        ("inspector.sh", "markers", "- `a b.txt`, line 1: `x "),
        ("inspector.sh", "secrets", "- `keys`, line 1: a private key"),
        ("inspector.sh", "scripts", "- `bad.sh` sh can't read it: "),
        (
            "inspector.sh",
            "scripts",
            "- `tab name` starts with #! but isn't executable",
        ),
        (
            "inspector.sh",
            "links",
            "6 links between files in 1 Markdown page; 2 lead nowhere.",
        ),
        (
            "inspector.sh",
            "links",
            "- `d é/x/page.md`, line 1: `no pe.md`",
        ),
        ("inspector.sh", "papers", "Missing: a readme, a licence, "),
    ] {
        let text = look(script, need, folder.path());
        assert!(text.contains(expected), "{script} {need}:\n{text}");
    }
}

#[test]
fn a_repository_without_commits_or_files_is_no_failure() {
    let folder = empty();
    for (script, needs) in LOOKS {
        for need in needs {
            let text = look(script, need, folder.path());
            assert_eq!(
                text,
                "There is no commit yet, so there is nothing to look at.\n"
            );
        }
    }
    let commit = ["commit", "--quiet", "--allow-empty", "--message", "x"];
    git(folder.path(), &commit);
    for (script, needs) in LOOKS {
        for need in needs {
            assert!(
                !look(script, need, folder.path()).is_empty(),
                "{script} {need}"
            );
        }
    }
}

#[test]
fn bare_and_shallow_clones_are_looked_at_like_any_other() {
    let (source, folder) = (odd(), tempfile::tempdir().unwrap());
    let (bare, shallow) = (folder.path().join("bare"), folder.path().join("shallow"));
    git(
        source.path(),
        &["commit", "--quiet", "--allow-empty", "--message", "second"],
    );
    let from = format!("file://{}", source.path().display());
    let text = |path: &Path| path.display().to_string();
    git(
        folder.path(),
        &["clone", "--quiet", "--bare", &from, &text(&bare)],
    );
    git(
        folder.path(),
        &["clone", "--quiet", "--depth", "1", &from, &text(&shallow)],
    );
    for clone in [&bare, &shallow] {
        for (script, needs) in LOOKS {
            for need in needs {
                let (here, there) = (look(script, need, clone), look(script, need, source.path()));
                assert!(
                    here == there || need == &"people" || need == &"hot",
                    "{script} {need}"
                );
            }
        }
    }
    let people = look("historian.sh", "people", &shallow);
    assert!(people.contains("This is a shallow clone"), "{people}");
}

#[test]
fn a_folder_that_is_no_repository_and_a_need_that_is_unknown_are_failures() {
    let (plain, repository) = (tempfile::tempdir().unwrap(), odd());
    for (script, needs) in LOOKS {
        assert!(!run(script, needs[0], plain.path(), &[]).status.success());
        let unknown = run(script, "nothing: really", repository.path(), &[]);
        assert_eq!(unknown.status.code(), Some(64), "{script}: {unknown:?}");
    }
}

#[test]
fn the_courier_succeeds_on_its_second_attempt_and_tells_no_password() {
    let folder = odd();
    let url = "https://ada:secret@example.org/x.git";
    git(folder.path(), &["remote", "add", "origin", url]);
    let attempt = |n| {
        run(
            "courier.sh",
            "go",
            folder.path(),
            &[("COLLECTIVE_ATTEMPT", n)],
        )
    };
    assert_eq!(attempt("1").status.code(), Some(75));
    let text = said(&attempt("2"));
    assert!(text.starts_with("It has 1 remote."), "{text}");
    assert!(
        text.contains("- `origin`: `https://example.org/x.git`"),
        "{text}"
    );
}

#[test]
fn the_editor_mends_what_is_there_and_finds_nothing_the_second_time() {
    let folder = odd();
    let at = folder.path();
    let read = |name: &str| std::fs::read(at.join(name)).unwrap();
    let page = read("d é/x/page.md");
    let text = said(&run(
        "editor.sh",
        "mend: please",
        at,
        &[("COLLECTIVE_BRANCH", "b")],
    ));
    assert!(
        text.starts_with("The editor took blanks from the ends of 3 lines in 3 files, and wrote"),
        "{text}"
    );
    assert!(text.contains("on the branch `b`"), "{text}");
    assert_eq!(
        (read("-n"), read("new\nline.py")),
        (b"dash\n".into(), b"one\n  two\n".into())
    );
    assert_eq!(
        read("d é/x/page.md"),
        page,
        "two blanks mean something in Markdown"
    );
    assert_eq!(git(at, &["status", "--porcelain"]), "");
    assert_eq!(git(at, &["rev-list", "--count", "HEAD"]), "2");
    let config = String::from_utf8(read(".editorconfig")).unwrap();
    assert!(
        config.contains("[*.py]\nindent_style = space\nindent_size = 2"),
        "{config}"
    );
    let again = said(&run("editor.sh", "mend: please", at, &[]));
    assert!(again.starts_with("Nothing to mend"), "{again}");
}

#[test]
fn the_page_claims_to_be_done_and_is_once_it_was_told_what_is_missing() {
    let (folder, results) = (odd(), tempfile::tempdir().unwrap());
    let at = folder.path();
    std::fs::write(
        results.path().join("inspect-links.txt"),
        "1 link; 1 leads nowhere.\n\n- x\n",
    )
    .unwrap();
    let results = results.path().display().to_string();
    let check = || {
        Command::new("sh")
            .arg(bin("check-page.sh"))
            .current_dir(at)
            .output()
            .unwrap()
    };
    let write = |more: &[(&str, &str)]| {
        let mut env = vec![("COLLECTIVE_DEPENDENCIES_DIR", results.as_str())];
        env.extend(more);
        said(&run("editor.sh", "page: please", at, &env))
    };
    assert!(!check().status.success());
    let claim = write(&[("COLLECTIVE_ATTEMPT", "1")]);
    assert!(
        claim.contains("with every section that was asked for"),
        "{claim}"
    );
    let failed = check();
    assert!(!failed.status.success());

    // The next attempt starts anew, with the output of the check.
    git(at, &["reset", "--quiet", "--hard", "HEAD~1"]);
    let feedback = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(feedback.path(), &failed.stdout).unwrap();
    let feedback = feedback.path().display().to_string();
    write(&[
        ("COLLECTIVE_ATTEMPT", "2"),
        ("COLLECTIVE_FEEDBACK", &feedback),
    ]);
    assert!(check().status.success());
    let page = std::fs::read_to_string(at.join("AUDIT.md")).unwrap();
    assert!(
        page.contains("## Findings\n\n- 1 link; 1 leads nowhere.\n"),
        "{page}"
    );
    assert!(
        page.contains("## What to do next\n\n- [ ] 1 link"),
        "{page}"
    );
}

#[test]
fn the_report_tells_every_finding_and_what_is_missing() {
    let (folder, results, kept) = (
        odd(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let write = |name: &str, text: &str| std::fs::write(results.path().join(name), text).unwrap();
    write("survey-languages.txt", "12 lines.\n\n| a |\n");
    write("remote.txt", "No remote.\n");
    write("page.txt", "");
    let result = kept.path().join("result");
    let text = |path: &Path| path.display().to_string();
    let env = [
        ("COLLECTIVE_DEPENDENCIES_DIR", text(results.path())),
        ("COLLECTIVE_ARTIFACTS", text(kept.path())),
        ("COLLECTIVE_RESULT", text(&result)),
    ];
    let env: Vec<(&str, &str)> = env
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    assert_eq!(said(&run("reporter.sh", "report", folder.path(), &env)), "");
    let report = std::fs::read_to_string(&result).unwrap();
    for expected in [
        "- **Languages**: 12 lines.\n",
        "- **Remotes**: No remote.\n",
        "- **AUDIT.md**: no result; its task did not succeed.\n",
        "\n## Languages\n\n| a |\n",
    ] {
        assert!(
            report.contains(expected),
            "{expected:?} is not in\n{report}"
        );
    }
    assert!(!report.contains("## Remotes"), "{report}");
    assert_eq!(
        std::fs::read_to_string(kept.path().join("report.md")).unwrap(),
        report
    );
}
