//! What can be seen on the disk before anything is started.
//!
//! Only looks; nothing is opened, run or changed. What is seen may have changed by
//! the time an agent starts, so the runner still reports for itself.

use std::path::{Path, PathBuf};

use collective_core::text::shown;

use crate::field::Field;

/// Notes a folder that isn't there.
pub(crate) fn folder(field: &Field<'_>, path: &Path) -> bool {
    let what = shown(&path.display().to_string());
    if path.is_dir() {
        return true;
    }
    match path.exists() {
        true => field.problem(format!("`{what}` is not a folder")),
        false => field.problem_hint(
            format!("`{what}` doesn't exist"),
            "a relative path is seen from the team file's folder",
        ),
    }
    false
}

/// Notes a folder that git wouldn't take for a repository.
pub(crate) fn repository(field: &Field<'_>, path: &Path) {
    if folder(field, path) && !is_repository(path) {
        let what = shown(&path.display().to_string());
        field.problem_hint(
            format!("`{what}` is not a git repository"),
            "run `git init` there, or name another folder",
        );
    }
}

/// As git looks for it: `.git` here or in a folder above, or a bare repository.
fn is_repository(path: &Path) -> bool {
    let bare = path.join("HEAD").is_file() && path.join("objects").is_dir();
    bare || path.ancestors().any(|folder| folder.join(".git").exists())
}

/// Notes a program that can't be found. One that is named by a relative path is only looked
/// for if the folder that it starts in is known. `search` stands for the variable `PATH`.
pub(crate) fn program(field: &Field<'_>, name: &str, start: Option<&Path>, search: Option<&str>) {
    let path = Path::new(name);
    let found = if path.is_absolute() {
        is_program(path)
    } else if name.contains('/') {
        match start {
            Some(start) => is_program(&start.join(path)),
            None => return,
        }
    } else {
        let folders = match search {
            Some(search) => search.into(),
            None => std::env::var_os("PATH").unwrap_or_default(),
        };
        let places: Vec<PathBuf> = std::env::split_paths(&folders).collect();
        places.iter().any(|folder| is_program(&folder.join(name)))
    };
    if !found {
        let hint = match name.contains('/') {
            true => "check the path, and that it may be executed",
            false => "install it, or name it by its path",
        };
        field.problem_hint(format!("there is no program `{}`", shown(name)), hint);
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
