//! Files with secrets beside the file of variables: what Alertmanager tells
//! somebody with, keys of TLS, keys of backups. Nobody but their owner may read them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::compose::shown;
use crate::finding::{Finding, FindingCode as Code};
use crate::stack::Stack;

/// The folder of Alertmanager's secrets, seen from the compose files.
const ALERT_SECRETS: (&str, &str) = ("ALERT_SECRETS_FOLDER", "../monitoring/alertmanager/secrets");
/// The folder of certificates and keys.
const TLS: (&str, &str) = ("TLS_FOLDER", "../tls");
/// What a private key of age begins with.
const AGE: &str = "AGE-SECRET-KEY-";
/// Largest file that is taken for a key of age: one has 200 bytes.
const MAX_KEY_LEN: u64 = 64 * 1024;
/// Where a schedule of backups is written for systemd.
const UNITS: [&str; 2] = [
    "/etc/systemd/system/collective-backup.service",
    "/etc/systemd/system/collective-backup-verify.service",
];

/// A file with a secret, and the user of the container that reads it as itself;
/// root's containers read it whoever owns it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    path: PathBuf,
    reader: Option<u32>,
}

/// Looks at those that are there.
pub(super) fn look(stack: &Stack) -> Vec<Finding> {
    let kept = kept(stack);
    let mut findings: Vec<Finding> = kept
        .iter()
        .filter_map(|kept| judge(kept, stack.environment.is_serious()))
        .collect();
    if findings.is_empty() && !kept.is_empty() {
        let seen = "with secrets, readable by their owners alone";
        let place = format!("{} files", kept.len());
        findings.push(Finding::fine(Code::SecretPermissions, place, seen));
    }
    findings
}

fn judge(kept: &Kept, is_serious: bool) -> Option<Finding> {
    let about = fs::metadata(&kept.path).ok()?;
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return None;
    }
    let place = shown(&kept.path);
    let seen = format!("mode {mode:03o}: other people of this machine can read the secret");
    let mend = match kept.reader {
        None => format!("chmod 600 {place}"),
        Some(user) => format!(
            "chown {user} {place} && chmod 400 {place}: its container reads it as user {user}"
        ),
    };
    let make = if is_serious {
        Finding::wrong
    } else {
        Finding::notice
    };
    Some(make(Code::SecretPermissions, place, seen, mend))
}

fn kept(stack: &Stack) -> BTreeSet<Kept> {
    let folder = |(name, default): (&str, &str)| {
        let said = stack.values.get(name).unwrap_or(default);
        stack.place.compose_folder().join(said)
    };
    let mut all = BTreeSet::new();
    let mut add = |path: PathBuf, reader| {
        // One name for one file, whichever way leads to it.
        if let Ok(path) = path.canonicalize() {
            all.insert(Kept { path, reader });
        }
    };
    for path in files_in(&folder(ALERT_SECRETS)) {
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !is_hidden {
            // The user `nobody` of its image.
            add(path, Some(65_534));
        }
    }
    let tls = folder(TLS);
    for path in files_in(&tls).into_iter().filter(|path| is_key(path)) {
        add(path, None);
    }
    for service in ["postgres", "rabbitmq", "redis", "proxy"] {
        // The proxy never is root; the servers' start scripts are.
        let reader = (service == "proxy").then_some(101);
        let keys = files_in(&tls.join(service));
        for path in keys.into_iter().filter(|path| is_key(path)) {
            add(path, reader);
        }
    }
    for path in backup_keys(stack) {
        add(path, None);
    }
    all
}

/// Keys of backups: those that a schedule names, and those that lie where the
/// documents have them made.
fn backup_keys(stack: &Stack) -> Vec<PathBuf> {
    let scheduled = UNITS
        .iter()
        .filter_map(|unit| fs::read_to_string(unit).ok())
        .filter_map(|text| key_of_unit(&text));
    let here = std::env::current_dir().unwrap_or_default();
    let beside = stack.env_path.parent().unwrap_or(Path::new("/")).to_owned();
    let folders = [
        stack.place.root().to_owned(),
        stack.place.docker_folder(),
        beside,
        here,
    ];
    let lying = folders.iter().flat_map(|folder| files_in(folder));
    scheduled
        .chain(lying.filter(|path| is_key(path)))
        .filter(|path| opens_backups(path))
        .collect()
}

/// The key in `ExecStart=… --key FILE …`.
fn key_of_unit(text: &str) -> Option<PathBuf> {
    let line = text.lines().find(|line| line.starts_with("ExecStart="))?;
    let (_, rest) = line.split_once(" --key ")?;
    rest.split_whitespace().next().map(PathBuf::from)
}

/// Whether it is a private key of age. One that can't be read is somebody else's,
/// which is what is wanted.
fn opens_backups(path: &Path) -> bool {
    let is_small = fs::metadata(path).is_ok_and(|about| about.len() <= MAX_KEY_LEN);
    is_small && fs::read_to_string(path).is_ok_and(|text| text.contains(AGE))
}

fn is_key(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "key")
}

/// The files of a folder that can be seen, without those of folders in it.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_schedule_is_found() {
        let unit = "[Service]\nExecStart=/usr/bin/collective stack backup --to /b --key /k/b.key --keep 14\n";
        assert_eq!(key_of_unit(unit), Some(PathBuf::from("/k/b.key")));
        assert_eq!(
            key_of_unit("[Service]\nExecStart=/usr/bin/collective\n"),
            None
        );
    }
}
