//! Worktrees on real repositories: no work is lost, whoever gets in the way.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use collective_core::limits::MAX_ARTIFACT_LEN;
use collective_core::task::{ArtifactKind, FailureClass};
use collective_runner::attempt::{self, AttemptReport, Control, Exit, Place};
use collective_runner::git::GitError;
use collective_runner::runs::{DeadRun, Run};
use collective_runner::worktree::{Repository, recover};
use libtest_mimic::Trial;

use super::support::{run, shell, spec, trial, until};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("work_comes_back_as_a_branch_and_a_patch", work),
        trial("what_a_command_did_not_commit_is_committed", uncommitted),
        trial("work_on_another_branch_is_on_ours_too", elsewhere),
        trial("an_attempt_that_changes_nothing_leaves_no_branch", nothing),
        trial("a_failed_attempt_keeps_its_work", failed),
        trial(
            "a_git_that_was_killed_in_the_middle_costs_nothing",
            killed_git,
        ),
        trial("what_can_t_be_committed_keeps_its_worktree", kept),
        trial("a_patch_that_is_too_large_stays_on_its_branch", large),
        trial("worktrees_of_one_repository_are_made_at_once", concurrent),
        trial(
            "a_folder_inside_a_repository_is_the_place_to_work",
            subfolder,
        ),
        trial("what_is_no_repository_says_so", not_a_repository),
        trial("a_base_can_be_chosen", base),
        trial("the_work_of_a_dead_run_is_saved", dead_run),
        trial("hooks_and_settings_do_not_get_in_the_way", hostile_settings),
    ]
}

pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=t", "-c", "user.email=t@t"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A repository with one commit.
pub(crate) fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "--quiet", "-b", "main"]);
    std::fs::write(folder.path().join("README"), "one\n").unwrap();
    std::fs::write(folder.path().join(".gitignore"), "ignored\n").unwrap();
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "--quiet", "-m", "first"]);
    folder
}

async fn attempt(repository: &Path, script: &str) -> AttemptReport {
    attempt_below(run(), repository, script).await
}

async fn attempt_below(run: &Run, repository: &Path, script: &str) -> AttemptReport {
    let mut spec = spec(shell(script), repository);
    spec.place = Place::Worktree {
        repository: Repository::discover(repository).await.unwrap(),
        name: "12".to_owned(),
        base: None,
    };
    attempt::run(run, &spec, Control::default()).await
}

fn branch(report: &AttemptReport) -> &str {
    let made = &report.artifacts[0];
    assert_eq!(made.kind, ArtifactKind::Branch);
    made.reference.as_deref().unwrap()
}

fn patch(report: &AttemptReport) -> &[u8] {
    let made = &report.artifacts[1];
    assert_eq!(
        (made.kind, &made.name[..]),
        (ArtifactKind::Patch, "changes.patch")
    );
    made.content.as_deref().unwrap()
}

/// Worktrees besides the repository's own.
fn worktrees(repository: &Path) -> usize {
    git(repository, &["worktree", "list", "--porcelain"])
        .lines()
        .filter(|line| line.starts_with("worktree "))
        .count()
        - 1
}

async fn work() {
    let repository = repository();
    let script = "echo two >> README; head -c 3000 /dev/urandom > binary; mkdir ignored; touch ignored/x
        git add . && git -c user.name=a -c user.email=a@a commit -qm 'by the agent'; env | grep ^COLLECTIVE_B | sort";
    let report = attempt(repository.path(), script).await;
    assert_eq!(report.exit, Exit::Code(0), "{report:?}");
    assert_eq!(branch(&report), "collective/12-1");
    let commit = report.commit.as_deref().unwrap();
    assert_eq!(
        git(repository.path(), &["rev-parse", "collective/12-1"]),
        commit
    );
    let head = git(repository.path(), &["rev-parse", "main"]);
    assert_eq!(
        report.text,
        format!("COLLECTIVE_BASE={head}\nCOLLECTIVE_BRANCH=collective/12-1\n")
    );
    assert_eq!(worktrees(repository.path()), 0);
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    // The patch gives the same tree when it is applied to where it started.
    let file = repository.path().join("the.patch");
    std::fs::write(&file, patch(&report)).unwrap();
    git(
        repository.path(),
        &["apply", "--index", file.to_str().unwrap()],
    );
    assert_eq!(
        git(repository.path(), &["write-tree"]),
        git(repository.path(), &["rev-parse", "collective/12-1^{tree}"])
    );
    // The same number again, as another data folder would give it.
    let report = attempt(repository.path(), "echo three > other").await;
    assert_eq!(branch(&report), "collective/12-1.2");
}

async fn uncommitted() {
    let repository = repository();
    let script = "echo two >> README; mkdir sub; echo new > 'sub/with space'; rm .gitignore";
    let report = attempt(repository.path(), script).await;
    let branch = branch(&report);
    let names = git(
        repository.path(),
        &["diff", "--name-status", "main", branch],
    );
    assert_eq!(names, "D\t.gitignore\nM\tREADME\nA\tsub/with space");
    assert_eq!(
        git(repository.path(), &["log", "-1", "--format=%s", branch]),
        "Work of task 12, attempt 1, that was not committed"
    );
}

