//! Worktrees: each attempt on a branch of its own, and none of its work lost.
//!
//! An attempt gets a new worktree (git-worktree(1)) on the new branch
//! `collective/<name>`. When it is over, what it didn't commit is committed on
//! that branch, and the worktree is removed; the branch stays. If anything goes
//! wrong with that, the worktree stays where it is, and the report says where.
//! Files that git ignores are not work: they go with the worktree.
//!
//! What changes the list of worktrees happens one at a time per repository,
//! across processes too, since git itself doesn't see to that.

mod lock;
mod salvage;

use std::path::{Path, PathBuf};

use crate::git::{Git, GitError, failed};
use crate::runs::DeadRun;
use lock::Lock;
pub use salvage::{Finished, Kept};

/// What every branch of ours starts with.
const BRANCH_PREFIX: &str = "collective/";

/// Most attempts at finding a free branch name.
const MAX_NAMES: u32 = 1_000;

/// In the private git folder of a worktree of ours: its branch and where it started.
const NOTE: &str = "collective-worktree";

/// A git repository.
#[derive(Clone, Debug)]
pub struct Repository {
    git: Git,
    /// The folder that all its worktrees share.
    common: PathBuf,
    /// Where in its working tree the folder lies that it was found by.
    prefix: PathBuf,
}

/// A worktree on a branch of its own.
#[derive(Debug)]
pub struct Worktree {
    repository: Repository,
    git: Git,
    branch: String,
    base: String,
}

/// A worktree at a commit, without a branch, for looking only.
#[derive(Debug)]
pub struct Checkout {
    repository: Repository,
    path: PathBuf,
}

impl Repository {
    /// The repository that a folder lies in.
    pub async fn discover(folder: &Path) -> Result<Self, GitError> {
        let folder = folder
            .canonicalize()
            .map_err(|_| GitError::NoFolder(folder.to_owned()))?;
        let git = Git::at(&folder);
        let question = [
            "rev-parse",
            "--path-format=absolute",
            "--git-common-dir",
            "--show-prefix",
        ];
        let answer = git.run(&question, 64 * 1024).await?;
        if !answer.success {
            return Err(match &answer.stderr[..] {
                message if message.contains("dubious ownership") => GitError::NotOurs(folder),
                message if message.contains("not a git repository") => {
                    GitError::NotARepository(folder)
                }
                message => failed(&question, message),
            });
        }
        let text = String::from_utf8_lossy(&answer.stdout);
        let mut lines = text.lines();
        Ok(Self {
            common: PathBuf::from(lines.next().unwrap_or_default()),
            prefix: PathBuf::from(lines.next().unwrap_or_default()),
            git,
        })
    }

    /// The folder that it was found by.
    pub fn folder(&self) -> &Path {
        self.git.folder()
    }

    /// The full name of a commit: a branch, a tag, an abbreviation, `HEAD`.
    pub async fn commit(&self, name: &str) -> Result<String, GitError> {
        let question = [
            "rev-parse",
            "--quiet",
            "--verify",
            "--end-of-options",
            &format!("{name}^{{commit}}"),
        ];
        match self.git.text(&question).await {
            Ok(commit) => Ok(commit),
            Err(GitError::Failed { .. }) if name == "HEAD" => {
                Err(GitError::NoCommit(self.folder().to_owned()))
            }
            Err(GitError::Failed { .. }) => {
                Err(GitError::UnknownCommit(collective_core::text::shown(name)))
            }
            Err(other) => Err(other),
        }
    }

    /// A new worktree in `folder`, on a new branch named after `name`, at `base`
    /// (`HEAD` if nothing is said).
    pub async fn worktree(
        &self,
        folder: &Path,
        name: &str,
        base: Option<&str>,
    ) -> Result<Worktree, GitError> {
        let base = self.commit(base.unwrap_or("HEAD")).await?;
        let name = ref_name(name);
        let (path, branch) = {
            let _lock = Lock::take(&self.common).await?;
            let branch = self.free_branch(&name).await?;
            let path = folder.join(format!("{name}-{}", short_id()));
            let at = path.to_string_lossy();
            let add = [
                "worktree",
                "add",
                "--quiet",
                "--no-track",
                "--no-checkout",
                "-b",
                &branch,
                &at,
                &base,
            ];
            self.git.text(&add).await?;
            (path, branch)
        };
        let git = Git::at(&path);
        let worktree = Worktree {
            repository: self.clone(),
            git,
            branch,
            base,
        };
        // The slow part, which needs no lock.
        match worktree.fill().await {
            Ok(()) => Ok(worktree),
            Err(error) => {
                let _ = worktree.remove(true).await;
                Err(error)
            }
        }
    }

    /// A clean working tree at a commit, in `folder`.
    pub async fn checkout(&self, folder: &Path, commit: &str) -> Result<Checkout, GitError> {
        let commit = self.commit(commit).await?;
        let path = folder.join(format!("check-{}", short_id()));
        let at = path.to_string_lossy();
        {
            let _lock = Lock::take(&self.common).await?;
            let add = [
                "worktree",
                "add",
                "--quiet",
                "--detach",
                "--no-checkout",
                &at,
                &commit,
            ];
            self.git.text(&add).await?;
        }
        let checkout = Checkout {
            repository: self.clone(),
            path,
        };
        match Git::at(&checkout.path)
            .text(&["reset", "--hard", "--quiet"])
            .await
        {
            Ok(_) => Ok(checkout),
            Err(error) => {
                let _ = checkout.remove().await;
                Err(error)
            }
        }
    }

