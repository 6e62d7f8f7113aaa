//! The end of a worktree: its work is committed, its branch kept, its files
//! removed, in that order, and only if the one before went well.

use std::path::{Path, PathBuf};

use collective_core::limits::MAX_ARTIFACT_LEN;

use super::Worktree;
use crate::git::{Git, GitError};

/// Name and address of who commits where git knows nobody.
const NOBODY: (&str, &str) = ("collective", "collective@localhost");

/// What became of a worktree.
#[derive(Debug, Default)]
pub struct Finished {
    /// The branch with its work; none if there was no work.
    pub branch: Option<String>,
    /// The commit at the end of it; the one it started from if there was no work.
    pub commit: Option<String>,
    /// The work as one patch against where it started (`git diff --binary`).
    /// None if there was no work, or if it is larger than an artifact may be.
    pub patch: Option<Vec<u8>>,
    /// The worktree itself, if it couldn't be removed without losing something.
    pub kept: Option<Kept>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// A worktree that is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

impl Finished {
    pub(super) fn kept(path: &Path, reason: &dyn std::fmt::Display) -> Self {
        Self {
            kept: Some(Kept {
                path: path.to_owned(),
                reason: reason.to_string(),
            }),
            ..Self::default()
        }
    }
}

impl Worktree {
    /// Variables that let a command commit where git knows nobody; empty where
    /// it does.
    pub async fn env(&self) -> Vec<(String, String)> {
        let known = self.git.run(&["var", "GIT_COMMITTER_IDENT"], 1_024).await;
        if known.is_ok_and(|answer| answer.success) {
            return Vec::new();
        }
        ["AUTHOR", "COMMITTER"]
            .into_iter()
            .flat_map(|who| {
                [("NAME", NOBODY.0), ("EMAIL", NOBODY.1)]
                    .map(|(what, value)| (format!("GIT_{who}_{what}"), value.to_owned()))
            })
            .collect()
    }

    /// Commits what isn't committed, under `message`; removes the worktree;
    /// keeps the branch if there is something on it. Nothing may run in the
    /// worktree any more.
    pub async fn finish(self, message: &str) -> Finished {
        let mut finished = Finished::default();
        let commit = match self.save(message).await {
            Ok(commit) => commit,
            Err(error) => return Finished::kept(self.path(), &error),
        };
        finished.commit = Some(commit.clone());
        let worked = commit != self.base;
        if worked {
            finished.branch = Some(self.branch.clone());
            match self.patch(&commit).await {
                Ok(Some(patch)) => finished.patch = Some(patch),
                Ok(None) => finished.warnings.push(format!(
                    "the patch is larger than {MAX_ARTIFACT_LEN} bytes; see branch {}",
                    self.branch
                )),
                Err(error) => finished.warnings.push(format!(
                    "there is no patch, see branch {}: {error}",
                    self.branch
                )),
            }
        }
        let removed = match self.unsaved(&commit).await {
            Ok(None) => self
                .remove(!worked)
                .await
                .map_err(|error| error.to_string()),
            Ok(Some(why)) => Err(why),
            Err(error) => Err(error.to_string()),
        };
        if let Err(reason) = removed {
            finished.kept = Some(Kept {
                path: self.path().to_owned(),
                reason,
            });
        }
        finished
    }

    /// Brings everything onto the branch; gives its last commit.
    async fn save(&self, message: &str) -> Result<String, GitError> {
        self.unlock().await?;
        if !self.status().await?.is_empty() {
            let git = self.with_identity().await?;
            git.text(&["add", "--all"]).await?;
            // A submodule with changes of its own shows up without anything to commit.
            let staged = git.run(&["diff", "--cached", "--quiet"], 0).await?;
            let merging = self.private("MERGE_HEAD").await?.exists();
            if !staged.success || merging {
                let commit = ["commit", "--quiet", "--no-verify", "--message", message];
                git.text(&commit).await?;
            }
        }
        let commit = self.git.text(&["rev-parse", "--verify", "HEAD"]).await?;
        // The agent may have worked on another branch, or on none.
        let own = format!("refs/heads/{}", self.branch);
        if self.git.text(&["rev-parse", &own]).await.ok().as_ref() != Some(&commit) {
            self.git
                .text(&[
                    "update-ref",
                    "-m",
                    "collective: end of attempt",
                    &own,
                    &commit,
                ])
                .await?;
        }
        Ok(commit)
    }

    /// What differs from the last commit, whatever the settings of the repository hide.
    async fn status(&self) -> Result<String, GitError> {
        self.git
            .text(&[
                "status",
                "--porcelain",
                "--untracked-files=normal",
                "--ignore-submodules=none",
            ])
            .await
    }

    /// Removes the locks of a git that was killed in the middle of something.
    /// They are all this worktree's own, and nothing runs in it any more.
    async fn unlock(&self) -> Result<(), GitError> {
        for name in [
            "index.lock",
            "HEAD.lock",
            &format!("refs/heads/{}.lock", self.branch),
        ] {
            let path = self.private(name).await?;
            if path.exists() {
                std::fs::remove_file(&path).map_err(GitError::io(format!(
                    "`{}` can't be removed",
                    path.display()
                )))?;
            }
        }
        Ok(())
    }

    /// git that can commit even where nobody told it who it is.
    async fn with_identity(&self) -> Result<Git, GitError> {
        let ident = self.git.run(&["var", "GIT_COMMITTER_IDENT"], 1_024).await?;
        let mut git = self.git.clone();
        if !ident.success {
            git = git
                .set(format!("user.name={}", NOBODY.0))
                .set(format!("user.email={}", NOBODY.1));
        }
        Ok(git)
    }

    /// The work as a patch; none if it is too large.
    async fn patch(&self, commit: &str) -> Result<Option<Vec<u8>>, GitError> {
        let diff = [
            "diff",
            "--binary",
            "--full-index",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--src-prefix=a/",
            "--dst-prefix=b/",
            &self.base,
            commit,
        ];
        let answer = self.git.run(&diff, MAX_ARTIFACT_LEN).await?;
        if !answer.success {
            return Err(crate::git::failed(&diff, &answer.stderr));
        }
        Ok((!answer.cut).then_some(answer.stdout))
    }

    /// Why removing the worktree would lose something, if it would.
    async fn unsaved(&self, commit: &str) -> Result<Option<String>, GitError> {
        if let Some(first) = self.status().await?.lines().next() {
            return Ok(Some(format!(
                "not everything could be committed: `{first}`"
            )));
        }
        // A repository inside is recorded as a link to a commit that only it has.
        let raw = self
            .git
            .text(&["diff", "--raw", "--no-renames", "-z", &self.base, commit])
            .await?;
        let mut fields = raw.split('\0');
        while let (Some(meta), Some(path)) = (fields.next(), fields.next()) {
            let is_link = meta.split(' ').nth(1) == Some("160000");
            if is_link && self.path().join(path).join(".git").exists() {
                return Ok(Some(format!("`{path}` is a git repository of its own")));
            }
        }
        Ok(None)
    }
}