async fn elsewhere() {
    let repository = repository();
    let script = "git checkout -q -b mine; echo x > x; git add x; git -c user.name=a -c user.email=a@a commit -qm x; git checkout -q --detach; echo y > y";
    let report = attempt(repository.path(), script).await;
    let files = git(
        repository.path(),
        &["ls-tree", "--name-only", branch(&report)],
    );
    assert_eq!(files, ".gitignore\nREADME\nx\ny");
    assert_eq!(worktrees(repository.path()), 0);
}

async fn nothing() {
    let repository = repository();
    let report = attempt(repository.path(), "cat README").await;
    assert_eq!(report.text, "one\n");
    assert!(report.artifacts.is_empty());
    assert_eq!(
        report.commit.unwrap(),
        git(repository.path(), &["rev-parse", "main"])
    );
    assert_eq!(
        git(repository.path(), &["branch", "--list", "collective/*"]),
        ""
    );
    assert_eq!(worktrees(repository.path()), 0);
}

async fn failed() {
    let repository = repository();
    let report = attempt(repository.path(), "echo half > half; echo no >&2; exit 1").await;
    let failure = report.failure.as_ref().unwrap();
    assert_eq!(
        failure.feedback,
        "no\n\nThe work of this attempt is on the branch collective/12-1."
    );
    assert_eq!(
        git(
            repository.path(),
            &["show", &format!("{}:half", branch(&report))]
        ),
        "half"
    );
}

async fn killed_git() {
    let repository = repository();
    let script = "echo x > x; touch $(git rev-parse --git-path index.lock) $(git rev-parse --git-path HEAD.lock)";
    let report = attempt(repository.path(), script).await;
    assert_eq!(
        git(
            repository.path(),
            &["show", &format!("{}:x", branch(&report))]
        ),
        "x"
    );
    assert_eq!(worktrees(repository.path()), 0);
}

async fn kept() {
    let repository = repository();
    let nested = "git init -q nested; cd nested; echo x > x; git add x; git -c user.name=a -c user.email=a@a commit -qm x";
    let report = attempt(repository.path(), nested).await;
    let kept = report.kept.unwrap();
    assert_eq!(kept.reason, "`nested` is a git repository of its own");
    assert!(kept.path.join("nested/x").exists());
    assert!(report.warnings[0].contains(kept.path.to_str().unwrap()));

    let broken = "echo x > x; rm .git";
    let report = attempt(repository.path(), broken).await;
    let kept = report.kept.unwrap();
    assert!(kept.path.join("x").exists(), "{kept:?}");
    assert_eq!(report.commit, None);
}

async fn large() {
    let repository = repository();
    let script = format!("head -c {} /dev/urandom > big", MAX_ARTIFACT_LEN + 1);
    let report = attempt(repository.path(), &script).await;
    assert_eq!(branch(&report), "collective/12-1");
    assert_eq!(report.artifacts.len(), 1);
    assert_eq!(
        report.warnings,
        ["the patch is larger than 4194304 bytes; see branch collective/12-1"]
    );
}

async fn concurrent() {
    const ATTEMPTS: usize = 12;
    let repository = repository();
    let path = repository.path().to_owned();
    let attempts: Vec<_> = (0..ATTEMPTS)
        .map(|i| {
            let path = path.clone();
            tokio::spawn(async move { attempt(&path, &format!("echo {i} > file{i}")).await })
        })
        .collect();
    let mut branches = HashSet::new();
    for (i, attempt) in attempts.into_iter().enumerate() {
        let report = attempt.await.unwrap();
        assert!(
            report.failure.is_none() && report.kept.is_none(),
            "{report:?}"
        );
        let branch = branch(&report);
        assert_eq!(
            git(&path, &["show", &format!("{branch}:file{i}")]),
            i.to_string()
        );
        branches.insert(branch.to_owned());
    }
    assert_eq!(branches.len(), ATTEMPTS);
    assert_eq!(worktrees(&path), 0);
}

async fn subfolder() {
    let repository = repository();
    let inner = repository.path().join("deep/er");
    std::fs::create_dir_all(&inner).unwrap();
    std::fs::write(inner.join("file"), "x").unwrap();
    git(repository.path(), &["add", "."]);
    git(repository.path(), &["commit", "--quiet", "-m", "second"]);
    let report = attempt(&inner, "ls; echo y > new").await;
    assert_eq!(report.text, "file\n");
    assert_eq!(
        git(
            repository.path(),
            &["show", &format!("{}:deep/er/new", branch(&report))]
        ),
        "y"
    );
}