    /// A branch that doesn't exist yet: tasks are numbered anew in each data folder.
    async fn free_branch(&self, name: &str) -> Result<String, GitError> {
        let pattern = format!("refs/heads/{BRANCH_PREFIX}");
        let taken = self
            .git
            .text(&["for-each-ref", "--format=%(refname)", &pattern])
            .await?;
        let taken: std::collections::HashSet<&str> = taken.lines().collect();
        (1..=MAX_NAMES)
            .map(|n| match n {
                1 => format!("{BRANCH_PREFIX}{name}"),
                n => format!("{BRANCH_PREFIX}{name}.{n}"),
            })
            .find(|branch| !taken.contains(&format!("refs/heads/{branch}")[..]))
            .ok_or_else(|| {
                failed(
                    &["branch"],
                    &format!("{MAX_NAMES} branches are named {name}"),
                )
            })
    }

    /// Removes a worktree with all that is in it.
    async fn remove(&self, path: &Path) -> Result<(), GitError> {
        let _lock = Lock::take(&self.common).await?;
        let at = path.to_string_lossy();
        // Given twice, it also removes a locked one.
        let remove = ["worktree", "remove", "--force", "--force", &at];
        self.git.text(&remove).await.map(drop)
    }
}

impl Worktree {
    /// Where its files are.
    pub fn path(&self) -> &Path {
        self.git.folder()
    }

    /// Where in it a command runs: the same folder that the repository was found by.
    pub fn workdir(&self) -> PathBuf {
        self.path().join(&self.repository.prefix)
    }

    /// Its branch.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// The commit that it started from.
    pub fn base(&self) -> &str {
        &self.base
    }

    async fn fill(&self) -> Result<(), GitError> {
        let note = self.private(NOTE).await?;
        std::fs::write(&note, format!("{}\n{}\n", self.branch, self.base))
            .map_err(GitError::io("a note of the worktree can't be written"))?;
        self.git.text(&["reset", "--hard", "--quiet"]).await?;
        // The folder may not exist at this commit.
        std::fs::create_dir_all(self.workdir())
            .map_err(GitError::io("the working folder can't be made"))
    }

    /// A path in the private git folder of this worktree.
    async fn private(&self, name: &str) -> Result<PathBuf, GitError> {
        self.git
            .text(&["rev-parse", "--path-format=absolute", "--git-path", name])
            .await
            .map(PathBuf::from)
    }

    async fn remove(&self, with_branch: bool) -> Result<(), GitError> {
        self.repository.remove(self.path()).await?;
        if with_branch {
            let delete = ["branch", "--quiet", "-D", "--end-of-options", &self.branch];
            self.repository.git.text(&delete).await?;
        }
        Ok(())
    }

    /// Takes over a worktree that a dead run left behind.
    async fn adopt(path: &Path) -> Result<Option<Self>, GitError> {
        let mut repository = Repository::discover(path).await?;
        // The worktree is about to vanish, so the shared folder stands in for it.
        repository.git = Git::at(&repository.common);
        let git = Git::at(path);
        let note = git
            .text(&["rev-parse", "--path-format=absolute", "--git-path", NOTE])
            .await?;
        let Ok(note) = std::fs::read_to_string(note) else {
            return Ok(None);
        };
        let mut lines = note.lines().map(str::to_owned);
        match (lines.next(), lines.next()) {
            (Some(branch), Some(base)) => Ok(Some(Self {
                repository,
                git,
                branch,
                base,
            })),
            _ => Ok(None),
        }
    }
}

impl Checkout {
    /// Where in it a command runs.
    pub fn workdir(&self) -> PathBuf {
        self.path.join(&self.repository.prefix)
    }

    /// Removes it.
    pub async fn remove(self) -> Result<(), GitError> {
        self.repository.remove(&self.path).await
    }
}

/// Saves the work in the worktrees of a dead run, and removes what is left of
/// it. Gives, for each worktree that held work, what became of it.
pub async fn recover(dead: DeadRun) -> Vec<Finished> {
    let mut finished = Vec::new();
    let id = dead.id;
    // Whatever survived the death of all its guards must not write on.
    let _ = tokio::task::spawn_blocking(move || crate::orphans::kill_run(id)).await;
    for path in dead.worktrees() {
        match Worktree::adopt(&path).await {
            Ok(Some(worktree)) => {
                let message = format!("Work of a run that was cut off ({})", worktree.branch);
                finished.push(worktree.finish(&message).await);
            }
            Ok(None) => {
                // Nobody works in a checkout for looking.
                if let Ok(repository) = Repository::discover(&path).await {
                    let repository = Repository {
                        git: Git::at(&repository.common),
                        ..repository
                    };
                    let _ = repository.remove(&path).await;
                }
            }
            Err(error) => finished.push(Finished::kept(&path, &error)),
        }
    }
    if let Err(error) = dead.bury() {
        tracing::warn!(run = %id, %error, "the folder of a dead run can't be removed");
    }
    finished
}

/// Enough of a random number to keep folders apart.
fn short_id() -> String {
    let mut id = uuid::Uuid::now_v7().simple().to_string();
    id.split_off(24)
}

/// A name as part of a branch's (git-check-ref-format(1)).
fn ref_name(name: &str) -> String {
    const MAX_LEN: usize = 100;
    let safe: String = name
        .chars()
        .take(MAX_LEN)
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => c,
            _ => '-',
        })
        .collect();
    match safe.trim_matches('-') {
        "" => "task".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_becomes_part_of_a_branch_name() {
        for (name, expected) in [
            ("12-1", "12-1"),
            ("fix the parser-2", "fix-the-parser-2"),
            ("../../etc", "etc"),
            ("a..b.lock", "a--b-lock"),
            ("--force", "force"),
            ("äöü", "task"),
        ] {
            assert_eq!(ref_name(name), expected);
        }
    }
}