async fn not_a_repository() {
    let folder = tempfile::tempdir().unwrap();
    let error = Repository::discover(folder.path()).await.unwrap_err();
    assert!(matches!(error, GitError::NotARepository(_)), "{error}");
    assert_eq!(error.class(), FailureClass::Permanent);
    assert!(error.hint().unwrap().starts_with("run `git init`"));

    let error = Repository::discover(&folder.path().join("no"))
        .await
        .unwrap_err();
    assert!(matches!(error, GitError::NoFolder(_)), "{error}");

    git(folder.path(), &["init", "--quiet"]);
    let empty = Repository::discover(folder.path()).await.unwrap();
    let error = empty.worktree(folder.path(), "x", None).await.unwrap_err();
    assert!(matches!(error, GitError::NoCommit(_)), "{error}");

    let report = {
        let mut spec = spec(shell("true"), folder.path());
        spec.place = Place::Worktree {
            repository: empty,
            name: "12".to_owned(),
            base: None,
        };
        attempt::run(run(), &spec, Control::default()).await
    };
    assert!(matches!(report.exit, Exit::NotStarted(_)));
    let failure = report.failure.unwrap();
    assert_eq!(failure.class, FailureClass::Permanent);
    assert!(
        failure.reason.contains("has no commit yet"),
        "{}",
        failure.reason
    );
}

async fn base() {
    let repository = repository();
    let first = git(repository.path(), &["rev-parse", "main"]);
    std::fs::write(repository.path().join("README"), "two\n").unwrap();
    git(repository.path(), &["commit", "--quiet", "-am", "second"]);
    let found = Repository::discover(repository.path()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let worktree = found
        .worktree(folder.path(), "x-1", Some(&first[..10]))
        .await
        .unwrap();
    assert_eq!(worktree.base(), first);
    let read = std::fs::read_to_string(worktree.path().join("README")).unwrap();
    assert_eq!(read, "one\n");
    worktree.finish("nothing").await;
    for bad in ["no-such-branch", "--help", ""] {
        let error = found
            .worktree(folder.path(), "x", Some(bad))
            .await
            .unwrap_err();
        assert!(
            matches!(error, GitError::UnknownCommit(_)),
            "{bad}: {error}"
        );
    }
}

async fn dead_run() {
    let repository = repository();
    let root = tempfile::tempdir().unwrap();
    let dying = Run::begin(root.path()).unwrap();
    let found = Repository::discover(repository.path()).await.unwrap();
    let worked = found
        .worktree(&dying.worktrees(), "3-1", None)
        .await
        .unwrap();
    std::fs::write(worked.path().join("half"), "half").unwrap();
    let idle = found
        .worktree(&dying.worktrees(), "4-1", None)
        .await
        .unwrap();
    let checkout = found.checkout(&dying.worktrees(), "main").await.unwrap();
    assert_eq!(worktrees(repository.path()), 3);
    drop((worked, idle, checkout, dying));

    let living = Run::begin(root.path()).unwrap();
    // A process that another test is just starting may hold a copy of the lock.
    let mut found = Vec::new();
    until("a dead run", || {
        found = DeadRun::find(root.path());
        !found.is_empty()
    })
    .await;
    let mut saved = Vec::new();
    for dead in found {
        saved.extend(recover(dead).await);
    }
    let branches: Vec<_> = saved
        .iter()
        .filter_map(|finished| finished.branch.as_deref())
        .collect();
    assert_eq!(branches, ["collective/3-1"]);
    assert_eq!(
        git(repository.path(), &["show", "collective/3-1:half"]),
        "half"
    );
    assert_eq!(
        git(repository.path(), &["branch", "--list", "collective/*"]),
        "collective/3-1"
    );
    assert_eq!(worktrees(repository.path()), 0);
    living.end().unwrap();
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

async fn hostile_settings() {
    let repository = repository();
    let set = |key: &str, value: &str| git(repository.path(), &["config", key, value]);
    set("diff.noprefix", "true");
    set("color.ui", "always");
    set("status.showUntrackedFiles", "no");
    set("commit.gpgSign", "true");
    set("user.useConfigOnly", "true");
    set("core.autocrlf", "input");
    set("core.safecrlf", "true");
    let hooks = repository.path().join(".git/hooks");
    for hook in [
        "pre-commit",
        "commit-msg",
        "post-checkout",
        "reference-transaction",
    ] {
        use std::os::unix::fs::PermissionsExt;
        let file = hooks.join(hook);
        std::fs::write(&file, "#!/bin/sh\nexit 1\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let report = attempt(
        repository.path(),
        "printf 'a\\r\\nb\\r\\n' > mixed; git var GIT_COMMITTER_IDENT | cut -d' ' -f1",
    )
    .await;
    assert_eq!(report.text, "collective\n");
    assert!(report.kept.is_none(), "{:?}", report.kept);
    let file = repository.path().join("the.patch");
    std::fs::write(&file, patch(&report)).unwrap();
    git(
        repository.path(),
        &["apply", "--check", file.to_str().unwrap()],
    );
    assert_eq!(worktrees(repository.path()), 0);
    // A timeout is no way to lose work either.
    let mut spec = spec(shell("echo x > x; exec sleep 60"), repository.path());
    spec.timeout = Duration::from_secs(1);
    spec.place = Place::Worktree {
        repository: Repository::discover(repository.path()).await.unwrap(),
        name: "13".to_owned(),
        base: None,
    };
    let report = attempt::run(run(), &spec, Control::default()).await;
    assert_eq!(
        (report.exit.clone(), branch(&report)),
        (Exit::TimedOut, "collective/13-1")
    );
}
